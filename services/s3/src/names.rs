//! What buckets and keys may be called ("General purpose bucket naming rules", "Naming Amazon S3
//! objects", Amazon S3 User Guide), and the ids that follow from names.

use sha2::{Digest, Sha256};
use tenantry_core::{AccountId, AwsError, Result};

use crate::error;

/// The longest key, in bytes of UTF-8.
pub(crate) const MAX_KEY: usize = 1024;

/// The namespace of bucket names: one owner in the whole instance.
pub(crate) const BUCKETS: &str = "bucket";

/// Refuses what cannot be a bucket's name.
pub(crate) fn check_bucket(name: &str) -> Result<()> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let form = (3..=63).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.')
        && edge(name.chars().next())
        && edge(name.chars().next_back())
        && !name.contains("..");
    let address = name.split('.').count() == 4 && name.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    let reserved = ["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|p| name.starts_with(p))
        || ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].iter().any(|s| name.ends_with(s));
    if form && !address && !reserved {
        return Ok(());
    }
    let shown: String = name.chars().filter(|c| !c.is_control()).take(128).collect();
    Err(AwsError::new(400, "InvalidBucketName", "The specified bucket is not valid.").with("BucketName", shown))
}

/// Refuses what cannot be a key. NUL parts keys from versions in the index, and no XML can hold it.
pub(crate) fn check_key(key: &str) -> Result<()> {
    if key.len() > MAX_KEY {
        return Err(AwsError::new(400, "KeyTooLongError", "Your key is too long")
            .with("Size", key.len().to_string())
            .with("MaxSizeAllowed", MAX_KEY.to_string()));
    }
    if key.is_empty() || key.contains('\0') {
        return Err(AwsError::new(400, "InvalidURI", "Couldn't parse the specified URI."));
    }
    Ok(())
}

/// The canonical user id of an account: 64 hexadecimal digits that say nothing about it.
pub(crate) fn canonical_id(account: &AccountId) -> String {
    let hash = Sha256::new().chain_update(b"s3 canonical user ").chain_update(account.as_str()).finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `{"ID": …}` of an account.
pub(crate) fn owner(account: &AccountId) -> serde_json::Value {
    serde_json::json!({ "ID": canonical_id(account) })
}

/// The least text that is greater than every text that begins with `prefix`; `None` where there is none.
pub(crate) fn after_all_of(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            char::MAX => None,
            // Surrogates are no characters.
            '\u{d7ff}' => Some('\u{e000}'),
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// A request's key against a copy source or a tag: `check_key`, with S3's answer about the argument.
pub(crate) fn check_source_key(key: &str) -> Result<()> {
    check_key(key).map_err(|_| {
        error::argument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey", "x-amz-copy-source", key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names() {
        for name in ["abc", "a.b-c.1", "sagemaker-us-east-1-123456789012", &"x".repeat(63)] {
            assert!(check_bucket(name).is_ok(), "{name}");
        }
        for name in [
            "ab",
            &"x".repeat(64),
            "Abc",
            "a_b",
            "-abc",
            "abc-",
            "a..b",
            "192.168.5.4",
            "xn--abc",
            "abc-s3alias",
            "abc--x-s3",
            "a/b",
            "ä-b",
        ] {
            assert_eq!(check_bucket(name).unwrap_err().code, "InvalidBucketName", "{name}");
        }
    }

    #[test]
    fn keys() {
        assert!(check_key(&"k".repeat(1024)).is_ok());
        assert_eq!(check_key(&"k".repeat(1025)).unwrap_err().code, "KeyTooLongError");
        assert_eq!(check_key(&"ä".repeat(513)).unwrap_err().code, "KeyTooLongError");
        assert_eq!(check_key("a\0b").unwrap_err().code, "InvalidURI");
    }

    #[test]
    fn successors() {
        assert_eq!(after_all_of("a/").as_deref(), Some("a0"));
        assert_eq!(after_all_of("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(after_all_of("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(after_all_of("\u{10ffff}"), None);
        assert!("a/\u{10ffff}zzz" < after_all_of("a/").unwrap().as_str());
    }
}

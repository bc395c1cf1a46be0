//! Names of S3 data, and what they become on disk. A key is never a path: it becomes one only through
//! [`relative`], which refuses what would lead out of its directory.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A file name of Linux has at most so many bytes.
const MAX_NAME: usize = 255;

/// `s3://bucket/key`, where the key may be empty or a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct S3Uri {
    /// The bucket.
    pub bucket: String,
    /// The key or prefix, without a leading slash.
    pub key: String,
}

impl S3Uri {
    /// Reads `s3://bucket[/key]`. HTTPS forms, which AWS's patterns let pass, are not S3 URIs here.
    pub fn parse(text: &str) -> Option<Self> {
        let (bucket, key) = text.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, "")))?;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        let named = (3..=63).contains(&bucket.len()) && bucket.bytes().all(plain);
        named.then(|| Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// The key of something below: one slash between the two, whether or not the prefix ends with one.
    pub fn below(&self, path: &str) -> Self {
        let prefix = self.key.trim_end_matches('/');
        let key = if prefix.is_empty() { path.to_owned() } else { format!("{prefix}/{path}") };
        Self { bucket: self.bucket.clone(), key }
    }

    /// Where an object that was found under this prefix belongs, relative to the channel's directory: what follows
    /// the prefix as a folder, otherwise what follows its last slash.
    ///
    /// # Errors
    /// The key, when it cannot be a path.
    pub fn place<'a>(&self, key: &'a str) -> Result<PathBuf, UnsafeKey<'a>> {
        let folder = self.key.is_empty() || self.key.ends_with('/');
        let rest = match key.strip_prefix(self.key.as_str()) {
            Some(rest) if folder => rest,
            Some(rest) if rest.starts_with('/') => rest,
            _ => &key[self.key.rfind('/').map_or(0, |at| at + 1).min(key.len())..],
        };
        relative(rest).ok_or(UnsafeKey(key))
    }
}

impl fmt::Display for S3Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// A key that would lead out of its directory, or that no file can be called.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnsafeKey<'a>(pub &'a str);

/// A relative path of ordinary names; doubled slashes count as one. `None` for `.`, `..`, NUL, too long names, and nothing at all.
pub(crate) fn relative(text: &str) -> Option<PathBuf> {
    let names: Vec<&str> = text.split('/').filter(|name| !name.is_empty()).collect();
    let ordinary = |name: &&str| *name != "." && *name != ".." && name.len() <= MAX_NAME && !name.contains('\0');
    (!names.is_empty() && names.iter().all(ordinary)).then(|| names.iter().collect())
}

/// A directory of the sandbox as a path below /opt/ml. `None` when it lies elsewhere: nothing else of a sandbox is the job's.
pub(crate) fn below_opt_ml(text: &str) -> Option<PathBuf> {
    relative(Path::new(text).strip_prefix("/opt/ml").ok()?.to_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed() {
        let uri = S3Uri::parse("s3://my-bucket/a//b/").unwrap();
        assert_eq!((uri.bucket.as_str(), uri.key.as_str()), ("my-bucket", "a//b/"));
        assert_eq!(S3Uri::parse("s3://my-bucket").unwrap().key, "");
        for wrong in ["", "s3://", "s3:///key", "https://my-bucket/key", "s3://UPPER/key", "s3://ab/key", "s3://a_b_c/x", "my-bucket/key"] {
            assert_eq!(S3Uri::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn below_has_one_slash() {
        for (base, key) in [("s3://bucket", "x/y"), ("s3://bucket/", "x/y"), ("s3://bucket/p", "p/x/y"), ("s3://bucket/p/", "p/x/y")] {
            assert_eq!(S3Uri::parse(base).unwrap().below("x/y").key, key);
        }
    }

    #[test]
    fn places() {
        for (uri, key, place) in [
            ("s3://bucket/data/train", "data/train/a.csv", "a.csv"),
            ("s3://bucket/data/train", "data/train/deep/a.csv", "deep/a.csv"),
            ("s3://bucket/data/train/", "data/train/a.csv", "a.csv"),
            ("s3://bucket/data/train.csv", "data/train.csv", "train.csv"),
            ("s3://bucket/data/tr", "data/train.csv", "train.csv"),
            ("s3://bucket/data/tr", "data/train/a.csv", "train/a.csv"),
            ("s3://bucket/model.tar.gz", "model.tar.gz", "model.tar.gz"),
            ("s3://bucket", "a/b", "a/b"),
            ("s3://bucket/a", "a//b", "b"),
        ] {
            assert_eq!(S3Uri::parse(uri).unwrap().place(key).unwrap(), Path::new(place), "{uri} {key}");
        }
        for key in ["a/../../etc/passwd", "a/..", "a/./b", "a/b\0c", "a/", &format!("a/{}", "x".repeat(256))] {
            assert_eq!(S3Uri::parse("s3://bucket/a/").unwrap().place(key), Err(UnsafeKey(key)));
        }
    }

    #[test]
    fn only_below_opt_ml() {
        assert_eq!(below_opt_ml("/opt/ml/processing/input/"), Some("processing/input".into()));
        for outside in ["/opt/ml", "/opt/ml/", "/opt/mlx/a", "/opt/ml/../x", "/etc", "processing", "", "/opt/ml/a/../../b"] {
            assert_eq!(below_opt_ml(outside), None, "{outside}");
        }
    }
}

//! Conditional requests ("Conditional reads", "Conditional writes", Amazon S3 User Guide; RFC 9110 §13).

use serde::Deserialize;
use tenantry_core::{AwsError, Result, Timestamp};

use super::version::Version;
use crate::error;

/// The conditions of a read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ReadIf {
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    pub if_modified_since: Option<Timestamp>,
    pub if_unmodified_since: Option<Timestamp>,
}

/// What a read with conditions is to answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Go,
    NotModified,
    Failed(&'static str),
}

fn lists(header: &str, etag: &str) -> bool {
    header.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/").trim_matches('"') == etag)
}

impl ReadIf {
    /// The first condition that does not hold; `If-Match` outdoes `If-Unmodified-Since`, `If-None-Match` outdoes
    /// `If-Modified-Since`. HTTP dates have whole seconds.
    pub fn judge(&self, version: &Version) -> Verdict {
        let modified = version.modified.secs();
        match (&self.if_match, self.if_unmodified_since) {
            (Some(list), _) if !lists(list, &version.etag) => return Verdict::Failed("If-Match"),
            (None, Some(since)) if modified > since.secs() => return Verdict::Failed("If-Unmodified-Since"),
            _ => {}
        }
        match (&self.if_none_match, self.if_modified_since) {
            (Some(list), _) if lists(list, &version.etag) => Verdict::NotModified,
            (None, Some(since)) if modified <= since.secs() => Verdict::NotModified,
            _ => Verdict::Go,
        }
    }

    /// For copies, where "not modified" is a failure too.
    ///
    /// # Errors
    /// `PreconditionFailed`.
    pub fn require(&self, version: &Version) -> Result<()> {
        match self.judge(version) {
            Verdict::Go => Ok(()),
            Verdict::Failed(which) => Err(error::precondition(&format!("x-amz-copy-source-{which}"))),
            Verdict::NotModified if self.if_none_match.is_some() => Err(error::precondition("x-amz-copy-source-If-None-Match")),
            Verdict::NotModified => Err(error::precondition("x-amz-copy-source-If-Modified-Since")),
        }
    }
}

/// The conditions of a write: on what the key holds at the moment of the commit.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteIf {
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
}

impl WriteIf {
    /// From an input.
    ///
    /// # Errors
    /// `NotImplemented` for `If-None-Match` of anything but `*`, or both at once.
    pub fn read(input: &serde_json::Map<String, serde_json::Value>) -> Result<Self> {
        let text = |member: &str| input.get(member).and_then(|value| value.as_str()).map(str::to_owned);
        let conditions = Self { if_match: text("IfMatch"), if_none_match: text("IfNoneMatch") };
        if conditions.if_none_match.as_deref().is_some_and(|list| list.trim() != "*")
            || (conditions.if_match.is_some() && conditions.if_none_match.is_some())
        {
            let text = "A header you provided implies functionality that is not implemented";
            return Err(AwsError::new(501, "NotImplemented", text).with("Header", "If-None-Match"));
        }
        Ok(conditions)
    }

    /// Holds them against the current version.
    ///
    /// # Errors
    /// `PreconditionFailed`; `NoSuchKey` where `If-Match` finds nothing.
    pub fn require(&self, current: Option<&Version>, key: &str) -> Result<()> {
        match (&self.if_match, &self.if_none_match, current) {
            (Some(_), _, None) => Err(error::no_such_key(key)),
            (Some(list), _, Some(version)) if !lists(list, &version.etag) => Err(error::precondition("If-Match")),
            (_, Some(_), Some(_)) => Err(error::precondition("If-None-Match")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> Version {
        Version { etag: "abc".into(), ..Version::new(Timestamp::from_millis(1_000_500)) }
    }

    #[test]
    fn reads() {
        let judge = |conditions: ReadIf| conditions.judge(&version());
        let etag = |text: &str| Some(text.to_owned());
        let at = |secs| Some(Timestamp::from_secs(secs));
        assert_eq!(judge(ReadIf::default()), Verdict::Go);
        assert_eq!(judge(ReadIf { if_match: etag("\"abc\""), ..ReadIf::default() }), Verdict::Go);
        assert_eq!(judge(ReadIf { if_match: etag("\"x\", \"abc\""), if_unmodified_since: at(1), ..ReadIf::default() }), Verdict::Go);
        assert_eq!(judge(ReadIf { if_match: etag("x"), ..ReadIf::default() }), Verdict::Failed("If-Match"));
        assert_eq!(judge(ReadIf { if_unmodified_since: at(999), ..ReadIf::default() }), Verdict::Failed("If-Unmodified-Since"));
        assert_eq!(judge(ReadIf { if_unmodified_since: at(1000), ..ReadIf::default() }), Verdict::Go);
        assert_eq!(judge(ReadIf { if_none_match: etag("*"), ..ReadIf::default() }), Verdict::NotModified);
        assert_eq!(judge(ReadIf { if_none_match: etag("x"), if_modified_since: at(2000), ..ReadIf::default() }), Verdict::Go);
        assert_eq!(judge(ReadIf { if_modified_since: at(1000), ..ReadIf::default() }), Verdict::NotModified);
        assert_eq!(judge(ReadIf { if_modified_since: at(999), ..ReadIf::default() }), Verdict::Go);
    }

    #[test]
    fn writes() {
        let absent = WriteIf { if_none_match: Some("*".into()), if_match: None };
        assert!(absent.require(None, "k").is_ok());
        assert_eq!(absent.require(Some(&version()), "k").unwrap_err().code, "PreconditionFailed");
        let same = WriteIf { if_match: Some("\"abc\"".into()), if_none_match: None };
        assert!(same.require(Some(&version()), "k").is_ok());
        assert_eq!(same.require(None, "k").unwrap_err().code, "NoSuchKey");
        let other = WriteIf { if_match: Some("x".into()), if_none_match: None };
        assert_eq!(other.require(Some(&version()), "k").unwrap_err().code, "PreconditionFailed");
    }
}

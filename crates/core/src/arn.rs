//! Amazon Resource Names, split the way policies compare them: at the first five colons.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `arn:partition:service:region:account:resource`; region and account may be empty, the resource
/// may itself hold colons and slashes. Source: "Amazon Resource Names (ARNs)", AWS General Reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arn {
    text: String,
    /// Byte offsets of the five colons.
    colons: [u16; 5],
}

/// The text is not a six-part ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArnError(pub String);

impl fmt::Display for ArnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an arn: expected arn:partition:service:region:account:resource", self.0)
    }
}

impl std::error::Error for ArnError {}

/// No AWS API takes a longer ARN (2,048 characters).
const MAX_LEN: usize = 2048;

impl Arn {
    /// Splits `text`.
    ///
    /// # Errors
    /// When there are fewer than six parts, it does not begin with `arn:`, or it is longer than 2,048 bytes.
    pub fn parse(text: impl Into<String>) -> std::result::Result<Self, ArnError> {
        let text = text.into();
        if text.len() > MAX_LEN || !text.starts_with("arn:") {
            return Err(ArnError(text.chars().take(80).collect()));
        }
        let mut colons = [0u16; 5];
        let mut found = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte == b':' {
                colons[found] = at as u16;
                found += 1;
                if found == 5 {
                    break;
                }
            }
        }
        if found < 5 {
            return Err(ArnError(text));
        }
        Ok(Self { text, colons })
    }

    /// `arn:aws:service:region:account:resource`.
    #[must_use]
    pub fn new(service: &str, region: &str, account: &str, resource: impl fmt::Display) -> Self {
        let text = format!("arn:aws:{service}:{region}:{account}:{resource}");
        let mut colons = [3, 7, 0, 0, 0];
        colons[2] = 8 + service.len() as u16;
        colons[3] = colons[2] + 1 + region.len() as u16;
        colons[4] = colons[3] + 1 + account.len() as u16;
        Self { text, colons }
    }

    fn part(&self, index: usize) -> &str {
        &self.text[self.colons[index] as usize + 1..self.colons[index + 1] as usize]
    }

    /// `aws`, `aws-cn`, …
    #[must_use]
    pub fn partition(&self) -> &str {
        self.part(0)
    }
    /// `sagemaker`, `iam`, …
    #[must_use]
    pub fn service(&self) -> &str {
        self.part(1)
    }
    /// Empty for global services.
    #[must_use]
    pub fn region(&self) -> &str {
        self.part(2)
    }
    /// Twelve digits, or empty (S3), or `aws`.
    #[must_use]
    pub fn account(&self) -> &str {
        self.part(3)
    }
    /// Everything behind the fifth colon.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.text[self.colons[4] as usize + 1..]
    }
    /// The resource split at its first `/` or `:`: (`role`, `service-role/Name`). The second is empty where there is none.
    #[must_use]
    pub fn resource_type_and_id(&self) -> (&str, &str) {
        let resource = self.resource();
        resource.split_once(['/', ':']).unwrap_or((resource, ""))
    }
    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl AsRef<str> for Arn {
    fn as_ref(&self) -> &str {
        &self.text
    }
}
impl TryFrom<String> for Arn {
    type Error = ArnError;
    fn try_from(text: String) -> std::result::Result<Self, ArnError> {
        Self::parse(text)
    }
}
impl std::str::FromStr for Arn {
    type Err = ArnError;
    fn from_str(text: &str) -> std::result::Result<Self, ArnError> {
        Self::parse(text)
    }
}
impl From<Arn> for String {
    fn from(arn: Arn) -> Self {
        arn.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let arn = Arn::parse("arn:aws:logs:us-east-1:123456789012:log-group:/a/b:log-stream:c").unwrap();
        assert_eq!((arn.partition(), arn.service(), arn.region(), arn.account()), ("aws", "logs", "us-east-1", "123456789012"));
        assert_eq!(arn.resource(), "log-group:/a/b:log-stream:c");
        assert_eq!(arn.resource_type_and_id(), ("log-group", "/a/b:log-stream:c"));
        assert_eq!(Arn::new("s3", "", "", "bucket/key"), Arn::parse("arn:aws:s3:::bucket/key").unwrap());
        assert_eq!(Arn::new("iam", "", "123456789012", "root").account(), "123456789012");
    }

    #[test]
    fn refused() {
        for text in ["", "arn", "arn:aws:s3", "arn:aws:s3::", "urn:a:b:c:d:e"] {
            assert!(Arn::parse(text).is_err(), "{text}");
        }
        assert!(Arn::parse(format!("arn:aws:s3:::{}", "x".repeat(3000))).is_err());
    }
}

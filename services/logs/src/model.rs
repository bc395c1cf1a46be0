//! Rows, names, ARNs and errors that the operations share.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use tenantry_core::{Arn, AwsError, Result, Scope};
use tenantry_kernel::{Check, Cx};
use tenantry_store::{Kind, Row};

/// A group.
pub const GROUP: Kind = Kind::new("logs.group");
/// A stream.
pub const STREAM: Kind = Kind::new("logs.stream");

/// What a group's row holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Group {
    /// Days that events are kept; `None` for ever.
    #[serde(default)]
    pub retention: Option<u32>,
    /// `STANDARD` or `INFREQUENT_ACCESS`.
    #[serde(default)]
    pub class: Option<String>,
}

/// A stream's row id.
pub fn stream_id(group: &str, stream: &str) -> String {
    format!("{group}\0{stream}")
}

/// The series of a stream's lines.
pub fn series(scope: &Scope, group: &str, stream: &str) -> String {
    format!("logs/{}/{}/{group}\0{stream}", scope.account, scope.region)
}

/// A group's ARN without the `:*` at its end: what tags are stored under.
pub fn group_arn(scope: &Scope, group: &str) -> Arn {
    Arn::new("logs", scope.region.as_str(), scope.account.as_str(), format_args!("log-group:{group}"))
}

/// A group by name or ARN.
///
/// # Errors
/// `InvalidParameterException` when neither is given, both are, or the ARN is of another account or region.
pub fn group_name(cx: &Cx, name: Option<&String>, identifier: Option<&String>) -> Result<String> {
    match (name, identifier) {
        (Some(name), None) => Ok(name.clone()),
        (None, Some(identifier)) if !identifier.starts_with("arn:") => Ok(identifier.clone()),
        (None, Some(identifier)) => {
            let arn = Arn::parse(identifier.clone()).map_err(|e| invalid(e.to_string()))?;
            let name = arn.resource().strip_prefix("log-group:").map(|name| name.trim_end_matches(":*"));
            match name {
                Some(name) if arn.account() == cx.scope().account.as_str() && arn.region() == cx.region.as_str() => Ok(name.to_owned()),
                Some(_) => Err(invalid("Log groups of other accounts and regions cannot be read here.")),
                None => Err(invalid(format!("{identifier} is not the ARN of a log group."))),
            }
        }
        _ => Err(invalid("Exactly one of logGroupName and logGroupIdentifier must be given.")),
    }
}

/// A check on a group: its resource has an empty stream part, as AWS's denials show it.
pub async fn on_group(cx: &Cx, action: &'static str, group: &str) -> Result<Check> {
    let scope = cx.scope();
    let tags = cx.kernel.store().tags(group_arn(&scope, group).as_str()).await?;
    Ok(Check::on(action, cx.arn("logs", format_args!("log-group:{group}:log-stream:"))).tagged(tags))
}

/// A check on a stream; a group's tags govern its streams.
pub async fn on_stream(cx: &Cx, action: &'static str, group: &str, stream: &str) -> Result<Check> {
    let scope = cx.scope();
    let tags = cx.kernel.store().tags(group_arn(&scope, group).as_str()).await?;
    Ok(Check::on(action, cx.arn("logs", format_args!("log-group:{group}:log-stream:{stream}"))).tagged(tags))
}

/// `InvalidParameterException`.
pub fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "InvalidParameterException", message)
}

/// `ResourceNotFoundException` for a group.
pub fn no_group() -> AwsError {
    AwsError::new(400, "ResourceNotFoundException", "The specified log group does not exist.")
}

/// `ResourceNotFoundException` for a stream.
pub fn no_stream() -> AwsError {
    AwsError::new(400, "ResourceNotFoundException", "The specified log stream does not exist.")
}

/// A group's row.
///
/// # Errors
/// `ResourceNotFoundException`.
pub async fn group_row(cx: &Cx, scope: &Scope, group: &str) -> Result<Row> {
    cx.kernel.store().get(GROUP, scope, group).await?.ok_or_else(no_group)
}

/// An opaque page token.
pub fn write_token(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// What a page token holds.
///
/// # Errors
/// `InvalidParameterException` when it is none of ours.
pub fn read_token(token: &str) -> Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    bytes.ok_or_else(|| invalid("The specified nextToken is invalid."))
}

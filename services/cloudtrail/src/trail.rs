//! A trail as it is stored, found and shown.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{AccountId, Arn, Result, Scope, Timestamp};
use tenantry_kernel::{Check, Checks, Cx};
use tenantry_store::{Kind, Row};

use crate::error;

/// A trail.
pub(crate) const TRAIL: Kind = Kind::new("cloudtrail.trail");
/// How far a trail has got.
pub(crate) const DELIVERY: Kind = Kind::new("cloudtrail.delivery");

/// What a trail's row holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trail {
    pub bucket: String,
    #[serde(default)]
    pub prefix: Option<String>,
    pub global: bool,
    pub multi_region: bool,
    #[serde(default)]
    pub logging: bool,
    #[serde(default)]
    pub started: Option<Timestamp>,
    #[serde(default)]
    pub stopped: Option<Timestamp>,
    /// `EventSelectors` or `AdvancedEventSelectors`; `None` is what a new trail has.
    #[serde(default)]
    pub selectors: Option<Value>,
}

/// What a delivery's row holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The last event that was looked at.
    pub cursor: u64,
    #[serde(default)]
    pub delivered: Option<Timestamp>,
    #[serde(default)]
    pub attempted: Option<Timestamp>,
    /// The code of the last attempt's error.
    #[serde(default)]
    pub error: Option<String>,
}

pub(crate) fn trail_arn(scope: &Scope, name: &str) -> Arn {
    Arn::new("cloudtrail", scope.region.as_str(), scope.account.as_str(), format_args!("trail/{name}"))
}

/// The members that every answer about a trail has.
pub(crate) fn shown(scope: &Scope, name: &str, trail: &Trail) -> Value {
    let mut out = json!({
        "Name": name,
        "S3BucketName": trail.bucket,
        "IncludeGlobalServiceEvents": trail.global,
        "IsMultiRegionTrail": trail.multi_region,
        "TrailARN": trail_arn(scope, name),
        "LogFileValidationEnabled": false,
        "IsOrganizationTrail": false,
    });
    if let Some(prefix) = &trail.prefix {
        out["S3KeyPrefix"] = json!(prefix);
    }
    out
}

/// The same with what only descriptions have.
pub(crate) fn described(scope: &Scope, name: &str, trail: &Trail) -> Value {
    let mut out = shown(scope, name, trail);
    out["HomeRegion"] = json!(scope.region);
    out["HasCustomEventSelectors"] = json!(trail.selectors.is_some());
    out["HasInsightSelectors"] = json!(false);
    out
}

/// Where a name or an ARN leads: the trail's home and its name.
///
/// # Errors
/// `CloudTrailARNInvalidException` where it is the ARN of something else, `InvalidTrailNameException` where it is no name.
pub(crate) fn named(cx: &Cx, name: &str) -> Result<(Scope, String)> {
    if !name.starts_with("arn:") {
        check_name(name)?;
        return Ok((cx.scope(), name.to_owned()));
    }
    let arn = Arn::parse(name).map_err(|_| error::bad_arn(name))?;
    match arn.resource().strip_prefix("trail/") {
        Some(trail) if arn.service() == "cloudtrail" && AccountId::is_valid(arn.account()) && !trail.is_empty() => {
            Ok((Scope::new(arn.account(), arn.region()), trail.to_owned()))
        }
        _ => Err(error::bad_arn(name)),
    }
}

/// An input that only names a trail, by a member that is called so or so.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NameInput {
    #[serde(alias = "TrailName")]
    pub name: String,
}

pub(crate) async fn resolve(cx: &Cx, action: &'static str, input: &NameInput) -> Result<Checks> {
    Ok(check(cx, action, &input.name)?.into())
}

/// A check on the trail of this name or ARN.
pub(crate) fn check(cx: &Cx, action: &'static str, name: &str) -> Result<Check> {
    let (scope, name) = named(cx, name)?;
    Ok(Check::on(action, trail_arn(&scope, &name)))
}

/// The trail of this name or ARN, which must be in the account that the permit is for.
///
/// # Errors
/// `TrailNotFoundException`.
pub(crate) async fn find(cx: &Cx, account: &AccountId, name: &str) -> Result<(Scope, Row)> {
    let (scope, id) = named(cx, name)?;
    let unknown = || error::no_trail(trail_arn(&scope, &id).as_str(), account.as_str());
    if scope.account != *account {
        return Err(unknown());
    }
    let row = cx.kernel.store().get(TRAIL, &scope, &id).await?.ok_or_else(unknown)?;
    Ok((scope.clone(), row))
}

/// The same for a change, which is the home region's.
///
/// # Errors
/// `TrailNotFoundException`, `InvalidHomeRegionException`.
pub(crate) async fn find_home(cx: &Cx, account: &AccountId, name: &str) -> Result<(Scope, Row)> {
    let (scope, row) = find(cx, account, name).await?;
    if scope.region != cx.region {
        return Err(error::other_home(trail_arn(&scope, &row.id).as_str()));
    }
    Ok((scope, row))
}

/// Holds a name against the rules ("Naming requirements for CloudTrail resources", AWS CloudTrail User Guide).
///
/// # Errors
/// `InvalidTrailNameException`.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let length = name.chars().count();
    if length < 3 {
        return Err(error::bad_trail_name(format!(
            "Trail name too short. Minimum allowed length: 3 characters. Specified name length: {length} characters."
        )));
    }
    if length > 128 {
        return Err(error::bad_trail_name(format!(
            "Trail name too long. Maximum allowed length: 128 characters. Specified name length: {length} characters."
        )));
    }
    let plain = |c: char| c.is_ascii_alphanumeric();
    if !name.chars().all(|c| plain(c) || "._-".contains(c)) {
        return Err(error::bad_trail_name(
            "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, periods (.), hyphens (-), and underscores (_).",
        ));
    }
    if !name.starts_with(plain) {
        return Err(error::bad_trail_name("Trail name must starts with a letter or number."));
    }
    if !name.ends_with(plain) {
        return Err(error::bad_trail_name("Trail name must ends with a letter or number."));
    }
    let marks: Vec<bool> = name.chars().map(|c| !plain(c)).collect();
    if marks.windows(2).any(|pair| pair[0] && pair[1]) {
        return Err(error::bad_trail_name("Trail name must not have adjacent periods, underscores or hyphens."));
    }
    if name.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err(error::bad_trail_name("Trail name must not be formatted as an IP address."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["abc", "a.b", "Trail_1-x", &"a".repeat(128)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["ab", "-abc", "abc-", "a..b", "a._b", "a b", "192.168.1.1", "é12", &"a".repeat(129)] {
            assert_eq!(check_name(name).err().map(|error| error.code.into_owned()).as_deref(), Some("InvalidTrailNameException"), "{name}");
        }
    }
}

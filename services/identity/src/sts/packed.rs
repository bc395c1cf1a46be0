//! Session policies and session tags: what may be passed, and how much of it.
//!
//! AWS packs them into the token by a format that it does not publish and answers the percentage of
//! the space that they take. Tokens here are opaque and hold nothing; the space is a constant of ours,
//! counted in characters, so that what is far too much is refused as in AWS.
//! Source: "Session policies", "Passing session tags in AWS STS", "IAM and AWS STS quotas".

use std::collections::HashSet;

use serde::Deserialize;
use tenantry_core::{AccountId, Result, Scope, Tag};
use tenantry_kernel::{Cx, directory::ManagedPolicy};
use tenantry_policy::{Policy, PolicyKind};

use super::error;
use crate::{iam, managed};

/// Characters of an inline session policy.
const INLINE: usize = 2048;
/// Managed session policies of one session.
const MANAGED: usize = 10;
/// Session tags of one session.
pub(crate) const TAGS: usize = 50;
/// Characters of policy, ARNs and tags together: 100 percent.
const SPACE: usize = 4096;

/// An entry of `PolicyArns`.
#[derive(Deserialize)]
pub(crate) struct PolicyDescriptor {
    #[serde(default)]
    arn: String,
}

/// What was passed, checked.
pub(crate) struct Packed {
    /// Documents of session policies; `None` where none was passed.
    pub policies: Option<Vec<String>>,
    /// Of the space that there is.
    pub percent: usize,
}

/// Checks session policies of a session in `account`.
///
/// # Errors
/// `MalformedPolicyDocument`, `ValidationError`, `PackedPolicyTooLarge`.
pub(crate) async fn pack(cx: &Cx, account: &AccountId, inline: Option<&str>, arns: &[PolicyDescriptor], tags: &[Tag]) -> Result<Packed> {
    if arns.len() > MANAGED {
        return Err(error::validation(format!("The number of managed session policies exceeds the limit of {MANAGED}.")));
    }
    let mut documents = Vec::new();
    let mut length = tags.iter().map(|tag| tag.key.chars().count() + tag.value.chars().count()).sum::<usize>();
    if let Some(text) = inline {
        if text.chars().count() > INLINE {
            let percent = text.chars().count() * 100 / INLINE;
            return Err(error::too_large(percent));
        }
        let policy = Policy::parse(text, PolicyKind::Session).map_err(|fault| error::malformed(fault.message))?;
        length += policy.size();
        documents.push(text.to_owned());
    }
    for descriptor in arns {
        length += descriptor.arn.len();
        documents.push(document(cx, account, &descriptor.arn).await?);
    }
    let percent = (length * 100).div_ceil(SPACE);
    if percent > 100 {
        return Err(error::too_large(percent));
    }
    let passed = inline.is_some() || !arns.is_empty();
    Ok(Packed { policies: passed.then_some(documents), percent })
}

/// The document of a managed policy of the session's own account, or of AWS's.
async fn document(cx: &Cx, account: &AccountId, arn: &str) -> Result<String> {
    let missing = || error::validation(format!("Policy {arn} does not exist or is not in the account of the session."));
    let scope = Scope::global(account.clone());
    let policy: ManagedPolicy = match managed::find(arn) {
        Some(policy) => policy.as_stored(),
        None => iam::policies::find(cx, &scope, arn).await.map_err(|fault| if fault.status >= 500 { fault } else { missing() })?,
    };
    policy.document().map(str::to_owned).ok_or_else(missing)
}

/// Checks session tags: one value per key, without case; `aws:` is reserved.
///
/// # Errors
/// `ValidationError`.
pub(crate) fn check_tags(tags: &[Tag]) -> Result<()> {
    if tags.len() > TAGS {
        return Err(error::validation(format!("The number of session tags exceeds the limit of {TAGS}.")));
    }
    let mut seen = HashSet::new();
    for tag in tags {
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(error::validation(format!("The tag key {} is reserved: keys may not begin with aws:.", tag.key)));
        }
        if !seen.insert(tag.key.to_lowercase()) {
            return Err(error::validation("Duplicate tag keys found. Please note that Tag keys are case insensitive."));
        }
    }
    Ok(())
}

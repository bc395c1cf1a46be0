//! The session that a Studio user acts as: what an application's credentials stand for.
//!
//! It is a session named `SageMaker` of the profile's execution role (the domain's default where the profile has
//! none), made under the role's trust policy. With `ExecutionRoleIdentityConfig` `USER_PROFILE_NAME` it carries the
//! profile's name as its source identity, which the trust policy must allow too (`sts:SetSourceIdentity`), and
//! which stays: roles assumed from it carry it, and so do the jobs it starts.
//!
//! Source: "Monitoring user resource access from SageMaker AI Studio Classic with sourceIdentity", Developer Guide.

use serde_json::Value;
use tenantry_core::{Arn, Result, Scope};
use tenantry_kernel::{Caller, Kernel, ServiceSession};

use super::{DOMAIN, PROFILE, domain_arn, domain_record, profile_arn, record};
use crate::{error::validation, names};

/// The session of a profile. Its `aws:SourceArn` is the profile, so its calls are known to be this profile's.
///
/// # Errors
/// `ResourceNotFound` where domain or profile are not there, `ValidationException` where there is no execution role or
/// where its trust policy does not let SageMaker assume it with that identity.
pub async fn session_of(kernel: &Kernel, scope: &Scope, domain: &str, profile: &str) -> Result<Caller> {
    let (_, of) = record::find_ready(kernel, DOMAIN, scope, &domain_arn(scope, domain)).await?;
    let arn = profile_arn(scope, domain, profile);
    let (row, record) = record::find_ready(kernel, PROFILE, scope, &arn).await?;
    let role = record.at(&["UserSettings", "ExecutionRole"]).or_else(|| of.at(&["DefaultUserSettings", "ExecutionRole"]));
    let role = role.and_then(Value::as_str).and_then(|role| Arn::parse(role).ok());
    let role = role.ok_or_else(|| validation(format!("UserProfile [{arn}] has no execution role, nor has its domain.")))?;
    let identity = (domain_record::identity(&of) == "USER_PROFILE_NAME").then_some(row.name.as_str());
    let wish = ServiceSession {
        role: &role,
        service: names::PRINCIPAL,
        session: names::SESSION,
        source: Some(&arn),
        source_identity: identity,
        region: &scope.region,
    };
    kernel.assume_for_service(&wish).await
}

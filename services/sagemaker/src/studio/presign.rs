//! CreatePresignedDomainUrl: a link that signs a profile in to its domain.
//!
//! Policies are asked about the profile, so its tags decide: `sagemaker:ResourceTag/userId` against
//! `${aws:username}` lets users ask for their own link only.

use serde_json::{Value, json};
use tenantry_core::{Arn, Result};
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply};
use tenantry_store::{Batch, Expect};

use super::{
    DOMAIN, PROFILE, SPACE, domain_arn, profile_arn,
    record::{self, text},
    settings, space_arn,
    token::{self, Grant},
    url,
};
use crate::{error::validation, operation::operation};

/// Seconds that a link is good for, where the request does not say; 5 to 300 may be asked for.
const GOOD_FOR: i64 = 300;
/// Seconds that the session behind it lasts, where the request does not say; 1,800 to 43,200 may be asked for.
const SESSION: i64 = 43_200;

/// The operations of this module.
pub(super) fn table() -> Vec<OperationRow> {
    vec![OperationRow::of::<CreatePresignedDomainUrl>()]
}

operation!(CreatePresignedDomainUrl, ["user-profile"] + ["sagemaker:DomainId", "sagemaker:UserProfileName"], Value, resolve, create);

fn named(cx: &Cx, input: &Value) -> Arn {
    profile_arn(&cx.scope(), text(input, "DomainId"), text(input, "UserProfileName"))
}

async fn resolve(cx: &Cx, action: &'static str, input: &Value) -> Result<Checks> {
    Ok(settings::asker(Check::on(action, named(cx, input)), &cx.caller).into())
}

async fn create(cx: &Cx, permit: Permit<CreatePresignedDomainUrl>, input: Value) -> Result<Reply> {
    let (scope, domain) = (permit.scope(), text(&input, "DomainId"));
    let (_, of) = record::find_ready(&cx.kernel, DOMAIN, scope, &domain_arn(scope, domain)).await?;
    if of.text("AuthMode") != "IAM" {
        return Err(validation("CreatePresignedDomainUrl can only be called when the Domain's AuthMode is IAM."));
    }
    let (profile, _) = record::find_ready(&cx.kernel, PROFILE, scope, &named(cx, &input)).await?;
    let mut batch = Batch::new();
    batch.require(PROFILE, scope, &*profile.id, Expect::Present);
    let space = match text(&input, "SpaceName") {
        "" => None,
        name => {
            let (row, space) = record::find_ready(&cx.kernel, SPACE, scope, &space_arn(scope, domain, name)).await?;
            let private = space.at(&["SpaceSharingSettings", "SharingType"]).is_some_and(|sharing| sharing == "Private");
            let owner = space.at(&["OwnershipSettings", "OwnerUserProfileName"]).and_then(Value::as_str).unwrap_or_default();
            if private && !owner.eq_ignore_ascii_case(&profile.name) {
                return Err(validation(format!("Space [{}] is private to another user profile.", space.arn)));
            }
            batch.require(SPACE, scope, &*row.id, Expect::Present);
            Some(row.name)
        }
    };
    let seconds = |member: &str, default: i64| input[member].as_i64().unwrap_or(default);
    let grant = Grant {
        domain: domain.to_owned(),
        profile_made: profile.created,
        profile: profile.name,
        space,
        landing: input["LandingUri"].as_str().map(str::to_owned),
        session: seconds("SessionExpirationDurationInSeconds", SESSION),
        expires: cx.now().plus_secs(seconds("ExpiresInSeconds", GOOD_FOR)),
        by: cx.caller.arn.clone(),
    };
    let token = token::issue(&mut batch, scope, cx.now(), &grant)?;
    cx.commit(batch).await?;
    Ok(Reply::new(json!({"AuthorizedUrl": format!("{}/auth?token={token}", url(scope, domain))})))
}

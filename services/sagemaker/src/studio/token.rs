//! Tokens of links to a domain: single-use, short-lived, for one profile (and space) of one domain.
//!
//! Kept is a token's hash, under which it is looked up; who reads the store learns no link. Using a token
//! deletes it in the same commit that says so, so it cannot be used twice, also not at the same time.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tenantry_core::{AccountId, Region, Result, Scope, Timestamp};
use tenantry_kernel::{
    Ids, Kernel, Next, Reconciler, StepFuture,
    audit::{Attribute, lookup_key},
    reconcile::{key_of, parse_key},
};
use tenantry_store::{Batch, CommitError, EventKey, Expect, Kind, Row, canonical_json};

use super::{PROFILE, domain_record::OWNERS, profile_arn, record};

/// A token; id: the hash in hexadecimal digits.
pub(super) const TOKEN: Kind = Kind::new("sagemaker.studio-token");
/// Characters of a token; 6 bits each.
const LENGTH: usize = 64;
/// A longer one is none of ours.
const MAX_PRESENTED: usize = 512;

/// The name of the event of a sign-in.
const SIGN_IN: &str = "StudioSignIn";
const SOURCE: &str = "sagemaker.amazonaws.com";
const PROFILE_TYPE: &str = "AWS::SageMaker::UserProfile";

/// Whom a token lets in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Grant {
    pub domain: String,
    pub profile: String,
    /// When the profile was made: one of the same name made later is another person.
    pub profile_made: Timestamp,
    pub space: Option<String>,
    /// Where in the application the user lands.
    pub landing: Option<String>,
    /// How long the session that begins with it lasts, in seconds.
    pub session: i64,
    /// After this it lets nobody in.
    pub expires: Timestamp,
    /// Who asked for it.
    pub by: String,
}

fn hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Draws a token and adds it to a batch, together with its end.
///
/// # Errors
/// Internal when the grant is not JSON.
pub(super) fn issue(batch: &mut Batch, scope: &Scope, now: Timestamp, grant: &Grant) -> Result<String> {
    // Base64 for URLs: the token stands in a query.
    let token = Ids::token(LENGTH).replace('+', "-").replace('/', "_");
    let id = hash(&token);
    batch.enqueue(TOKEN.as_str(), key_of(scope, &id), grant.expires);
    batch.put(Row::new(TOKEN, scope, id, now).with(grant)?, Expect::Absent);
    Ok(token)
}

/// Uses a token up. `None` for one that is unknown, used, expired, of another domain, or whose profile is gone.
///
/// # Errors
/// When the store fails.
pub(super) async fn redeem(kernel: &Kernel, region: &Region, domain: &str, token: &str, peer: Option<IpAddr>) -> Result<Option<Grant>> {
    if token.is_empty() || token.len() > MAX_PRESENTED {
        return Ok(None);
    }
    let Some(owner) = kernel.store().unique(OWNERS, &format!("{region}/{domain}")).await? else { return Ok(None) };
    let scope = Scope { account: AccountId::from(owner), region: region.clone() };
    let id = hash(token);
    let Some(row) = kernel.store().get(TOKEN, &scope, &id).await? else { return Ok(None) };
    let grant: Grant = row.body()?;
    let now = kernel.now();
    if grant.domain != domain || now >= grant.expires {
        return Ok(None);
    }
    let profile = record::find(kernel, PROFILE, &scope, &profile_arn(&scope, domain, &grant.profile)).await;
    let Ok((profile, _)) = profile else { return Ok(None) };
    if profile.status == "Deleting" || profile.created != grant.profile_made {
        return Ok(None);
    }
    let mut batch = Batch::new();
    batch.delete(TOKEN, &scope, &*id, Expect::Version(row.version));
    batch.cancel_work(TOKEN.as_str(), key_of(&scope, &id));
    let (event, keys) = event(kernel, &scope, &grant, peer);
    batch.event_under(now, canonical_json(&event), keys);
    match kernel.store().commit(batch).await {
        Err(CommitError::Conflict { .. } | CommitError::NotFound { .. }) => Ok(None),
        done => done.map(|()| Some(grant)).map_err(Into::into),
    }
}

/// That a profile signed in: no call of an API, so the event is the service's own ("AWS service events", AWS CloudTrail User Guide).
fn event(kernel: &Kernel, scope: &Scope, grant: &Grant, peer: Option<IpAddr>) -> (Value, Vec<EventKey>) {
    let (account, region, now) = (scope.account.as_str(), scope.region.as_str(), kernel.now());
    let profile = profile_arn(scope, &grant.domain, &grant.profile);
    let event = json!({
        "eventVersion": "1.11",
        "userIdentity": {"type": "Unknown", "accountId": account, "userName": grant.profile},
        "eventTime": now.iso8601(false),
        "eventSource": SOURCE,
        "eventName": SIGN_IN,
        "awsRegion": region,
        "sourceIPAddress": peer.map_or_else(|| "AWS Internal".to_owned(), |peer| peer.to_string()),
        "userAgent": SOURCE,
        "requestParameters": null,
        "responseElements": null,
        "serviceEventDetails": {
            "domainId": grant.domain, "userProfileName": grant.profile, "spaceName": grant.space, "linkRequestedBy": grant.by,
        },
        "eventID": Ids::uuid(),
        "readOnly": false,
        "eventType": "AwsServiceEvent",
        "managementEvent": true,
        "eventCategory": "Management",
        "resources": [{"ARN": profile, "accountId": account, "type": PROFILE_TYPE}],
        "recipientAccountId": account,
    });
    let keys = [
        (Attribute::All, ""),
        (Attribute::Changes, ""),
        (Attribute::EventName, SIGN_IN),
        (Attribute::EventSource, SOURCE),
        (Attribute::Username, &*grant.profile),
        (Attribute::ResourceName, profile.as_str()),
        (Attribute::ResourceType, PROFILE_TYPE),
    ];
    (event, keys.into_iter().map(|(attribute, value)| lookup_key(account, region, attribute, value)).collect())
}

/// Forgets tokens at their end.
pub(super) struct Expiry;

impl Reconciler for Expiry {
    fn queue(&self) -> &'static str {
        TOKEN.as_str()
    }

    fn step<'a>(&'a self, kernel: &'a Kernel, key: &'a str) -> StepFuture<'a> {
        Box::pin(async move {
            if let Some((scope, id)) = parse_key(key) {
                let mut batch = Batch::new();
                batch.delete(TOKEN, &scope, id, Expect::Any);
                kernel.store().commit(batch).await?;
            }
            Ok(Next::Done)
        })
    }
}

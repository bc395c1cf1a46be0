//! Who made or changed a thing: `UserContext` of SageMaker's Describe operations.

use serde_json::{Map, Value, json};
use tenantry_kernel::Caller;

/// `CreatedBy`, `LastModifiedBy` of something that `caller` does now.
#[must_use]
pub fn of(caller: &Caller) -> Value {
    let mut identity = Map::new();
    identity.insert("Arn".to_owned(), json!(caller.arn));
    identity.insert("PrincipalId".to_owned(), json!(caller.user_id));
    if let Some(source) = source_identity(caller) {
        identity.insert("SourceIdentity".to_owned(), json!(source));
    }
    json!({"IamIdentity": identity})
}

/// The source identity that work started by `caller` carries on.
#[must_use]
pub fn source_identity(caller: &Caller) -> Option<String> {
    caller.session.as_ref().and_then(|session| session.source_identity.clone())
}

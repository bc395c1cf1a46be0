//! What is remembered between requests never outlives a change.

use tenantry_core::Scope;
use tenantry_kernel::directory::kind;
use tenantry_store::{Batch, Expect};

use crate::place::{ALL, MEMBER, Place, document};

#[tokio::test]
async fn a_deactivated_key_is_refused_at_once() {
    let place = Place::new().await;
    place.user(MEMBER, "u", &[ALL]).await;
    let key = place.key(MEMBER, "u").await;
    for _ in 0..2 {
        assert_eq!(place.describe(&key).await, "");
        place.key_status(MEMBER, "u", &key, "Inactive").await;
        assert_eq!(place.describe(&key).await, "UnrecognizedClientException");
        place.key_status(MEMBER, "u", &key, "Active").await;
    }
    let mut batch = Batch::new();
    batch.delete(kind::USER, &Scope::global(MEMBER), "u", Expect::Present);
    place.commit(batch).await;
    assert_eq!(place.describe(&key).await, "UnrecognizedClientException", "a key whose user is gone is nobody's");
}

#[tokio::test]
async fn policies_are_in_force_at_once() {
    let place = Place::new().await;
    place.user(MEMBER, "u", &[ALL]).await;
    let user = place.key(MEMBER, "u").await;
    let role = place.role(MEMBER, "r", &[ALL]).await;
    let session = place.session(MEMBER, &role).await;
    let deny = document("Deny", "logs:*");
    for (policies, code) in [(&[ALL][..], ""), (&[], "AccessDeniedException"), (&[ALL, &deny], "AccessDeniedException"), (&[ALL], "")] {
        place.user(MEMBER, "u", policies).await;
        place.role(MEMBER, "r", policies).await;
        assert_eq!(place.describe(&user).await, code, "user with {policies:?}");
        assert_eq!(place.describe(&session).await, code, "role with {policies:?}");
    }
}

#[tokio::test]
async fn the_organizations_policies_are_in_force_at_once() {
    let place = Place::new().await;
    place.user(MEMBER, "u", &[ALL]).await;
    let key = place.key(MEMBER, "u").await;
    assert_eq!(place.describe(&key).await, "");
    place.org_policy("p-all", "SERVICE_CONTROL_POLICY", &document("Deny", "*")).await;
    assert_eq!(place.describe(&key).await, "AccessDeniedException");
    place.org_policy("p-all", "SERVICE_CONTROL_POLICY", ALL).await;
    assert_eq!(place.describe(&key).await, "");
}

#[tokio::test]
async fn what_cannot_be_read_is_not_taken_for_unset() {
    let place = Place::new().await;
    let mut user = place.user(MEMBER, "u", &[ALL]).await;
    let key = place.key(MEMBER, "u").await;
    user.boundary = Some(format!("arn:aws:iam::{MEMBER}:policy/gone"));
    let mut batch = Batch::new();
    let row = tenantry_store::Row::new(kind::USER, &Scope::global(MEMBER), "u", place.kernel.now());
    batch.put(row.with(&user).unwrap(), Expect::Present);
    place.commit(batch).await;
    assert_eq!(place.describe(&key).await, "InternalFailure", "a boundary that is gone does not open the gate");
    let mut batch = Batch::new();
    batch.delete(kind::ORG_POLICY, &Scope::global("111111111111"), "p-all", Expect::Present);
    place.commit(batch).await;
    place.user(MEMBER, "u", &[ALL]).await;
    assert_eq!(place.describe(&key).await, "InternalFailure", "a control policy that is gone does not open the gate");
}

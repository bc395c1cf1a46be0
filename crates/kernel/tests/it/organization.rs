//! Service and resource control policies: every level must allow, any may deny, the management account is exempt.

use tenantry_core::Scope;
use tenantry_kernel::{
    Caller,
    directory::{Account, Unit, kind},
};
use tenantry_store::{Batch, Store};

use crate::place::{ALL, MANAGEMENT, MEMBER, Place, document};

async fn unit(place: &Place, id: &str, change: impl FnOnce(&mut Unit)) {
    let mut row = place.store.get(kind::UNIT, &Scope::global(MANAGEMENT), id).await.unwrap().unwrap();
    let mut unit: Unit = row.body().unwrap();
    change(&mut unit);
    row.set_body(&unit).unwrap();
    let mut batch = Batch::new();
    batch.update(row);
    place.commit(batch).await;
}

async fn account(place: &Place, change: impl FnOnce(&mut Account)) {
    let mut row = place.store.get(kind::ACCOUNT, &Scope::global(MEMBER), MEMBER).await.unwrap().unwrap();
    let mut account: Account = row.body().unwrap();
    change(&mut account);
    row.set_body(&account).unwrap();
    let mut batch = Batch::new();
    batch.update(row);
    place.commit(batch).await;
}

/// What the answer to `CreateLogGroup` says.
async fn told(place: &Place, caller: &Caller) -> String {
    place.create(caller, "g").await.err().map_or_else(String::new, |error| error.message)
}

const LACKS: &str = "because no service control policy allows the logs:CreateLogGroup action";
const DENIES: &str = "with an explicit deny in a service control policy";

#[tokio::test]
async fn every_level_must_allow() {
    let place = Place::new().await;
    let caller = place.caller(MEMBER, "u", &[ALL]).await;
    let own = place.caller(MANAGEMENT, "m", &[ALL]).await;
    assert_eq!(told(&place, &caller).await, "");
    place.org_policy("p-other", "SERVICE_CONTROL_POLICY", &document("Allow", "s3:*")).await;
    let other = || vec!["p-other".to_owned(), "p-rcp-all".to_owned()];
    let all = || vec!["p-all".to_owned(), "p-rcp-all".to_owned()];
    for id in ["r-root", "ou-a"] {
        unit(&place, id, |unit| unit.policies = other()).await;
        assert!(told(&place, &caller).await.contains(LACKS), "{id}");
        assert_eq!(told(&place, &own).await, "", "the management account is exempt");
        unit(&place, id, |unit| unit.policies = all()).await;
        assert_eq!(told(&place, &caller).await, "");
    }
    account(&place, |account| account.policies = other()).await;
    assert!(told(&place, &caller).await.contains(LACKS));
    account(&place, |account| account.policies = vec!["p-rcp-all".to_owned()]).await;
    assert!(told(&place, &caller).await.contains(LACKS), "a level without any policy allows nothing");
    unit(&place, "r-root", |unit| unit.enabled_types.retain(|of| of != "SERVICE_CONTROL_POLICY")).await;
    assert_eq!(told(&place, &caller).await, "", "a type that is not enabled does not apply");
}

#[tokio::test]
async fn any_level_may_deny() {
    let place = Place::new().await;
    let caller = place.caller(MEMBER, "u", &[ALL]).await;
    let own = place.caller(MANAGEMENT, "m", &[ALL]).await;
    place.org_policy("p-deny", "SERVICE_CONTROL_POLICY", &document("Deny", "logs:CreateLogGroup")).await;
    for id in ["r-root", "ou-a"] {
        unit(&place, id, |unit| unit.policies.push("p-deny".to_owned())).await;
        assert!(told(&place, &caller).await.contains(DENIES), "{id}");
        assert_eq!(told(&place, &own).await, "");
        unit(&place, id, |unit| unit.policies.retain(|policy| policy != "p-deny")).await;
    }
    account(&place, |account| account.policies.push("p-deny".to_owned())).await;
    assert!(told(&place, &caller).await.contains(DENIES));
    account(&place, |account| account.organization.clear()).await;
    assert_eq!(told(&place, &caller).await, "", "an account that left is under nobody's policies");
}

#[tokio::test]
async fn resource_control_policies_guard_the_owners_things() {
    let place = Place::new().await;
    let caller = place.caller(MEMBER, "u", &[ALL]).await;
    let text = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"logs:*","Resource":"*"}]}"#;
    place.org_policy("p-rcp-deny", "RESOURCE_CONTROL_POLICY", text).await;
    unit(&place, "ou-a", |unit| unit.policies.push("p-rcp-deny".to_owned())).await;
    assert!(told(&place, &caller).await.contains("with an explicit deny in a resource control policy"));
    let own = place.caller(MANAGEMENT, "m", &[ALL]).await;
    assert_eq!(told(&place, &own).await, "");
}

#[tokio::test]
async fn a_control_policy_grants_nothing() {
    let place = Place::new().await;
    let caller = place.caller(MEMBER, "u", &[]).await;
    assert!(told(&place, &caller).await.contains("because no identity-based policy allows"));
}

#[tokio::test]
async fn units_in_a_circle_are_an_error_and_no_hang() {
    let place = Place::new().await;
    let caller = place.caller(MEMBER, "u", &[ALL]).await;
    unit(&place, "r-root", |unit| unit.parent = "ou-a".to_owned()).await;
    assert_eq!(place.create(&caller, "g").await.err().unwrap().code, "InternalFailure");
}

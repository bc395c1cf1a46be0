//! Ten thousand principals, five thousand policies, units nested as deep as they go: what a decision
//! looks at and what is held per principal stay what they are for one. Counts, not times.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use tenantry_core::{AccountId, Arn, Scope};
use tenantry_kernel::{
    Caller, Ids,
    directory::{Account, ManagedPolicy, Policies, PolicyVersion, Unit, User, kind},
    user_caller,
};
use tenantry_store::{Batch, Expect, Row, Store};

use crate::place::{ALL, MANAGEMENT, MEMBER, Place, START};

const PRINCIPALS: usize = 10_000;
const POLICIES: usize = 5_000;
const DEPTH: usize = 10;

/// May create one team's log groups, and not those it keeps for itself.
fn document(team: usize) -> String {
    let group = |name: &str| format!("arn:aws:logs:us-east-1:{MEMBER}:log-group:{name}");
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["logs:CreateLogGroup", "logs:Describe*"], "Resource": group(&format!("team-{team}-*"))},
        {"Effect": "Deny", "Action": "logs:*", "Resource": group(&format!("team-{team}-own*"))},
    ]})
    .to_string()
}

fn policy_arn(at: usize) -> Arn {
    Arn::new("iam", "", MEMBER, format_args!("policy/team-{at}"))
}

fn policy_row(at: usize, text: String) -> Row {
    let name = format!("team-{at}");
    let version = PolicyVersion { id: "v1".to_owned(), document: text, default: true, created: START };
    let policy = ManagedPolicy {
        id: Ids::unique("ANPA"),
        name: name.clone(),
        path: "/".to_owned(),
        arn: policy_arn(at),
        created: START,
        updated: START,
        description: String::new(),
        versions: vec![version],
        next_version: 2,
        tags: Vec::new(),
    };
    Row::new(kind::POLICY, &Scope::global(MEMBER), name, START).with(&policy).unwrap()
}

fn user(at: usize) -> User {
    User {
        id: format!("AIDASCALE{at:011}"),
        name: format!("u{at}"),
        path: "/".to_owned(),
        arn: Arn::new("iam", "", MEMBER, format_args!("user/u{at}")),
        created: START,
        policies: Policies {
            inline: BTreeMap::new(),
            attached: (0..6).map(|nth| policy_arn((at + nth * 7) % POLICIES).to_string()).collect(),
        },
        boundary: None,
        groups: Vec::new(),
        tags: Vec::new(),
    }
}

fn caller(at: usize) -> Caller {
    user_caller(&user(at), &AccountId::from(MEMBER))
}

/// Writes the rows, some at a time.
async fn write(place: &Place, rows: impl Iterator<Item = Row>) {
    let mut rows = rows.peekable();
    while rows.peek().is_some() {
        let mut batch = Batch::new();
        rows.by_ref().take(500).for_each(|row| _ = batch.put(row, Expect::Any));
        place.commit(batch).await;
    }
}

/// Units below each other, each with two service control policies of its own, the member below the last.
async fn nest(place: &Place) {
    let scope = Scope::global(MANAGEMENT);
    let mut parent = "ou-a".to_owned();
    for depth in 0..DEPTH {
        let (id, guard) = (format!("ou-deep-{depth}"), format!("p-guard-{depth}"));
        let deny = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Deny", "Action": format!("ec2:Guarded{depth}"), "Resource": "*"}]});
        place.org_policy(&guard, "SERVICE_CONTROL_POLICY", &deny.to_string()).await;
        let policies = vec!["p-all".to_owned(), "p-rcp-all".to_owned(), guard];
        let unit = Unit { id: id.clone(), name: id.clone(), parent, policies, enabled_types: Vec::new() };
        let row = Row::new(kind::UNIT, &scope, id.clone(), START).with(&unit).unwrap();
        write(place, std::iter::once(row)).await;
        parent = id;
    }
    let mut row = place.store.get(kind::ACCOUNT, &Scope::global(MEMBER), MEMBER).await.unwrap().unwrap();
    let mut account: Account = row.body().unwrap();
    account.parent = parent;
    row.set_body(&account).unwrap();
    write(place, std::iter::once(row)).await;
}

#[tokio::test]
async fn ten_thousand_principals_cost_what_one_costs_and_changes_are_in_force_at_once() {
    let place = Place::new().await;
    nest(&place).await;
    write(&place, (0..POLICIES).map(|at| policy_row(at, document(at)))).await;
    let users = (0..PRINCIPALS).map(|at| {
        let user = user(at);
        Row::new(kind::USER, &Scope::global(MEMBER), user.name.clone(), START).with(&user).unwrap()
    });
    write(&place, users).await;

    let group = |name: String| format!("arn:aws:logs:us-east-1:{MEMBER}:log-group:{name}");
    let mut first = None;
    for at in 0..PRINCIPALS {
        let layers = place.kernel.principal_layers(&caller(at)).await.unwrap();
        assert_eq!(layers.identity.len(), 6);
        let team = at % POLICIES;
        assert_eq!(layers.identity.relevant("logs:CreateLogGroup", &group(format!("team-{team}-x"))), 1, "{at}");
        assert_eq!(layers.identity.relevant("logs:CreateLogGroup", &group(format!("team-{team}-own"))), 2, "{at}");
        if at == 0 {
            first = Some(layers);
        } else if at == POLICIES {
            // A policy is compiled once, however many have it.
            let first = first.as_ref().unwrap();
            assert!(first.identity.iter().zip(&*layers.identity).all(|(a, b)| Arc::ptr_eq(&a.policy, &b.policy)));
        }
    }
    let again = place.kernel.principal_layers(&caller(0)).await.unwrap();
    assert!(Arc::ptr_eq(&again, first.as_ref().unwrap()), "nobody has been forgotten");

    let view = place.kernel.organization_of(&AccountId::from(MEMBER)).await.unwrap();
    assert_eq!(view.service_control.len(), DEPTH + 3, "root, ou-a, the deep ones, the account");
    assert!(view.service_control.iter().all(|level| level.relevant("logs:CreateLogGroup", "*") == 1));
    let guarded: usize = view.service_control.iter().map(|level| level.relevant("ec2:Guarded4", "*")).sum();
    assert_eq!(guarded, DEPTH + 3 + 1);

    // One policy changes: those who have it notice at once; what did not change is not compiled again.
    assert!(place.create(&caller(3), "team-3-x").await.is_ok());
    assert!(place.create(&caller(4), "team-4-x").await.is_ok());
    write(&place, std::iter::once(policy_row(3, ALL.replace("Allow", "Deny")))).await;
    assert_eq!(
        place.create(&caller(3), "team-3-x").await.err().map(|error| error.code.to_string()).as_deref(),
        Some("AccessDeniedException")
    );
    assert!(place.create(&caller(4), "team-4-x").await.is_ok());
    let after = place.kernel.principal_layers(&caller(0)).await.unwrap();
    assert!(!Arc::ptr_eq(&after, &again), "gathered anew");
    assert!(after.identity.iter().zip(&*again.identity).all(|(a, b)| Arc::ptr_eq(&a.policy, &b.policy)), "but not compiled anew");
    write(&place, std::iter::once(policy_row(3, document(3)))).await;
    assert!(place.create(&caller(3), "team-3-x").await.is_ok());
}

#[tokio::test]
async fn the_sessions_of_a_role_share_what_is_the_roles() {
    let place = Place::new().await;
    let role = place.role(MEMBER, "r", &[ALL]).await;
    let session = |name: &str| tenantry_kernel::role_caller(&role, &AccountId::from(MEMBER), name);
    let one = place.kernel.principal_layers(&session("one")).await.unwrap();
    for at in 0..100 {
        let other = place.kernel.principal_layers(&session(&format!("s{at}"))).await.unwrap();
        assert!(Arc::ptr_eq(&one, &other));
    }
}

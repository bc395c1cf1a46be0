//! Whom a Studio user's session is known as, and what follows from that.

use serde_json::json;
use tenantry_core::{Region, Scope};
use tenantry_kernel::directory::{Role, kind};
use tenantry_store::{Batch, Expect};

use super::{of, studio, with};
use crate::{
    studio::session_of,
    world::{ACCOUNT, ALL, World},
};

/// Lets SageMaker do these with a role.
async fn trust(world: &World, role: &str, actions: &str) {
    let scope = Scope::global(ACCOUNT);
    let row = world.kernel.store().get(kind::ROLE, &scope, role).await.unwrap().unwrap();
    let mut body: Role = row.body().unwrap();
    body.trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"sagemaker.amazonaws.com"}},"Action":[{actions}]}}]}}"#
    );
    let mut batch = Batch::new();
    batch.put(row.with(&body).unwrap(), Expect::Any);
    world.kernel.store().commit(batch).await.unwrap();
}

#[tokio::test]
async fn a_users_session_carries_the_users_name() {
    let world = World::new();
    let (admin, id) = studio(&world, "USER_PROFILE_NAME").await;
    let refused = session_of(&world.kernel, &world.scope(), &id, "bob").await.unwrap_err();
    assert!(refused.message.contains("Could not assume role"), "without sts:SetSourceIdentity in the trust policy: {}", refused.message);
    trust(&world, "team-a", r#""sts:AssumeRole","sts:SetSourceIdentity""#).await;
    let bob = session_of(&world.kernel, &world.scope(), &id, "bob").await.unwrap();
    assert_eq!(bob.arn, format!("arn:aws:sts::{ACCOUNT}:assumed-role/team-a/SageMaker"));
    assert_eq!(bob.session.as_ref().unwrap().source_identity.as_deref(), Some("Bob"));
    world.ok(&bob, "CreateExperiment", json!({"ExperimentName": "e"})).await;
    let shown = world.ok(&admin, "DescribeExperiment", json!({"ExperimentName": "e"})).await;
    assert_eq!(shown["CreatedBy"]["IamIdentity"]["SourceIdentity"], "Bob");
    let events = world.kernel.store().events(None, 1, true).await.unwrap();
    assert!(events[0].text.contains(r#""sourceIdentity":"Bob""#), "{}", events[0].text);
    assert_eq!(session_of(&world.kernel, &world.scope(), &id, "nobody").await.unwrap_err().code, "ResourceNotFound");
}

#[tokio::test]
async fn without_the_setting_a_session_is_the_roles_only() {
    let world = World::new();
    let (admin, id) = studio(&world, "DISABLED").await;
    let bob = session_of(&world.kernel, &world.scope(), &id, "bob").await.unwrap();
    assert_eq!(bob.session.as_ref().unwrap().source_identity, None);
    world.role("own", ALL, &[]).await;
    let own = json!({"UserSettings": {"ExecutionRole": "arn:aws:iam::111122223333:role/own"}});
    world.ok(&admin, "UpdateUserProfile", with(of(&id, "bob"), own)).await;
    let bob = session_of(&world.kernel, &world.scope(), &id, "bob").await.unwrap();
    assert_eq!(bob.arn, format!("arn:aws:sts::{ACCOUNT}:assumed-role/own/SageMaker"), "the profile's own role goes before the domain's");
    let elsewhere = Scope { region: Region::from("eu-west-1"), ..world.scope() };
    assert_eq!(session_of(&world.kernel, &elsewhere, &id, "bob").await.unwrap_err().code, "ResourceNotFound");
}

/// Users of one role: the owner's tag is the source identity, so each changes what is theirs.
#[tokio::test]
async fn a_team_reads_and_the_owner_changes() {
    let world = World::new();
    let (admin, id) = studio(&world, "USER_PROFILE_NAME").await;
    let policy = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":["sagemaker:List*","sagemaker:Search"],"Resource":"*"},
        {"Effect":"Allow","Action":"sagemaker:Describe*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}}},
        {"Effect":"Allow","Action":["sagemaker:Create*","sagemaker:AddTags"],"Resource":"*","Condition":{"StringEquals":{
            "aws:RequestTag/team":"${aws:PrincipalTag/team}","aws:RequestTag/owner":"${aws:SourceIdentity}"}}},
        {"Effect":"Allow","Action":["sagemaker:Update*","sagemaker:Delete*"],"Resource":"*","Condition":{"StringEquals":{
            "aws:ResourceTag/owner":"${aws:SourceIdentity}"}}}]}"#;
    world.role("team-a", policy, &[("team", "a")]).await;
    trust(&world, "team-a", r#""sts:AssumeRole","sts:SetSourceIdentity""#).await;
    let alice = session_of(&world.kernel, &world.scope(), &id, "alice").await.unwrap();
    let bob = session_of(&world.kernel, &world.scope(), &id, "bob").await.unwrap();
    let tags = |team: &str, owner: &str| json!([{"Key": "team", "Value": team}, {"Key": "owner", "Value": owner}]);
    let named = json!({"ExperimentName": "of-bob"});
    world.ok(&bob, "CreateExperiment", with(named.clone(), json!({"Tags": tags("a", "Bob")}))).await;
    for wrong in [json!({}), json!({"Tags": tags("b", "Bob")}), json!({"Tags": tags("a", "alice")})] {
        let request = with(json!({"ExperimentName": "wrong"}), wrong);
        assert_eq!(world.refused(&bob, "CreateExperiment", request).await.code, "AccessDeniedException");
    }
    world.ok(&alice, "DescribeExperiment", named.clone()).await;
    for operation in ["UpdateExperiment", "DeleteExperiment"] {
        let error = world.refused(&alice, operation, named.clone()).await;
        assert!(error.message.contains(&format!("not authorized to perform: sagemaker:{operation}")), "{}", error.message);
        world.ok(&bob, operation, named.clone()).await;
    }
    world.ok(&admin, "CreateExperiment", with(json!({"ExperimentName": "of-b"}), json!({"Tags": tags("b", "carol")}))).await;
    assert_eq!(world.refused(&alice, "DescribeExperiment", json!({"ExperimentName": "of-b"})).await.code, "AccessDeniedException");
}

/// `sagemaker:DomainId` and `sagemaker:UserProfileName` are those of the session that asks.
#[tokio::test]
async fn a_user_makes_spaces_of_ones_own() {
    let world = World::new();
    let (admin, id) = studio(&world, "DISABLED").await;
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sagemaker:CreateSpace","sagemaker:DeleteSpace"],
        "Resource":"arn:aws:sagemaker:*:*:space/${sagemaker:DomainId}/*","Condition":{
        "ArnLike":{"sagemaker:OwnerUserProfileArn":"arn:aws:sagemaker:*:*:user-profile/${sagemaker:DomainId}/${sagemaker:UserProfileName}"},
        "StringEquals":{"sagemaker:SpaceSharingType":["Private","Shared"]}}}]}"#;
    let outside = world.role("team-a", policy, &[]).await;
    let alice = session_of(&world.kernel, &world.scope(), &id, "alice").await.unwrap();
    let space = |name: &str, owner: &str| json!({"DomainId": id, "SpaceName": name, "OwnershipSettings": {"OwnerUserProfileName": owner}, "SpaceSharingSettings": {"SharingType": "Private"}});
    world.ok(&alice, "CreateSpace", space("mine", "alice")).await;
    assert_eq!(world.refused(&alice, "CreateSpace", space("his", "bob")).await.code, "AccessDeniedException");
    assert_eq!(world.refused(&outside, "CreateSpace", space("none", "alice")).await.code, "AccessDeniedException", "no Studio session");
    world.ok(&admin, "CreateSpace", space("his", "bob")).await;
    world.kernel.settle().await.unwrap();
    let named = |name: &str| json!({"DomainId": id, "SpaceName": name});
    world.ok(&alice, "DeleteSpace", named("mine")).await;
    for other in ["his", "nowhere"] {
        assert_eq!(world.refused(&alice, "DeleteSpace", named(other)).await.code, "AccessDeniedException", "{other}");
    }
}

use serde_json::{Value, json};
use tenantry_core::Tag;

use crate::world::{World, allow, trust_account};

#[tokio::test]
async fn a_users_own_token() {
    let w = World::new().await;
    let ann = w.user("ann", Some(&allow("*", "*"))).await;
    let credentials = w.call(&ann, "sts", "GetSessionToken", json!({ "DurationSeconds": 900 })).await.unwrap()["Credentials"].clone();
    assert_eq!(credentials["Expiration"], w.kernel.now().secs() + 900);
    let session = w.holder(w.account.as_str(), &credentials).await;
    w.call(&session, "organizations", "DescribeOrganization", json!({})).await.unwrap();
    let error = w.call(&session, "sts", "GetSessionToken", json!({})).await.unwrap_err();
    assert_eq!((&*error.code, error.message.as_str()), ("AccessDenied", "Cannot call GetSessionToken with session credentials"));
    let error = w.call(&session, "sts", "GetAccessKeyInfo", json!({ "AccessKeyId": w.admin.access_key })).await.unwrap_err();
    assert_eq!(error.message, "Cannot call GetAccessKeyInfo with session credentials");
    // IAM does not know the token of who gave no code.
    let error = w.call(&session, "iam", "ListUsers", json!({})).await.unwrap_err();
    assert_eq!((error.status, &*error.code), (403, "InvalidClientTokenId"));
}

#[tokio::test]
async fn a_federated_user() {
    let w = World::new().await;
    w.iam("CreateUser", json!({ "UserName": "broker", "Tags": [{ "Key": "Team", "Value": "user" }] })).await;
    w.iam(
        "PutUserPolicy",
        json!({ "UserName": "broker", "PolicyName": "p", "PolicyDocument": json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["sts:GetFederationToken", "sts:TagSession", "organizations:*"], "Resource": "*" } ] }).to_string() }),
    )
    .await;
    let broker = w.kernel.caller_of(&w.arn("user/broker")).await.unwrap();
    let mut input =
        json!({ "Name": "guest", "Policy": allow("organizations:ListAccounts", "*"), "Tags": [{ "Key": "team", "Value": "guest" }] });
    let output = w.call(&broker, "sts", "GetFederationToken", input.clone()).await.unwrap();
    assert_eq!(output["FederatedUser"]["Arn"], format!("arn:aws:sts::{}:federated-user/guest", w.account));
    assert_eq!(output["FederatedUser"]["FederatedUserId"], format!("{}:guest", w.account));
    let guest = w.holder(w.account.as_str(), &output["Credentials"]).await;
    assert_eq!(guest.tags, [Tag::new("team", "guest")]);
    w.call(&guest, "organizations", "ListAccounts", json!({})).await.unwrap();
    w.call(&guest, "organizations", "ListRoots", json!({})).await.expect_err("outside the session policy");
    assert_eq!(&*w.call(&guest, "iam", "ListUsers", json!({})).await.unwrap_err().code, "InvalidClientTokenId");
    let error = w.call(&guest, "sts", "GetSessionToken", json!({})).await.unwrap_err();
    assert_eq!(error.message, "Cannot call GetSessionToken with federated session credentials");
    w.call(&guest, "sts", "GetCallerIdentity", json!({})).await.unwrap();
    let error = w.assume(&guest, json!({ "RoleArn": w.arn("role/x"), "RoleSessionName": "s1" })).await.unwrap_err();
    assert_eq!(&*error.code, "AccessDenied");
    // Without a session policy the user's permissions do not pass on.
    input.as_object_mut().unwrap().remove("Policy");
    let output = w.call(&broker, "sts", "GetFederationToken", input).await.unwrap();
    let bare = w.holder(w.account.as_str(), &output["Credentials"]).await;
    w.call(&bare, "organizations", "ListAccounts", json!({})).await.unwrap_err();
    // Sessions cannot make more of them.
    w.role("R", &trust_account(w.account.as_str())).await;
    let role = w.assume(&w.admin, json!({ "RoleArn": w.arn("role/R"), "RoleSessionName": "s1" })).await.unwrap();
    let error = w.call(&role, "sts", "GetFederationToken", json!({ "Name": "guest" })).await.unwrap_err();
    assert_eq!(error.message, "Cannot call GetFederationToken with session credentials");
}

#[tokio::test]
async fn a_denial_is_explained_to_whoever_may_ask() {
    let w = World::new().await;
    let deny =
        json!({ "Version": "2012-10-17", "Statement": [{ "Sid": "NotThis", "Effect": "Deny", "Action": "iam:GetRole", "Resource": "*" }] });
    let ann = w.user("ann", Some(&deny.to_string())).await;
    w.call(&ann, "iam", "GetRole", json!({ "RoleName": "R" })).await.unwrap_err();
    // Denials are recorded behind the answer.
    let scope = tenantry_core::Scope::global(w.account.clone());
    w.kernel.flush_audit().await;
    let rows = w.kernel.store().list(&tenantry_store::List::of(tenantry_kernel::DENIAL, &scope)).await.unwrap();
    let output = w.call(&w.admin, "sts", "DecodeAuthorizationMessage", json!({ "EncodedMessage": rows[0].id })).await.unwrap();
    let message: Value = serde_json::from_str(output["DecodedMessage"].as_str().unwrap()).unwrap();
    assert_eq!((message["allowed"].clone(), message["explicitDeny"].clone()), (json!(false), json!(true)));
    assert_eq!(message["context"]["action"], "iam:GetRole");
    assert_eq!(message["context"]["principal"]["arn"], ann.arn);
    assert_eq!(message["matchedStatements"]["items"][0]["statementId"], "NotThis");
    assert!(
        message["context"]["conditions"]["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|item| item["key"] == "aws:username" && item["values"]["items"][0]["value"] == "ann")
    );
    w.call(&ann, "sts", "DecodeAuthorizationMessage", json!({ "EncodedMessage": rows[0].id })).await.unwrap_err();
    for unknown in ["no-such-message", &"x".repeat(10_000)] {
        assert_eq!(
            &*w.refused("sts", "DecodeAuthorizationMessage", json!({ "EncodedMessage": unknown })).await.code,
            "InvalidAuthorizationMessageException"
        );
    }
}

use serde_json::json;
use tenantry_core::Scope;
use tenantry_kernel::directory::{Session, SessionKind, kind};

use crate::world::{World, allow};

#[tokio::test]
async fn life_of_a_user() {
    let w = World::new().await;
    let made = w.iam("CreateUser", json!({ "UserName": "Ann", "Path": "/team/", "Tags": [{ "Key": "t", "Value": "1" }] })).await;
    assert_eq!(made["User"]["Arn"], w.arn("user/team/Ann"));
    assert_eq!(w.refused("iam", "CreateUser", json!({ "UserName": "ann" })).await.message, "User with name ann already exists.");
    w.iam("CreateAccessKey", json!({ "UserName": "Ann" })).await;
    w.iam("CreateGroup", json!({ "GroupName": "G" })).await;
    w.iam("AddUserToGroup", json!({ "GroupName": "G", "UserName": "Ann" })).await;
    w.iam("PutUserPolicy", json!({ "UserName": "Ann", "PolicyName": "p", "PolicyDocument": allow("s3:*", "*") })).await;
    w.iam("AttachUserPolicy", json!({ "UserName": "Ann", "PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess" })).await;
    assert_eq!(
        w.iam("ListAttachedUserPolicies", json!({ "UserName": "Ann" })).await["AttachedPolicies"][0]["PolicyName"],
        "ReadOnlyAccess"
    );
    assert_eq!(w.iam("ListUserPolicies", json!({ "UserName": "Ann" })).await["PolicyNames"], json!(["p"]));

    w.iam("UpdateUser", json!({ "UserName": "Ann", "NewUserName": "Bea", "NewPath": "/" })).await;
    assert_eq!(&*w.refused("iam", "GetUser", json!({ "UserName": "Ann" })).await.code, "NoSuchEntity");
    let bea = w.iam("GetUser", json!({ "UserName": "Bea" })).await["User"].clone();
    assert_eq!((bea["Arn"].clone(), bea["UserId"].clone()), (json!(w.arn("user/Bea")), made["User"]["UserId"].clone()));
    assert_eq!(w.iam("ListAccessKeys", json!({ "UserName": "Bea" })).await["AccessKeyMetadata"].as_array().unwrap().len(), 1);
    assert_eq!(w.iam("ListGroupsForUser", json!({ "UserName": "Bea" })).await["Groups"][0]["GroupName"], "G");

    let key = w.iam("ListAccessKeys", json!({ "UserName": "Bea" })).await["AccessKeyMetadata"][0]["AccessKeyId"].clone();
    let conflicts = [
        (
            "DetachUserPolicy",
            json!({ "UserName": "Bea", "PolicyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess" }),
            "must detach all policies first.",
        ),
        ("DeleteUserPolicy", json!({ "UserName": "Bea", "PolicyName": "p" }), "must delete policies first."),
        ("RemoveUserFromGroup", json!({ "UserName": "Bea", "GroupName": "G" }), "must remove users from group first."),
        ("DeleteAccessKey", json!({ "UserName": "Bea", "AccessKeyId": key }), "must delete access keys first."),
    ];
    for (remedy, input, why) in conflicts {
        let error = w.refused("iam", "DeleteUser", json!({ "UserName": "Bea" })).await;
        assert_eq!((&*error.code, error.message), ("DeleteConflict", format!("Cannot delete entity, {why}")));
        w.iam(remedy, input).await;
    }
    w.iam("DeleteUser", json!({ "UserName": "Bea" })).await;
    assert_eq!(w.iam("ListUsers", json!({})).await["Users"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn renaming_keeps_sessions_and_deleting_ends_them() {
    let w = World::new().await;
    let ann = w.user("ann", Some(&allow("sts:*", "*"))).await;
    let credentials = w.call(&ann, "sts", "GetSessionToken", json!({})).await.unwrap()["Credentials"].clone();
    let (scope, key) = (Scope::global(w.account.clone()), credentials["AccessKeyId"].as_str().unwrap());
    w.iam("UpdateUser", json!({ "UserName": "ann", "NewUserName": "bea" })).await;
    let row = w.kernel.store().get(kind::SESSION, &scope, key);
    let session: Session = row.await.unwrap().unwrap().body().unwrap();
    assert!(matches!(session.kind, SessionKind::User { user } if user == "bea"));
    w.iam("DeleteUserPolicy", json!({ "UserName": "bea", "PolicyName": "p" })).await;
    w.iam("DeleteUser", json!({ "UserName": "bea" })).await;
    let row = w.kernel.store().get(kind::SESSION, &scope, key);
    assert!(row.await.unwrap().is_none(), "the next user of this name must not inherit it");
}

#[tokio::test]
async fn oneself_without_a_name() {
    let w = World::new().await;
    let text = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": ["iam:GetUser", "iam:*AccessKey*"],
        "Resource": format!("arn:aws:iam::{}:user/${{aws:username}}", w.account) }] });
    let ann = w.user("ann", Some(&text.to_string())).await;
    assert_eq!(w.call(&ann, "iam", "GetUser", json!({})).await.unwrap()["User"]["UserName"], "ann");
    w.call(&ann, "iam", "CreateAccessKey", json!({})).await.unwrap();
    assert_eq!(w.call(&ann, "iam", "GetUser", json!({ "UserName": "administrator" })).await.unwrap_err().status, 403);
    w.role("R", &crate::world::trust_account(w.account.as_str())).await;
    let session = w.assume(&w.admin, json!({ "RoleArn": w.arn("role/R"), "RoleSessionName": "x1" })).await.unwrap();
    let error = w.call(&session, "iam", "GetUser", json!({})).await.unwrap_err();
    assert_eq!(error.message, "Must specify userName when calling with non-User credentials");
}

#[tokio::test]
async fn tags_and_account_views() {
    let w = World::new().await;
    w.user("ann", Some(&allow("s3:*", "*"))).await;
    w.iam("TagUser", json!({ "UserName": "ann", "Tags": [{ "Key": "a", "Value": "1" }] })).await;
    assert_eq!(w.iam("ListUserTags", json!({ "UserName": "ann" })).await["Tags"], json!([{ "Key": "a", "Value": "1" }]));
    w.iam("UntagUser", json!({ "UserName": "ann", "TagKeys": ["A"] })).await;
    w.iam("CreateGroup", json!({ "GroupName": "G" })).await;
    w.iam("AddUserToGroup", json!({ "GroupName": "G", "UserName": "ann" })).await;
    w.role("R", &crate::world::trust_account(w.account.as_str())).await;
    w.iam("CreateInstanceProfile", json!({ "InstanceProfileName": "P" })).await;
    w.iam("AddRoleToInstanceProfile", json!({ "InstanceProfileName": "P", "RoleName": "R" })).await;
    w.iam("CreatePolicy", json!({ "PolicyName": "P", "PolicyDocument": allow("s3:*", "*") })).await;
    let summary = w.iam("GetAccountSummary", json!({})).await["SummaryMap"].clone();
    assert_eq!(
        (summary["Users"].clone(), summary["Groups"].clone(), summary["Roles"].clone(), summary["Policies"].clone()),
        (json!(2), json!(1), json!(1), json!(1))
    );
    let details = w.iam("GetAccountAuthorizationDetails", json!({})).await;
    assert_eq!(details["UserDetailList"].as_array().unwrap().len(), 2);
    assert_eq!(details["UserDetailList"][1]["GroupList"], json!(["G"]));
    assert_eq!(details["RoleDetailList"][0]["InstanceProfileList"][0]["InstanceProfileName"], "P");
    assert_eq!(details["GroupDetailList"][0]["GroupName"], "G");
    let names: Vec<_> = details["Policies"].as_array().unwrap().iter().map(|p| p["PolicyName"].as_str().unwrap()).collect();
    assert_eq!(names, ["P", "AdministratorAccess"]);
    let only = w.iam("GetAccountAuthorizationDetails", json!({ "Filter": ["Role"] })).await;
    assert_eq!((only["UserDetailList"].clone(), only["RoleDetailList"].as_array().unwrap().len()), (json!([]), 1));
    let first = w.iam("GetAccountAuthorizationDetails", json!({ "MaxItems": 2 })).await;
    assert_eq!(first["IsTruncated"], true);

    w.iam("CreateAccountAlias", json!({ "AccountAlias": "first-name" })).await;
    w.iam("CreateAccountAlias", json!({ "AccountAlias": "second-name" })).await;
    assert_eq!(w.iam("ListAccountAliases", json!({})).await["AccountAliases"], json!(["second-name"]));
    w.iam("DeleteAccountAlias", json!({ "AccountAlias": "second-name" })).await;
    assert_eq!(&*w.refused("iam", "DeleteAccountAlias", json!({ "AccountAlias": "second-name" })).await.code, "NoSuchEntity");
}

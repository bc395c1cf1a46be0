use serde_json::json;

use crate::world::{World, allow, trust_account};

async fn policy(w: &World, name: &str, document: &str) -> String {
    let made = w.iam("CreatePolicy", json!({ "PolicyName": name, "PolicyDocument": document })).await;
    made["Policy"]["Arn"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn five_versions_and_one_in_force() {
    let w = World::new().await;
    let ann = w.user("ann", None).await;
    let arn = policy(&w, "P", &allow("iam:GetRole", "*")).await;
    w.iam("AttachUserPolicy", json!({ "UserName": "ann", "PolicyArn": arn })).await;
    w.call(&ann, "iam", "ListUsers", json!({})).await.unwrap_err();
    for n in 2..=5 {
        let made = w.iam("CreatePolicyVersion", json!({ "PolicyArn": arn, "PolicyDocument": allow("iam:ListUsers", "*") })).await;
        assert_eq!(made["PolicyVersion"]["VersionId"], format!("v{n}"));
    }
    w.call(&ann, "iam", "ListUsers", json!({})).await.unwrap_err();
    let sixth = w.refused("iam", "CreatePolicyVersion", json!({ "PolicyArn": arn, "PolicyDocument": allow("s3:*", "*") })).await;
    assert_eq!((sixth.status, &*sixth.code), (409, "LimitExceeded"));
    w.iam("SetDefaultPolicyVersion", json!({ "PolicyArn": arn, "VersionId": "v3" })).await;
    w.call(&ann, "iam", "ListUsers", json!({})).await.expect("the new default is in force");
    let versions = w.iam("ListPolicyVersions", json!({ "PolicyArn": arn })).await;
    let ids: Vec<_> = versions["Versions"].as_array().unwrap().iter().map(|v| v["VersionId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["v5", "v4", "v3", "v2", "v1"]);
    let error = w.refused("iam", "DeletePolicyVersion", json!({ "PolicyArn": arn, "VersionId": "v3" })).await;
    assert_eq!(error.message, "Cannot delete the default version of a policy.");
    w.iam("DeletePolicyVersion", json!({ "PolicyArn": arn, "VersionId": "v1" })).await;
    let made = w.iam("CreatePolicyVersion", json!({ "PolicyArn": arn, "PolicyDocument": allow("s3:*", "*"), "SetAsDefault": true })).await;
    assert_eq!(made["PolicyVersion"]["VersionId"], "v6", "numbers are not used twice");
    w.call(&ann, "iam", "ListUsers", json!({})).await.unwrap_err();
    assert_eq!(w.iam("GetPolicy", json!({ "PolicyArn": arn })).await["Policy"]["DefaultVersionId"], "v6");
    let got = w.iam("GetPolicyVersion", json!({ "PolicyArn": arn, "VersionId": "v6" })).await;
    assert_eq!(tenantry_wire::percent_decode(got["PolicyVersion"]["Document"].as_str().unwrap()).unwrap(), allow("s3:*", "*"));
    assert_eq!(&*w.refused("iam", "GetPolicyVersion", json!({ "PolicyArn": arn, "VersionId": "v1" })).await.code, "NoSuchEntity");
}

#[tokio::test]
async fn size_and_attachment_quotas() {
    let w = World::new().await;
    let shell = allow("s3:GetObject", "arn:aws:s3:::").len();
    let of_size = |size: usize| allow("s3:GetObject", &format!("arn:aws:s3:::{}", "b".repeat(size - shell)));
    policy(&w, "longest", &of_size(6144)).await;
    let error = w.refused("iam", "CreatePolicy", json!({ "PolicyName": "longer", "PolicyDocument": of_size(6145) })).await;
    assert_eq!((error.status, &*error.code, error.message.as_str()), (409, "LimitExceeded", "Cannot exceed quota for PolicySize: 6144"));
    w.role("R", &trust_account(w.account.as_str())).await;
    for n in 0..10 {
        let arn = policy(&w, &format!("p{n}"), &allow("s3:*", "*")).await;
        w.iam("AttachRolePolicy", json!({ "RoleName": "R", "PolicyArn": arn })).await;
        w.iam("AttachRolePolicy", json!({ "RoleName": "R", "PolicyArn": arn })).await;
    }
    let arn = policy(&w, "p10", &allow("s3:*", "*")).await;
    let error = w.refused("iam", "AttachRolePolicy", json!({ "RoleName": "R", "PolicyArn": arn })).await;
    assert_eq!((&*error.code, error.message.as_str()), ("LimitExceeded", "Cannot exceed quota for PoliciesPerRole: 10"));
    assert_eq!(w.iam("ListAttachedRolePolicies", json!({ "RoleName": "R" })).await["AttachedPolicies"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn a_policy_in_use_stays() {
    let w = World::new().await;
    let arn = policy(&w, "P", &allow("s3:*", "*")).await;
    let taken = w.refused("iam", "CreatePolicy", json!({ "PolicyName": "p", "PolicyDocument": allow("s3:*", "*") })).await;
    assert_eq!((taken.status, taken.message.as_str()), (409, "A policy called p already exists. Duplicate names are not allowed."));
    w.role("R", &trust_account(w.account.as_str())).await;
    w.iam("CreateGroup", json!({ "GroupName": "G" })).await;
    w.user("ann", None).await;
    w.iam("AttachRolePolicy", json!({ "RoleName": "R", "PolicyArn": arn })).await;
    w.iam("AttachGroupPolicy", json!({ "GroupName": "G", "PolicyArn": arn })).await;
    w.iam("PutUserPermissionsBoundary", json!({ "UserName": "ann", "PermissionsBoundary": arn })).await;
    let got = w.iam("GetPolicy", json!({ "PolicyArn": arn })).await["Policy"].clone();
    assert_eq!((got["AttachmentCount"].clone(), got["PermissionsBoundaryUsageCount"].clone()), (json!(2), json!(1)));
    let entities = w.iam("ListEntitiesForPolicy", json!({ "PolicyArn": arn })).await;
    assert_eq!((&entities["PolicyRoles"][0]["RoleName"], &entities["PolicyGroups"][0]["GroupName"]), (&json!("R"), &json!("G")));
    assert_eq!(entities["PolicyUsers"][0]["UserName"], "ann");
    let only =
        w.iam("ListEntitiesForPolicy", json!({ "PolicyArn": arn, "PolicyUsageFilter": "PermissionsPolicy", "EntityFilter": "Role" })).await;
    assert_eq!((only["PolicyUsers"].clone(), only["PolicyGroups"].clone()), (json!([]), json!([])));
    w.iam("DetachRolePolicy", json!({ "RoleName": "R", "PolicyArn": arn })).await;
    w.iam("DetachGroupPolicy", json!({ "GroupName": "G", "PolicyArn": arn })).await;
    let error = w.refused("iam", "DeletePolicy", json!({ "PolicyArn": arn })).await;
    assert_eq!((&*error.code, error.message.as_str()), ("DeleteConflict", "Cannot delete a policy attached to entities."));
    w.iam("DeleteUserPermissionsBoundary", json!({ "UserName": "ann" })).await;
    w.iam("CreatePolicyVersion", json!({ "PolicyArn": arn, "PolicyDocument": allow("s3:*", "*") })).await;
    assert!(
        w.refused("iam", "DeletePolicy", json!({ "PolicyArn": arn })).await.message.starts_with("This policy has more than one version.")
    );
    w.iam("DeletePolicyVersion", json!({ "PolicyArn": arn, "VersionId": "v2" })).await;
    w.iam("DeletePolicy", json!({ "PolicyArn": arn })).await;
    let error = w.refused("iam", "GetPolicy", json!({ "PolicyArn": arn })).await;
    assert_eq!((error.status, error.message), (404, format!("Policy {arn} was not found.")));
    let error = w.refused("iam", "AttachRolePolicy", json!({ "RoleName": "R", "PolicyArn": arn })).await;
    assert_eq!(error.message, format!("Policy {arn} does not exist or is not attachable."));
    let error = w.refused("iam", "DetachRolePolicy", json!({ "RoleName": "R", "PolicyArn": arn })).await;
    assert_eq!(&*error.code, "NoSuchEntity");
}

#[tokio::test]
async fn aws_policies_are_listed_and_read_only() {
    let w = World::new().await;
    let arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";
    let got = w.iam("GetPolicy", json!({ "PolicyArn": arn })).await["Policy"].clone();
    assert_eq!((got["Path"].clone(), got["PolicyName"].clone()), (json!("/service-role/"), json!("AWSLambdaBasicExecutionRole")));
    w.iam("GetPolicyVersion", json!({ "PolicyArn": arn, "VersionId": "v1" })).await;
    let count = |value: &serde_json::Value| value["Policies"].as_array().unwrap().len();
    assert_eq!(count(&w.iam("ListPolicies", json!({ "Scope": "AWS" })).await), 35);
    assert_eq!(count(&w.iam("ListPolicies", json!({ "Scope": "Local" })).await), 0);
    policy(&w, "P", &allow("s3:*", "*")).await;
    assert_eq!(count(&w.iam("ListPolicies", json!({})).await), 36);
    assert_eq!(count(&w.iam("ListPolicies", json!({ "PathPrefix": "/job-function/" })).await), 1);
    // The administrator's own.
    let attached = w.iam("ListPolicies", json!({ "OnlyAttached": true })).await;
    assert_eq!(attached["Policies"][0]["PolicyName"], "AdministratorAccess");
    assert_eq!(count(&attached), 1);
    for (operation, input) in [
        ("DeletePolicy", json!({ "PolicyArn": arn })),
        ("CreatePolicyVersion", json!({ "PolicyArn": arn, "PolicyDocument": allow("*", "*") })),
        ("TagPolicy", json!({ "PolicyArn": arn, "Tags": [{ "Key": "a", "Value": "" }] })),
    ] {
        assert_eq!(w.refused("iam", operation, input).await.status, 403, "{operation}");
    }
}

#[tokio::test]
async fn a_boundary_is_a_ceiling() {
    let w = World::new().await;
    let ceiling = policy(&w, "ceiling", &allow("iam:List*", "*")).await;
    let ann = w.user("ann", Some(&allow("iam:*", "*"))).await;
    w.call(&ann, "iam", "GetAccountSummary", json!({})).await.unwrap();
    w.iam("PutUserPermissionsBoundary", json!({ "UserName": "ann", "PermissionsBoundary": ceiling })).await;
    let error = w.call(&ann, "iam", "GetAccountSummary", json!({})).await.unwrap_err();
    assert!(error.message.ends_with("because no permissions boundary allows the iam:GetAccountSummary action"), "{}", error.message);
    w.call(&ann, "iam", "ListUsers", json!({})).await.unwrap();
    assert_eq!(w.iam("GetUser", json!({ "UserName": "ann" })).await["User"]["PermissionsBoundary"]["PermissionsBoundaryArn"], ceiling);
    let made = w
        .iam(
            "CreateRole",
            json!({ "RoleName": "R", "AssumeRolePolicyDocument": trust_account(w.account.as_str()), "PermissionsBoundary": ceiling }),
        )
        .await;
    assert_eq!(made["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"], ceiling);
    w.iam("DeleteRolePermissionsBoundary", json!({ "RoleName": "R" })).await;
    assert_eq!(&*w.refused("iam", "DeleteRolePermissionsBoundary", json!({ "RoleName": "R" })).await.code, "NoSuchEntity");
    w.iam("PutRolePermissionsBoundary", json!({ "RoleName": "R", "PermissionsBoundary": ceiling })).await;
    let missing = w.arn("policy/none");
    assert_eq!(
        &*w.refused("iam", "PutRolePermissionsBoundary", json!({ "RoleName": "R", "PermissionsBoundary": missing })).await.code,
        "NoSuchEntity"
    );
}

/// A delegated administrator may create roles only below a boundary, and cannot take it away.
#[tokio::test]
async fn the_boundary_is_a_condition_key() {
    let w = World::new().await;
    let ceiling = policy(&w, "ceiling", &allow("s3:*", "*")).await;
    let text = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["iam:CreateRole", "iam:DeleteRolePermissionsBoundary"], "Resource": "*",
          "Condition": { "StringEquals": { "iam:PermissionsBoundary": ceiling } } },
        { "Effect": "Deny", "Action": "iam:DeleteRolePermissionsBoundary", "Resource": "*",
          "Condition": { "StringEquals": { "iam:PermissionsBoundary": ceiling } } },
        { "Effect": "Allow", "Action": "iam:AttachRolePolicy", "Resource": "*",
          "Condition": { "ArnEquals": { "iam:PolicyARN": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess" } } } ] });
    let ann = w.user("ann", Some(&text.to_string())).await;
    let trust = trust_account(w.account.as_str());
    w.call(&ann, "iam", "CreateRole", json!({ "RoleName": "R", "AssumeRolePolicyDocument": trust })).await.unwrap_err();
    w.call(&ann, "iam", "CreateRole", json!({ "RoleName": "R", "AssumeRolePolicyDocument": trust, "PermissionsBoundary": ceiling }))
        .await
        .unwrap();
    let error = w.call(&ann, "iam", "DeleteRolePermissionsBoundary", json!({ "RoleName": "R" })).await.unwrap_err();
    assert!(error.message.contains("explicit deny"), "{}", error.message);
    // What a role may do is theirs to change only while the role is below the boundary.
    let inline = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": ["iam:PutRolePolicy", "iam:DeleteRolePolicy"], "Resource": "*",
        "Condition": { "StringEquals": { "iam:PermissionsBoundary": ceiling } } }] });
    let bob = w.user("bob", Some(&inline.to_string())).await;
    w.role("Free", &trust).await;
    let put = |role: &str| json!({ "RoleName": role, "PolicyName": "p", "PolicyDocument": allow("*", "*") });
    w.call(&bob, "iam", "PutRolePolicy", put("R")).await.unwrap();
    w.call(&bob, "iam", "PutRolePolicy", put("Free")).await.unwrap_err();
    let attach = |name: &str| json!({ "RoleName": "R", "PolicyArn": format!("arn:aws:iam::aws:policy/{name}") });
    w.call(&ann, "iam", "AttachRolePolicy", attach("AdministratorAccess")).await.unwrap_err();
    w.call(&ann, "iam", "AttachRolePolicy", attach("AmazonS3ReadOnlyAccess")).await.unwrap();
}

#[tokio::test]
async fn tags_of_policies() {
    let w = World::new().await;
    let arn = policy(&w, "P", &allow("s3:*", "*")).await;
    w.iam("TagPolicy", json!({ "PolicyArn": arn, "Tags": [{ "Key": "a", "Value": "1" }, { "Key": "b", "Value": "2" }] })).await;
    w.iam("UntagPolicy", json!({ "PolicyArn": arn, "TagKeys": ["a"] })).await;
    assert_eq!(w.iam("ListPolicyTags", json!({ "PolicyArn": arn })).await["Tags"], json!([{ "Key": "b", "Value": "2" }]));
}

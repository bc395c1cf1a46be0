use serde_json::json;

use crate::world::{World, allow, trust, trust_account};

#[tokio::test]
async fn life_of_a_role() {
    let w = World::new().await;
    let text = trust(&json!({ "Service": "sagemaker.amazonaws.com" }));
    let made = w
        .iam(
            "CreateRole",
            json!({
                "RoleName": "Exec", "Path": "/service-role/", "AssumeRolePolicyDocument": text, "Description": "d",
                "Tags": [{ "Key": "Team", "Value": "a" }],
            }),
        )
        .await;
    assert_eq!(made["Role"]["Arn"], w.arn("role/service-role/Exec"));
    let role = w.iam("GetRole", json!({ "RoleName": "eXEC" })).await["Role"].clone();
    assert_eq!(role["RoleName"], "Exec");
    assert_eq!(role["MaxSessionDuration"], 3600);
    assert_eq!(role["Tags"], json!([{ "Key": "Team", "Value": "a" }]));
    assert_eq!(tenantry_wire::percent_decode(role["AssumeRolePolicyDocument"].as_str().unwrap()).unwrap(), text);
    assert!(role["AssumeRolePolicyDocument"].as_str().unwrap().starts_with("%7B%22"));

    let taken = w.refused("iam", "CreateRole", json!({ "RoleName": "EXEC", "AssumeRolePolicyDocument": text })).await;
    assert_eq!((taken.status, &*taken.code, taken.message.as_str()), (409, "EntityAlreadyExists", "Role with name EXEC already exists."));

    w.iam("UpdateRole", json!({ "RoleName": "Exec", "MaxSessionDuration": 7200 })).await;
    w.iam("UpdateRoleDescription", json!({ "RoleName": "Exec", "Description": "new" })).await;
    let role = w.iam("GetRole", json!({ "RoleName": "Exec" })).await["Role"].clone();
    assert_eq!((role["MaxSessionDuration"].clone(), role["Description"].clone()), (json!(7200), json!("new")));

    w.iam("PutRolePolicy", json!({ "RoleName": "Exec", "PolicyName": "p", "PolicyDocument": allow("s3:*", "*") })).await;
    w.iam("AttachRolePolicy", json!({ "RoleName": "Exec", "PolicyArn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess" })).await;
    for (operation, input, message) in [
        ("DeleteRole", json!({ "RoleName": "Exec" }), "Cannot delete entity, must detach all policies first."),
        ("DetachRolePolicy", json!({ "RoleName": "Exec", "PolicyArn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess" }), ""),
        ("DeleteRole", json!({ "RoleName": "Exec" }), "Cannot delete entity, must delete policies first."),
        ("DeleteRolePolicy", json!({ "RoleName": "Exec", "PolicyName": "p" }), ""),
        ("DeleteRole", json!({ "RoleName": "Exec" }), ""),
    ] {
        match message {
            "" => drop(w.iam(operation, input).await),
            _ => {
                let error = w.refused("iam", operation, input).await;
                assert_eq!((error.status, &*error.code, error.message.as_str()), (409, "DeleteConflict", message));
            }
        }
    }
    let gone = w.refused("iam", "GetRole", json!({ "RoleName": "Exec" })).await;
    assert_eq!((gone.status, &*gone.code, gone.message.as_str()), (404, "NoSuchEntity", "The role with name Exec cannot be found."));
    let tags = w.kernel.store().tags(&w.arn("role/service-role/Exec")).await.unwrap();
    assert!(tags.is_empty(), "tags outlive their role: {tags:?}");
}

#[tokio::test]
async fn who_may_be_trusted() {
    let w = World::new().await;
    w.user("ann", None).await;
    w.iam("CreateRole", json!({ "RoleName": "R", "Path": "/p/", "AssumeRolePolicyDocument": trust_account(w.account.as_str()) })).await;
    let a = w.account.as_str();
    let table = [
        (json!({ "AWS": "*" }), true),
        (json!({ "AWS": a }), true),
        (json!({ "AWS": format!("arn:aws:iam::{a}:root") }), true),
        (json!({ "AWS": "arn:aws:iam::999999999999:root" }), false),
        (json!({ "AWS": w.arn("user/ann") }), true),
        (json!({ "AWS": w.arn("user/bob") }), false),
        (json!({ "AWS": w.arn("user/path/ann") }), false),
        (json!({ "AWS": w.arn("role/p/R") }), true),
        (json!({ "AWS": w.arn("role/R") }), false),
        (json!({ "AWS": format!("arn:aws:sts::{a}:assumed-role/R/SageMaker") }), true),
        (json!({ "AWS": format!("arn:aws:sts::{a}:assumed-role/Other/SageMaker") }), false),
        (json!({ "AWS": format!("arn:aws:sts::{a}:assumed-role/R/*") }), false),
        (json!({ "AWS": "AROAAAAAAAAAAAAAAAAAA" }), false),
        (json!({ "Service": ["sagemaker.amazonaws.com", "vpc-flow-logs.amazonaws.com"] }), true),
        (json!({ "Service": "example.com" }), false),
        (json!({ "Federated": "cognito-identity.amazonaws.com" }), true),
        (json!({ "Federated": w.arn("saml-provider/idp") }), false),
    ];
    for (n, (principal, accepted)) in table.iter().enumerate() {
        let input = json!({ "RoleName": format!("t{n}"), "AssumeRolePolicyDocument": trust(principal) });
        let answer = w.call(&w.admin, "iam", "CreateRole", input).await;
        assert_eq!(answer.is_ok(), *accepted, "{principal}: {answer:?}");
        if let Err(error) = answer {
            assert_eq!((error.status, &*error.code), (400, "MalformedPolicyDocument"), "{principal}");
            assert!(error.message.starts_with("Invalid principal in policy: \""), "{principal}: {}", error.message);
        }
    }
}

#[tokio::test]
async fn a_recreated_role_is_not_trusted() {
    let w = World::new().await;
    w.role("caller", &trust_account(w.account.as_str())).await;
    w.role("target", &trust(&json!({ "AWS": w.arn("role/caller") }))).await;
    let before = w.assume(&w.admin, json!({ "RoleArn": w.arn("role/caller"), "RoleSessionName": "one" })).await.unwrap();
    w.assume(&before, json!({ "RoleArn": w.arn("role/target"), "RoleSessionName": "x1" })).await.expect("the role that was named");

    let id = w.iam("GetRole", json!({ "RoleName": "caller" })).await["Role"]["RoleId"].as_str().unwrap().to_owned();
    w.iam("DeleteRole", json!({ "RoleName": "caller" })).await;
    let shown = w.iam("GetRole", json!({ "RoleName": "target" })).await["Role"]["AssumeRolePolicyDocument"].as_str().unwrap().to_owned();
    assert!(shown.contains(&id), "the id of who is gone is shown: {shown}");

    w.role("caller", &trust_account(w.account.as_str())).await;
    let after = w.assume(&w.admin, json!({ "RoleArn": w.arn("role/caller"), "RoleSessionName": "one" })).await.unwrap();
    let error = w.assume(&after, json!({ "RoleArn": w.arn("role/target"), "RoleSessionName": "x2" })).await.unwrap_err();
    assert_eq!((error.status, &*error.code), (403, "AccessDenied"), "{error}");

    w.iam("UpdateAssumeRolePolicy", json!({ "RoleName": "target", "PolicyDocument": trust(&json!({ "AWS": w.arn("role/caller") })) }))
        .await;
    w.assume(&after, json!({ "RoleArn": w.arn("role/target"), "RoleSessionName": "x3" })).await.expect("named anew");
}

#[tokio::test]
async fn a_recreated_roles_session_is_not_trusted() {
    let w = World::new().await;
    let session = format!("arn:aws:sts::{}:assumed-role/caller/SageMaker", w.account);
    w.role("caller", &trust_account(w.account.as_str())).await;
    w.role("target", &trust(&json!({ "AWS": session }))).await;
    let start = json!({ "RoleArn": w.arn("role/caller"), "RoleSessionName": "SageMaker" });
    let before = w.assume(&w.admin, start.clone()).await.unwrap();
    w.assume(&before, json!({ "RoleArn": w.arn("role/target"), "RoleSessionName": "x1" })).await.expect("the session that was named");
    let id = w.iam("GetRole", json!({ "RoleName": "caller" })).await["Role"]["RoleId"].as_str().unwrap().to_owned();
    w.iam("DeleteRole", json!({ "RoleName": "caller" })).await;
    w.role("caller", &trust_account(w.account.as_str())).await;
    let after = w.assume(&w.admin, start).await.unwrap();
    assert_eq!(after.arn, before.arn);
    w.assume(&after, json!({ "RoleArn": w.arn("role/target"), "RoleSessionName": "x2" })).await.unwrap_err();
    let shown = w.iam("GetRole", json!({ "RoleName": "target" })).await["Role"]["AssumeRolePolicyDocument"].as_str().unwrap().to_owned();
    assert!(shown.contains(&id), "{shown}");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let w = World::new().await;
    for n in 0..5 {
        let path = if n % 2 == 0 { "/even/" } else { "/odd/" };
        w.iam(
            "CreateRole",
            json!({ "RoleName": format!("r{n}"), "Path": path, "AssumeRolePolicyDocument": trust_account(w.account.as_str()) }),
        )
        .await;
    }
    let (mut names, mut marker) = (Vec::new(), None);
    loop {
        let mut input = json!({ "MaxItems": 2 });
        if let Some(marker) = &marker {
            input["Marker"] = json!(marker);
        }
        let page = w.iam("ListRoles", input).await;
        names.extend(page["Roles"].as_array().unwrap().iter().map(|role| role["RoleName"].as_str().unwrap().to_owned()));
        assert_eq!(page["IsTruncated"], page.get("Marker").is_some());
        match page.get("Marker") {
            Some(next) => marker = Some(next.as_str().unwrap().to_owned()),
            None => break,
        }
    }
    assert_eq!(names, ["r0", "r1", "r2", "r3", "r4"]);
    let even = w.iam("ListRoles", json!({ "PathPrefix": "/even/" })).await;
    assert_eq!(even["Roles"].as_array().unwrap().len(), 3);
    assert_eq!(&*w.refused("iam", "ListRoles", json!({ "Marker": "not one" })).await.code, "ValidationError");
}

#[tokio::test]
async fn inline_policies_have_a_quota_together() {
    let w = World::new().await;
    w.role("R", &trust_account(w.account.as_str())).await;
    // 10,240 characters without whitespace, as two policies of 5,120.
    let shell = allow("s3:GetObject", "arn:aws:s3:::").len();
    let of_size = |size: usize| allow("s3:GetObject", &format!("arn:aws:s3:::{}", "b".repeat(size - shell)));
    let put = |name: &str, text: String| json!({ "RoleName": "R", "PolicyName": name, "PolicyDocument": text });
    w.iam("PutRolePolicy", put("one", of_size(5120))).await;
    w.iam("PutRolePolicy", put("two", format!("  \n{}", of_size(5120)))).await;
    let error = w.refused("iam", "PutRolePolicy", put("two", of_size(5121))).await;
    assert_eq!(
        (error.status, &*error.code, error.message.as_str()),
        (409, "LimitExceeded", "Maximum policy size of 10240 bytes exceeded for role R")
    );
    assert_eq!(w.iam("ListRolePolicies", json!({ "RoleName": "R" })).await["PolicyNames"], json!(["one", "two"]));
    let got = w.iam("GetRolePolicy", json!({ "RoleName": "R", "PolicyName": "one" })).await;
    assert_eq!(tenantry_wire::percent_decode(got["PolicyDocument"].as_str().unwrap()).unwrap(), of_size(5120));
    let error = w.refused("iam", "GetRolePolicy", json!({ "RoleName": "R", "PolicyName": "three" })).await;
    assert_eq!(error.message, "The role policy with name three cannot be found.");
    let bad = w.refused("iam", "PutRolePolicy", put("bad", "{}".to_owned())).await;
    assert_eq!((&*bad.code, bad.message.as_str()), ("MalformedPolicyDocument", "Syntax errors in policy."));
}

#[tokio::test]
async fn tags_are_kept_in_both_places() {
    let w = World::new().await;
    w.role("R", &trust_account(w.account.as_str())).await;
    w.iam("TagRole", json!({ "RoleName": "R", "Tags": [{ "Key": "Team", "Value": "a" }, { "Key": "x", "Value": "" }] })).await;
    w.iam("TagRole", json!({ "RoleName": "R", "Tags": [{ "Key": "TEAM", "Value": "b" }] })).await;
    w.iam("UntagRole", json!({ "RoleName": "R", "TagKeys": ["X"] })).await;
    let wanted = json!([{ "Key": "TEAM", "Value": "b" }]);
    assert_eq!(w.iam("ListRoleTags", json!({ "RoleName": "R" })).await["Tags"], wanted);
    assert_eq!(json!(w.kernel.store().tags(&w.arn("role/R")).await.unwrap()), wanted);
    assert_eq!(
        &*w.refused("iam", "TagRole", json!({ "RoleName": "R", "Tags": [{ "Key": "aws:x", "Value": "" }] })).await.code,
        "InvalidInput"
    );

    // A policy on the resource's tag.
    let text = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "iam:GetRole", "Resource": "*",
        "Condition": { "StringEquals": { "iam:ResourceTag/TEAM": "b" } } }] });
    let ann = w.user("ann", Some(&text.to_string())).await;
    w.role("S", &trust_account(w.account.as_str())).await;
    w.call(&ann, "iam", "GetRole", json!({ "RoleName": "R" })).await.unwrap();
    assert_eq!(w.call(&ann, "iam", "GetRole", json!({ "RoleName": "S" })).await.unwrap_err().status, 403);
}

#[tokio::test]
async fn instance_profiles() {
    let w = World::new().await;
    w.role("R", &trust(&json!({ "Service": "ec2.amazonaws.com" }))).await;
    w.role("Q", &trust(&json!({ "Service": "ec2.amazonaws.com" }))).await;
    w.iam("CreateInstanceProfile", json!({ "InstanceProfileName": "P", "Tags": [{ "Key": "a", "Value": "b" }] })).await;
    w.iam("AddRoleToInstanceProfile", json!({ "InstanceProfileName": "P", "RoleName": "R" })).await;
    let full = w.refused("iam", "AddRoleToInstanceProfile", json!({ "InstanceProfileName": "P", "RoleName": "Q" })).await;
    assert_eq!(&*full.code, "LimitExceeded");
    let got = w.iam("GetInstanceProfile", json!({ "InstanceProfileName": "P" })).await;
    assert_eq!(got["InstanceProfile"]["Roles"][0]["RoleName"], "R");
    assert_eq!(w.iam("ListInstanceProfiles", json!({})).await["InstanceProfiles"].as_array().unwrap().len(), 1);
    assert_eq!(w.iam("ListInstanceProfilesForRole", json!({ "RoleName": "R" })).await["InstanceProfiles"][0]["InstanceProfileName"], "P");
    w.iam("TagInstanceProfile", json!({ "InstanceProfileName": "P", "Tags": [{ "Key": "c", "Value": "d" }] })).await;
    w.iam("UntagInstanceProfile", json!({ "InstanceProfileName": "P", "TagKeys": ["a"] })).await;
    assert_eq!(
        w.iam("ListInstanceProfileTags", json!({ "InstanceProfileName": "P" })).await["Tags"],
        json!([{ "Key": "c", "Value": "d" }])
    );
    let message = "Cannot delete entity, must remove roles from instance profile first.";
    assert_eq!(w.refused("iam", "DeleteRole", json!({ "RoleName": "R" })).await.message, message);
    assert_eq!(w.refused("iam", "DeleteInstanceProfile", json!({ "InstanceProfileName": "P" })).await.message, message);
    w.iam("RemoveRoleFromInstanceProfile", json!({ "InstanceProfileName": "P", "RoleName": "R" })).await;
    w.iam("DeleteRole", json!({ "RoleName": "R" })).await;
    w.iam("DeleteInstanceProfile", json!({ "InstanceProfileName": "P" })).await;
    assert_eq!(
        w.refused("iam", "GetInstanceProfile", json!({ "InstanceProfileName": "P" })).await.message,
        "Instance Profile P cannot be found."
    );
}

#[tokio::test]
async fn service_linked_roles_belong_to_the_service() {
    let w = World::new().await;
    let made = w.iam("CreateServiceLinkedRole", json!({ "AWSServiceName": "sagemaker.amazonaws.com" })).await;
    let name = made["Role"]["RoleName"].as_str().unwrap().to_owned();
    assert_eq!(made["Role"]["Arn"], w.arn(&format!("role/aws-service-role/sagemaker.amazonaws.com/{name}")));
    for (operation, input) in [
        ("DeleteRole", json!({ "RoleName": name })),
        ("AttachRolePolicy", json!({ "RoleName": name, "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess" })),
        ("PutRolePolicy", json!({ "RoleName": name, "PolicyName": "p", "PolicyDocument": allow("*", "*") })),
        ("UpdateAssumeRolePolicy", json!({ "RoleName": name, "PolicyDocument": trust_account(w.account.as_str()) })),
        ("PutRolePermissionsBoundary", json!({ "RoleName": name, "PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess" })),
    ] {
        assert_eq!(&*w.refused("iam", operation, input).await.code, "UnmodifiableEntity", "{operation}");
    }
    let reserved = json!({ "RoleName": "mine", "Path": "/aws-service-role/x.amazonaws.com/", "AssumeRolePolicyDocument": trust_account(w.account.as_str()) });
    assert_eq!(&*w.refused("iam", "CreateRole", reserved).await.code, "ValidationError");
    let error = w.assume(&w.admin, json!({ "RoleArn": made["Role"]["Arn"], "RoleSessionName": "me" })).await.unwrap_err();
    assert_eq!(error.status, 403);
    let task = w.iam("DeleteServiceLinkedRole", json!({ "RoleName": name })).await["DeletionTaskId"].clone();
    assert_eq!(w.iam("GetServiceLinkedRoleDeletionStatus", json!({ "DeletionTaskId": task })).await["Status"], "SUCCEEDED");
    assert_eq!(&*w.refused("iam", "GetRole", json!({ "RoleName": name })).await.code, "NoSuchEntity");
}

#[tokio::test]
async fn names_tell_nothing_to_the_unauthorized() {
    let w = World::new().await;
    w.role("There", &trust_account(w.account.as_str())).await;
    let ann = w.user("ann", None).await;
    for name in ["There", "NotThere"] {
        let error = w.call(&ann, "iam", "GetRole", json!({ "RoleName": name })).await.unwrap_err();
        assert_eq!((error.status, &*error.code), (403, "AccessDenied"));
        let arn = w.arn(&format!("role/{name}"));
        assert_eq!(
            error.message,
            format!(
                "User: {} is not authorized to perform: iam:GetRole on resource: {arn} because no identity-based policy allows the iam:GetRole action",
                ann.arn
            )
        );
    }
}

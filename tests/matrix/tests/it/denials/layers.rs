//! Each layer, refusing because nothing in it allows and because something in it denies.

use serde_json::json;

use super::{
    Stage, golden,
    stage::{Ask, denies, lacks, statement},
};
use crate::world::{add_policy, document};

const LIST: (&str, &str) = ("iam", "ListRoles");

fn all() -> serde_json::Value {
    statement("Allow", "*", "*")
}

/// Identity policies, boundaries, session policies.
async fn of_the_caller(stage: &mut Stage) {
    let own = stage.own();
    let roles = stage.arn("role/");
    let who = |name: &str| format!("arn:aws:iam::{own}:user/{name}");
    let session = |role: &str| format!("arn:aws:sts::{own}:assumed-role/{role}/s1");
    let identity = "identity-based policy";

    let key = stage.user("nothing", &[]).await;
    stage
        .denied("no policy at all", Ask::new(&key, LIST.0, LIST.1, json!({})), &lacks(&who("nothing"), "iam:ListRoles", &roles, identity))
        .await;

    let key = stage.user("elsewhere", &[json!([statement("Allow", "iam:GetUser", "arn:aws:iam::*:user/other")])]).await;
    let ask = Ask::new(&key, "iam", "GetUser", json!({"UserName": "elsewhere"}));
    stage
        .denied("an identity policy about another resource", ask, &lacks(&who("elsewhere"), "iam:GetUser", &who("elsewhere"), identity))
        .await;

    let key = stage.user("inline-deny", &[all(), statement("Deny", "iam:ListRoles", "*")]).await;
    let ask = Ask::new(&key, LIST.0, LIST.1, json!({}));
    stage
        .denied("a deny in an inline policy", ask, &denies(&who("inline-deny"), "iam:ListRoles", &roles, "an identity-based policy"))
        .await;

    let deny = document(json!([statement("Deny", "iam:*Roles", "*"), statement("Deny", "iam:DeleteUser", "*")]));
    let mut batch = tenantry_store::Batch::new();
    let arn = add_policy(&mut batch, &own, "no-roles", &deny);
    stage.world.commit(batch).await;
    let key = stage.user("managed-deny", &[all()]).await;
    stage.by_admin(own.as_str(), "iam", "AttachUserPolicy", json!({"UserName": "managed-deny", "PolicyArn": arn})).await;
    let ask = Ask::new(&key, LIST.0, LIST.1, json!({}));
    let by = format!("an identity-based policy: {arn}");
    stage.denied("a deny in a managed policy", ask, &denies(&who("managed-deny"), "iam:ListRoles", &roles, &by)).await;

    let key = stage.user("grouped", &[all()]).await;
    stage.by_admin(own.as_str(), "iam", "CreateGroup", json!({"GroupName": "readers"})).await;
    let text = document(json!([{"Sid": "ButSome", "Effect": "Deny", "NotAction": ["iam:Get*", "s3:*"], "Resource": "*"}]));
    stage
        .by_admin(own.as_str(), "iam", "PutGroupPolicy", json!({"GroupName": "readers", "PolicyName": "deny", "PolicyDocument": text}))
        .await;
    stage.by_admin(own.as_str(), "iam", "AddUserToGroup", json!({"GroupName": "readers", "UserName": "grouped"})).await;
    let ask = Ask::new(&key, LIST.0, LIST.1, json!({}));
    stage
        .denied(
            "a deny in a group's policy, with NotAction",
            ask,
            &denies(&who("grouped"), "iam:ListRoles", &roles, "an identity-based policy"),
        )
        .await;

    for (name, text, sentence) in [
        ("bounded", json!([statement("Allow", "s3:*", "*")]), "because no permissions boundary allows the iam:ListRoles action"),
        ("bounded-deny", json!([all(), statement("Deny", "iam:List*", "*")]), "with an explicit deny in a permissions boundary: "),
    ] {
        let mut batch = tenantry_store::Batch::new();
        let arn = add_policy(&mut batch, &own, &format!("{name}-fence"), &document(text));
        stage.world.commit(batch).await;
        let key = stage.user(name, &[all()]).await;
        stage.by_admin(own.as_str(), "iam", "PutUserPermissionsBoundary", json!({"UserName": name, "PermissionsBoundary": arn})).await;
        let suffix = if sentence.ends_with(": ") { arn } else { String::new() };
        let sentence = format!("User: {} is not authorized to perform: iam:ListRoles on resource: {roles} {sentence}{suffix}", who(name));
        stage.denied(&format!("a permissions boundary: {name}"), Ask::new(&key, LIST.0, LIST.1, json!({})), &sentence).await;
    }

    let key = stage.user("assumer", &[all()]).await;
    let role = stage.role("worker", stage.trusting(), all()).await;
    for (name, text, sentence) in [
        ("nothing allows", json!([statement("Allow", "s3:*", "*")]), lacks(&session("worker"), "iam:ListRoles", &roles, "session policy")),
        (
            "a deny",
            json!([all(), statement("Deny", "iam:ListRoles", "*")]),
            denies(&session("worker"), "iam:ListRoles", &roles, "a session policy"),
        ),
    ] {
        let made = stage.session(&key, json!({"RoleArn": role, "Policy": document(text)})).await;
        stage.denied(&format!("a session policy: {name}"), made.ask(LIST.0, LIST.1, json!({})), &sentence).await;
    }
}

/// Trust policies, and what else a role takes.
async fn of_roles(stage: &mut Stage) {
    let own = stage.own();
    let who = |name: &str| format!("arn:aws:iam::{own}:user/{name}");
    let key = stage.user("joiner", &[all()]).await;
    let bare = stage.user("bare", &[]).await;
    let trust = "role trust policy";
    let named = |action: serde_json::Value| json!({"Effect": "Allow", "Principal": {"AWS": who("joiner")}, "Action": action});
    let assume = |key: &crate::send::Key, role: &str, more: serde_json::Value| {
        let mut input = json!({"RoleArn": role, "RoleSessionName": "s1"});
        for (name, value) in more.as_object().unwrap() {
            input[name] = value.clone();
        }
        Ask::new(key, "sts", "AssumeRole", input)
    };

    let elsewhere = json!({"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"});
    let role = stage.role("services-only", elsewhere.clone(), json!(null)).await;
    stage
        .denied("a trust policy that names others", assume(&key, &role, json!({})), &lacks(&who("joiner"), "sts:AssumeRole", &role, trust))
        .await;

    let deny = json!([stage.trusting(), {"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole", "Condition": {"StringNotEquals": {"sts:ExternalId": "secret"}}}]);
    let role = stage.role("with-id", deny, json!(null)).await;
    let ask = assume(&key, &role, json!({}));
    stage
        .denied(
            "a deny in a trust policy without the external id",
            ask,
            &denies(&who("joiner"), "sts:AssumeRole", &role, "the role trust policy"),
        )
        .await;

    let role = stage.role("no-tags", named(json!("sts:AssumeRole")), json!(null)).await;
    let ask = assume(&key, &role, json!({"Tags": [{"Key": "Team", "Value": "red"}]}));
    stage.denied("sts:TagSession is not in the trust policy", ask, &lacks(&who("joiner"), "sts:TagSession", &role, trust)).await;

    let role = stage.role("no-source-identity", named(json!(["sts:AssumeRole"])), json!(null)).await;
    let ask = assume(&key, &role, json!({"SourceIdentity": "ann"}));
    stage
        .denied("sts:SetSourceIdentity is not in the trust policy", ask, &lacks(&who("joiner"), "sts:SetSourceIdentity", &role, trust))
        .await;

    let role = stage.role("delegated", stage.trusting(), json!(null)).await;
    let ask = assume(&bare, &role, json!({}));
    stage
        .denied(
            "the trust policy leaves it to identity policies",
            ask,
            &lacks(&who("bare"), "sts:AssumeRole", &role, "identity-based policy"),
        )
        .await;

    let model = stage.role("model", elsewhere, json!(null)).await;
    let key = stage.user("modeller", &[json!([statement("Allow", "sagemaker:*", "*")])]).await;
    let ask = Ask::new(
        &key,
        "sagemaker",
        "CreateModel",
        json!({"ModelName": "m", "ExecutionRoleArn": model, "PrimaryContainer": {"Image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"}}),
    );
    stage.denied("iam:PassRole", ask, &lacks(&who("modeller"), "iam:PassRole", &model, "identity-based policy")).await;

    let key = stage.user("tagger", &[json!([statement("Allow", "sagemaker:CreateExperiment", "*")])]).await;
    let ask = Ask::new(&key, "sagemaker", "CreateExperiment", json!({"ExperimentName": "e-tags", "Tags": [{"Key": "a", "Value": "b"}]}));
    let experiment = format!("arn:aws:sagemaker:us-east-1:{own}:experiment/e-tags");
    stage.denied("tags on creation", ask, &lacks(&who("tagger"), "sagemaker:AddTags", &experiment, "identity-based policy")).await;
}

/// Control policies.
async fn of_the_organization(stage: &mut Stage) {
    let (own, other) = (stage.own(), stage.world.other.clone());
    let organization = stage.world.kernel.organization_of(&own).await.unwrap().id.clone();
    let service = "service control policy";
    let policy = |of_type: &str, id: &str| {
        format!("a {}: arn:aws:organizations::{own}:policy/{organization}/{of_type}/{id}", of_type.replace('_', " "))
    };
    let who = |account: &tenantry_core::AccountId| format!("arn:aws:iam::{account}:user/member");
    let roles = |account: &tenantry_core::AccountId| format!("arn:aws:iam::{account}:role/");

    let fenced = stage.world.fenced.clone();
    let key = stage.user_of(&fenced, "member", &[all()]).await;
    let ask = Ask::new(&key, LIST.0, LIST.1, json!({}));
    stage.denied("a unit without service control policies", ask, &lacks(&who(&fenced), "iam:ListRoles", &roles(&fenced), service)).await;

    let denied = stage.world.denied.clone();
    let key = stage.user_of(&denied, "member", &[all()]).await;
    let ask = Ask::new(&key, LIST.0, LIST.1, json!({}));
    let by = policy("service_control_policy", "p-denyeverything");
    stage
        .denied("a service control policy of the account denies", ask, &denies(&who(&denied), "iam:ListRoles", &roles(&denied), &by))
        .await;

    let key = stage.user_of(&other, "member", &[all()]).await;
    let make = async |name: &str, of_type: &str, statements: serde_json::Value, target: &str| {
        let input = json!({"Name": name, "Description": name, "Type": of_type, "Content": document(statements)});
        let made = stage.by_admin(own.as_str(), "organizations", "CreatePolicy", input).await;
        let id = made["Policy"]["PolicySummary"]["Id"].as_str().unwrap().to_owned();
        stage.by_admin(own.as_str(), "organizations", "AttachPolicy", json!({"PolicyId": id, "TargetId": target})).await;
        id
    };
    let only = make(
        "only-s3",
        "SERVICE_CONTROL_POLICY",
        json!([statement("Allow", "s3:*", "*"), statement("Allow", "iam:Get*", "*")]),
        other.as_str(),
    )
    .await;
    let regions = json!([{"Sid": "Regions", "Effect": "Deny", "NotAction": "s3:*", "Resource": "*", "Condition": {"StringNotEquals": {"aws:RequestedRegion": ["eu-west-1"]}}}]);
    let deny = make("regions", "SERVICE_CONTROL_POLICY", regions, &stage.world.root).await;
    stage.by_admin(own.as_str(), "organizations", "DetachPolicy", json!({"PolicyId": "p-FullAWSAccess", "TargetId": other})).await;
    let ask = Ask::new(&key, LIST.0, LIST.1, json!({}));
    let by = policy("service_control_policy", &deny);
    stage
        .denied("a deny at the root and no allow at the account, at once", ask, &denies(&who(&other), "iam:ListRoles", &roles(&other), &by))
        .await;
    let last = stage.told.pop().unwrap();
    stage.told.push(last.replace(&deny, "p-regions").replace(&only, "p-only-s3"));
    let ask = Ask::new(&key, "iam", "ListGroups", json!({}));
    let groups = format!("arn:aws:iam::{other}:group/");
    stage
        .denied("a service control policy of the account does not allow", ask, &lacks(&who(&other), "iam:ListGroups", &groups, service))
        .await;
    let last = stage.told.pop().unwrap();
    stage.told.push(last.replace(&only, "p-only-s3"));
}

/// Policies of resources, their own account's and another's.
async fn of_resources(stage: &mut Stage) {
    let (own, other) = (stage.own(), stage.world.other.clone());
    let who = |name: &str| format!("arn:aws:iam::{own}:user/{name}");
    let bucket = async |account: &str, name: &str, policy: Option<serde_json::Value>| {
        stage.by_admin(account, "s3", "CreateBucket", json!({"Bucket": name})).await;
        let admin = stage.admin(account).await;
        let put = json!({"Bucket": name, "Key": "k"});
        let region = tenantry_core::Region::from("us-east-1");
        stage.world.kernel.call_with(&admin, &region, "s3", "PutObject", put, Some(tenantry_kernel::full("value"))).await.unwrap();
        if let Some(policy) = policy {
            stage.by_admin(account, "s3", "PutBucketPolicy", json!({"Bucket": name, "Policy": document(policy)})).await;
        }
    };
    let get = |name: &str| json!({"Bucket": name, "Key": "k"});

    let deny = json!([{"Sid": "Nobody", "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::denying-bucket/*"}]);
    bucket(own.as_str(), "denying-bucket", Some(deny)).await;
    bucket(own.as_str(), "plain-bucket", None).await;
    let key = stage.user("reader", &[all()]).await;
    let bare = stage.user("bare-reader", &[]).await;
    bucket(other.as_str(), "foreign-bucket", None).await;
    let open = json!([{"Effect": "Allow", "Principal": {"AWS": own}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::open-bucket/*"}]);
    bucket(other.as_str(), "open-bucket", Some(open)).await;
    let old = json!([{"Effect": "Allow", "Principal": {"AWS": who("bare-reader")}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::old-bucket/${aws:username}"}]);
    bucket(own.as_str(), "old-bucket", None).await;
    // Without a version a variable is literal text.
    let old = json!({"Statement": old}).to_string();
    stage.by_admin(own.as_str(), "s3", "PutBucketPolicy", json!({"Bucket": "old-bucket", "Policy": old})).await;

    let object = |name: &str| format!("\"arn:aws:s3:::{name}/k\"");
    let ask = Ask::new(&key, "s3", "GetObject", get("denying-bucket"));
    stage
        .denied(
            "a deny in a bucket's policy",
            ask,
            &denies(&who("reader"), "s3:GetObject", &object("denying-bucket"), "a resource-based policy"),
        )
        .await;
    let ask = Ask::new(&bare, "s3", "GetObject", get("plain-bucket"));
    stage
        .denied(
            "a bucket without a policy",
            ask,
            &lacks(&who("bare-reader"), "s3:GetObject", &object("plain-bucket"), "identity-based policy"),
        )
        .await;
    let ask = Ask::new(&bare, "s3", "GetObject", get("old-bucket"));
    stage
        .denied(
            "a variable in a document of 2008",
            ask,
            &lacks(&who("bare-reader"), "s3:GetObject", &object("old-bucket"), "identity-based policy"),
        )
        .await;
    stage
        .denied(
            "another account's bucket that does not allow it",
            Ask::new(&key, "s3", "GetObject", get("foreign-bucket")),
            "Access Denied",
        )
        .await;
    let outsider = stage.user("outsider", &[]).await;
    stage
        .denied(
            "another account's bucket, and one's own account does not",
            Ask::new(&outsider, "s3", "GetObject", get("open-bucket")),
            "Access Denied",
        )
        .await;
    let both = stage.user("both", &[]).await;
    stage
        .denied("another account's bucket, and neither does", Ask::new(&both, "s3", "GetObject", get("foreign-bucket")), "Access Denied")
        .await;

    let member = stage.user_of(&other, "reader", &[all()]).await;
    let deny = json!([{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*", "Condition": {"NumericLessThan": {"s3:TlsVersion": "9"}, "StringNotEqualsIfExists": {"aws:PrincipalTag/TenantID": "tenant-b"}}}]);
    let content =
        json!([deny[0], {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::foreign-bucket/*"}]);
    let input = json!({"Name": "data", "Description": "data", "Type": "RESOURCE_CONTROL_POLICY", "Content": document(content)});
    let made = stage.by_admin(own.as_str(), "organizations", "CreatePolicy", input).await;
    let id = made["Policy"]["PolicySummary"]["Id"].as_str().unwrap().to_owned();
    stage.by_admin(own.as_str(), "organizations", "AttachPolicy", json!({"PolicyId": id, "TargetId": other})).await;
    let organization = stage.world.kernel.organization_of(&own).await.unwrap().id.clone();
    let by = format!("a resource control policy: arn:aws:organizations::{own}:policy/{organization}/resource_control_policy/{id}");
    let reader = format!("arn:aws:iam::{other}:user/reader");
    let ask = Ask::new(&member, "s3", "GetObject", get("foreign-bucket"));
    stage.denied("a resource control policy", ask, &denies(&reader, "s3:GetObject", &object("foreign-bucket"), &by)).await;
    let last = stage.told.pop().unwrap();
    stage.told.push(last.replace(&id, "p-data"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denials_by_layer() {
    let mut stage = Stage::new().await;
    of_the_caller(&mut stage).await;
    of_roles(&mut stage).await;
    of_resources(&mut stage).await;
    of_the_organization(&mut stage).await;
    golden("by-layer", &stage.told);
}

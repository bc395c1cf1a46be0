//! What is told of an account as a whole: last uses, the credential report, permissions.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    mfa::Phone,
    signed::{Keys, WHO, send},
    world::{World, allow, trust_account},
};

/// Uses are stored behind the answers.
async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..10_000 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::task::yield_now().await;
    }
    panic!("it did not come");
}

#[tokio::test]
async fn uses_of_keys_and_roles_are_recorded_and_let_nothing_be_forgotten() {
    let w = World::new().await;
    w.user("ann", Some(&allow("*", "*"))).await;
    let key = Keys::of(&w.iam("CreateAccessKey", json!({ "UserName": "ann" })).await["AccessKey"]);
    let last = async || w.iam("GetAccessKeyLastUsed", json!({ "AccessKeyId": key.id })).await;
    assert_eq!(last().await["AccessKeyLastUsed"], json!({ "ServiceName": "N/A", "Region": "N/A" }));
    w.role("R", &trust_account(w.account.as_str())).await;
    assert_eq!(w.iam("GetRole", json!({ "RoleName": "R" })).await["Role"]["RoleLastUsed"], json!({}));
    let input = json!({ "RoleArn": w.arn("role/R"), "RoleSessionName": "s1" });
    let role = Keys::of(&w.call(&w.admin, "sts", "AssumeRole", input).await.unwrap()["Credentials"]);

    let revision = w.kernel.store().revision();
    assert_eq!(send(&w, &key, "sts", WHO).await.0, 200);
    assert_eq!(send(&w, &role, "sts", WHO).await.0, 200);
    let used = until(async || Some(last().await).filter(|it| it["AccessKeyLastUsed"].get("LastUsedDate").is_some())).await;
    assert_eq!(used["UserName"], "ann");
    let now = w.kernel.now();
    assert_eq!(used["AccessKeyLastUsed"], json!({ "LastUsedDate": now.secs(), "ServiceName": "sts", "Region": "us-east-1" }));
    let used = until(async || {
        let role = w.iam("GetRole", json!({ "RoleName": "R" })).await["Role"]["RoleLastUsed"].clone();
        role.get("LastUsedDate").is_some().then_some(role)
    })
    .await;
    assert_eq!(used, json!({ "LastUsedDate": now.secs(), "Region": "us-east-1" }));
    assert_eq!(w.kernel.store().revision(), revision, "what is remembered of principals stays");
    let details = w.iam("GetAccountAuthorizationDetails", json!({ "Filter": ["Role"] })).await;
    assert!(details["RoleDetailList"].as_array().unwrap().iter().any(|it| it["RoleName"] == "R" && it["RoleLastUsed"] == used));
    let listed = w.iam("ListRoles", json!({})).await.to_string();
    assert!(!listed.contains("RoleLastUsed"), "lists leave it out");

    // A key and a role of the same name later are others.
    w.iam("DeleteRole", json!({ "RoleName": "R" })).await;
    w.role("R", &trust_account(w.account.as_str())).await;
    assert_eq!(w.iam("GetRole", json!({ "RoleName": "R" })).await["Role"]["RoleLastUsed"], json!({}));
}

/// A line of the report by its columns.
fn line(report: &str, user: &str) -> std::collections::HashMap<String, String> {
    let mut lines = report.lines();
    let columns = lines.next().unwrap().split(',');
    let found = lines.find(|line| line.split(',').next() == Some(user)).unwrap_or_else(|| panic!("{user} in {report}"));
    columns.map(str::to_owned).zip(found.split(',').map(str::to_owned)).collect()
}

#[tokio::test]
async fn the_credential_report() {
    let w = World::new().await;
    assert_eq!(&*w.refused("iam", "GetCredentialReport", json!({})).await.code, "ReportNotPresent");
    w.user("ann", None).await;
    w.user("bob", None).await;
    Phone::new(&w, "phone").await.enable(&w, "ann").await.unwrap();
    w.iam("UpdateAccountPasswordPolicy", json!({ "MaxPasswordAge": 10 })).await;
    w.iam("CreateLoginProfile", json!({ "UserName": "ann", "Password": "password" })).await;
    let key = Keys::of(&w.iam("CreateAccessKey", json!({ "UserName": "ann" })).await["AccessKey"]);
    send(&w, &key, "sts", WHO).await;
    until(async || {
        let last = w.iam("GetAccessKeyLastUsed", json!({ "AccessKeyId": key.id })).await;
        last["AccessKeyLastUsed"].get("LastUsedDate").map(drop)
    })
    .await;
    w.clock.advance_secs(5);
    w.iam("CreateAccessKey", json!({ "UserName": "ann" })).await;
    w.iam("UpdateAccessKey", json!({ "UserName": "ann", "AccessKeyId": key.id, "Status": "Inactive" })).await;

    let started = w.iam("GenerateCredentialReport", json!({})).await;
    assert_eq!(started["State"], "STARTED");
    assert_eq!(w.iam("GenerateCredentialReport", json!({})).await["State"], "COMPLETE");
    let answer = w.iam("GetCredentialReport", json!({})).await;
    assert_eq!((&answer["ReportFormat"], &answer["GeneratedTime"]), (&json!("text/csv"), &json!(w.kernel.now().secs())));
    let report = String::from_utf8(STANDARD.decode(answer["Content"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(report.lines().count(), 5, "{report}");
    assert_eq!(line(&report, "<root_account>")["arn"], w.arn("root"));
    let ann = line(&report, "ann");
    let begin = w.kernel.now().plus_secs(-5);
    let time = |at: tenantry_core::Timestamp| at.iso8601(false).replace('Z', "+00:00");
    for (column, expected) in [
        ("arn", w.arn("user/ann")),
        ("user_creation_time", time(begin)),
        ("password_enabled", "true".to_owned()),
        ("password_last_used", "no_information".to_owned()),
        ("password_last_changed", time(begin)),
        ("password_next_rotation", time(begin.plus_secs(864_000))),
        ("mfa_active", "true".to_owned()),
        ("access_key_1_active", "false".to_owned()),
        ("access_key_1_last_rotated", time(begin)),
        ("access_key_1_last_used_date", time(begin)),
        ("access_key_1_last_used_region", "us-east-1".to_owned()),
        ("access_key_1_last_used_service", "sts".to_owned()),
        ("access_key_2_active", "true".to_owned()),
        ("access_key_2_last_used_date", "N/A".to_owned()),
        ("cert_1_active", "false".to_owned()),
    ] {
        assert_eq!(ann[column], expected, "{column}");
    }
    let bob = line(&report, "bob");
    assert_eq!(
        [&*bob["password_enabled"], &*bob["password_last_used"], &*bob["mfa_active"], &*bob["access_key_1_last_rotated"]],
        ["false", "N/A", "false", "N/A"]
    );
    w.clock.advance_secs(4 * 3600);
    assert_eq!(&*w.refused("iam", "GetCredentialReport", json!({})).await.code, "ReportExpired");
    assert_eq!(w.iam("GenerateCredentialReport", json!({})).await["State"], "STARTED");
    w.iam("GetCredentialReport", json!({})).await;
}

#[tokio::test]
async fn the_authorization_details_say_everything_and_page() {
    let w = World::new().await;
    w.iam("CreateUser", json!({ "UserName": "ann", "Path": "/team/", "Tags": [{ "Key": "Team", "Value": "a" }] })).await;
    w.iam("PutUserPolicy", json!({ "UserName": "ann", "PolicyName": "p", "PolicyDocument": allow("s3:*", "*") })).await;
    w.iam("CreateGroup", json!({ "GroupName": "team" })).await;
    w.iam("AddUserToGroup", json!({ "GroupName": "team", "UserName": "ann" })).await;
    let policy =
        w.iam("CreatePolicy", json!({ "PolicyName": "P", "PolicyDocument": allow("s3:Get*", "*") })).await["Policy"]["Arn"].clone();
    w.iam("CreatePolicyVersion", json!({ "PolicyArn": policy, "PolicyDocument": allow("s3:List*", "*"), "SetAsDefault": true })).await;
    w.iam("AttachGroupPolicy", json!({ "GroupName": "team", "PolicyArn": policy })).await;
    w.role("R", &trust_account(w.account.as_str())).await;
    w.iam("AttachRolePolicy", json!({ "RoleName": "R", "PolicyArn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess" })).await;

    let (mut seen, mut marker): (Vec<Value>, Option<String>) = (Vec::new(), None);
    loop {
        let mut input = json!({ "MaxItems": 2 });
        if let Some(marker) = &marker {
            input["Marker"] = json!(marker);
        }
        let page = w.iam("GetAccountAuthorizationDetails", input).await;
        for list in ["UserDetailList", "GroupDetailList", "RoleDetailList", "Policies"] {
            seen.extend(page[list].as_array().unwrap().iter().cloned());
        }
        marker = page["Marker"].as_str().map(str::to_owned);
        assert_eq!(page["IsTruncated"], marker.is_some());
        if marker.is_none() {
            break;
        }
    }
    let whole = w.iam("GetAccountAuthorizationDetails", json!({})).await;
    let all: usize =
        ["UserDetailList", "GroupDetailList", "RoleDetailList", "Policies"].iter().map(|list| whole[*list].as_array().unwrap().len()).sum();
    assert_eq!(seen.len(), all, "pages cover it once");
    let ann = seen.iter().find(|it| it["UserName"] == "ann").unwrap();
    assert_eq!((&ann["Path"], &ann["GroupList"], &ann["Tags"][0]["Value"]), (&json!("/team/"), &json!(["team"]), &json!("a")));
    assert_eq!(ann["UserPolicyList"][0]["PolicyName"], "p");
    let ours = seen.iter().find(|it| it["PolicyName"] == "P").unwrap();
    assert_eq!((ours["PolicyVersionList"].as_array().unwrap().len(), &ours["AttachmentCount"]), (2, &json!(1)));
    assert!(seen.iter().any(|it| it["PolicyName"] == "AmazonS3ReadOnlyAccess"), "AWS's policies that are in use");
    let only = w.iam("GetAccountAuthorizationDetails", json!({ "Filter": ["LocalManagedPolicy"] })).await;
    assert_eq!((only["Policies"].as_array().unwrap().len(), only["UserDetailList"].as_array().unwrap().len()), (1, 0));
}

#[tokio::test]
async fn which_policies_grant_what_and_when_it_was_used() {
    let w = World::new().await;
    w.user("ann", Some(&allow("sts:*", "*"))).await;
    w.iam("CreateGroup", json!({ "GroupName": "team" })).await;
    w.iam("AddUserToGroup", json!({ "GroupName": "team", "UserName": "ann" })).await;
    w.iam("AttachGroupPolicy", json!({ "GroupName": "team", "PolicyArn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess" })).await;
    let arn = w.arn("user/ann");
    let granting = w.iam("ListPoliciesGrantingServiceAccess", json!({ "Arn": arn, "ServiceNamespaces": ["s3", "sts", "iam"] })).await;
    assert_eq!(
        granting["PoliciesGrantingServiceAccess"],
        json!([
            { "ServiceNamespace": "s3", "Policies": [{ "PolicyName": "AmazonS3ReadOnlyAccess", "PolicyType": "MANAGED",
                "PolicyArn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess" }] },
            { "ServiceNamespace": "sts", "Policies": [{ "PolicyName": "p", "PolicyType": "INLINE", "EntityType": "USER", "EntityName": "ann" }] },
            { "ServiceNamespace": "iam", "Policies": [] },
        ])
    );
    let key = Keys::of(&w.iam("CreateAccessKey", json!({ "UserName": "ann" })).await["AccessKey"]);
    send(&w, &key, "sts", WHO).await;
    let report = async |arn: &str| {
        let job = w.iam("GenerateServiceLastAccessedDetails", json!({ "Arn": arn })).await["JobId"].clone();
        (w.iam("GetServiceLastAccessedDetails", json!({ "JobId": job })).await, job)
    };
    let (found, job) = until(async || Some(report(&arn).await).filter(|(it, _)| it.to_string().contains("LastAuthenticatedEntity"))).await;
    let services = found["ServicesLastAccessed"].as_array().unwrap();
    let of = |name: &str| services.iter().find(|it| it["ServiceNamespace"] == name).unwrap();
    assert_eq!(
        *of("sts"),
        json!({ "ServiceName": "AWS Security Token Service", "ServiceNamespace": "sts", "TotalAuthenticatedEntities": 1,
            "LastAuthenticated": w.kernel.now().secs(), "LastAuthenticatedEntity": arn, "LastAuthenticatedRegion": "us-east-1" })
    );
    assert_eq!(of("s3")["TotalAuthenticatedEntities"], 0);
    assert!(services.iter().all(|it| it["ServiceNamespace"] != "iam"), "nothing grants it");
    let who = w.iam("GetServiceLastAccessedDetailsWithEntities", json!({ "JobId": job, "ServiceNamespace": "sts" })).await;
    assert_eq!(who["EntityDetailsList"][0]["EntityInfo"]["Name"], "ann");
    // By the group, and by the policy that it has.
    for (arn, service) in [(w.arn("group/team"), "s3"), ("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess".to_owned(), "s3")] {
        let (found, _) = report(&arn).await;
        assert!(found["ServicesLastAccessed"].as_array().unwrap().iter().any(|it| it["ServiceNamespace"] == service), "{arn}");
    }
    assert_eq!(&*w.refused("iam", "GenerateServiceLastAccessedDetails", json!({ "Arn": w.arn("user/none") })).await.code, "NoSuchEntity");
    let actions = w.refused("iam", "GenerateServiceLastAccessedDetails", json!({ "Arn": arn, "Granularity": "ACTION_LEVEL" })).await;
    assert_eq!(&*actions.code, "InvalidInput");
    w.clock.advance_secs(7 * 86_400);
    assert_eq!(&*w.refused("iam", "GetServiceLastAccessedDetails", json!({ "JobId": job })).await.code, "NoSuchEntity");
}

#[tokio::test]
async fn keys_that_policies_ask_for() {
    let w = World::new().await;
    let document = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "s3:*",
        "Resource": "arn:aws:s3:::b/${aws:username}/*", "Condition": { "Bool": { "aws:MultiFactorAuthPresent": "true" } } }] })
    .to_string();
    let custom = w.iam("GetContextKeysForCustomPolicy", json!({ "PolicyInputList": [document] })).await;
    assert_eq!(custom["ContextKeyNames"], json!(["aws:MultiFactorAuthPresent", "aws:username"]));
    w.user("ann", Some(&document)).await;
    let more = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Deny", "Action": "s3:*", "Resource": "*",
        "Condition": { "StringEquals": { "s3:prefix": "x" } } }] });
    let input = json!({ "PolicySourceArn": w.arn("user/ann"), "PolicyInputList": [more.to_string()] });
    let principal = w.iam("GetContextKeysForPrincipalPolicy", input).await;
    assert_eq!(principal["ContextKeyNames"], json!(["aws:MultiFactorAuthPresent", "aws:username", "s3:prefix"]));
    assert_eq!(&*w.refused("iam", "GetContextKeysForCustomPolicy", json!({ "PolicyInputList": ["{}"] })).await.code, "InvalidInput");
}

use serde_json::{Value, json};
use tenantry_core::Tag;

use crate::world::{World, allow, trust, trust_account};

fn assume(role: &str, session: &str) -> Value {
    json!({ "RoleArn": role, "RoleSessionName": session })
}

/// A trust policy of several actions.
fn trust_for(principal: &Value, actions: &[&str], condition: Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": principal, "Action": actions, "Condition": condition }] }).to_string()
}

#[tokio::test]
async fn who_is_it() {
    let w = World::new().await;
    let id = w.call(&w.admin, "sts", "GetCallerIdentity", json!({})).await.unwrap();
    assert_eq!((id["Arn"].as_str().unwrap(), id["Account"].as_str().unwrap()), (w.admin.arn.as_str(), w.account.as_str()));
    let deny = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Deny", "Action": "*", "Resource": "*" }] }).to_string();
    let ann = w.user("ann", Some(&deny)).await;
    w.call(&ann, "sts", "GetCallerIdentity", json!({})).await.expect("it cannot be denied");
    w.iam(
        "CreateRole",
        json!({ "RoleName": "R", "Path": "/service-role/", "AssumeRolePolicyDocument": trust_account(w.account.as_str()) }),
    )
    .await;
    let role = w.iam("GetRole", json!({ "RoleName": "R" })).await["Role"].clone();
    let session = w.assume(&w.admin, assume(role["Arn"].as_str().unwrap(), "SageMaker")).await.unwrap();
    let id = w.call(&session, "sts", "GetCallerIdentity", json!({})).await.unwrap();
    assert_eq!(id["Arn"], format!("arn:aws:sts::{}:assumed-role/R/SageMaker", w.account), "the session's arn has no path");
    assert_eq!(id["UserId"], format!("{}:SageMaker", role["RoleId"].as_str().unwrap()));
}

/// Same account: naming the caller is enough, naming the account asks the caller's own policies too.
#[tokio::test]
async fn same_account() {
    let w = World::new().await;
    let ann = w.user("ann", None).await;
    let bob = w.user("bob", Some(&allow("sts:AssumeRole", &w.arn("role/*")))).await;
    w.role("named", &trust(&json!({ "AWS": ann.arn }))).await;
    w.role("account", &trust_account(w.account.as_str())).await;
    w.role("service", &trust(&json!({ "Service": "sagemaker.amazonaws.com" }))).await;
    for (caller, role, allowed) in [
        (&ann, "named", true),
        (&ann, "account", false),
        (&ann, "service", false),
        (&bob, "named", false),
        (&bob, "account", true),
        (&bob, "service", false),
        (&bob, "missing", false),
    ] {
        let arn = w.arn(&format!("role/{role}"));
        let answer = w.call(caller, "sts", "AssumeRole", assume(&arn, "s1")).await;
        assert_eq!(answer.is_ok(), allowed, "{} {role}: {answer:?}", caller.arn);
        match answer {
            Ok(output) => {
                assert!(output["Credentials"]["AccessKeyId"].as_str().unwrap().starts_with("ASIA"));
                assert_eq!(output["AssumedRoleUser"]["Arn"], format!("arn:aws:sts::{}:assumed-role/{role}/s1", w.account));
                assert!(output.get("PackedPolicySize").is_none());
            }
            Err(error) => {
                assert_eq!((error.status, &*error.code), (403, "AccessDenied"));
                let begin = format!("User: {} is not authorized to perform: sts:AssumeRole on resource: {arn}", caller.arn);
                assert!(error.message.starts_with(&begin), "{}", error.message);
            }
        }
    }
    // A role that is not there is refused in the words of one that does not trust.
    let text = |role: &str, error: tenantry_core::AwsError| error.message.replace(role, "ROLE");
    let missing = w.call(&bob, "sts", "AssumeRole", assume(&w.arn("role/missing"), "s1")).await.unwrap_err();
    let refusing = w.call(&bob, "sts", "AssumeRole", assume(&w.arn("role/service"), "s1")).await.unwrap_err();
    assert_eq!(text("missing", missing), text("service", refusing));
}

/// The session principal of a trust policy: the tenants' roles name `…:assumed-role/Exec/SageMaker`.
#[tokio::test]
async fn a_session_as_principal() {
    let w = World::new().await;
    w.role("Exec", &trust_account(w.account.as_str())).await;
    let principal = json!({ "AWS": format!("arn:aws:sts::{}:assumed-role/Exec/SageMaker", w.account) });
    w.role(
        "Tenant",
        &trust_for(&principal, &["sts:AssumeRole", "sts:TagSession"], json!({ "StringLike": { "aws:RequestTag/TenantID": "tenant*" } })),
    )
    .await;
    let right = w.assume(&w.admin, assume(&w.arn("role/Exec"), "SageMaker")).await.unwrap();
    let wrong = w.assume(&w.admin, assume(&w.arn("role/Exec"), "Other")).await.unwrap();
    let with = |tenant: &str| {
        let mut input = assume(&w.arn("role/Tenant"), "t1");
        input["Tags"] = json!([{ "Key": "TenantID", "Value": tenant }]);
        input
    };
    let tenant = w.assume(&right, with("tenant-a")).await.unwrap();
    assert_eq!(tenant.tags, [Tag::new("TenantID", "tenant-a")]);
    w.assume(&right, with("other")).await.unwrap_err();
    w.assume(&right, assume(&w.arn("role/Tenant"), "t1")).await.expect_err("without tags the condition has no key");
    w.assume(&wrong, with("tenant-a")).await.unwrap_err();
}

#[tokio::test]
async fn across_accounts_both_sides() {
    let w = World::new().await;
    let other = crate::organizations::member(&w, "other@example.com").await;
    let there = w.assume(&w.admin, assume(&format!("arn:aws:iam::{other}:role/OrganizationAccountAccessRole"), "admin")).await.unwrap();
    assert_eq!(there.account, other.as_str());
    let ann = w.user("ann", None).await;
    let bob = w.user("bob", Some(&allow("sts:AssumeRole", "*"))).await;
    let create = |name: &str, document: String| json!({ "RoleName": name, "AssumeRolePolicyDocument": document });
    w.call(&there, "iam", "CreateRole", create("direct", trust(&json!({ "AWS": [ann.arn, bob.arn] })))).await.unwrap();
    w.call(&there, "iam", "CreateRole", create("closed", trust_account(&other))).await.unwrap();
    let role = |name: &str| format!("arn:aws:iam::{other}:role/{name}");
    w.assume(&ann, assume(&role("direct"), "s1")).await.expect_err("the own side does not allow");
    let session = w.assume(&bob, assume(&role("direct"), "s1")).await.unwrap();
    assert_eq!(session.account, other.as_str());
    w.assume(&bob, assume(&role("closed"), "s1")).await.expect_err("the other side does not allow");
}

#[tokio::test]
async fn tags_need_permission_and_are_merged() {
    let w = World::new().await;
    let me = json!({ "AWS": w.admin.arn });
    w.role("NoTags", &trust(&me)).await;
    w.iam(
        "CreateRole",
        json!({
            "RoleName": "Tags", "AssumeRolePolicyDocument": trust_for(&me, &["sts:AssumeRole", "sts:TagSession"], json!({})),
            "Tags": [{ "Key": "Team", "Value": "role" }, { "Key": "Kept", "Value": "role" }],
        }),
    )
    .await;
    let mut input = assume(&w.arn("role/NoTags"), "s1");
    input["Tags"] = json!([{ "Key": "team", "Value": "session" }]);
    let error = w.assume(&w.admin, input.clone()).await.unwrap_err();
    assert!(error.message.contains("sts:TagSession"), "{}", error.message);
    input["RoleArn"] = json!(w.arn("role/Tags"));
    let session = w.assume(&w.admin, input.clone()).await.unwrap();
    let mut tags = session.tags.clone();
    tags.sort();
    assert_eq!(tags, [Tag::new("Kept", "role"), Tag::new("team", "session")]);
    for (tags, keys) in [
        (json!([{ "Key": "a", "Value": "1" }, { "Key": "A", "Value": "2" }]), json!([])),
        (json!([{ "Key": "aws:x", "Value": "1" }]), json!([])),
        (json!([{ "Key": "a", "Value": "1" }]), json!(["b"])),
    ] {
        input["Tags"] = tags;
        input["TransitiveTagKeys"] = keys;
        assert_eq!(&*w.assume(&w.admin, input.clone()).await.unwrap_err().code, "ValidationError", "{input}");
    }
}

#[tokio::test]
async fn transitive_tags_and_source_identity_go_down_the_chain() {
    let w = World::new().await;
    let actions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"];
    let here = json!({ "AWS": w.account.as_str() });
    for name in ["one", "two"] {
        w.role(name, &trust_for(&here, &actions, json!({}))).await;
        w.iam("PutRolePolicy", json!({ "RoleName": name, "PolicyName": "p", "PolicyDocument": allow("sts:*", "*") })).await;
    }
    w.iam("TagRole", json!({ "RoleName": "two", "Tags": [{ "Key": "tenant", "Value": "of-role" }] })).await;
    w.role("plain", &trust_account(w.account.as_str())).await;
    w.role(
        "inherited",
        &trust_for(&here, &actions, json!({ "StringEquals": { "aws:PrincipalTag/Tenant": "a", "sts:SourceIdentity": "ann" } })),
    )
    .await;
    let mut first = assume(&w.arn("role/one"), "s1");
    first["Tags"] = json!([{ "Key": "Tenant", "Value": "a" }, { "Key": "Local", "Value": "x" }]);
    first["TransitiveTagKeys"] = json!(["Tenant"]);
    first["SourceIdentity"] = json!("ann");
    let one = w.assume(&w.admin, first).await.unwrap();
    let mut second = assume(&w.arn("role/two"), "s2");
    let two = w.assume(&one, second.clone()).await.unwrap();
    assert_eq!(two.tags, [Tag::new("Tenant", "a")], "what is not transitive stays behind, what is replaces the role's");
    let session = two.session.clone().unwrap();
    assert_eq!(
        (session.transitive.clone(), session.source_identity.as_deref(), session.chained),
        (vec!["Tenant".to_owned()], Some("ann"), true)
    );
    // Both permissions are needed where something is inherited.
    for (name, granted, missing) in
        [("identity", "sts:SetSourceIdentity", "sts:TagSession"), ("tags", "sts:TagSession", "sts:SetSourceIdentity")]
    {
        w.role(name, &trust_for(&here, &["sts:AssumeRole", granted], json!({}))).await;
        let error = w.assume(&one, assume(&w.arn(&format!("role/{name}")), "s3")).await.unwrap_err();
        assert!(error.message.contains(missing), "{}", error.message);
    }
    w.assume(&two, assume(&w.arn("role/inherited"), "s4")).await.unwrap();
    second["Tags"] = json!([{ "Key": "TENANT", "Value": "b" }]);
    assert_eq!(&*w.assume(&one, second.clone()).await.unwrap_err().code, "ValidationError", "an inherited tag cannot be passed again");
    second["Tags"] = json!([]);
    second["SourceIdentity"] = json!("bob");
    assert_eq!(&*w.assume(&one, second).await.unwrap_err().code, "AccessDenied");
}

#[tokio::test]
async fn how_long() {
    let w = World::new().await;
    w.iam(
        "CreateRole",
        json!({ "RoleName": "R", "AssumeRolePolicyDocument": trust_account(w.account.as_str()), "MaxSessionDuration": 7200 }),
    )
    .await;
    w.iam("PutRolePolicy", json!({ "RoleName": "R", "PolicyName": "p", "PolicyDocument": allow("sts:*", "*") })).await;
    let with = |seconds: u32| {
        let mut input = assume(&w.arn("role/R"), "s1");
        input["DurationSeconds"] = json!(seconds);
        input
    };
    let session = w.assume(&w.admin, with(7200)).await.unwrap();
    assert_eq!(session.session.as_ref().unwrap().expires.secs() - w.kernel.now().secs(), 7200);
    let error = w.assume(&w.admin, with(7201)).await.unwrap_err();
    assert_eq!(
        (&*error.code, error.message.as_str()),
        ("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    );
    w.assume(&session, with(3600)).await.unwrap();
    let error = w.assume(&session, with(3601)).await.unwrap_err();
    assert!(error.message.contains("role chaining"), "{}", error.message);
    let default = w.assume(&w.admin, assume(&w.arn("role/R"), "s1")).await.unwrap();
    assert_eq!(default.session.as_ref().unwrap().expires.secs() - w.kernel.now().secs(), 3600);
    for bad in [with(899), with(43_201), assume(&w.arn("role/R"), "x"), assume(&w.arn("role/R"), "a b")] {
        assert_eq!(w.call(&w.admin, "sts", "AssumeRole", bad.clone()).await.unwrap_err().status, 400, "{bad}");
    }
}

#[tokio::test]
async fn external_id() {
    let w = World::new().await;
    let here = json!({ "AWS": w.account.as_str() });
    w.role("R", &trust_for(&here, &["sts:AssumeRole"], json!({ "StringEquals": { "sts:ExternalId": "secret-42" } }))).await;
    let mut input = assume(&w.arn("role/R"), "s1");
    w.assume(&w.admin, input.clone()).await.unwrap_err();
    input["ExternalId"] = json!("other");
    w.assume(&w.admin, input.clone()).await.unwrap_err();
    input["ExternalId"] = json!("secret-42");
    w.assume(&w.admin, input).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_checked_is_refused() {
    let w = World::new().await;
    w.role("R", &trust_account(w.account.as_str())).await;
    for (member, value, code) in [
        ("TokenCode", json!("123456"), "AccessDenied"),
        ("SerialNumber", json!("arn:aws:iam::111122223333:mfa/ann"), "AccessDenied"),
        (
            "ProvidedContexts",
            json!([{ "ProviderArn": "arn:aws:iam::aws:contextProvider/IdentityCenter", "ContextAssertion": "xxxxx" }]),
            "ValidationError",
        ),
    ] {
        let mut input = assume(&w.arn("role/R"), "s1");
        input[member] = value;
        assert_eq!(&*w.assume(&w.admin, input).await.unwrap_err().code, code, "{member}");
    }
}

#[tokio::test]
async fn roles_by_their_tags() {
    let w = World::new().await;
    for (name, team) in [("mine", "a"), ("theirs", "b")] {
        w.role(name, &trust_account(w.account.as_str())).await;
        w.iam("TagRole", json!({ "RoleName": name, "Tags": [{ "Key": "team", "Value": team }] })).await;
    }
    for key in ["aws:ResourceTag/team", "iam:ResourceTag/team"] {
        let text = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*",
            "Condition": { "StringEquals": { key: "a" } } }] });
        let caller = w.user(if key.starts_with("aws") { "ann" } else { "bob" }, Some(&text.to_string())).await;
        w.assume(&caller, assume(&w.arn("role/mine"), "s1")).await.unwrap();
        w.assume(&caller, assume(&w.arn("role/theirs"), "s1")).await.unwrap_err();
    }
}

#[tokio::test]
async fn session_policies_only_take_away() {
    let w = World::new().await;
    w.role("R", &trust_account(w.account.as_str())).await;
    w.iam("PutRolePolicy", json!({ "RoleName": "R", "PolicyName": "p", "PolicyDocument": allow("iam:List*", "*") })).await;
    let mut input = assume(&w.arn("role/R"), "s1");
    input["Policy"] = json!(allow("iam:*", "*"));
    let wide = w.assume(&w.admin, input.clone()).await.unwrap();
    w.call(&wide, "iam", "ListUsers", json!({})).await.unwrap();
    w.call(&wide, "iam", "GetAccountSummary", json!({})).await.expect_err("a session policy grants nothing");
    input["Policy"] = json!(allow("iam:ListRoles", "*"));
    input["PolicyArns"] = json!([{ "arn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess" }]);
    let output = w.call(&w.admin, "sts", "AssumeRole", input.clone()).await.unwrap();
    assert!(output["PackedPolicySize"].as_u64().unwrap() > 0);
    let narrow = w.holder(w.account.as_str(), &output["Credentials"]).await;
    w.call(&narrow, "iam", "ListRoles", json!({})).await.unwrap();
    let error = w.call(&narrow, "iam", "ListUsers", json!({})).await.unwrap_err();
    assert!(error.message.ends_with("because no session policy allows the iam:ListUsers action"), "{}", error.message);
    input["Policy"] = json!("{}");
    assert_eq!(&*w.assume(&w.admin, input.clone()).await.unwrap_err().code, "MalformedPolicyDocument");
    input["Policy"] = json!(allow("iam:ListRoles", &format!("arn:aws:iam::*:role/{}", "x".repeat(2048))));
    let error = w.assume(&w.admin, input.clone()).await.unwrap_err();
    assert_eq!(&*error.code, "PackedPolicyTooLarge");
    assert!(error.message.contains('%'), "{}", error.message);
    input["Policy"] = Value::Null;
    input.as_object_mut().unwrap().remove("Policy");
    input["PolicyArns"] = json!([{ "arn": w.arn("policy/none-such") }]);
    assert_eq!(w.assume(&w.admin, input).await.unwrap_err().status, 400);
}

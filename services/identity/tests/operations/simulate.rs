use serde_json::json;

use crate::world::{World, allow, trust_account};

#[tokio::test]
async fn custom_policies() {
    let w = World::new().await;
    let deny = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "*",
        "Condition": { "StringEquals": { "aws:PrincipalTag/team": "a" } } }] })
    .to_string();
    let input = json!({ "PolicyInputList": [allow("s3:*", "arn:aws:s3:::b/*"), deny], "ActionNames": ["s3:GetObject", "s3:DeleteObject", "ec2:RunInstances"],
        "ResourceArns": ["arn:aws:s3:::b/k"] });
    let decisions = |value: &serde_json::Value| {
        value["EvaluationResults"].as_array().unwrap().iter().map(|r| r["EvalDecision"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let got = w.iam("SimulateCustomPolicy", input.clone()).await;
    assert_eq!(decisions(&got), ["allowed", "allowed", "implicitDeny"]);
    assert_eq!(got["EvaluationResults"][0]["MissingContextValues"], json!(["aws:PrincipalTag/team"]));
    let mut with = input;
    with["ContextEntries"] = json!([{ "ContextKeyName": "aws:PrincipalTag/team", "ContextKeyValues": ["a"], "ContextKeyType": "string" }]);
    let got = w.iam("SimulateCustomPolicy", with).await;
    assert_eq!(decisions(&got), ["allowed", "explicitDeny", "implicitDeny"]);
    assert_eq!(got["EvaluationResults"][1]["MatchedStatements"][0]["SourcePolicyId"], "PolicyInputList.2");
    assert_eq!(
        &*w.refused("iam", "SimulateCustomPolicy", json!({ "PolicyInputList": ["{}"], "ActionNames": ["s3:GetObject"] })).await.code,
        "InvalidInput"
    );
}

#[tokio::test]
async fn context_keys_are_bounded() {
    let w = World::new().await;
    let input = |count: usize| {
        let entries: Vec<_> = (0..count)
            .map(|n| json!({ "ContextKeyName": format!("aws:RequestTag/k{n}"), "ContextKeyValues": ["v"], "ContextKeyType": "string" }))
            .collect();
        json!({ "PolicyInputList": [allow("s3:*", "*")], "ActionNames": ["s3:GetObject"], "ContextEntries": entries })
    };
    assert_eq!(w.iam("SimulateCustomPolicy", input(1000)).await["EvaluationResults"][0]["EvalDecision"], "allowed");
    assert_eq!(&*w.refused("iam", "SimulateCustomPolicy", input(1001)).await.code, "InvalidInput");
}

#[tokio::test]
async fn a_principals_policies() {
    let w = World::new().await;
    w.role("R", &trust_account(w.account.as_str())).await;
    w.iam("PutRolePolicy", json!({ "RoleName": "R", "PolicyName": "p", "PolicyDocument": allow("s3:*", "*") })).await;
    let made = w.iam("CreatePolicy", json!({ "PolicyName": "ceiling", "PolicyDocument": allow("s3:Get*", "*") })).await;
    let ceiling = made["Policy"]["Arn"].clone();
    let ask = json!({ "PolicySourceArn": w.arn("role/R"), "ActionNames": ["s3:GetObject", "s3:PutObject"] });
    let got = w.iam("SimulatePrincipalPolicy", ask.clone()).await["EvaluationResults"].clone();
    assert_eq!((got[0]["EvalDecision"].clone(), got[1]["EvalDecision"].clone()), (json!("allowed"), json!("allowed")));
    w.iam("PutRolePermissionsBoundary", json!({ "RoleName": "R", "PermissionsBoundary": ceiling })).await;
    let got = w.iam("SimulatePrincipalPolicy", ask).await["EvaluationResults"].clone();
    assert_eq!(got[1]["EvalDecision"], "implicitDeny");
    assert_eq!(got[1]["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"], false);
    assert_eq!(got[0]["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"], true);
    let none = json!({ "PolicySourceArn": w.arn("role/none"), "ActionNames": ["s3:GetObject"] });
    assert_eq!(&*w.refused("iam", "SimulatePrincipalPolicy", none).await.code, "NoSuchEntity");

    w.iam("CreateGroup", json!({ "GroupName": "G" })).await;
    w.iam("AttachGroupPolicy", json!({ "GroupName": "G", "PolicyArn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess" })).await;
    let group = json!({ "PolicySourceArn": w.arn("group/G"), "ActionNames": ["s3:GetObject", "s3:PutObject"] });
    let got = w.iam("SimulatePrincipalPolicy", group).await["EvaluationResults"].clone();
    assert_eq!((got[0]["EvalDecision"].clone(), got[1]["EvalDecision"].clone()), (json!("allowed"), json!("implicitDeny")));
    assert_eq!(got[0]["MatchedStatements"][0]["SourcePolicyType"], "aws-managed");
}

//! Each kind of condition that does not hold, and each that does where it should not.

use serde_json::{Value, json};

use super::{
    Stage, golden,
    stage::{Ask, denies, lacks},
};

fn allow(conditions: Value) -> Value {
    json!([{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": conditions}])
}

fn deny(conditions: Value) -> Value {
    json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": conditions}])
}

/// What is asked for.
#[derive(Clone, Copy)]
enum What {
    /// A list of roles: no parameters.
    List,
    /// A new experiment, without tags.
    Bare,
    /// A new experiment, tagged `Team=red` and `Cost=1`.
    Tagged,
    /// A list of 100 objects.
    Objects,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denials_by_condition() {
    let mut stage = Stage::new().await;
    let own = stage.own();
    stage.by_admin(own.as_str(), "s3", "CreateBucket", json!({"Bucket": "condition-bucket"})).await;
    let cases = [
        ("StringEquals", false, What::List, json!({"StringEquals": {"aws:PrincipalTag/TenantID": "tenant-b"}})),
        ("StringEquals, the caller's tag missing", false, What::List, json!({"StringEquals": {"aws:PrincipalTag/Team": "red"}})),
        ("StringEqualsIgnoreCase", false, What::Tagged, json!({"StringEqualsIgnoreCase": {"aws:RequestTag/Team": "BLUE"}})),
        ("StringLike, the request's tag missing", false, What::Bare, json!({"StringLike": {"aws:RequestTag/userId": "user-*"}})),
        (
            "StringNotEquals in a deny, the request's tag missing",
            true,
            What::Bare,
            json!({"StringNotEquals": {"aws:RequestTag/Team": "red"}}),
        ),
        ("StringNotLike in a deny", true, What::Tagged, json!({"StringNotLike": {"aws:RequestTag/Team": "blue*"}})),
        (
            "StringEquals with a variable",
            false,
            What::Tagged,
            json!({"StringEquals": {"aws:RequestTag/Team": "${aws:PrincipalTag/TenantID}"}}),
        ),
        (
            "StringEquals with a variable without a value",
            false,
            What::Tagged,
            json!({"StringEquals": {"aws:RequestTag/Team": "${aws:PrincipalTag/Team}"}}),
        ),
        (
            "StringNotEquals in a deny with a variable without a value",
            true,
            What::Tagged,
            json!({"StringNotEquals": {"aws:RequestTag/Team": "${aws:PrincipalTag/Team}"}}),
        ),
        ("NumericLessThanEquals", false, What::Objects, json!({"NumericLessThanEquals": {"s3:max-keys": "10"}})),
        ("NumericGreaterThan in a deny", true, What::Objects, json!({"NumericGreaterThan": {"s3:max-keys": "50"}})),
        ("StringLike on a parameter that is missing", false, What::Objects, json!({"StringLike": {"s3:prefix": "home/*"}})),
        ("DateLessThan", false, What::List, json!({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}})),
        ("DateGreaterThan in a deny", true, What::List, json!({"DateGreaterThan": {"aws:EpochTime": "1600000000"}})),
        ("Bool", false, What::List, json!({"Bool": {"aws:ViaAWSService": "true"}})),
        ("Bool, the key missing", false, What::List, json!({"Bool": {"aws:MultiFactorAuthPresent": "true"}})),
        ("BoolIfExists in a deny", true, What::List, json!({"BoolIfExists": {"aws:SecureTransport": "true"}})),
        ("IpAddress", false, What::List, json!({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "2001:db8::/32"]}})),
        ("NotIpAddress in a deny", true, What::List, json!({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}})),
        ("ArnLike", false, What::List, json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}})),
        (
            "ArnNotEquals in a deny",
            true,
            What::List,
            json!({"ArnNotEquals": {"aws:PrincipalArn": "arn:aws:iam::111111111111:user/somebody"}}),
        ),
        ("Null: the key must be there", false, What::Bare, json!({"Null": {"aws:RequestTag/Team": "false"}})),
        ("Null: the key must not be there", false, What::Tagged, json!({"Null": {"aws:RequestTag/Cost": "true"}})),
        ("ForAnyValue, the key missing", false, What::Bare, json!({"ForAnyValue:StringEquals": {"aws:TagKeys": ["userId"]}})),
        ("ForAllValues", false, What::Tagged, json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["Team"]}})),
        ("ForAnyValue in a deny", true, What::Tagged, json!({"ForAnyValue:StringEquals": {"aws:TagKeys": ["Cost"]}})),
        ("a list compared without a set operator", false, What::Tagged, json!({"StringEquals": {"aws:TagKeys": "Team"}})),
        (
            "two conditions of which both fail",
            false,
            What::Bare,
            json!({"StringEquals": {"aws:RequestTag/Team": "red", "aws:PrincipalTag/Team": "red"}}),
        ),
    ];
    for (at, (name, denying, what, conditions)) in cases.into_iter().enumerate() {
        let user = format!("user{at}");
        let key = stage.user(&user, &[if denying { deny(conditions) } else { allow(conditions) }]).await;
        let experiment = |tags: Value| json!({"ExperimentName": format!("e{at}"), "Tags": tags});
        let (service, operation, input, action, resource) = match what {
            What::List => ("iam", "ListRoles", json!({}), "iam:ListRoles", stage.arn("role/")),
            What::Objects => (
                "s3",
                "ListObjectsV2",
                json!({"Bucket": "condition-bucket", "MaxKeys": 100}),
                "s3:ListBucket",
                "\"arn:aws:s3:::condition-bucket\"".to_owned(),
            ),
            What::Bare | What::Tagged => {
                let tags = json!([{"Key": "Team", "Value": "red"}, {"Key": "Cost", "Value": "1"}]);
                let input = if matches!(what, What::Tagged) { experiment(tags) } else { experiment(json!([])) };
                let resource = format!("arn:aws:sagemaker:us-east-1:{own}:experiment/e{at}");
                ("sagemaker", "CreateExperiment", input, "sagemaker:CreateExperiment", resource)
            }
        };
        let who = stage.arn(&format!("user/{user}"));
        let sentence = if denying {
            denies(&who, action, &resource, "an identity-based policy")
        } else {
            lacks(&who, action, &resource, "identity-based policy")
        };
        stage.denied(name, Ask::new(&key, service, operation, input), &sentence).await;
    }
    of_sessions(&mut stage).await;
    golden("by-condition", &stage.told);
}

/// Tags of sessions against tags and names of resources, and conditions of trust policies.
async fn of_sessions(stage: &mut Stage) {
    let own = stage.own();
    let assumer = stage.user("assumer", &[json!([{"Effect": "Allow", "Action": "*", "Resource": "*"}])]).await;
    let same = json!([{"Sid": "OwnTenant", "Effect": "Allow", "Action": "sagemaker:*", "Resource": "*",
        "Condition": {"StringEquals": {"aws:ResourceTag/Tenant": "${aws:PrincipalTag/Tenant}"}}}]);
    let role = stage.role("tenant", stage.trusting(), same).await;
    let who = format!("arn:aws:sts::{own}:assumed-role/tenant/s1");
    let experiment = |name: &str| format!("arn:aws:sagemaker:us-east-1:{own}:experiment/{name}");
    for (name, tags) in [("untagged", json!([])), ("blue-one", json!([{"Key": "Tenant", "Value": "blue"}]))] {
        stage.by_admin(own.as_str(), "sagemaker", "CreateExperiment", json!({"ExperimentName": name, "Tags": tags})).await;
        let red = stage.session(&assumer, json!({"RoleArn": role, "Tags": [{"Key": "Tenant", "Value": "red"}]})).await;
        let ask = red.ask("sagemaker", "DescribeExperiment", json!({"ExperimentName": name}));
        let sentence = lacks(&who, "sagemaker:DescribeExperiment", &experiment(name), "identity-based policy");
        stage.denied(&format!("a session tagged red and a resource that is {name}"), ask, &sentence).await;
    }
    let named =
        json!([{"Effect": "Allow", "Action": "sagemaker:*", "Resource": "arn:aws:sagemaker:*:*:experiment/${aws:PrincipalTag/Tenant}-*"}]);
    let role = stage.role("named", stage.trusting(), named).await;
    let red = stage.session(&assumer, json!({"RoleArn": role, "Tags": [{"Key": "Tenant", "Value": "red"}]})).await;
    let ask = red.ask("sagemaker", "DescribeExperiment", json!({"ExperimentName": "blue-one"}));
    let who = format!("arn:aws:sts::{own}:assumed-role/named/s1");
    stage
        .denied(
            "a variable in a resource pattern",
            ask,
            &lacks(&who, "sagemaker:DescribeExperiment", &experiment("blue-one"), "identity-based policy"),
        )
        .await;

    let mut trust = stage.trusting();
    trust["Condition"] = json!({"StringLike": {"aws:RequestTag/TenantID": "tenant*"}});
    let role = stage.role("only-tagged", trust, json!(null)).await;
    let who = stage.arn("user/assumer");
    let ask = Ask::new(&assumer, "sts", "AssumeRole", json!({"RoleArn": role, "RoleSessionName": "s1"}));
    stage.denied("a trust policy that wants a session tag", ask, &lacks(&who, "sts:AssumeRole", &role, "role trust policy")).await;
    let mut trust = stage.trusting();
    trust["Condition"] = json!({"StringEquals": {"sts:ExternalId": "shared-secret"}});
    let role = stage.role("third-party", trust, json!(null)).await;
    let ask = Ask::new(&assumer, "sts", "AssumeRole", json!({"RoleArn": role, "RoleSessionName": "s1", "ExternalId": "guess"}));
    stage.denied("a trust policy with another external id", ask, &lacks(&who, "sts:AssumeRole", &role, "role trust policy")).await;
}

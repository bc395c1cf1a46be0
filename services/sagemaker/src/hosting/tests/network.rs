//! What containers of models reach, and models of other accounts' packages.

use tenantry_core::{AccountId, Scope};
use tenantry_kernel::directory::kind::RESOURCE_POLICY;

use super::*;

const OTHER: &str = "999922223333";
const PACKAGE: &str = "arn:aws:sagemaker:us-east-1:999922223333:model-package/shared/1";

#[tokio::test]
async fn a_model_in_a_vpc_has_no_way_to_the_internet() {
    let vpc = json!({"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]});
    for (more, internet) in [(None, true), (Some(vpc), false)] {
        let world = World::new(|_, _, _| ok("")).await;
        let mut request = json!({"ModelName": "M", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": XGBOOST, "ModelDataUrl": "s3://models/m.tar.gz"}});
        if let Some(vpc) = &more {
            request["VpcConfig"] = vpc.clone();
        }
        world.call("CreateModel", request).await.unwrap();
        let described = world.call("DescribeModel", json!({"ModelName": "M"})).await.unwrap();
        assert_eq!(described.get("VpcConfig"), more.as_ref());
        world.config("C", 1).await;
        world.call("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "C"})).await.unwrap();
        world.until("InService").await;
        assert_eq!(*world.doors.0.lock().unwrap(), [internet]);
    }
}

/// A package of another account in a group whose policy lets this account do `actions`; what comes of a model of it.
async fn made_of_anothers(actions: &str) -> Result<Value> {
    let world = World::new(|_, _, _| ok("")).await;
    let there = Scope::new(OTHER, "us-east-1");
    let own = Role { arn: Arn::parse("arn:aws:iam::999922223333:role/execution").unwrap(), ..role() };
    let owner = role_caller(&own, &AccountId::from(OTHER), "owner");
    let group = Arn::new("sagemaker", "us-east-1", OTHER, "model-package-group/shared");
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{ACCOUNT}:root"}},"Action":[{actions}],"Resource":"arn:aws:sagemaker:us-east-1:{OTHER}:model-package/shared/*"}}]}}"#
    );
    let mut batch = Batch::new();
    batch.put(Row::new(kind::ROLE, &Scope::global(OTHER), "execution", Timestamp::default()).with(&own).unwrap(), Expect::Absent);
    let row = Row::new(RESOURCE_POLICY, &there, group.as_str(), Timestamp::default());
    batch.put(row.with(&json!({"document": policy})).unwrap(), Expect::Absent);
    world.kernel.store().commit(batch).await.unwrap();
    let containers = json!([{"Image": XGBOOST, "ModelDataUrl": "s3://models/m.tar.gz"}]);
    let specification =
        json!({"Containers": containers, "SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]});
    for (operation, input) in [
        ("CreateModelPackageGroup", json!({"ModelPackageGroupName": "shared"})),
        ("CreateModelPackage", json!({"ModelPackageGroupName": "shared", "InferenceSpecification": specification})),
    ] {
        world.kernel.call(&owner, &Region::from("us-east-1"), "sagemaker", operation, input).await.unwrap();
    }
    let request = json!({"ModelName": "M", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"ModelPackageName": PACKAGE}});
    world.call("CreateModel", request).await
}

#[tokio::test]
async fn another_accounts_package_needs_its_groups_leave() {
    let made = made_of_anothers(r#""sagemaker:DescribeModelPackage","sagemaker:CreateModel""#).await.unwrap();
    assert_eq!(made["ModelArn"], "arn:aws:sagemaker:us-east-1:123456789012:model/m");
    let error = made_of_anothers(r#""sagemaker:DescribeModelPackage""#).await.unwrap_err();
    assert_eq!(error.code, "AccessDeniedException");
    assert!(error.message.contains(&format!("sagemaker:CreateModel on resource: {PACKAGE}")), "{error}");
    let error = made_of_anothers(r#""sagemaker:CreateModel""#).await.unwrap_err();
    assert!(error.message.contains(&format!("sagemaker:DescribeModelPackage on resource: {PACKAGE}")), "{error}");
}

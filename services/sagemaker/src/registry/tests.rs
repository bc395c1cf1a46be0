use serde_json::{Value, json};

use crate::world::{ALL, World};

fn package(group: &str) -> Value {
    json!({"ModelPackageGroupName": group, "InferenceSpecification": {"Containers": [{"Image": "image", "ModelDataUrl": "s3://b/m.tar.gz"}],
        "SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}, "CustomerMetadataProperties": {"a": "1", "b": "2"}})
}

#[tokio::test]
async fn versions_are_registered_approved_and_listed() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    let error = world.refused(&admin, "DescribeModelPackageGroup", json!({"ModelPackageGroupName": "Churn"})).await;
    assert_eq!(
        (&*error.code, &*error.message),
        ("ValidationException", "ModelPackageGroup arn:aws:sagemaker:us-east-1:111122223333:model-package-group/churn does not exist.")
    );
    assert_eq!(world.refused(&admin, "CreateModelPackage", package("Churn")).await.code, "ValidationException");
    world.ok(&admin, "CreateModelPackageGroup", json!({"ModelPackageGroupName": "Churn", "Tags": [{"Key": "k", "Value": "v"}]})).await;
    assert_eq!(
        world.refused(&admin, "CreateModelPackageGroup", json!({"ModelPackageGroupName": "churn"})).await.code,
        "ValidationException"
    );
    for number in 1..=11 {
        let reply = world.ok(&admin, "CreateModelPackage", package("Churn")).await;
        assert_eq!(reply["ModelPackageArn"], format!("arn:aws:sagemaker:us-east-1:111122223333:model-package/churn/{number}"));
        world.clock.advance_secs(1);
    }
    let arn = "arn:aws:sagemaker:us-east-1:111122223333:model-package/churn/2";
    for alias in [arn.replace("/2", "/02"), "churn/02".to_owned()] {
        let error = world.refused(&admin, "DescribeModelPackage", json!({"ModelPackageName": alias})).await;
        assert_eq!(error.code, "ValidationException", "{alias} is no second name of version 2");
    }
    let update = json!({"ModelPackageArn": arn, "ModelApprovalStatus": "Approved", "ApprovalDescription": "fine",
        "CustomerMetadataProperties": {"c": "3"}, "CustomerMetadataPropertiesToRemove": ["a"]});
    world.ok(&admin, "UpdateModelPackage", update).await;
    let described = world.ok(&admin, "DescribeModelPackage", json!({"ModelPackageName": arn})).await;
    assert_eq!(
        (&described["ModelApprovalStatus"], &described["ModelPackageVersion"], &described["ModelPackageGroupName"]),
        (&json!("Approved"), &json!(2), &json!("Churn"))
    );
    assert_eq!(described["CustomerMetadataProperties"], json!({"b": "2", "c": "3"}));
    let approved =
        json!({"ModelPackageGroupName": "Churn", "ModelApprovalStatus": "Approved", "SortBy": "CreationTime", "SortOrder": "Descending"});
    let list = world.ok(&admin, "ListModelPackages", approved).await["ModelPackageSummaryList"].clone();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["ModelPackageArn"]), (1, &json!(arn)));
    let first = world.ok(&admin, "ListModelPackages", json!({"ModelPackageGroupName": "churn"})).await;
    assert_eq!(
        (first["ModelPackageSummaryList"].as_array().unwrap().len(), &first["ModelPackageSummaryList"][0]["ModelPackageVersion"]),
        (10, &json!(11))
    );
    let rest = world.ok(&admin, "ListModelPackages", json!({"ModelPackageGroupName": "churn", "NextToken": first["NextToken"]})).await;
    assert_eq!(rest["ModelPackageSummaryList"].as_array().unwrap().len(), 1);
    let tags = world.ok(&admin, "ListTags", json!({"ResourceArn": arn})).await;
    assert_eq!(tags["Tags"], json!([]));

    assert_eq!(world.refused(&admin, "DeleteModelPackageGroup", json!({"ModelPackageGroupName": "Churn"})).await.code, "ConflictException");
    for number in 1..=11 {
        world.ok(&admin, "DeleteModelPackage", json!({"ModelPackageName": format!("churn/{number}")})).await;
    }
    assert_eq!(world.refused(&admin, "DescribeModelPackage", json!({"ModelPackageName": arn})).await.code, "ValidationException");
    let reply = world.ok(&admin, "CreateModelPackage", package("Churn")).await;
    assert!(reply["ModelPackageArn"].as_str().unwrap().ends_with("/12"), "numbers are not given twice");
    world.ok(&admin, "DeleteModelPackage", json!({"ModelPackageName": "churn/12"})).await;
    world.ok(&admin, "DeleteModelPackageGroup", json!({"ModelPackageGroupName": "Churn"})).await;
}

#[tokio::test]
async fn unversioned_packages_and_client_tokens() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    let mut request = package("g");
    request.as_object_mut().unwrap().remove("ModelPackageGroupName");
    assert_eq!(world.refused(&admin, "CreateModelPackage", request.clone()).await.code, "ValidationException");
    request["ModelPackageName"] = json!("Alone");
    world.ok(&admin, "CreateModelPackage", request.clone()).await;
    assert_eq!(world.refused(&admin, "CreateModelPackage", request).await.code, "ValidationException");
    world.ok(&admin, "DescribeModelPackage", json!({"ModelPackageName": "Alone"})).await;
    let list = world.ok(&admin, "ListModelPackages", json!({})).await;
    assert_eq!(list["ModelPackageSummaryList"][0]["ModelPackageName"], "Alone");

    world.ok(&admin, "CreateModelPackageGroup", json!({"ModelPackageGroupName": "g"})).await;
    let mut same = package("g");
    same["ClientToken"] = json!("token");
    assert_eq!(world.ok(&admin, "CreateModelPackage", same.clone()).await, world.ok(&admin, "CreateModelPackage", same).await);
    let mut sealed = package("g");
    sealed["SecurityConfig"] = json!({"KmsKeyId": "k"});
    assert_eq!(world.refused(&admin, "CreateModelPackage", sealed).await.code, "ValidationException", "what is not kept is refused");
}

#[tokio::test]
async fn a_group_policy_opens_its_versions_to_another_account() {
    let world = World::new();
    let owner = world.role("admin", ALL, &[]).await;
    let stranger = world.role_in("999988887777", "deploy", ALL, &[]).await;
    world.ok(&owner, "CreateModelPackageGroup", json!({"ModelPackageGroupName": "shared"})).await;
    world.ok(&owner, "CreateModelPackage", package("shared")).await;
    let group = "arn:aws:sagemaker:us-east-1:111122223333:model-package-group/shared";
    let version = "arn:aws:sagemaker:us-east-1:111122223333:model-package/shared/1";
    let list = json!({"ModelPackageGroupName": group});
    assert_eq!(world.refused(&stranger, "ListModelPackages", list.clone()).await.code, "AccessDeniedException");
    assert_eq!(
        world.refused(&owner, "GetModelPackageGroupPolicy", json!({"ModelPackageGroupName": "shared"})).await.code,
        "ValidationException"
    );
    let policy = |actions: Value| {
        json!({"Version": "2012-10-17", "Statement": [{"Sid": "multi-account-access", "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::999988887777:root"}, "Action": actions,
            "Resource": [group, "arn:aws:sagemaker:us-east-1:111122223333:model-package/shared/*"]}]})
        .to_string()
    };
    let put = |text: String| json!({"ModelPackageGroupName": "shared", "ResourcePolicy": text});
    assert_eq!(world.refused(&owner, "PutModelPackageGroupPolicy", put("{".to_owned())).await.code, "ValidationException");
    let text = policy(json!(["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages", "sagemaker:DescribeModelPackageGroup"]));
    world.ok(&owner, "PutModelPackageGroupPolicy", put(text.clone())).await;
    assert_eq!(world.ok(&owner, "GetModelPackageGroupPolicy", json!({"ModelPackageGroupName": "shared"})).await["ResourcePolicy"], text);
    assert_eq!(world.ok(&stranger, "ListModelPackages", list.clone()).await["ModelPackageSummaryList"][0]["ModelPackageArn"], version);
    world.ok(&stranger, "DescribeModelPackage", json!({"ModelPackageName": version})).await;
    world.ok(&stranger, "DescribeModelPackageGroup", json!({"ModelPackageGroupName": group})).await;
    let approve = json!({"ModelPackageArn": version, "ModelApprovalStatus": "Approved"});
    assert_eq!(world.refused(&stranger, "UpdateModelPackage", approve).await.code, "AccessDeniedException");
    world.ok(&owner, "DeleteModelPackageGroupPolicy", json!({"ModelPackageGroupName": "shared"})).await;
    assert_eq!(world.refused(&stranger, "ListModelPackages", list).await.code, "AccessDeniedException");
}

#[tokio::test]
async fn policies_can_demand_an_approval_status() {
    let world = World::new();
    let owner = world.role("admin", ALL, &[]).await;
    world.ok(&owner, "CreateModelPackageGroup", json!({"ModelPackageGroupName": "g"})).await;
    let arn = world.ok(&owner, "CreateModelPackage", package("g")).await["ModelPackageArn"].clone();
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sagemaker:UpdateModelPackage","Resource":"*",
        "Condition":{"StringEquals":{"sagemaker:ModelApprovalStatus":"Rejected"}}}]}"#;
    let reviewer = world.role("reviewer", policy, &[]).await;
    assert_eq!(
        world.refused(&reviewer, "UpdateModelPackage", json!({"ModelPackageArn": arn, "ModelApprovalStatus": "Approved"})).await.code,
        "AccessDeniedException"
    );
    world.ok(&reviewer, "UpdateModelPackage", json!({"ModelPackageArn": arn, "ModelApprovalStatus": "Rejected"})).await;
}

/// Keys of what a package has, and of what a request would make of it.
#[tokio::test]
async fn policies_see_the_state_of_a_package() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    world.ok(&admin, "CreateModelPackageGroup", json!({"ModelPackageGroupName": "g"})).await;
    let mut staged = package("g");
    staged["ModelLifeCycle"] = json!({"Stage": "Production", "StageStatus": "Live"});
    let arn = world.ok(&admin, "CreateModelPackage", staged).await["ModelPackageArn"].clone();
    let update = |more: Value| {
        let mut request = json!({"ModelPackageArn": arn});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let approve = || update(json!({"ModelApprovalStatus": "Approved"}));
    let (other, name) = (json!({"ModelLifeCycle": {"Stage": "Archived", "StageStatus": "Done"}}), json!({"ModelPackageName": arn}));
    let tag = json!({"ResourceArn": arn, "Tags": [{"Key": "k", "Value": "v"}]});
    for (action, condition, operation, request, denied) in [
        ("UpdateModelPackage", r#""sagemaker:CurrentModelLifeCycleStage":"Production""#, "UpdateModelPackage", approve(), true),
        ("UpdateModelPackage", r#""sagemaker:CurrentModelLifeCycleStage":"Development""#, "UpdateModelPackage", approve(), false),
        ("UpdateModelPackage", r#""sagemaker:CurrentModelLifeCycleStageStatus":"Live""#, "UpdateModelPackage", approve(), true),
        ("UpdateModelPackage", r#""sagemaker:CurrentCustomerMetadataProperties/a":"1""#, "UpdateModelPackage", approve(), true),
        ("UpdateModelPackage", r#""sagemaker:CurrentCustomerMetadataProperties/a":"2""#, "UpdateModelPackage", approve(), false),
        ("UpdateModelPackage", r#""sagemaker:ModelLifeCycle:Stage":"Archived""#, "UpdateModelPackage", update(other.clone()), true),
        ("UpdateModelPackage", r#""sagemaker:ModelLifeCycle:StageStatus":"Done""#, "UpdateModelPackage", update(other), true),
        ("AddTags", r#""sagemaker:CurrentModelLifeCycleStage":"Archived""#, "AddTags", tag.clone(), false),
        ("AddTags", r#""sagemaker:CurrentModelLifeCycleStage":"Production""#, "AddTags", tag, true),
        ("DeleteModelPackage", r#""sagemaker:CurrentModelLifeCycleStage":"Production""#, "DeleteModelPackage", name, true),
    ] {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"*","Resource":"*"}},
            {{"Effect":"Deny","Action":"sagemaker:{action}","Resource":"*","Condition":{{"StringEquals":{{{condition}}}}}}}]}}"#
        );
        let limited = world.role("limited", &policy, &[]).await;
        // The package is as it was for each: what is allowed changes its approval only.
        if denied {
            assert_eq!(world.refused(&limited, operation, request).await.code, "AccessDeniedException", "{condition}");
        } else {
            world.ok(&limited, operation, request).await;
        }
    }
}

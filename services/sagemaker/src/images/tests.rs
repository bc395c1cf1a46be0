use serde_json::json;

use crate::world::{ALL, World};

#[tokio::test]
async fn images_and_versions() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    let create = json!({"ImageName": "Kernel", "RoleArn": "arn:aws:iam::111122223333:role/admin", "DisplayName": "A kernel"});
    world.ok(&admin, "CreateImage", create.clone()).await;
    assert_eq!(world.refused(&admin, "CreateImage", create).await.code, "ResourceInUse");
    for tag in ["1", "2", "3"] {
        let version = json!({"ImageName": "kernel", "BaseImage": format!("repository:{tag}"), "ClientToken": tag, "Aliases": [format!("v{tag}")], "JobType": "NOTEBOOK_KERNEL"});
        let made = world.ok(&admin, "CreateImageVersion", version.clone()).await;
        assert_eq!(made["ImageVersionArn"], format!("arn:aws:sagemaker:us-east-1:111122223333:image-version/kernel/{tag}"));
        assert_eq!(world.ok(&admin, "CreateImageVersion", version).await, made, "the same token is the same version");
    }
    let list = json!({"ImageName": "Kernel", "MaxResults": 100, "SortBy": "VERSION", "SortOrder": "DESCENDING", "NextToken": ""});
    let list = world.ok(&admin, "ListImageVersions", list).await["ImageVersions"].clone();
    assert_eq!(list.as_array().unwrap().iter().map(|v| v["Version"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 2, 1]);
    let newest = world.ok(&admin, "DescribeImageVersion", json!({"ImageName": "Kernel"})).await;
    assert_eq!(
        (&newest["Version"], &newest["ContainerImage"], &newest["JobType"]),
        (&json!(3), &json!("repository:3"), &json!("NOTEBOOK_KERNEL"))
    );
    let taken = json!({"ImageName": "Kernel", "Version": 1, "AliasesToAdd": ["v2"]});
    assert_eq!(world.refused(&admin, "UpdateImageVersion", taken).await.code, "ResourceInUse");
    world
        .ok(&admin, "UpdateImageVersion", json!({"ImageName": "Kernel", "Alias": "v1", "AliasesToAdd": ["old"], "AliasesToDelete": ["v1"]}))
        .await;
    world.ok(&admin, "DeleteImageVersion", json!({"ImageName": "Kernel", "Alias": "old"})).await;
    assert_eq!(world.refused(&admin, "DescribeImageVersion", json!({"ImageName": "Kernel", "Version": 1})).await.code, "ResourceNotFound");
    assert_eq!(world.refused(&admin, "DeleteImageVersion", json!({"ImageName": "Kernel"})).await.code, "ValidationException");

    world.ok(&admin, "UpdateImage", json!({"ImageName": "Kernel", "DeleteProperties": ["DisplayName"], "Description": "d"})).await;
    let image = world.ok(&admin, "DescribeImage", json!({"ImageName": "kernel"})).await;
    assert_eq!((image.get("DisplayName"), &image["Description"], &image["ImageStatus"]), (None, &json!("d"), &json!("CREATED")));
    assert_eq!(
        world.ok(&admin, "ListImages", json!({"SortBy": "IMAGE_NAME", "SortOrder": "ASCENDING"})).await["Images"].as_array().unwrap().len(),
        1
    );
    world.ok(&admin, "DeleteImage", json!({"ImageName": "Kernel"})).await;
    assert_eq!(world.refused(&admin, "ListImageVersions", json!({"ImageName": "Kernel"})).await.code, "ResourceNotFound");
}

#[tokio::test]
async fn a_role_must_be_passed() {
    let world = World::new();
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sagemaker:*","Resource":"*"}]}"#;
    let limited = world.role("limited", policy, &[]).await;
    let error = world.refused(&limited, "CreateImage", json!({"ImageName": "i", "RoleArn": "arn:aws:iam::111122223333:role/other"})).await;
    assert!(error.message.contains("iam:PassRole"), "{}", error.message);
}

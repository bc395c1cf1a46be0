use serde_json::json;
use tenantry_core::Region;

use super::World;

#[tokio::test]
async fn a_bucket_comes_and_goes() {
    let world = World::new().await;
    let made = world.ok("CreateBucket", json!({"Bucket": "first"})).await;
    assert_eq!(made["Location"], "/first");
    // In the first region the owner may make it again.
    world.bucket("first").await;
    let listed = world.ok("ListBuckets", json!({})).await;
    assert_eq!(listed["Buckets"][0]["Name"], "first");
    assert_eq!(world.ok("HeadBucket", json!({"Bucket": "first"})).await["BucketRegion"], "us-east-1");
    assert_eq!(world.ok("GetBucketLocation", json!({"Bucket": "first"})).await, json!({}));
    let taken = world.call_as(&world.other, "CreateBucket", json!({"Bucket": "first"})).await.err().unwrap();
    assert_eq!((taken.status, &*taken.code), (409, "BucketAlreadyExists"));
    world.put("first", "k", b"v").await;
    assert_eq!(world.fails("DeleteBucket", json!({"Bucket": "first"})).await.code, "BucketNotEmpty");
    world.ok("DeleteObject", json!({"Bucket": "first", "Key": "k"})).await;
    world.ok("CreateMultipartUpload", json!({"Bucket": "first", "Key": "k"})).await;
    world.ok("DeleteBucket", json!({"Bucket": "first"})).await;
    let gone = world.fails("HeadBucket", json!({"Bucket": "first"})).await;
    assert_eq!((gone.status, &*gone.code), (404, "NoSuchBucket"));
    // The name is free for others.
    world.call_as(&world.other, "CreateBucket", json!({"Bucket": "first"})).await.unwrap();
}

#[tokio::test]
async fn regions_and_location_constraints() {
    let mut world = World::new().await;
    let constraint = |name: &str| json!({"Bucket": "there", "CreateBucketConfiguration": {"LocationConstraint": name}});
    world.region = Region::from("eu-central-1");
    assert_eq!(world.fails("CreateBucket", json!({"Bucket": "there"})).await.code, "IllegalLocationConstraintException");
    assert_eq!(world.fails("CreateBucket", constraint("eu-west-1")).await.code, "IllegalLocationConstraintException");
    world.ok("CreateBucket", constraint("eu-central-1")).await;
    assert_eq!(world.fails("CreateBucket", constraint("eu-central-1")).await.code, "BucketAlreadyOwnedByYou");
    assert_eq!(world.ok("GetBucketLocation", json!({"Bucket": "there"})).await["LocationConstraint"], "eu-central-1");
    let listed = world.ok("ListBuckets", json!({"BucketRegion": "us-east-1"})).await;
    assert_eq!(listed["Buckets"], json!([]));
}

#[tokio::test]
async fn buckets_are_listed_in_pages() {
    let world = World::new().await;
    for name in ["aaa", "aab", "bbb"] {
        world.bucket(name).await;
    }
    let first = world.ok("ListBuckets", json!({"MaxBuckets": 1, "Prefix": "aa"})).await;
    assert_eq!(first["Buckets"][0]["Name"], "aaa");
    let second = world.ok("ListBuckets", json!({"MaxBuckets": 1, "Prefix": "aa", "ContinuationToken": first["ContinuationToken"]})).await;
    assert_eq!(second["Buckets"][0]["Name"], "aab");
    assert!(second.get("ContinuationToken").is_none());
    assert_eq!(world.fails("ListBuckets", json!({"ContinuationToken": "%%"})).await.code, "InvalidArgument");
}

#[tokio::test]
async fn settings_of_a_new_bucket() {
    let world = World::new().await;
    world.bucket("plain").await;
    for (name, code) in [
        ("GetBucketTagging", "NoSuchTagSet"),
        ("GetBucketPolicy", "NoSuchBucketPolicy"),
        ("GetBucketCors", "NoSuchCORSConfiguration"),
        ("GetBucketLifecycleConfiguration", "NoSuchLifecycleConfiguration"),
        ("GetBucketWebsite", "NoSuchWebsiteConfiguration"),
        ("GetObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"),
        ("GetBucketReplication", "ReplicationConfigurationNotFoundError"),
    ] {
        let error = world.fails(name, json!({"Bucket": "plain"})).await;
        assert_eq!((error.status, &*error.code), (404, code), "{name}");
    }
    let get = async |name| world.ok(name, json!({"Bucket": "plain"})).await;
    assert_eq!(get("GetBucketVersioning").await, json!({}));
    assert_eq!(get("GetBucketLogging").await, json!({}));
    assert_eq!(get("GetBucketNotificationConfiguration").await, json!({}));
    assert_eq!(get("GetBucketAccelerateConfiguration").await, json!({}));
    assert_eq!(get("GetBucketRequestPayment").await, json!({"Payer": "BucketOwner"}));
    assert_eq!(get("GetBucketOwnershipControls").await["OwnershipControls"]["Rules"][0]["ObjectOwnership"], "BucketOwnerEnforced");
    assert_eq!(get("GetPublicAccessBlock").await["PublicAccessBlockConfiguration"]["RestrictPublicBuckets"], true);
    let encryption = get("GetBucketEncryption").await;
    assert_eq!(encryption["ServerSideEncryptionConfiguration"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"], "AES256");
    assert_eq!(get("GetBucketAcl").await["Grants"][0]["Permission"], "FULL_CONTROL");
}

#[tokio::test]
async fn settings_are_kept() {
    let world = World::new().await;
    world.bucket("kept").await;
    let with = |member: &str, value: serde_json::Value| json!({"Bucket": "kept", member: value});
    world.ok("PutBucketTagging", with("Tagging", json!({"TagSet": [{"Key": "team", "Value": "a"}]}))).await;
    assert_eq!(world.ok("GetBucketTagging", json!({"Bucket": "kept"})).await["TagSet"][0]["Value"], "a");
    world.ok("DeleteBucketTagging", json!({"Bucket": "kept"})).await;
    assert_eq!(world.fails("GetBucketTagging", json!({"Bucket": "kept"})).await.code, "NoSuchTagSet");
    let twice = json!({"TagSet": [{"Key": "a", "Value": ""}, {"Key": "a", "Value": "b"}]});
    assert_eq!(world.fails("PutBucketTagging", with("Tagging", twice)).await.code, "InvalidTag");

    world.ok("PutBucketVersioning", with("VersioningConfiguration", json!({"Status": "Enabled"}))).await;
    assert_eq!(world.ok("GetBucketVersioning", json!({"Bucket": "kept"})).await["Status"], "Enabled");

    let cors = json!({"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]});
    world.ok("PutBucketCors", with("CORSConfiguration", cors.clone())).await;
    assert_eq!(world.ok("GetBucketCors", json!({"Bucket": "kept"})).await, cors);
    let bad = json!({"CORSRules": [{"AllowedMethods": ["PATCH"], "AllowedOrigins": ["*"]}]});
    assert_eq!(world.fails("PutBucketCors", with("CORSConfiguration", bad)).await.code, "InvalidRequest");

    world.ok("PutBucketNotificationConfiguration", with("NotificationConfiguration", json!({}))).await;
    let queue = json!({"QueueConfigurations": [{"QueueArn": "arn:aws:sqs:us-east-1:111122223333:q", "Events": ["s3:ObjectCreated:*"]}]});
    assert_eq!(world.fails("PutBucketNotificationConfiguration", with("NotificationConfiguration", queue)).await.code, "NotImplemented");

    let kms = json!({"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]});
    world.ok("PutBucketEncryption", with("ServerSideEncryptionConfiguration", kms)).await;
    assert_eq!(world.put("kept", "k", b"v").await["ServerSideEncryption"], "aws:kms");
    let foreign = json!({"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "arn:aws:kms:us-east-1:111122223333:key/x"}}]});
    assert_eq!(world.fails("PutBucketEncryption", with("ServerSideEncryptionConfiguration", foreign)).await.code, "KMS.NotFoundException");
    world.ok("DeleteBucketEncryption", json!({"Bucket": "kept"})).await;
    assert_eq!(world.put("kept", "k", b"v").await["ServerSideEncryption"], "AES256");

    world.ok("DeletePublicAccessBlock", json!({"Bucket": "kept"})).await;
    assert_eq!(world.fails("GetPublicAccessBlock", json!({"Bucket": "kept"})).await.code, "NoSuchPublicAccessBlockConfiguration");
    world.ok("DeleteBucketOwnershipControls", json!({"Bucket": "kept"})).await;
    assert_eq!(world.fails("GetBucketOwnershipControls", json!({"Bucket": "kept"})).await.code, "OwnershipControlsNotFoundError");
}

#[tokio::test]
async fn acls_say_that_the_owner_has_full_control() {
    let world = World::new().await;
    world.bucket("lists").await;
    world.ok("PutBucketAcl", json!({"Bucket": "lists", "ACL": "private"})).await;
    assert_eq!(world.fails("PutBucketAcl", json!({"Bucket": "lists", "ACL": "public-read"})).await.code, "AccessControlListNotSupported");
    let put = async |acl: &str| world.put_with(json!({"Bucket": "lists", "Key": "k", "ACL": acl}), b"v").await;
    put("bucket-owner-full-control").await.unwrap();
    assert_eq!(put("public-read").await.unwrap_err().code, "AccessControlListNotSupported");
    let preferred = json!({"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]});
    world.ok("PutBucketOwnershipControls", json!({"Bucket": "lists", "OwnershipControls": preferred})).await;
    put("private").await.unwrap();
    assert_eq!(put("public-read").await.unwrap_err().code, "AccessDenied");
    let own = world.ok("GetObjectAcl", json!({"Bucket": "lists", "Key": "k"})).await;
    world.ok("PutObjectAcl", json!({"Bucket": "lists", "Key": "k", "AccessControlPolicy": own})).await;
}

#[tokio::test]
async fn lifecycle_rules_are_carried_out() {
    let world = World::new().await;
    world.bucket("aging").await;
    world.put("aging", "old/a", b"1").await;
    world.put("aging", "kept/a", b"1").await;
    world.ok("CreateMultipartUpload", json!({"Bucket": "aging", "Key": "old/b"})).await;
    let rules = json!({"Rules": [
        {"Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 2}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
        {"Status": "Disabled", "Filter": {}, "Expiration": {"Days": 1}},
    ]});
    world.ok("PutBucketLifecycleConfiguration", json!({"Bucket": "aging", "LifecycleConfiguration": rules})).await;
    world.kernel.settle().await.unwrap();
    assert_eq!(world.ok("ListObjectsV2", json!({"Bucket": "aging"})).await["KeyCount"], 2);
    world.clock.advance_secs(3 * 86_400);
    world.kernel.settle().await.unwrap();
    let left = world.ok("ListObjectsV2", json!({"Bucket": "aging"})).await;
    assert_eq!((&left["KeyCount"], &left["Contents"][0]["Key"]), (&json!(1), &json!("kept/a")));
    assert!(world.ok("ListMultipartUploads", json!({"Bucket": "aging"})).await.get("Uploads").is_none());
    let shown = world.ok("GetBucketLifecycleConfiguration", json!({"Bucket": "aging"})).await;
    assert_eq!(shown["Rules"][0]["Expiration"]["Days"], 2);
    assert!(!shown["Rules"][0]["ID"].as_str().unwrap().is_empty());
}

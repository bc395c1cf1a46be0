use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Caller, Reply};

use super::{ONE, TWO, World};

fn allow(actions: Value, resources: Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": actions, "Resource": resources}})
}

fn code(outcome: Result<Reply>) -> String {
    outcome.err().map_or_else(|| "ok".to_owned(), |error| error.code.into_owned())
}

async fn policy(world: &World, statement: Value) {
    let document = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    world.ok("PutBucketPolicy", json!({"Bucket": "data", "Policy": document})).await;
}

async fn world() -> World {
    let world = World::new().await;
    world.bucket("data").await;
    world.put("data", "in/a", b"v").await;
    world
}

fn input(key: &str) -> Value {
    json!({"Bucket": "data", "Key": key})
}

#[tokio::test]
async fn a_missing_key_is_told_to_those_who_may_list() {
    let world = world().await;
    let reader = world.user("reader", &allow(json!("s3:GetObject"), json!("arn:aws:s3:::data/*"))).await;
    assert_eq!(code(world.call_as(&reader, "GetObject", input("in/a")).await), "ok");
    let denied = world.call_as(&reader, "HeadObject", input("none")).await.err().unwrap();
    assert_eq!(denied.status, 403);
    assert!(denied.message.contains("s3:ListBucket"), "{}", denied.message);
    let lister = world.user("lister", &allow(json!(["s3:GetObject", "s3:ListBucket"]), json!("*"))).await;
    assert_eq!(code(world.call_as(&lister, "GetObject", input("none")).await), "NoSuchKey");
    // A bucket that is not there is told to everybody.
    assert_eq!(code(world.call_as(&reader, "ListObjectsV2", json!({"Bucket": "nobody-has-it"})).await), "NoSuchBucket");
}

#[tokio::test]
async fn what_comes_along_is_checked_too() {
    let world = world().await;
    let writer = world.user("writer", &allow(json!("s3:PutObject"), json!("*"))).await;
    assert_eq!(code(world.call_as(&writer, "PutObject", input("x")).await), "ok");
    let tagged = json!({"Bucket": "data", "Key": "x", "Tagging": "a=1"});
    assert_eq!(code(world.call_as(&writer, "PutObject", tagged).await), "AccessDenied");
    let listed = json!({"Bucket": "data", "Key": "x", "ACL": "bucket-owner-full-control"});
    assert_eq!(code(world.call_as(&writer, "PutObject", listed).await), "AccessDenied");
    let copy = json!({"Bucket": "data", "Key": "x", "CopySource": "data/in/a"});
    assert_eq!(code(world.call_as(&writer, "CopyObject", copy.clone()).await), "AccessDenied");
    let both = world.user("both", &allow(json!(["s3:PutObject", "s3:GetObject"]), json!("*"))).await;
    assert_eq!(code(world.call_as(&both, "CopyObject", copy.clone()).await), "ok");
    world.ok("PutObjectTagging", json!({"Bucket": "data", "Key": "in/a", "Tagging": {"TagSet": [{"Key": "t", "Value": "1"}]}})).await;
    assert_eq!(code(world.call_as(&both, "CopyObject", copy).await), "AccessDenied");
    let upload = world.ok("CreateMultipartUpload", input("up")).await["UploadId"].clone();
    let part = json!({"Bucket": "data", "Key": "up", "UploadId": upload, "PartNumber": 1, "CopySource": "data/in/a"});
    assert_eq!(code(world.call_as(&writer, "UploadPartCopy", part).await), "AccessDenied");
}

#[tokio::test]
async fn a_version_has_an_action_of_its_own() {
    let world = world().await;
    world.ok("PutBucketVersioning", json!({"Bucket": "data", "VersioningConfiguration": {"Status": "Enabled"}})).await;
    let id = world.put("data", "v", b"1").await["VersionId"].clone();
    let versioned = json!({"Bucket": "data", "Key": "v", "VersionId": id});
    let user = world.user("user", &allow(json!(["s3:GetObject", "s3:DeleteObject"]), json!("*"))).await;
    assert_eq!(code(world.call_as(&user, "GetObject", versioned.clone()).await), "AccessDenied");
    assert_eq!(code(world.call_as(&user, "DeleteObject", versioned.clone()).await), "AccessDenied");
    let all = world.user("all", &allow(json!(["s3:GetObjectVersion", "s3:DeleteObjectVersion"]), json!("*"))).await;
    let plain = json!({"Bucket": "data", "Key": "v"});
    assert_eq!(code(world.call_as(&all, "GetObject", plain.clone()).await), "AccessDenied");
    assert_eq!(code(world.call_as(&all, "DeleteObject", plain).await), "AccessDenied");
    let tags = world.call_as(&all, "GetObjectTagging", versioned.clone()).await;
    assert_eq!(code(tags), "AccessDenied");
    assert_eq!(code(world.call_as(&all, "GetObject", versioned.clone()).await), "ok");
    assert_eq!(code(world.call_as(&all, "HeadObject", versioned.clone()).await), "ok");
    let many = json!({"Bucket": "data", "Delete": {"Objects": [{"Key": "v"}]}});
    assert_eq!(code(world.call_as(&all, "DeleteObjects", many).await), "AccessDenied");
    assert_eq!(code(world.call_as(&all, "DeleteObject", versioned).await), "ok");
}

#[tokio::test]
async fn condition_keys() {
    let world = world().await;
    let conditions = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": {"StringLike": {"s3:prefix": "in/*"}}},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Condition": {"StringEquals": {"s3:ExistingObjectTag/team": "a"}}},
        {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*", "Condition": {"StringEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}},
    ]});
    let user = world.user("user", &conditions).await;
    let list = |prefix: &str| json!({"Bucket": "data", "Prefix": prefix});
    assert_eq!(code(world.call_as(&user, "ListObjectsV2", list("in/")).await), "ok");
    assert_eq!(code(world.call_as(&user, "ListObjects", list("out/")).await), "AccessDenied");
    assert_eq!(code(world.call_as(&user, "GetObject", input("in/a")).await), "AccessDenied");
    world.ok("PutObjectTagging", json!({"Bucket": "data", "Key": "in/a", "Tagging": {"TagSet": [{"Key": "team", "Value": "a"}]}})).await;
    assert_eq!(code(world.call_as(&user, "GetObject", input("in/a")).await), "ok");
    assert_eq!(code(world.call_as(&user, "PutObject", input("b")).await), "AccessDenied");
    let kms = json!({"Bucket": "data", "Key": "b", "ServerSideEncryption": "aws:kms"});
    assert_eq!(code(world.call_as(&user, "PutObject", kms).await), "ok");
}

#[tokio::test]
async fn a_bucket_policy_lets_others_in_and_keeps_own_out() {
    let world = world().await;
    let get = async |caller: &Caller| code(world.call_as(caller, "GetObject", input("in/a")).await);
    let denied = world.call_as(&world.other, "GetObject", input("in/a")).await.err().unwrap();
    assert_eq!(denied.message, "Access Denied", "strangers are told nothing");
    policy(&world, json!({"Effect": "Allow", "Principal": {"AWS": [TWO]}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/in/*"}))
        .await;
    assert_eq!(get(&world.other).await, "ok");
    assert_eq!(code(world.call_as(&world.other, "PutObject", input("in/b")).await), "AccessDenied");
    let expected = json!({"Bucket": "data", "Key": "in/a", "ExpectedBucketOwner": TWO});
    assert_eq!(code(world.call_as(&world.other, "GetObject", expected).await), "AccessDenied");
    let stored = world.ok("GetBucketPolicy", json!({"Bucket": "data"})).await;
    let stored: Value = serde_json::from_str(stored["Policy"].as_str().unwrap()).unwrap();
    assert_eq!(stored["Statement"][0]["Principal"]["AWS"], format!("arn:aws:iam::{TWO}:root"));
    policy(&world, json!({"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/*"})).await;
    assert_eq!(get(&world.admin).await, "AccessDenied");
    world.ok("DeleteBucketPolicy", json!({"Bucket": "data"})).await;
    assert_eq!(get(&world.admin).await, "ok");
    assert_eq!(get(&world.other).await, "AccessDenied");
}

#[tokio::test]
async fn policies_that_are_refused() {
    let world = world().await;
    let own = format!("arn:aws:iam::{ONE}:root");
    let fails = async |statement: Value| {
        let document = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
        world.fails("PutBucketPolicy", json!({"Bucket": "data", "Policy": document})).await
    };
    let of = |principal: Value, action: &str, resource: &str| json!({"Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource});
    for principal in ["999999999999", "arn:aws:iam::111122223333:role/Nobody", "nonsense"] {
        let error = fails(of(json!({"AWS": principal}), "s3:GetObject", "arn:aws:s3:::data/*")).await;
        assert_eq!((&*error.code, error.message.as_str()), ("MalformedPolicy", "Invalid principal in policy"), "{principal}");
    }
    for (action, resource, text) in [
        ("s3:GetObject", "arn:aws:s3:::other/*", "Policy has invalid resource"),
        ("s3:GetObject", "arn:aws:s3:::database/*", "Policy has invalid resource"),
        ("iam:GetUser", "arn:aws:s3:::data/*", "Policy has invalid action"),
    ] {
        assert_eq!(fails(of(json!({"AWS": own}), action, resource)).await.message, text);
    }
    let without = json!({"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"});
    assert_eq!(fails(without).await.message, "Missing required field Resource");
    assert_eq!(world.fails("PutBucketPolicy", json!({"Bucket": "data", "Policy": "no"})).await.code, "MalformedPolicy");
}

#[tokio::test]
async fn public_access_is_blocked() {
    let world = world().await;
    let open = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/*"}]});
    let put = json!({"Bucket": "data", "Policy": open.to_string()});
    let blocked = world.fails("PutBucketPolicy", put.clone()).await;
    assert_eq!(blocked.code, "AccessDenied");
    assert!(blocked.message.contains("BlockPublicPolicy"));
    world.ok("DeletePublicAccessBlock", json!({"Bucket": "data"})).await;
    world.ok("PutBucketPolicy", put).await;
    assert_eq!(world.ok("GetBucketPolicyStatus", json!({"Bucket": "data"})).await["PolicyStatus"]["IsPublic"], true);
    assert_eq!(code(world.call_as(&world.other, "GetObject", input("in/a")).await), "ok");
    let restrict = json!({"RestrictPublicBuckets": true});
    world.ok("PutPublicAccessBlock", json!({"Bucket": "data", "PublicAccessBlockConfiguration": restrict})).await;
    assert_eq!(code(world.call_as(&world.other, "GetObject", input("in/a")).await), "AccessDenied");
    let nobody = world.user("nobody", &allow(json!("s3:ListAllMyBuckets"), json!("*"))).await;
    assert_eq!(code(world.call_as(&nobody, "GetObject", input("in/a")).await), "ok", "the owner's account is not the public");
}

#[tokio::test]
async fn of_many_keys_only_the_allowed_are_deleted() {
    let world = world().await;
    world.put("data", "out/a", b"v").await;
    let user = world.user("user", &allow(json!("s3:DeleteObject"), json!("arn:aws:s3:::data/in/*"))).await;
    let many = |keys: &[&str]| {
        let objects: Vec<Value> = keys.iter().map(|key| json!({ "Key": key })).collect();
        json!({"Bucket": "data", "Delete": {"Objects": objects}})
    };
    let done = world.call_as(&user, "DeleteObjects", many(&["out/a", "in/a"])).await.unwrap().output;
    assert_eq!(done["Deleted"], json!([{"Key": "in/a"}]));
    assert_eq!((&done["Errors"][0]["Key"], &done["Errors"][0]["Code"]), (&json!("out/a"), &json!("AccessDenied")));
    assert_eq!(&world.read("data", "out/a").await[..], b"v");
    assert_eq!(code(world.call_as(&user, "DeleteObjects", many(&["out/a"])).await), "AccessDenied");
}

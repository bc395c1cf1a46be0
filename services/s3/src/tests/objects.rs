use serde_json::{Value, json};
use tenantry_core::AwsError;
use tenantry_store::Fault;

use super::{World, long_body, pieces};

#[tokio::test]
async fn an_object_comes_back_as_it_was() {
    let world = World::new().await;
    world.bucket("box").await;
    let input = json!({"Bucket": "box", "Key": "a b/ä+%.txt", "ContentType": "text/plain", "ContentEncoding": "aws-chunked,gzip", "CacheControl": "no-cache",
        "Metadata": {"owner": "me"}, "Tagging": "a=1&b=x%20y", "ChecksumCRC32": "NhCmhg=="});
    let put = world.put_with(input, b"hello").await.unwrap();
    assert_eq!(put["ETag"], "\"5d41402abc4b2a76b9719d911017c592\"");
    assert_eq!(
        (&put["ChecksumCRC32"], &put["ChecksumType"], &put["ServerSideEncryption"]),
        (&json!("NhCmhg=="), &json!("FULL_OBJECT"), &json!("AES256"))
    );
    let (reply, bytes) =
        world.get(json!({"Bucket": "box", "Key": "a b/ä+%.txt", "ChecksumMode": "ENABLED", "ResponseContentType": "x/y"})).await.unwrap();
    assert_eq!(&bytes[..], b"hello");
    let output = reply.output;
    assert_eq!((&output["ContentLength"], &output["ContentType"], &output["ContentEncoding"]), (&json!(5), &json!("x/y"), &json!("gzip")));
    assert_eq!(
        (&output["Metadata"]["owner"], &output["TagCount"], &output["ChecksumCRC32"]),
        (&json!("me"), &json!(2), &json!("NhCmhg=="))
    );
    let head = world.ok("HeadObject", json!({"Bucket": "box", "Key": "a b/ä+%.txt"})).await;
    assert_eq!((&head["ContentLength"], &head["ContentType"]), (&json!(5), &json!("text/plain")));
    assert!(head.get("ChecksumCRC32").is_none() && head.get("VersionId").is_none());
    let tags = world.ok("GetObjectTagging", json!({"Bucket": "box", "Key": "a b/ä+%.txt"})).await;
    assert_eq!(tags["TagSet"], json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "x y"}]));
    assert_eq!(world.fails("HeadObject", json!({"Bucket": "box", "Key": "none"})).await.status, 404);
    assert_eq!(world.fails("GetObject", json!({"Bucket": "box", "Key": "none"})).await.code, "NoSuchKey");
}

#[tokio::test]
async fn bytes_on_disk_are_encrypted() {
    let world = World::new().await;
    world.bucket("safe").await;
    let canary = b"the canary sings at four in the morning";
    world.put("safe", "k", canary).await;
    world.put_with(json!({"Bucket": "safe", "Key": "kms", "ServerSideEncryption": "aws:kms"}), canary).await.unwrap();
    let files = world.blobs();
    assert_eq!(files.len(), 2);
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        assert_eq!(bytes.len(), canary.len() + 16);
        assert!(!bytes.windows(10).any(|window| canary.windows(10).any(|piece| piece == window)));
    }
    assert_eq!(&world.read("safe", "kms").await[..], canary);
    let head = world.ok("HeadObject", json!({"Bucket": "safe", "Key": "kms"})).await;
    assert_eq!(head["ServerSideEncryption"], "aws:kms");
    assert!(head["SSEKMSKeyId"].as_str().unwrap().starts_with("arn:aws:kms:us-east-1:111122223333:key/"));
    let named =
        json!({"Bucket": "safe", "Key": "k", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "11111111-2222-3333-4444-555555555555"});
    assert_eq!(world.put_with(named, b"").await.unwrap_err().code, "KMS.NotFoundException");
    let customer = json!({"Bucket": "safe", "Key": "k", "SSECustomerAlgorithm": "AES256"});
    assert_eq!(world.put_with(customer, b"").await.unwrap_err().code, "NotImplemented");
}

#[tokio::test]
async fn ranges_of_a_long_object() {
    let world = World::new().await;
    world.bucket("long").await;
    let bytes: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    world.put("long", "k", &bytes).await;
    assert_eq!(&world.read("long", "k").await[..], &bytes[..]);
    for (range, from, until) in [
        ("bytes=0-0", 0, 1),
        ("bytes=65535-65536", 65535, 65537),
        ("bytes=65536-131071", 65536, 131_072),
        ("bytes=-5", 299_995, 300_000),
        ("bytes=100-", 100, 300_000),
    ] {
        let (reply, got) = world.get(json!({"Bucket": "long", "Key": "k", "Range": range})).await.unwrap();
        assert_eq!(&got[..], &bytes[from..until], "{range}");
        assert_eq!(reply.status, 206);
        assert_eq!(reply.output["ContentRange"], format!("bytes {from}-{}/300000", until - 1));
    }
    let beyond = world.fails("GetObject", json!({"Bucket": "long", "Key": "k", "Range": "bytes=300000-"})).await;
    assert_eq!((beyond.status, &*beyond.code), (416, "InvalidRange"));
    assert!(beyond.details.contains(&("ActualObjectSize".into(), "300000".into())));
    world.put("long", "empty", b"").await;
    let (reply, got) = world.get(json!({"Bucket": "long", "Key": "empty"})).await.unwrap();
    assert!(got.is_empty());
    assert_eq!(reply.output["ETag"], "\"d41d8cd98f00b204e9800998ecf8427e\"");
}

#[tokio::test]
async fn conditional_requests() {
    let world = World::new().await;
    world.bucket("ifs").await;
    world.put("ifs", "k", b"hello").await;
    let etag = "\"5d41402abc4b2a76b9719d911017c592\"";
    let with = |member: &str, value: Value| json!({"Bucket": "ifs", "Key": "k", member: value});
    assert_eq!(world.fails("GetObject", with("IfMatch", json!("\"x\""))).await.status, 412);
    let (reply, bytes) = world.get(with("IfNoneMatch", json!(etag))).await.unwrap();
    assert_eq!((reply.status, bytes.len(), &reply.output["ETag"]), (304, 0, &json!(etag)));
    assert!(reply.output.get("ContentLength").is_none());
    let late = world.call_as(&world.admin, "HeadObject", with("IfModifiedSince", json!(1_795_356_377))).await.unwrap();
    assert_eq!(late.status, 304);
    assert_eq!(world.put_with(with("IfNoneMatch", json!("*")), b"x").await.unwrap_err().code, "PreconditionFailed");
    assert_eq!(world.put_with(with("IfMatch", json!("\"x\"")), b"x").await.unwrap_err().code, "PreconditionFailed");
    world.put_with(with("IfMatch", json!(etag)), b"x").await.unwrap();
    assert_eq!(world.put_with(with("IfNoneMatch", json!("\"x\"")), b"x").await.unwrap_err().code, "NotImplemented");
    world.put_with(json!({"Bucket": "ifs", "Key": "new", "IfNoneMatch": "*"}), b"x").await.unwrap();
    let missing = world.put_with(json!({"Bucket": "ifs", "Key": "none", "IfMatch": "*"}), b"x").await.unwrap_err();
    assert_eq!((missing.status, &*missing.code), (404, "NoSuchKey"));
}

#[tokio::test]
async fn one_of_many_writers_wins_if_none_match() {
    let world = std::sync::Arc::new(World::new().await);
    world.bucket("race").await;
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..20u8 {
        let world = world.clone();
        writers.spawn(async move { world.put_with(json!({"Bucket": "race", "Key": "k", "IfNoneMatch": "*"}), &[n]).await.is_ok() });
    }
    let won = writers.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn what_is_not_proven_is_not_stored() {
    let world = World::new().await;
    world.bucket("proof").await;
    let put = async |more: Value, body| {
        let mut input = json!({"Bucket": "proof", "Key": "k"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.send("PutObject", input, body).await
    };
    let body = || pieces(vec![b"hel", b"lo"], None);
    for (more, code) in [
        (json!({"ChecksumCRC32": "AAAAAA=="}), "BadDigest"),
        (json!({"ChecksumSHA256": "AAAA"}), "InvalidRequest"),
        (json!({"ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="}), "BadDigest"),
        (json!({"ContentMD5": "nonsense"}), "InvalidDigest"),
        (json!({"ChecksumXXHASH64": "AAAAAAAAAAA="}), "NotImplemented"),
        (json!({"ObjectLockMode": "GOVERNANCE"}), "InvalidRequest"),
        (json!({"StorageClass": "GLACIER"}), "InvalidStorageClass"),
        (json!({"Metadata": {"a": "x".repeat(2048)}}), "MetadataTooLarge"),
        (json!({"Tagging": "a=1&a=2"}), "InvalidTag"),
    ] {
        assert_eq!(put(more.clone(), body()).await.unwrap_err().code, code, "{more}");
    }
    let forged = AwsError::new(400, "XAmzContentSHA256Mismatch", "no");
    let broken = pieces(vec![b"hel"], Some(Err(std::io::Error::other(forged))));
    assert_eq!(put(json!({}), broken).await.unwrap_err().code, "XAmzContentSHA256Mismatch");
    let cut = pieces(vec![b"hel"], Some(Err(std::io::Error::other("gone"))));
    assert_eq!(put(json!({}), cut).await.unwrap_err().code, "IncompleteBody");
    assert!(world.blobs().is_empty());
    assert_eq!(world.fails("HeadObject", json!({"Bucket": "proof", "Key": "k"})).await.code, "NoSuchKey");
    put(json!({"ContentMD5": "XUFAKrxLKna5cZ2REBfFkg==", "ChecksumSHA1": "qvTGHdzF6KLavt4PO0gs2a6pQ00="}), body()).await.unwrap();
}

#[tokio::test]
async fn trailing_checksums() {
    let world = World::new().await;
    world.bucket("trail").await;
    // The header that names the trailer does not reach internal calls: the algorithm is named as clients name it beside.
    let input = json!({"Bucket": "trail", "Key": "k", "ChecksumAlgorithm": "CRC32"});
    let good = pieces(vec![b"hello"], Some(Ok(("x-amz-checksum-crc32", "NhCmhg=="))));
    assert_eq!(world.send("PutObject", input.clone(), good).await.unwrap()["ChecksumCRC32"], "NhCmhg==");
    let bad = pieces(vec![b"hello"], Some(Ok(("x-amz-checksum-crc32", "AAAAAA=="))));
    assert_eq!(world.send("PutObject", input, bad).await.unwrap_err().code, "BadDigest");
}

#[tokio::test]
async fn listing_with_prefixes_and_pages() {
    let world = World::new().await;
    world.bucket("lists").await;
    for key in ["a", "b/1", "b/2", "b/c/3", "b0", "c d", "ü"] {
        world.put("lists", key, b"x").await;
    }
    let list = async |more: Value| {
        let mut input = json!({"Bucket": "lists"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.ok("ListObjectsV2", input).await
    };
    let names = |output: &Value| {
        let keys = output["Contents"].as_array().into_iter().flatten().map(|o| o["Key"].as_str().unwrap().to_owned());
        let prefixes = output["CommonPrefixes"].as_array().into_iter().flatten().map(|o| o["Prefix"].as_str().unwrap().to_owned());
        keys.chain(prefixes).collect::<Vec<_>>()
    };
    assert_eq!(names(&list(json!({})).await), ["a", "b/1", "b/2", "b/c/3", "b0", "c d", "ü"]);
    assert_eq!(names(&list(json!({"Delimiter": "/"})).await), ["a", "b0", "c d", "ü", "b/"]);
    assert_eq!(names(&list(json!({"Delimiter": "/", "Prefix": "b/"})).await), ["b/1", "b/2", "b/c/"]);
    assert_eq!(names(&list(json!({"StartAfter": "b/2"})).await), ["b/c/3", "b0", "c d", "ü"]);
    assert_eq!(names(&list(json!({"Prefix": "zz"})).await), [""; 0]);
    assert_eq!(names(&list(json!({"EncodingType": "url", "Prefix": "c"})).await), ["c%20d"]);
    assert_eq!(names(&list(json!({"EncodingType": "url", "Prefix": "ü"})).await), ["%C3%BC"]);
    assert_eq!(list(json!({"MaxKeys": 0})).await["IsTruncated"], false);
    let owner = list(json!({"FetchOwner": true, "MaxKeys": 1})).await;
    assert_eq!(owner["Contents"][0]["Owner"]["ID"].as_str().unwrap().len(), 64);
    // Page by page, every entry once.
    for size in 1..4 {
        let (mut token, mut all) = (Value::Null, Vec::new());
        loop {
            let page = list(json!({"Delimiter": "/", "MaxKeys": size, "ContinuationToken": token})).await;
            all.extend(names(&page));
            assert_eq!(page["KeyCount"], names(&page).len());
            if page["IsTruncated"] == false {
                break;
            }
            token = page["NextContinuationToken"].clone();
        }
        all.sort();
        assert_eq!(all, ["a", "b/", "b0", "c d", "ü"], "{size}");
    }
    assert_eq!(world.fails("ListObjectsV2", json!({"Bucket": "lists", "ContinuationToken": "%"})).await.code, "InvalidArgument");
    let first = world.ok("ListObjects", json!({"Bucket": "lists", "Delimiter": "/", "MaxKeys": 2})).await;
    assert_eq!((&first["NextMarker"], &first["IsTruncated"]), (&json!("b/"), &json!(true)));
    let second = world.ok("ListObjects", json!({"Bucket": "lists", "Delimiter": "/", "Marker": "b/"})).await;
    assert_eq!(names(&second), ["b0", "c d", "ü"]);
}

#[tokio::test]
async fn copies() {
    let world = World::new().await;
    world.bucket("from").await;
    world.bucket("onto").await;
    let input = json!({"Bucket": "from", "Key": "a b", "ContentType": "text/x", "Metadata": {"m": "1"}, "Tagging": "t=1"});
    world.put_with(input, b"hello").await.unwrap();
    let copy = |more: Value| {
        let mut input = json!({"Bucket": "onto", "Key": "c", "CopySource": "/from/a%20b"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let copied = world.ok("CopyObject", copy(json!({}))).await;
    assert_eq!(copied["CopyObjectResult"]["ETag"], "\"5d41402abc4b2a76b9719d911017c592\"");
    assert_eq!(world.blobs().len(), 1, "the bytes are shared");
    let head = world.ok("HeadObject", json!({"Bucket": "onto", "Key": "c"})).await;
    assert_eq!((&head["Metadata"]["m"], &head["ContentType"], &head["TagCount"]), (&json!("1"), &json!("text/x"), &json!(1)));
    world.ok("CopyObject", copy(json!({"MetadataDirective": "REPLACE", "Metadata": {"n": "2"}, "TaggingDirective": "REPLACE", "ServerSideEncryption": "aws:kms"}))).await;
    let (reply, bytes) = world.get(json!({"Bucket": "onto", "Key": "c"})).await.unwrap();
    assert_eq!(
        (&bytes[..], &reply.output["Metadata"], &reply.output["ServerSideEncryption"]),
        (&b"hello"[..], &json!({"n": "2"}), &json!("aws:kms"))
    );
    assert!(reply.output.get("TagCount").is_none());
    assert_eq!(world.blobs().len(), 2, "another key, other bytes");
    let onto_itself = json!({"Bucket": "from", "Key": "a b", "CopySource": "from/a b"});
    assert_eq!(world.fails("CopyObject", onto_itself).await.code, "InvalidRequest");
    world.ok("CopyObject", json!({"Bucket": "from", "Key": "a b", "CopySource": "from/a b", "MetadataDirective": "REPLACE"})).await;
    assert_eq!(world.fails("CopyObject", copy(json!({"CopySourceIfMatch": "\"x\""}))).await.code, "PreconditionFailed");
    assert_eq!(world.fails("CopyObject", copy(json!({"CopySource": "from/none"}))).await.code, "NoSuchKey");
    assert_eq!(world.fails("CopyObject", copy(json!({"CopySource": "nothing"}))).await.code, "InvalidArgument");
    let sum = world.ok("CopyObject", copy(json!({"ChecksumAlgorithm": "SHA256"}))).await;
    assert_eq!(sum["CopyObjectResult"]["ChecksumSHA256"], "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=");
}

#[tokio::test]
async fn tags_of_an_object() {
    let world = World::new().await;
    world.bucket("tags").await;
    world.put("tags", "k", b"v").await;
    let set = |tags: Value| json!({"Bucket": "tags", "Key": "k", "Tagging": {"TagSet": tags}});
    world.ok("PutObjectTagging", set(json!([{"Key": "a", "Value": "1"}]))).await;
    assert_eq!(world.ok("GetObjectTagging", json!({"Bucket": "tags", "Key": "k"})).await["TagSet"][0]["Key"], "a");
    let many: Vec<Value> = (0..11).map(|i| json!({"Key": i.to_string(), "Value": ""})).collect();
    assert_eq!(world.fails("PutObjectTagging", set(json!(many))).await.code, "BadRequest");
    world.ok("DeleteObjectTagging", json!({"Bucket": "tags", "Key": "k"})).await;
    assert_eq!(world.ok("GetObjectTagging", json!({"Bucket": "tags", "Key": "k"})).await["TagSet"], json!([]));
}

#[tokio::test]
async fn deletes_of_many_keys() {
    let world = World::new().await;
    world.bucket("many").await;
    world.put("many", "a", b"v").await;
    let objects = json!([{"Key": "a"}, {"Key": "none"}, {"Key": "x".repeat(1025)}]);
    let done = world.ok("DeleteObjects", json!({"Bucket": "many", "Delete": {"Objects": objects}})).await;
    assert_eq!(done["Deleted"], json!([{"Key": "a"}, {"Key": "none"}]));
    assert_eq!(done["Errors"][0]["Code"], "KeyTooLongError");
    // A key that is named twice is deleted once.
    world.put("many", "b", b"v").await;
    let twice = world.ok("DeleteObjects", json!({"Bucket": "many", "Delete": {"Objects": [{"Key": "b"}, {"Key": "b"}]}})).await;
    assert_eq!(twice["Deleted"].as_array().unwrap().len(), 2);
    assert_eq!(world.ok("ListObjectsV2", json!({"Bucket": "many"})).await["KeyCount"], 0);
    let quiet = world.ok("DeleteObjects", json!({"Bucket": "many", "Delete": {"Objects": [{"Key": "a"}], "Quiet": true}})).await;
    assert_eq!(quiet, json!({}));
    let too_many: Vec<Value> = (0..1001).map(|i| json!({"Key": i.to_string()})).collect();
    assert_eq!(world.fails("DeleteObjects", json!({"Bucket": "many", "Delete": {"Objects": too_many}})).await.code, "MalformedXML");
}

#[tokio::test]
async fn bytes_are_swept_once_no_row_names_them() {
    let world = World::new().await;
    world.bucket("swept").await;
    world.put("swept", "gone", b"1").await;
    world.put("swept", "over", b"2").await;
    world.put("swept", "kept", b"3").await;
    world.ok("CopyObject", json!({"Bucket": "swept", "Key": "copy", "CopySource": "swept/kept"})).await;
    world.ok("DeleteObject", json!({"Bucket": "swept", "Key": "gone"})).await;
    world.ok("DeleteObject", json!({"Bucket": "swept", "Key": "kept"})).await;
    world.put("swept", "over", b"4").await;
    assert_eq!(world.blobs().len(), 4);
    world.kernel.settle().await.unwrap();
    assert_eq!(world.blobs().len(), 4, "not at once");
    world.clock.advance_secs(601);
    world.kernel.settle().await.unwrap();
    assert_eq!(world.blobs().len(), 2);
    assert_eq!(&world.read("swept", "copy").await[..], b"3");
    assert_eq!(&world.read("swept", "over").await[..], b"4");
}

#[tokio::test]
async fn a_long_body_goes_through() {
    let world = World::new().await;
    world.bucket("big").await;
    world.send("PutObject", json!({"Bucket": "big", "Key": "k"}), long_body(3_000_001)).await.unwrap();
    let (reply, bytes) = world.get(json!({"Bucket": "big", "Key": "k"})).await.unwrap();
    assert_eq!((bytes.len(), &reply.output["ContentLength"]), (3_000_001, &json!(3_000_001)));
}

#[tokio::test]
async fn a_store_that_fails_loses_nothing_that_was_acknowledged() {
    let world = World::new().await;
    world.bucket("fault").await;
    world.put("fault", "k", b"old").await;
    world.store.inject(1, Fault::Before);
    let failed = world.put_with(json!({"Bucket": "fault", "Key": "k"}), b"new").await.unwrap_err();
    assert_eq!(failed.status, 500);
    assert_eq!(&world.read("fault", "k").await[..], b"old");
    // The bytes that no row came to name go with the next sweep.
    world.put("fault", "k", b"newer").await;
    world.clock.advance_secs(601);
    world.kernel.settle().await.unwrap();
    assert_eq!(world.blobs().len(), 1);
    assert_eq!(&world.read("fault", "k").await[..], b"newer");
}

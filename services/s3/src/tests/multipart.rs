use serde_json::{Value, json};

use super::{World, long_body};

const MIB: usize = 1024 * 1024;

async fn begin(world: &World, more: Value) -> String {
    let mut input = json!({"Bucket": "parts", "Key": "k"});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.ok("CreateMultipartUpload", input).await["UploadId"].as_str().unwrap().to_owned()
}

fn part(upload: &str, number: u32) -> Value {
    json!({"Bucket": "parts", "Key": "k", "UploadId": upload, "PartNumber": number})
}

fn complete(upload: &str, parts: Value) -> Value {
    json!({"Bucket": "parts", "Key": "k", "UploadId": upload, "MultipartUpload": {"Parts": parts}})
}

#[tokio::test]
async fn parts_become_an_object() {
    let world = World::new().await;
    world.bucket("parts").await;
    let upload = begin(&world, json!({"ContentType": "x/y", "Metadata": {"m": "1"}, "ChecksumAlgorithm": "CRC32"})).await;
    let first = world.send("UploadPart", part(&upload, 1), long_body(5 * MIB)).await.unwrap();
    let third = world.send("UploadPart", part(&upload, 3), tenantry_kernel::full("tail")).await.unwrap();
    let replaced = world.send("UploadPart", part(&upload, 7), tenantry_kernel::full("never used")).await.unwrap();
    assert_eq!(world.ok("ListMultipartUploads", json!({"Bucket": "parts"})).await["Uploads"][0]["UploadId"], upload);
    let page = world.ok("ListParts", json!({"Bucket": "parts", "Key": "k", "UploadId": upload, "MaxParts": 2})).await;
    assert_eq!(
        (page["Parts"].as_array().unwrap().len(), &page["IsTruncated"], &page["NextPartNumberMarker"]),
        (2, &json!(true), &json!(3))
    );
    let rest = world.ok("ListParts", json!({"Bucket": "parts", "Key": "k", "UploadId": upload, "PartNumberMarker": 3})).await;
    assert_eq!((&rest["Parts"][0]["PartNumber"], &rest["Parts"][0]["ETag"]), (&json!(7), &replaced["ETag"]));
    let listed = |n: u32, of: &Value| json!({"PartNumber": n, "ETag": of["ETag"], "ChecksumCRC32": of["ChecksumCRC32"]});
    let backwards = complete(&upload, json!([listed(3, &third), listed(1, &first)]));
    assert_eq!(world.fails("CompleteMultipartUpload", backwards).await.code, "InvalidPartOrder");
    let unknown = complete(&upload, json!([{"PartNumber": 2, "ETag": "\"x\""}]));
    assert_eq!(world.fails("CompleteMultipartUpload", unknown).await.code, "InvalidPart");
    let wrong = complete(&upload, json!([{"PartNumber": 1, "ETag": third["ETag"]}]));
    assert_eq!(world.fails("CompleteMultipartUpload", wrong).await.code, "InvalidPart");
    let small = complete(&upload, json!([listed(3, &third), listed(7, &replaced)]));
    assert_eq!(world.fails("CompleteMultipartUpload", small).await.code, "EntityTooSmall");
    assert_eq!(world.fails("CompleteMultipartUpload", complete(&upload, json!([]))).await.code, "MalformedXML");
    let done = world.ok("CompleteMultipartUpload", complete(&upload, json!([listed(1, &first), listed(3, &third)]))).await;
    assert!(done["ETag"].as_str().unwrap().ends_with("-2\""), "{done}");
    assert!(done["ChecksumCRC32"].as_str().unwrap().ends_with("-2"));
    assert_eq!(done["ChecksumType"], "COMPOSITE");

    let (reply, bytes) = world.get(json!({"Bucket": "parts", "Key": "k", "Range": format!("bytes={}-", 5 * MIB - 2)})).await.unwrap();
    assert_eq!((&bytes[..], &reply.output["Metadata"]["m"]), (&b"xxtail"[..], &json!("1")));
    let (reply, bytes) = world.get(json!({"Bucket": "parts", "Key": "k", "PartNumber": 2})).await.unwrap();
    assert_eq!((&bytes[..], reply.status, &reply.output["PartsCount"]), (&b"tail"[..], 206, &json!(2)));
    assert_eq!(world.fails("HeadObject", json!({"Bucket": "parts", "Key": "k", "PartNumber": 3})).await.status, 416);
    let attributes = json!({"Bucket": "parts", "Key": "k", "ObjectAttributes": ["ETag", "ObjectSize", "ObjectParts", "Checksum"]});
    let attributes = world.ok("GetObjectAttributes", attributes).await;
    assert_eq!((&attributes["ObjectSize"], &attributes["ObjectParts"]["TotalPartsCount"]), (&json!(5 * MIB + 4), &json!(2)));
    assert_eq!(attributes["ObjectParts"]["Parts"][1]["ChecksumCRC32"], third["ChecksumCRC32"]);
    assert_eq!(world.fails("ListParts", json!({"Bucket": "parts", "Key": "k", "UploadId": upload})).await.code, "NoSuchUpload");

    // The unused part is swept; the object's own stay, also of a copy when the original is gone.
    world.ok("CopyObject", json!({"Bucket": "parts", "Key": "copy", "CopySource": "parts/k"})).await;
    world.clock.advance_secs(601);
    world.kernel.settle().await.unwrap();
    assert_eq!(world.blobs().len(), 3);
    assert_eq!(world.read("parts", "k").await.len(), 5 * MIB + 4);
    world.ok("DeleteObject", json!({"Bucket": "parts", "Key": "k"})).await;
    world.clock.advance_secs(601);
    world.kernel.settle().await.unwrap();
    assert_eq!(world.blobs().len(), 1);
    assert_eq!(world.read("parts", "copy").await.len(), 5 * MIB + 4);
}

#[tokio::test]
async fn checksums_of_the_whole() {
    let world = World::new().await;
    world.bucket("parts").await;
    let upload = begin(&world, json!({"ChecksumAlgorithm": "CRC64NVME"})).await;
    let first = world.send("UploadPart", part(&upload, 1), tenantry_kernel::full("123456789")).await.unwrap();
    let input = |claimed: &str| {
        let mut input = complete(&upload, json!([{"PartNumber": 1, "ETag": first["ETag"]}]));
        input["ChecksumCRC64NVME"] = claimed.into();
        input["ChecksumType"] = "FULL_OBJECT".into();
        input
    };
    assert_eq!(world.fails("CompleteMultipartUpload", input("AAAAAAAAAAA=")).await.code, "BadDigest");
    assert_eq!(world.ok("CompleteMultipartUpload", input("rosUhgp5mIg=")).await["ChecksumType"], "FULL_OBJECT");
    let never = json!({"Bucket": "parts", "Key": "k", "ChecksumAlgorithm": "SHA256", "ChecksumType": "FULL_OBJECT"});
    assert_eq!(world.fails("CreateMultipartUpload", never).await.code, "InvalidRequest");
}

#[tokio::test]
async fn parts_from_other_objects() {
    let world = World::new().await;
    world.bucket("parts").await;
    world.put("parts", "source", b"0123456789").await;
    let upload = begin(&world, json!({})).await;
    let copy = |range: &str| {
        let mut input = part(&upload, 1);
        input["CopySource"] = "parts/source".into();
        input["CopySourceRange"] = range.into();
        input
    };
    assert_eq!(world.fails("UploadPartCopy", copy("bytes=5-10")).await.code, "InvalidArgument");
    let copied = world.ok("UploadPartCopy", copy("bytes=2-4")).await;
    let parts = json!([{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}]);
    world.ok("CompleteMultipartUpload", complete(&upload, parts)).await;
    assert_eq!(&world.read("parts", "k").await[..], b"234");
}

#[tokio::test]
async fn an_aborted_upload_is_gone() {
    let world = World::new().await;
    world.bucket("parts").await;
    let upload = begin(&world, json!({})).await;
    world.send("UploadPart", part(&upload, 1), tenantry_kernel::full("x")).await.unwrap();
    let named = json!({"Bucket": "parts", "Key": "k", "UploadId": upload});
    let other_key = json!({"Bucket": "parts", "Key": "other", "UploadId": upload});
    assert_eq!(world.fails("AbortMultipartUpload", other_key).await.code, "NoSuchUpload");
    world.ok("AbortMultipartUpload", named.clone()).await;
    assert_eq!(world.fails("AbortMultipartUpload", named).await.code, "NoSuchUpload");
    assert_eq!(world.send("UploadPart", part(&upload, 1), tenantry_kernel::full("x")).await.unwrap_err().code, "NoSuchUpload");
    for number in [0, 10_001] {
        assert_eq!(world.send("UploadPart", part(&upload, number), tenantry_kernel::full("x")).await.unwrap_err().code, "InvalidArgument");
    }
    world.clock.advance_secs(601);
    world.kernel.settle().await.unwrap();
    assert!(world.blobs().is_empty());
}

#[tokio::test]
async fn uploads_are_listed_in_pages() {
    let world = World::new().await;
    world.bucket("parts").await;
    for key in ["a", "a", "b/1", "b/2", "c"] {
        world.ok("CreateMultipartUpload", json!({"Bucket": "parts", "Key": key})).await;
    }
    let (mut key, mut id, mut seen) = (Value::Null, Value::Null, Vec::new());
    loop {
        let page = world
            .ok(
                "ListMultipartUploads",
                json!({"Bucket": "parts", "MaxUploads": 1, "Delimiter": "/", "KeyMarker": key, "UploadIdMarker": id}),
            )
            .await;
        seen.extend(page["Uploads"].as_array().into_iter().flatten().map(|upload| upload["Key"].as_str().unwrap().to_owned()));
        seen.extend(page["CommonPrefixes"].as_array().into_iter().flatten().map(|common| common["Prefix"].as_str().unwrap().to_owned()));
        if page["IsTruncated"] == false {
            break;
        }
        (key, id) = (page["NextKeyMarker"].clone(), page["NextUploadIdMarker"].clone());
    }
    assert_eq!(seen, ["a", "a", "b/", "c"]);
}

use serde_json::{Value, json};

use super::World;

async fn versioned(status: &str) -> World {
    let world = World::new().await;
    world.bucket("vault").await;
    set(&world, status).await;
    world
}

async fn set(world: &World, status: &str) {
    world.ok("PutBucketVersioning", json!({"Bucket": "vault", "VersioningConfiguration": {"Status": status}})).await;
}

async fn listed(world: &World) -> Vec<(String, String, bool, bool)> {
    let output = world.ok("ListObjectVersions", json!({"Bucket": "vault"})).await;
    let mut all = Vec::new();
    for (member, marker) in [("Versions", false), ("DeleteMarkers", true)] {
        for one in output[member].as_array().into_iter().flatten() {
            all.push((
                one["Key"].as_str().unwrap().to_owned(),
                one["VersionId"].as_str().unwrap().to_owned(),
                one["IsLatest"] == true,
                marker,
            ));
        }
    }
    all
}

fn id(output: &Value) -> String {
    output["VersionId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn versions_are_kept_and_come_to_light() {
    let world = versioned("Enabled").await;
    let first = id(&world.put("vault", "k", b"1").await);
    let second = id(&world.put("vault", "k", b"2").await);
    assert_ne!(first, second);
    let by_id = |id: &str| json!({"Bucket": "vault", "Key": "k", "VersionId": id});
    assert_eq!(&world.get(by_id(&first)).await.unwrap().1[..], b"1");
    assert_eq!(&world.read("vault", "k").await[..], b"2");
    let marker = world.ok("DeleteObject", json!({"Bucket": "vault", "Key": "k"})).await;
    assert_eq!(marker["DeleteMarker"], true);
    assert_eq!(world.fails("GetObject", json!({"Bucket": "vault", "Key": "k"})).await.code, "NoSuchKey");
    assert_eq!(world.fails("HeadObject", by_id(&id(&marker))).await.status, 405);
    assert_eq!(&world.get(by_id(&second)).await.unwrap().1[..], b"2");
    let key = |id: &String, latest, marker| ("k".to_owned(), id.clone(), latest, marker);
    assert_eq!(listed(&world).await, [key(&second, false, false), key(&first, false, false), key(&id(&marker), true, true)]);
    assert_eq!(world.ok("ListObjectsV2", json!({"Bucket": "vault"})).await["KeyCount"], 0);
    assert_eq!(world.fails("DeleteBucket", json!({"Bucket": "vault"})).await.code, "BucketNotEmpty");
    // The marker away: the version below is current again.
    let undone = world.ok("DeleteObject", by_id(&id(&marker))).await;
    assert_eq!((undone["DeleteMarker"].clone(), id(&undone)), (json!(true), id(&marker)));
    assert_eq!(&world.read("vault", "k").await[..], b"2");
    world.ok("DeleteObject", by_id(&second)).await;
    assert_eq!(&world.read("vault", "k").await[..], b"1");
    world.ok("DeleteObject", by_id(&first)).await;
    assert!(listed(&world).await.is_empty());
    world.clock.advance_secs(601);
    world.kernel.settle().await.unwrap();
    assert!(world.blobs().is_empty());
    world.ok("DeleteBucket", json!({"Bucket": "vault"})).await;
}

#[tokio::test]
async fn the_null_version() {
    let world = World::new().await;
    world.bucket("vault").await;
    world.put("vault", "k", b"0").await;
    set(&world, "Enabled").await;
    let head = world.ok("HeadObject", json!({"Bucket": "vault", "Key": "k"})).await;
    assert_eq!(head["VersionId"], "null");
    let first = id(&world.put("vault", "k", b"1").await);
    let null = json!({"Bucket": "vault", "Key": "k", "VersionId": "null"});
    assert_eq!(&world.get(null.clone()).await.unwrap().1[..], b"0");
    set(&world, "Suspended").await;
    // A write takes the null version's place, wherever that is.
    assert!(world.put("vault", "k", b"2").await.get("VersionId").is_none());
    assert_eq!(&world.get(null.clone()).await.unwrap().1[..], b"2");
    let ids = |all: Vec<(String, String, bool, bool)>| all.into_iter().map(|(_, id, latest, _)| (id, latest)).collect::<Vec<_>>();
    assert_eq!(ids(listed(&world).await), [("null".to_owned(), true), (first.clone(), false)]);
    let marker = world.ok("DeleteObject", json!({"Bucket": "vault", "Key": "k"})).await;
    assert_eq!((id(&marker), &marker["DeleteMarker"]), ("null".to_owned(), &json!(true)));
    assert_eq!(ids(listed(&world).await), [(first.clone(), false), ("null".to_owned(), true)]);
    world.put("vault", "k", b"3").await;
    assert_eq!(ids(listed(&world).await), [("null".to_owned(), true), (first, false)]);
}

#[tokio::test]
async fn versions_are_listed_in_pages() {
    let world = versioned("Enabled").await;
    for key in ["a", "b/1", "b/2", "c"] {
        for _ in 0..3 {
            world.put("vault", key, b"x").await;
        }
    }
    world.ok("DeleteObject", json!({"Bucket": "vault", "Key": "b/1"})).await;
    let all = listed(&world).await;
    assert_eq!(all.len(), 13);
    for size in 1..6 {
        let (mut key, mut version, mut got) = (Value::Null, Value::Null, Vec::new());
        loop {
            let page = world
                .ok("ListObjectVersions", json!({"Bucket": "vault", "MaxKeys": size, "KeyMarker": key, "VersionIdMarker": version}))
                .await;
            for one in ["Versions", "DeleteMarkers"].iter().flat_map(|member| page[*member].as_array().into_iter().flatten()) {
                got.push((one["Key"].as_str().unwrap().to_owned(), one["VersionId"].as_str().unwrap().to_owned(), one["IsLatest"] == true));
            }
            if page["IsTruncated"] == false {
                break;
            }
            (key, version) = (page["NextKeyMarker"].clone(), page["NextVersionIdMarker"].clone());
        }
        let mut wanted: Vec<_> = all.iter().map(|(key, id, latest, _)| (key.clone(), id.clone(), *latest)).collect();
        wanted.sort();
        got.sort();
        assert_eq!(got, wanted, "{size}");
    }
    let rolled = world.ok("ListObjectVersions", json!({"Bucket": "vault", "Delimiter": "/"})).await;
    assert_eq!((rolled["Versions"].as_array().unwrap().len(), &rolled["CommonPrefixes"]), (6, &json!([{"Prefix": "b/"}])));
    assert_eq!(world.fails("GetObject", json!({"Bucket": "vault", "Key": "a", "VersionId": "nonsense"})).await.code, "InvalidArgument");
    let never = json!({"Bucket": "vault", "Key": "a", "VersionId": "0".repeat(32)});
    assert_eq!(world.fails("GetObject", never).await.code, "NoSuchVersion");
}

#[tokio::test]
async fn many_writers_of_one_key_lose_no_version() {
    let world = std::sync::Arc::new(versioned("Enabled").await);
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..6u8 {
        let world = world.clone();
        writers.spawn(async move { world.put("vault", "k", &[n]).await });
    }
    let mut ids: Vec<String> = writers.join_all().await.iter().map(id).collect();
    let mut found: Vec<String> = listed(&world).await.into_iter().map(|(_, id, _, _)| id).collect();
    ids.sort();
    found.sort();
    assert_eq!(ids, found);
}

//! Delivery against a bucket that refuses when it is told to.

use std::{
    io::Read,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};
use tenantry_blob::Blobs;
use tenantry_core::{AwsError, Result, Scope, Timestamp};
use tenantry_kernel::{
    Access, Checks, Cx, Ids, Kernel, ManualClock, Next, Operation, OperationRow, Permit, Reconciler, Reply, collect, reconcile::key_of,
};
use tenantry_store::{Batch, EventKey, Expect, Memory, Row, Store, canonical_json};

use crate::{
    delivery::Delivery,
    trail::{DELIVERY, Progress, TRAIL, Trail},
};

const START: Timestamp = Timestamp::from_secs(1_795_348_800);
const US: &str = "111111111111";

/// What was put.
#[derive(Default)]
struct Bucket {
    refuses: AtomicBool,
    files: Mutex<Vec<(String, Vec<Value>)>>,
}

/// The bucket's PutObject.
struct Put;

impl Operation for Put {
    const SERVICE: &'static str = "s3";
    const NAME: &'static str = "PutObject";
    const ACCESS: Access = Access::Public("a test");
    type Input = Value;
    async fn resolve(_: &Cx, _: &Value) -> Result<Checks> {
        Ok(Checks::none())
    }
    async fn handle(cx: &Cx, _: Permit<Self>, input: Value) -> Result<Reply> {
        let bucket = cx.kernel.provided::<Bucket>().unwrap();
        assert_eq!((cx.caller.arn.as_str(), &input["ACL"]), ("cloudtrail.amazonaws.com", &json!("bucket-owner-full-control")));
        assert_eq!(cx.caller.source_arn.as_ref().unwrap().as_str(), format!("arn:aws:cloudtrail:us-east-1:{US}:trail/t"));
        if bucket.refuses.load(Ordering::SeqCst) {
            return Err(AwsError::new(403, "AccessDenied", "Access Denied"));
        }
        let bytes = collect(cx.take_body().unwrap(), 1 << 20).await.unwrap().unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        let Value::Array(records) = serde_json::from_str::<Value>(&text).unwrap()["Records"].take() else { panic!("no records") };
        bucket.files.lock().unwrap().push((input["Key"].as_str().unwrap().to_owned(), records));
        Ok(Reply::empty())
    }
}

struct Place {
    kernel: Kernel,
    store: Arc<Memory>,
    clock: Arc<ManualClock>,
    bucket: Arc<Bucket>,
    scope: Scope,
    dir: std::path::PathBuf,
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left behind is in the system's temporary directory.
        let _left = std::fs::remove_dir_all(&self.dir);
    }
}

impl Place {
    async fn new(trail: Trail) -> Self {
        let (store, clock, bucket) = (Arc::new(Memory::new()), Arc::new(ManualClock::new(START)), Arc::new(Bucket::default()));
        let dir = std::env::temp_dir().join(format!("tenantry-cloudtrail-{}-{}", std::process::id(), Ids::lower(12)));
        let kernel = Kernel::builder(Arc::clone(&store) as Arc<dyn Store>, Blobs::open(&dir).unwrap())
            .clock(Arc::clone(&clock) as Arc<dyn tenantry_kernel::Clock>)
            .service(&[OperationRow::of::<Put>()])
            .provide(Arc::clone(&bucket))
            .build();
        let scope = Scope::new(US, "us-east-1");
        let mut batch = Batch::new();
        batch.put(Row::new(TRAIL, &scope, "t", START).with(&trail).unwrap(), Expect::Absent);
        batch.put(Row::new(DELIVERY, &scope, "t", START).with(&Progress::default()).unwrap(), Expect::Absent);
        store.commit(batch).await.unwrap();
        Self { kernel, store, clock, bucket, scope, dir }
    }

    async fn event(&self, id: &str, account: &str, more: Value) {
        let mut event = json!({
            "eventID": id, "eventName": id, "eventSource": "sagemaker.amazonaws.com", "awsRegion": "us-east-1", "managementEvent": true,
            "readOnly": false, "recipientAccountId": account, "eventTime": self.kernel.now().iso8601(false), "responseElements": null,
        });
        for (name, value) in more.as_object().unwrap() {
            event[name] = value.clone();
        }
        if more["responseElements"] == "later" {
            event.as_object_mut().unwrap().remove("responseElements");
        }
        let mut batch = Batch::new();
        batch.event_under(self.kernel.now(), canonical_json(&event), Vec::new());
        self.store.commit(batch).await.unwrap();
    }

    async fn addendum(&self, id: &str, answer: Value) {
        let addendum = json!({"addendum": {"eventID": id, "responseElements": answer}});
        let mut batch = Batch::new();
        batch.event_under(self.kernel.now(), canonical_json(&addendum), vec![EventKey::of(&["addendum"])]);
        self.store.commit(batch).await.unwrap();
    }

    async fn step(&self) -> Next {
        Delivery.step(&self.kernel, &key_of(&self.scope, "t")).await.unwrap()
    }

    async fn progress(&self) -> Progress {
        self.store.get(DELIVERY, &self.scope, "t").await.unwrap().unwrap().body().unwrap()
    }

    /// The names of the delivered events, file by file.
    fn delivered(&self) -> Vec<Vec<String>> {
        let files = self.bucket.files.lock().unwrap();
        files.iter().map(|(_, records)| records.iter().map(|r| r["eventName"].as_str().unwrap().to_owned()).collect()).collect()
    }
}

fn trail() -> Trail {
    Trail {
        bucket: "kept".to_owned(),
        prefix: None,
        global: true,
        multi_region: false,
        logging: true,
        started: Some(START),
        stopped: None,
        selectors: None,
    }
}

#[tokio::test]
async fn what_is_the_trails_is_delivered_once() {
    let place = Place::new(trail()).await;
    place.event("ours", US, json!({})).await;
    place.event("theirs", "222222222222", json!({})).await;
    place.event("elsewhere", US, json!({"awsRegion": "eu-west-1"})).await;
    place.event("data", US, json!({"managementEvent": false})).await;
    let shared = json!([{"ARN": "arn:aws:iam::111111111111:role/r", "accountId": US}]);
    place
        .event(
            "shared",
            "222222222222",
            json!({"resources": shared, "userIdentity": {"type": "IAMUser", "accountId": "222222222222", "userName": "u"}}),
        )
        .await;
    place.event("refused", "222222222222", json!({"resources": shared, "errorCode": "AccessDenied"})).await;
    assert!(matches!(place.step().await, Next::After(_)));
    assert_eq!(place.delivered(), [["ours", "shared"]]);
    {
        let files = place.bucket.files.lock().unwrap();
        let (key, records) = &files[0];
        assert!(
            key.starts_with(&format!("AWSLogs/{US}/CloudTrail/us-east-1/2026/11/22/{US}_CloudTrail_us-east-1_20261122T1200Z_")),
            "{key}"
        );
        assert!(key.ends_with(".json.gz"));
        assert_eq!(records[1]["userIdentity"]["type"], "AWSAccount", "another account's caller is not named");
    }
    place.step().await;
    assert_eq!(place.delivered().len(), 1, "nothing happened since: nothing is written");
    assert_eq!(place.progress().await.error, None);
}

#[tokio::test]
async fn an_event_waits_for_its_calls_end() {
    let place = Place::new(trail()).await;
    place.event("first", US, json!({})).await;
    place.event("open", US, json!({"responseElements": "later"})).await;
    place.event("last", US, json!({})).await;
    place.step().await;
    assert_eq!(place.delivered(), [["first"]]);
    place.addendum("open", json!({"arn": "made"})).await;
    place.step().await;
    assert_eq!(place.delivered()[1..], [["open", "last"]]);
    assert_eq!(place.bucket.files.lock().unwrap()[1].1[0]["responseElements"], json!({"arn": "made"}));
    // A call whose end was lost in a crash holds nothing up for ever.
    place.event("lost", US, json!({"responseElements": "later"})).await;
    place.step().await;
    assert_eq!(place.delivered().len(), 2);
    place.clock.advance_secs(301);
    place.step().await;
    assert_eq!(place.delivered()[2..], [["lost"]]);
}

#[tokio::test]
async fn what_could_not_be_delivered_is_tried_again() {
    let place = Place::new(trail()).await;
    place.event("kept", US, json!({})).await;
    place.bucket.refuses.store(true, Ordering::SeqCst);
    place.step().await;
    let progress = place.progress().await;
    assert_eq!((progress.error.as_deref(), progress.cursor, progress.delivered), (Some("AccessDenied"), 0, None));
    place.bucket.refuses.store(false, Ordering::SeqCst);
    place.step().await;
    assert_eq!(place.delivered(), [["kept"]]);
    let progress = place.progress().await;
    assert_eq!((progress.error, progress.delivered), (None, Some(START)));
}

#[tokio::test]
async fn a_stopped_trail_delivers_what_was_before() {
    let place = Place::new(Trail { logging: false, stopped: Some(START), ..trail() }).await;
    place.event("before", US, json!({})).await;
    place.clock.advance_secs(10);
    place.event("after", US, json!({})).await;
    assert_eq!(place.step().await, Next::Done);
    assert_eq!(place.delivered(), [["before"]]);
}

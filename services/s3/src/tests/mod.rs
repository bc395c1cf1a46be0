//! The operations through the kernel's door, over a store in memory and blobs in a temporary directory.

mod access;
mod buckets;
mod multipart;
mod objects;
mod versions;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tenantry_blob::Blobs;
use tenantry_core::{AccountId, Arn, AwsError, Region, Result, Scope, Timestamp};
use tenantry_kernel::{
    Body, Caller, Kernel, ManualClock, Reply,
    directory::{Account, Policies, User, kind},
};
use tenantry_store::{Batch, Expect, Memory, Row};

pub(crate) const ONE: &str = "111122223333";
pub(crate) const TWO: &str = "444455556666";
const ALL: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

/// A kernel with S3 and two accounts, each with an `admin` who may do everything.
pub(crate) struct World {
    pub kernel: Kernel,
    pub clock: Arc<ManualClock>,
    pub store: Arc<Memory>,
    pub dir: PathBuf,
    pub admin: Caller,
    pub other: Caller,
    pub region: Region,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl World {
    pub async fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let dir = std::env::temp_dir().join(format!("tenantry-s3-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_795_356_377)));
        let store = Arc::new(Memory::new());
        let mut builder = Kernel::builder(store.clone(), Blobs::open(&dir).unwrap()).clock(clock.clone()).service(&crate::table());
        for reconciler in crate::reconcilers() {
            builder = builder.reconciler(reconciler);
        }
        let kernel = builder.build();
        for id in [ONE, TWO] {
            let account = Account {
                id: id.into(),
                name: id.into(),
                email: format!("{id}@example.com"),
                status: "ACTIVE".into(),
                joined: kernel.now(),
                organization: String::new(),
                management: false,
                managed_by: AccountId::default(),
                parent: String::new(),
                policies: Vec::new(),
            };
            put(&kernel, Row::new(kind::ACCOUNT, &Scope::global(id), id, kernel.now()).with(&account).unwrap()).await;
        }
        let admin = user(&kernel, ONE, "admin", ALL).await;
        let other = user(&kernel, TWO, "admin", ALL).await;
        Self { kernel, clock, store, dir, admin, other, region: Region::from("us-east-1") }
    }

    /// A user of account one.
    pub async fn user(&self, name: &str, policy: &Value) -> Caller {
        user(&self.kernel, ONE, name, &policy.to_string()).await
    }

    pub async fn call_as(&self, caller: &Caller, name: &str, input: Value) -> Result<Reply> {
        let reply = self.kernel.call(caller, &self.region, "s3", name, input).await?;
        fits(name, &reply);
        Ok(reply)
    }

    /// As the administrator of account one.
    pub async fn call(&self, name: &str, input: Value) -> Result<Value> {
        Ok(self.call_as(&self.admin, name, input).await?.output)
    }

    pub async fn ok(&self, name: &str, input: Value) -> Value {
        self.call(name, input.clone()).await.unwrap_or_else(|error| panic!("{name} {input}: {error}"))
    }

    pub async fn fails(&self, name: &str, input: Value) -> AwsError {
        match self.call(name, input.clone()).await {
            Err(error) => error,
            Ok(output) => panic!("{name} {input}: {output}"),
        }
    }

    pub async fn bucket(&self, name: &str) {
        self.ok("CreateBucket", json!({ "Bucket": name })).await;
    }

    pub async fn put(&self, bucket: &str, key: &str, bytes: &[u8]) -> Value {
        self.put_with(json!({"Bucket": bucket, "Key": key}), bytes).await.unwrap()
    }

    pub async fn put_with(&self, input: Value, bytes: &[u8]) -> Result<Value> {
        self.send("PutObject", input, tenantry_kernel::full(bytes.to_vec())).await
    }

    pub async fn send(&self, name: &str, input: Value, body: Body) -> Result<Value> {
        let reply = self.kernel.call_with(&self.admin, &self.region, "s3", name, input, Some(body)).await?;
        fits(name, &reply);
        Ok(reply.output)
    }

    /// The answer of a read and its bytes.
    pub async fn get(&self, input: Value) -> Result<(Reply, Bytes)> {
        let mut reply = self.call_as(&self.admin, "GetObject", input).await?;
        let bytes = reply.body.take().unwrap().collect().await.unwrap().to_bytes();
        Ok((reply, bytes))
    }

    pub async fn read(&self, bucket: &str, key: &str) -> Bytes {
        self.get(json!({"Bucket": bucket, "Key": key})).await.unwrap().1
    }

    /// Blobs on disk.
    pub fn blobs(&self) -> Vec<PathBuf> {
        fn walk(dir: &std::path::Path, out: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.path().is_dir() { walk(&entry.path(), out) } else { out.push(entry.path()) }
            }
        }
        let mut out = Vec::new();
        walk(&self.dir.join("data"), &mut out);
        out
    }
}

/// Every answer fits the model.
fn fits(name: &str, reply: &Reply) {
    let shape = tenantry_wire::service("s3").unwrap().operation(name).unwrap();
    let faults = tenantry_wire::check_output(shape, &reply.output);
    assert!(faults.is_empty(), "{name}: {faults:?} in {}", reply.output);
}

async fn put(kernel: &Kernel, row: Row) {
    let mut batch = Batch::new();
    batch.put(row, Expect::Any);
    kernel.store().commit(batch).await.unwrap();
}

async fn user(kernel: &Kernel, account: &str, name: &str, policy: &str) -> Caller {
    let user = User {
        id: format!("AIDA{:0>17}", name.to_uppercase()),
        name: name.into(),
        path: "/".into(),
        arn: Arn::new("iam", "", account, format_args!("user/{name}")),
        created: kernel.now(),
        policies: Policies { inline: BTreeMap::from([("p".to_owned(), policy.to_owned())]), attached: Vec::new() },
        boundary: None,
        groups: Vec::new(),
        tags: Vec::new(),
    };
    put(kernel, Row::new(kind::USER, &Scope::global(account), name, kernel.now()).with(&user).unwrap()).await;
    tenantry_kernel::user_caller(&user, &AccountId::from(account))
}

/// A body in pieces, with trailers or an error at its end.
pub(crate) fn pieces(parts: Vec<&'static [u8]>, end: Option<std::result::Result<(&'static str, &'static str), std::io::Error>>) -> Body {
    use tokio::sync::mpsc;
    let (sender, body) = tenantry_kernel::channel_with_trailers(None);
    let sender: mpsc::Sender<std::io::Result<_>> = sender;
    tokio::spawn(async move {
        for part in parts {
            if sender.send(Ok(frame(part))).await.is_err() {
                return;
            }
        }
        match end {
            Some(Ok((name, value))) => _ = sender.send(Ok(trailers(name, value))).await,
            Some(Err(error)) => _ = sender.send(Err(error)).await,
            None => {}
        }
    });
    body
}

fn frame(bytes: &'static [u8]) -> hyper::body::Frame<Bytes> {
    hyper::body::Frame::data(Bytes::from_static(bytes))
}

fn trailers(name: &'static str, value: &'static str) -> hyper::body::Frame<Bytes> {
    let mut map = hyper::HeaderMap::new();
    map.insert(name, hyper::header::HeaderValue::from_static(value));
    hyper::body::Frame::trailers(map)
}

/// A body of `len` bytes that are never in memory together.
pub(crate) fn long_body(len: usize) -> Body {
    let (sender, body) = tenantry_kernel::channel(Some(len as u64));
    tokio::spawn(async move {
        let chunk = Bytes::from(vec![b'x'; 100_000]);
        let mut left = len;
        while left > 0 {
            let now = left.min(chunk.len());
            if sender.send(Ok(chunk.slice(..now))).await.is_err() {
                return;
            }
            left -= now;
        }
    });
    body
}

#[test]
fn the_table_has_every_operation_of_the_model() {
    let served: Vec<&str> = crate::table().iter().map(|row| row.name).collect();
    let mut names = served.clone();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), served.len());
    let model = tenantry_wire::service("s3").unwrap();
    for name in &served {
        assert!(model.operation(name).is_some(), "{name}");
    }
    let listed = include_str!("../../../../models/operations.toml");
    let listed = listed.split("\ns3 = [").nth(1).unwrap().split("\n]").next().unwrap();
    let wanted: Vec<&str> =
        listed.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(|line| line.split('"').skip(1).step_by(2)).collect();
    assert!(wanted.len() > 50);
    for name in wanted {
        assert!(served.contains(&name), "{name} is not served");
    }
}

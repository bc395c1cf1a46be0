//! Quotas at their limit, past it, and raced for.

use std::sync::Arc;

use serde_json::json;
use tenantry_blob::Blobs;
use tenantry_store::{Memory, Store};

use super::*;

fn scope() -> Scope {
    Scope::new("123456789012", "us-east-1")
}

fn kernel() -> (Kernel, std::path::PathBuf) {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("tenantry-usage-{}-{number}", std::process::id()));
    let kernel = Kernel::builder(Arc::new(Memory::new()) as Arc<dyn Store>, Blobs::open(&dir).unwrap()).build();
    (kernel, dir)
}

fn uses(of: Use, user: &str, count: u64) -> Uses {
    let mut uses = Uses::new();
    add(&mut uses, of, "ml.m5.xlarge", user, count);
    uses
}

/// A batch that takes what `after` has more than `before`.
async fn wanted(kernel: &Kernel, before: &Uses, after: &Uses) -> Result<Batch> {
    let mut batch = Batch::new();
    admit(kernel, &scope(), &mut batch, before, after).await?;
    change(&mut batch, &scope(), before, after, kernel.now());
    Ok(batch)
}

async fn allow(kernel: &Kernel, of: Use, value: u64) {
    let mut batch = Batch::new();
    let row = Row::new(APPLIED, &scope(), of.quota("ml.m5.xlarge").code, kernel.now()).with(&Applied { value }).unwrap();
    batch.put(row, Expect::Any);
    kernel.store().commit(batch).await.unwrap();
}

#[tokio::test]
async fn at_the_limit_and_past_it() {
    let (kernel, dir) = kernel();
    allow(&kernel, Use::Training, 3).await;
    let nothing = Uses::new();
    for (user, count) in [("a", 2), ("b", 1)] {
        kernel.store().commit(wanted(&kernel, &nothing, &uses(Use::Training, user, count)).await.unwrap()).await.unwrap();
    }
    let refused = wanted(&kernel, &nothing, &uses(Use::Training, "c", 2)).await.err().unwrap();
    assert_eq!(refused.code, "ResourceLimitExceeded");
    assert_eq!(
        refused.message,
        "The account-level service limit 'ml.m5.xlarge for training job usage' is 3 Instances, with current utilization of 3 Instances and a \
         request delta of 2 Instances. Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas is not \
         available, contact AWS support to request an increase for this quota."
    );
    assert!(wanted(&kernel, &nothing, &uses(Use::Processing, "c", 2)).await.is_ok(), "another use has a quota of its own");
    let mut batch = Batch::new();
    change(&mut batch, &scope(), &uses(Use::Training, "a", 2), &nothing, kernel.now());
    // What was never there does not matter.
    change(&mut batch, &scope(), &uses(Use::Training, "unknown", 2), &nothing, kernel.now());
    kernel.store().commit(batch).await.unwrap();
    kernel.store().commit(wanted(&kernel, &nothing, &uses(Use::Training, "c", 2)).await.unwrap()).await.unwrap();
    let (before, after) = (uses(Use::Training, "c", 2), uses(Use::Training, "c", 1));
    kernel.store().commit(wanted(&kernel, &before, &after).await.unwrap()).await.unwrap();
    assert_eq!(kernel.store().count(USED, ByScope::Exact(&scope()), None).await.unwrap(), 2);
    drop(std::fs::remove_dir_all(dir));
}

#[tokio::test]
async fn of_two_at_one_below_the_limit_one_wins() {
    let (kernel, dir) = kernel();
    allow(&kernel, Use::Endpoint, 2).await;
    let nothing = Uses::new();
    kernel.store().commit(wanted(&kernel, &nothing, &uses(Use::Endpoint, "first", 1)).await.unwrap()).await.unwrap();
    let one = wanted(&kernel, &nothing, &uses(Use::Endpoint, "one", 1)).await.unwrap();
    let two = wanted(&kernel, &nothing, &uses(Use::Endpoint, "two", 1)).await.unwrap();
    kernel.store().commit(one).await.unwrap();
    let lost = kernel.store().commit(two).await.unwrap_err();
    assert!(raced(&lost), "{lost}");
    assert_eq!(wanted(&kernel, &nothing, &uses(Use::Endpoint, "two", 1)).await.err().unwrap().code, "ResourceLimitExceeded");
    assert_eq!(kernel.store().count(USED, ByScope::Exact(&scope()), None).await.unwrap(), 2);
    drop(std::fs::remove_dir_all(dir));
}

#[tokio::test]
async fn the_default_and_types_without_a_quota() {
    let (kernel, dir) = kernel();
    let nothing = Uses::new();
    let most = quota::DEFAULT_ENDPOINT_INSTANCES;
    assert!(wanted(&kernel, &nothing, &uses(Use::Endpoint, "a", most)).await.is_ok());
    assert!(wanted(&kernel, &nothing, &uses(Use::Endpoint, "a", most + 1)).await.is_err());
    let mut unknown = Uses::new();
    add(&mut unknown, Use::Endpoint, "ml.zz.large", "a", 1);
    assert!(wanted(&kernel, &nothing, &unknown).await.is_err());
    assert_eq!(json!(Applied { value: 5 }), json!({"value": 5}));
    drop(std::fs::remove_dir_all(dir));
}

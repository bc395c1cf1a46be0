//! Endpoints for which there is no room, and quotas of endpoints.

use serde_json::json;
use tenantry_compute::{Class, Limits, quota::DEFAULT_ENDPOINT_INSTANCES};
use tenantry_core::{AccountId, Scope, Timestamp};
use tenantry_store::{Batch, ByScope, Kind};

use super::*;
use crate::{
    hosting::reconcile::{INSUFFICIENT, INSUFFICIENT_AFTER},
    jobs::admission::{Admission, Wish},
    names,
};

/// Fills the host with somebody else's job.
fn fill(world: &World) -> Arc<Admission> {
    let admission = Admission::of(&world.machinery);
    let limits = Limits { memory_bytes: u64::MAX, cpu_millis: u64::MAX, pids: 1, tmp_bytes: 1, disk_bytes: None };
    let account = AccountId::from("222222222222");
    let wish = Wish {
        key: "all".to_owned(),
        account: &account,
        since: Timestamp::default(),
        limits: &limits,
        count: 1,
        class: Class::Ending,
        first: false,
        item: ("nobody", "all".to_owned()),
    };
    assert!(admission.ask(&world.kernel, wish).is_ok());
    admission
}

#[tokio::test]
async fn an_endpoint_waits_for_room() {
    let world = World::new(|_, _, body| ok(body.to_vec())).await;
    let admission = fill(&world);
    world.make().await;
    world.kernel.settle().await.unwrap();
    let found = world.call("DescribeEndpoint", json!({"EndpointName": "E"})).await.unwrap();
    let status = &found["PendingDeploymentSummary"]["ProductionVariants"][0]["VariantStatus"][0];
    assert_eq!(found["EndpointStatus"], "Creating");
    assert!(status["StatusMessage"].as_str().unwrap().starts_with("Waiting for capacity on this host"), "{found}");
    assert!(world.engine.works.lock().unwrap().is_empty(), "nothing was started");
    admission.leave("all");
    world.until("InService").await;
    assert_eq!(world.invoke("hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn an_endpoint_without_room_fails_in_the_end() {
    let world = World::new(|_, _, body| ok(body.to_vec())).await;
    let _admission = fill(&world);
    world.make().await;
    world.kernel.settle().await.unwrap();
    let scope = Scope::new(ACCOUNT, "us-east-1");
    let row = world.kernel.store().get(names::ENDPOINT, &scope, "e").await.unwrap().unwrap();
    let long_ago = world.kernel.now().plus_secs(-(INSUFFICIENT_AFTER.as_secs() as i64));
    let mut batch = Batch::new();
    batch.update(row.at(long_ago));
    batch.enqueue(names::ENDPOINT.as_str(), tenantry_kernel::reconcile::key_of(&scope, "e"), world.kernel.now());
    world.kernel.store().commit(batch).await.unwrap();
    let found = world.until("Failed").await;
    assert_eq!(found["FailureReason"], INSUFFICIENT);
    let used = world.kernel.store().count(Kind::new("sagemaker.usage"), ByScope::Exact(&scope), None).await.unwrap();
    assert_eq!(used, 0, "what failed uses nothing");
}

#[tokio::test]
async fn a_quota_of_endpoints() {
    let world = World::new(|_, _, body| ok(body.to_vec())).await;
    world.make().await;
    world.config("Large", 20).await;
    let create = async |name: &str| world.call("CreateEndpoint", json!({"EndpointName": name, "EndpointConfigName": "Large"})).await;
    for number in 0..DEFAULT_ENDPOINT_INSTANCES / 20 - 1 {
        create(&format!("Large-{number}")).await.unwrap();
    }
    let refused = create("One-too-many").await.unwrap_err();
    assert_eq!(refused.code, "ResourceLimitExceeded");
    assert!(refused.message.contains("'ml.m5.large for endpoint usage' is 100 Instances, with current utilization of 81 Instances"));
    // One that is updated uses both fleets until the new one serves.
    world.until("InService").await;
    let update = async |config: &str| world.call("UpdateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": config})).await;
    assert_eq!(update("Large").await.unwrap_err().code, "ResourceLimitExceeded");
    world.config("D", 2).await;
    update("D").await.unwrap();
    world.call("DeleteEndpoint", json!({"EndpointName": "Large-0"})).await.unwrap();
    for _ in 0..3000 {
        world.kernel.settle().await.unwrap();
        if create("Another").await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the quota is not given back");
}

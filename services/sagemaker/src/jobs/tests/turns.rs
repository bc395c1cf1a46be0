//! Turns, quotas and disks, with jobs.

use serde_json::{Value, json};
use tenantry_compute::{
    Compute,
    quota::{self, Applied, Use},
};
use tenantry_core::{AccountId, Arn, Region, Scope, Timestamp};
use tenantry_kernel::{directory::kind, role_caller};
use tenantry_store::{Batch, Expect, Kind, Row, Store};

use super::{
    super::reason,
    training, with,
    world::{ACCOUNT, Script, World, role},
};

const MODEST: &str = "222222222222";
/// What fits on the host of the world: eight processors, and two thousandths of four thousand for each `ml.m5.large`.
const ROOM: usize = 16;

fn named(name: &str) -> Value {
    let mut request = with(training(), "/TrainingJobName", json!(name));
    request.as_object_mut().unwrap().remove("InputDataConfig");
    request
}

fn endless() -> Script {
    Script { endless: true, ..Script::exits(0) }
}

/// Calls as the role of another account.
async fn as_modest(world: &World, operation: &str, input: Value) -> Value {
    let arn = Arn::parse(format!("arn:aws:iam::{MODEST}:role/execution")).unwrap();
    let other = tenantry_kernel::directory::Role { arn, id: "AROAOTHEROTHEROTHER00".into(), ..role() };
    let mut batch = Batch::new();
    let row = Row::new(kind::ROLE, &Scope::global(MODEST), "execution", Timestamp::default());
    batch.put(row.with(&other).unwrap(), Expect::Any);
    world.store.commit(batch).await.unwrap();
    let caller = role_caller(&other, &AccountId::from(MODEST), "tester");
    world.kernel.call(&caller, &Region::from("us-east-1"), "sagemaker", operation, input).await.unwrap().output
}

async fn described(world: &World, name: &str) -> Value {
    world.call("DescribeTrainingJob", json!({"TrainingJobName": name})).await.unwrap()
}

async fn allow(world: &World, value: u64) {
    let code = Use::Training.quota("ml.m5.large").code;
    let mut batch = Batch::new();
    let row = Row::new(Kind::new(quota::APPLIED), &Scope::new(ACCOUNT, "us-east-1"), code, Timestamp::default());
    batch.put(row.with(&Applied { value }).unwrap(), Expect::Any);
    world.store.commit(batch).await.unwrap();
}

#[tokio::test]
async fn one_account_with_many_jobs_holds_up_another_by_one() {
    let world = World::new(endless()).await;
    for number in 0..ROOM + 20 {
        world.call("CreateTrainingJob", named(&format!("greedy-{number:03}"))).await.unwrap();
    }
    let runs = || world.engine.starts.load(std::sync::atomic::Ordering::Relaxed);
    for _ in 0..3000 {
        world.kernel.settle().await.unwrap();
        if runs() >= ROOM {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(runs(), ROOM);
    let waiting = described(&world, &format!("greedy-{:03}", ROOM + 19)).await;
    assert_eq!(waiting["SecondaryStatus"], "Starting");
    let last = waiting["SecondaryStatusTransitions"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["StatusMessage"], "Waiting for capacity on this host: 19 before it in this account, 0 of other accounts.");
    let request = with(named("modest"), "/RoleArn", json!(format!("arn:aws:iam::{MODEST}:role/execution")));
    as_modest(&world, "CreateTrainingJob", request).await;
    world.kernel.settle().await.unwrap();
    let modest = async || as_modest(&world, "DescribeTrainingJob", json!({"TrainingJobName": "modest"})).await;
    assert_eq!(modest().await["SecondaryStatus"], "Starting");
    // One job ends: whose turn it is then runs, and nobody else.
    let one = world.engine.names().await.remove(0);
    world.engine.end(&one, |status| status.stopped = true);
    for _ in 0..3000 {
        world.kernel.settle().await.unwrap();
        if modest().await["SecondaryStatus"] == "Training" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!((&modest().await["SecondaryStatus"], runs()), (&json!("Training"), ROOM + 1));
}

#[tokio::test]
async fn a_quota_counts_what_waits_and_runs() {
    let world = World::new(endless()).await;
    allow(&world, 3).await;
    world.call("CreateTrainingJob", named("Job-1")).await.unwrap();
    world.call("CreateTrainingJob", named("Job-2")).await.unwrap();
    // Of two at one below the limit one wins.
    let (three, four) = (world.call("CreateTrainingJob", named("Job-3")), world.call("CreateTrainingJob", named("Job-4")));
    let (three, four) = tokio::join!(three, four);
    let lost = three.and(four).unwrap_err();
    assert_eq!(lost.code, "ResourceLimitExceeded");
    assert!(lost.message.contains("is 3 Instances, with current utilization of 3 Instances and a request delta of 1 Instances."), "{lost}");
    world.until(true, |found| found["SecondaryStatus"] == "Training").await;
    world.call("StopTrainingJob", json!({"TrainingJobName": "Job-1"})).await.unwrap();
    world.over(true).await;
    world.call("CreateTrainingJob", named("Job-5")).await.unwrap();
    assert!(world.call("CreateTrainingJob", named("Job-6")).await.is_err());
    let other = with(named("Job-7"), "/ResourceConfig/InstanceType", json!("ml.m5.xlarge"));
    world.call("CreateTrainingJob", other).await.unwrap();
}

#[tokio::test]
async fn a_full_volume_ends_a_job() {
    let world = World::new(endless()).await;
    world.call("CreateTrainingJob", named("Job-1")).await.unwrap();
    world.until(true, |found| found["SecondaryStatus"] == "Training").await;
    let name = world.engine.names().await.remove(0);
    assert_eq!(world.engine.works.lock().unwrap()[&name].0.limits.disk_bytes, Some(1 << 30), "VolumeSizeInGB");
    world.engine.end(&name, |status| status.disk_full = true);
    let found = world.over(true).await;
    assert_eq!((&found["TrainingJobStatus"], &found["FailureReason"]), (&json!("Failed"), &json!(reason::DISK_FULL)));
}

/// What a job has between SIGTERM and SIGKILL after StopTrainingJob.
#[test]
fn the_grace_of_a_stopped_job() {
    assert_eq!(super::super::step::STOP_GRACE, std::time::Duration::from_secs(120));
}

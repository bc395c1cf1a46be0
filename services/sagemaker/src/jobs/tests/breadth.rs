//! What training jobs have besides running: retries, patience, warm pools, updates and deletion.

use serde_json::{Value, json};

use super::{
    training, with,
    world::{Script, World},
};

fn named() -> Value {
    json!({"TrainingJobName": "Job-1"})
}

#[tokio::test]
async fn a_retry_strategy_says_how_often() {
    let mut world = World::new(Script { endless: true, ..Script::exits(0) }).await;
    let request = with(training(), "/RetryStrategy", json!({"MaximumRetryAttempts": 1}));
    world.call("CreateTrainingJob", request).await.unwrap();
    for attempt in 1..=2 {
        let engine = std::sync::Arc::clone(&world.engine);
        world.until(true, |_| engine.starts.load(std::sync::atomic::Ordering::Relaxed) == attempt).await;
        world.restart();
    }
    let found = world.over(true).await;
    assert_eq!(found["TrainingJobStatus"], "Failed", "{found}");
    assert!(found["FailureReason"].as_str().unwrap().starts_with("InternalServerError"), "{found}");
}

#[tokio::test]
async fn checkpoints_of_before_are_there_again() {
    let writes = vec![("/opt/ml/checkpoints/new", "later")];
    let world = World::new(Script { writes, ..Script::exits(0) }).await;
    world.call("CreateTrainingJob", with(training(), "/CheckpointConfig", json!({"S3Uri": "s3://data/ck"}))).await.unwrap();
    let found = world.over(true).await;
    assert_eq!(found["TrainingJobStatus"], "Completed", "{found}");
    assert_eq!(world.engine.seen.lock().unwrap()[0]["/opt/ml/checkpoints/old"], "checkpoint");
    assert_eq!(world.object("data/ck/new").as_deref(), Some(&b"later"[..]));
}

#[tokio::test]
async fn a_running_job_is_updated_and_one_that_is_over_deleted() {
    let world = World::new(Script { endless: true, ..Script::exits(0) }).await;
    let request = with(training(), "/ResourceConfig/KeepAlivePeriodInSeconds", json!(60));
    world.call("CreateTrainingJob", request).await.unwrap();
    let update = |member: &str, value: Value| json!({"TrainingJobName": "Job-1", member: value});
    world.call("UpdateTrainingJob", update("ProfilerConfig", json!({"DisableProfiler": true}))).await.unwrap();
    let found = world.describe(true).await;
    assert_eq!((&found["ProfilerConfig"]["DisableProfiler"], &found["WarmPoolStatus"]["Status"]), (&json!(true), &json!("InUse")));
    for (member, value) in
        [("RemoteDebugConfig", json!({"EnableRemoteDebug": true})), ("ResourceConfig", json!({"KeepAlivePeriodInSeconds": 0}))]
    {
        let error = world.call("UpdateTrainingJob", update(member, value)).await.unwrap_err();
        assert!(error.code == "ValidationException" && error.message.contains("is not available here"), "{error}");
    }
    assert_eq!(world.call("DeleteTrainingJob", named()).await.unwrap_err().code, "ResourceInUse");
    world.until(true, |found| found["SecondaryStatus"] == "Training").await;
    world.call("StopTrainingJob", named()).await.unwrap();
    assert_eq!(world.over(true).await["WarmPoolStatus"]["Status"], "Terminated");
    let over = update("ProfilerConfig", json!({"DisableProfiler": false}));
    assert_eq!(world.call("UpdateTrainingJob", over).await.unwrap_err().code, "ValidationException");
    world.call("DeleteTrainingJob", named()).await.unwrap();
    world.kernel.settle().await.unwrap();
    for operation in ["DescribeTrainingJob", "DeleteTrainingJob"] {
        assert!(world.call(operation, named()).await.is_err(), "{operation}");
    }
    world.call("CreateTrainingJob", training()).await.unwrap();
}

#[tokio::test]
async fn rules_are_refused_by_name() {
    let world = World::new(Script::exits(0)).await;
    let rule = json!([{"RuleConfigurationName": "r", "RuleEvaluatorImage": "i"}]);
    let error = world.call("CreateTrainingJob", with(training(), "/DebugRuleConfigurations", rule)).await.unwrap_err();
    assert!(error.message.contains("DebugRuleConfigurations is not available here"), "{error}");
}

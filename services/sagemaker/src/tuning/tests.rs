//! Tuning jobs from Create to their end. Most tests end the training jobs themselves; one runs them.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Map, Value, json};
use tenantry_blob::Blobs;
use tenantry_compute::{HostCapacity, Images};
use tenantry_core::{AccountId, Arn, AwsError, Region, Result, Scope, Timestamp};
use tenantry_kernel::{Kernel, ManualClock, directory::kind, role_caller};
use tenantry_store::{Batch, Expect, Fault, List, Memory, Row, Store};

use crate::{
    Machinery,
    jobs::{
        tests::world::{self as jobs, ACCOUNT, ROLE, Script},
        trial,
    },
    names,
};

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A kernel in which training jobs wait for the test to end them.
struct World {
    kernel: Kernel,
    clock: Arc<ManualClock>,
    store: Arc<Memory>,
    dir: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

impl World {
    async fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("tenantry-tuning-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let (store, clock) = (Arc::new(Memory::new()), Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000))));
        let kernel = Self::compose(&store, &clock, &dir);
        let mut batch = Batch::new();
        let row = Row::new(kind::ROLE, &Scope::global(ACCOUNT), "execution", Timestamp::default());
        batch.put(row.with(&jobs::role()).unwrap(), Expect::Absent);
        store.commit(batch).await.unwrap();
        Self { kernel, clock, store, dir }
    }

    fn compose(store: &Arc<Memory>, clock: &Arc<ManualClock>, dir: &std::path::Path) -> Kernel {
        let engine = Arc::new(jobs::Engine {
            script: Mutex::new(Script::exits(0)),
            works: Mutex::default(),
            seen: Mutex::default(),
            changes: tokio::sync::watch::Sender::new(0),
            starts: AtomicUsize::new(0),
        });
        let machinery = Arc::new(Machinery {
            engine,
            images: Images::builtin().unwrap(),
            host: HostCapacity { memory_bytes: 64 << 30, cpus: 8 },
            work: dir.join("work"),
            ca_bundle: dir.join("ca.pem"),
        });
        let blobs = Blobs::open(dir.join(format!("blobs-{}", COUNT.fetch_add(1, Ordering::Relaxed)))).unwrap();
        let mut builder = Kernel::builder(Arc::clone(store) as Arc<dyn Store>, blobs).clock(Arc::clone(clock) as _).provide(machinery);
        for table in [super::table(), crate::jobs::table(), crate::tagging::table()] {
            builder = builder.service(&table);
        }
        for reconciler in super::reconcilers() {
            builder = builder.reconciler(reconciler);
        }
        builder.build()
    }

    /// The same state behind a new process.
    fn restarted(&self) -> Kernel {
        Self::compose(&self.store, &self.clock, &self.dir)
    }

    async fn call(&self, operation: &str, input: Value) -> Result<Value> {
        self.call_as(&jobs::caller(), operation, input).await
    }

    async fn call_as(&self, caller: &tenantry_kernel::Caller, operation: &str, input: Value) -> Result<Value> {
        let reply = self.kernel.call(caller, &Region::from("us-east-1"), "sagemaker", operation, input).await?;
        let faults = tenantry_wire::check_output(tenantry_wire::service("sagemaker").unwrap().operation(operation).unwrap(), &reply.output);
        assert!(faults.is_empty(), "{operation}: {faults:?}");
        Ok(reply.output)
    }

    async fn describe(&self) -> Value {
        self.call("DescribeHyperParameterTuningJob", json!({"HyperParameterTuningJobName": "Tune"})).await.unwrap()
    }

    async fn refused(&self, request: Value) -> AwsError {
        self.call("CreateHyperParameterTuningJob", request).await.unwrap_err()
    }

    /// Name and searched values of the training jobs that are not over.
    async fn running(&self) -> BTreeMap<String, Map<String, Value>> {
        let rows = self.store.list(&List::of(names::TRAINING_JOB, &scope())).await.unwrap();
        let running = rows.into_iter().filter(|row| matches!(row.status.as_str(), "InProgress" | "Stopping"));
        running.map(|row| (row.id.clone(), trial::Trial::of(row).unwrap().unwrap().values().clone())).collect()
    }

    /// Lets what is due happen, then ends every training job with what `how` says of its values; whether there were any.
    async fn round(&self, how: impl Fn(&Map<String, Value>) -> std::result::Result<Value, &'static str>) -> bool {
        self.kernel.settle().await.unwrap();
        let running = self.running().await;
        for (name, values) in &running {
            self.clock.advance_secs(1);
            trial::end(&self.kernel, &scope(), name, how(values)).await.unwrap();
        }
        self.kernel.settle().await.unwrap();
        !running.is_empty()
    }

    async fn over(&self, how: impl Fn(&Map<String, Value>) -> std::result::Result<Value, &'static str> + Copy) -> Value {
        while self.round(how).await {}
        self.describe().await
    }
}

fn scope() -> Scope {
    Scope::new(ACCOUNT, "us-east-1")
}

fn loss(value: f64) -> Value {
    json!([{"MetricName": "loss", "Value": value, "Timestamp": 1}])
}

fn number(values: &Map<String, Value>, name: &str) -> f64 {
    values[name].as_str().unwrap().parse().unwrap()
}

/// Least at 0.5.
fn bowl(values: &Map<String, Value>) -> std::result::Result<Value, &'static str> {
    Ok(loss((number(values, "x") - 0.5).powi(2)))
}

fn definition() -> Value {
    json!({
        "StaticHyperParameters": {"epochs": "3"},
        "AlgorithmSpecification": {"TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.e-]+)"}]},
        "RoleArn": ROLE,
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/train"}}}],
        "OutputDataConfig": {"S3OutputPath": "s3://results/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "CheckpointConfig": {"S3Uri": "s3://results/checkpoints/"},
    })
}

fn tuning() -> Value {
    json!({
        "HyperParameterTuningJobName": "Tune",
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 5, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1", "ScalingType": "Linear"}]},
            "RandomSeed": 7,
        },
        "TrainingJobDefinition": definition(),
        "Tags": [{"Key": "TenantID", "Value": "t1"}],
    })
}

fn with(mut request: Value, pointer: &str, value: Value) -> Value {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    request.pointer_mut(parent).unwrap()[last] = value;
    request
}

#[tokio::test]
async fn the_best_of_all_is_found() {
    let world = World::new().await;
    let made = world.call("CreateHyperParameterTuningJob", tuning()).await.unwrap();
    let arn = "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/tune";
    assert_eq!(made["HyperParameterTuningJobArn"], arn);
    assert_eq!(world.refused(tuning()).await.code, "ResourceInUse");
    world.kernel.settle().await.unwrap();
    let found = world.describe().await;
    assert_eq!(
        (&found["HyperParameterTuningJobStatus"], &found["TrainingJobStatusCounters"]["InProgress"]),
        (&json!("InProgress"), &json!(2))
    );
    assert_eq!(found["ObjectiveStatusCounters"], json!({"Succeeded": 0, "Pending": 2, "Failed": 0}));
    let (name, values) = world.running().await.into_iter().next().unwrap();
    assert!(
        name.starts_with("Tune-001-") && name.len() == "Tune-001-".len() + 8 && name[9..].bytes().all(|b| b.is_ascii_hexdigit()),
        "{name}"
    );
    let job = world.call("DescribeTrainingJob", json!({"TrainingJobName": name})).await.unwrap();
    assert_eq!((&job["TuningJobArn"], &job["TrainingJobStatus"]), (&json!(arn), &json!("InProgress")));
    assert_eq!(job["HyperParameters"], json!({"epochs": "3", "_tuning_objective_metric": "loss", "x": values["x"]}));
    assert_eq!(job["CheckpointConfig"]["S3Uri"], format!("s3://results/checkpoints/{name}"));
    let tags = world.call("ListTags", json!({"ResourceArn": job["TrainingJobArn"]})).await.unwrap();
    assert_eq!(tags["Tags"], json!([{"Key": "TenantID", "Value": "t1"}]));

    let found = world.over(bowl).await;
    assert_eq!(found["HyperParameterTuningJobStatus"], "Completed", "{found}");
    assert_eq!((&found["TrainingJobStatusCounters"]["Completed"], &found["ObjectiveStatusCounters"]["Succeeded"]), (&json!(5), &json!(5)));
    assert!(found["HyperParameterTuningEndTime"].is_number());
    let wanted = json!({"HyperParameterTuningJobName": "tune", "SortBy": "FinalObjectiveMetricValue", "MaxResults": 3});
    let page = world.call("ListTrainingJobsForHyperParameterTuningJob", wanted.clone()).await.unwrap();
    let more = with(wanted, "/NextToken", page["NextToken"].clone());
    let rest = world.call("ListTrainingJobsForHyperParameterTuningJob", more).await.unwrap();
    let all: Vec<_> = [&page, &rest].iter().flat_map(|page| page["TrainingJobSummaries"].as_array().unwrap().clone()).collect();
    let value = |summary: &Value| summary["FinalHyperParameterTuningJobObjectiveMetric"]["Value"].as_f64().unwrap();
    assert!(all.len() == 5 && all.windows(2).all(|two| value(&two[0]) <= value(&two[1])) && rest["NextToken"].is_null(), "{all:?}");
    assert_eq!(found["BestTrainingJob"], all[0]);
    assert_eq!(all[0]["TunedHyperParameters"].as_object().unwrap().len(), 1);
    let by_name = world.call("ListTrainingJobsForHyperParameterTuningJob", json!({"HyperParameterTuningJobName": "Tune"})).await.unwrap();
    let names: Vec<_> =
        by_name["TrainingJobSummaries"].as_array().unwrap().iter().map(|job| job["TrainingJobName"].as_str().unwrap()).collect();
    assert!(names.iter().enumerate().all(|(index, name)| name.starts_with(&format!("Tune-{:03}-", index + 1))), "{names:?}");
    let listed = world.call("ListHyperParameterTuningJobs", json!({"StatusEquals": "Completed"})).await.unwrap();
    assert_eq!(listed["HyperParameterTuningJobSummaries"][0]["Strategy"], "Random");
}

/// CloudTrail has an event of the service for each training job, and no call of anybody.
#[tokio::test]
async fn the_service_makes_the_training_jobs() {
    let world = World::new().await;
    world.call("CreateHyperParameterTuningJob", tuning()).await.unwrap();
    world.over(bowl).await;
    let events = world.store.events(None, 1000, false).await.unwrap();
    let events: Vec<Value> = events.iter().map(|event| serde_json::from_str(&event.text).unwrap()).collect();
    let made: Vec<_> = events.iter().filter(|event| event["eventName"] == "CreateTrainingJob").collect();
    assert!(made.len() == 5 && made.iter().all(|event| event["eventType"] == "AwsServiceEvent"), "{made:?}");
}

#[tokio::test]
async fn the_same_seed_searches_the_same() {
    let mut seen = Vec::new();
    for seed in [7, 7, 8] {
        let world = World::new().await;
        world
            .call("CreateHyperParameterTuningJob", with(tuning(), "/HyperParameterTuningJobConfig/RandomSeed", json!(seed)))
            .await
            .unwrap();
        world.over(bowl).await;
        let rows = world.store.list(&List::of(names::TRAINING_JOB, &scope())).await.unwrap();
        let mut values: Vec<_> = rows.into_iter().map(|row| trial::Trial::of(row).unwrap().unwrap()).collect();
        values.sort_by_key(trial::Trial::number);
        seen.push(values.iter().map(|trial| trial.values()["x"].as_str().unwrap().to_owned()).collect::<Vec<_>>());
    }
    assert!(seen[0] == seen[1] && seen[0] != seen[2], "{seen:?}");
}

#[tokio::test]
async fn a_grid_is_searched_whole() {
    let world = World::new().await;
    let ranges = json!({"CategoricalParameterRanges": [{"Name": "x", "Values": ["0", "1", "2"]}, {"Name": "y", "Values": ["a", "b"]}]});
    let request = with(tuning(), "/HyperParameterTuningJobConfig/ParameterRanges", ranges);
    let request = with(request, "/HyperParameterTuningJobConfig/Strategy", json!("Grid"));
    assert!(world.refused(request.clone()).await.message.contains("number of combinations, 6"));
    let limits = json!({"MaxParallelTrainingJobs": 4});
    world.call("CreateHyperParameterTuningJob", with(request, "/HyperParameterTuningJobConfig/ResourceLimits", limits)).await.unwrap();
    let found = world.over(|values| Ok(loss(number(values, "x")))).await;
    assert_eq!(
        (&found["HyperParameterTuningJobStatus"], &found["TrainingJobStatusCounters"]["Completed"]),
        (&json!("Completed"), &json!(6))
    );
    assert_eq!(found["BestTrainingJob"]["TunedHyperParameters"]["x"], "0");
}

#[tokio::test]
async fn several_definitions_take_turns() {
    let world = World::new().await;
    let kind = |name: &str, low: &str, high: &str| {
        let mut kind = definition();
        kind["DefinitionName"] = json!(name);
        kind["TuningObjective"] = json!({"Type": "Maximize", "MetricName": "loss"});
        kind["HyperParameterRanges"] = json!({"ContinuousParameterRanges": [{"Name": "x", "MinValue": low, "MaxValue": high}]});
        kind
    };
    let mut request = tuning();
    request.as_object_mut().unwrap().remove("TrainingJobDefinition");
    request["HyperParameterTuningJobConfig"]
        .as_object_mut()
        .unwrap()
        .retain(|member, _| matches!(member.as_str(), "Strategy" | "ResourceLimits"));
    request["TrainingJobDefinitions"] = json!([kind("low", "0", "7"), kind("high", "8", "9")]);
    world.call("CreateHyperParameterTuningJob", request).await.unwrap();
    let found = world.over(|values| Ok(loss(number(values, "x")))).await;
    assert_eq!(found["HyperParameterTuningJobStatus"], "Completed", "{found}");
    assert_eq!(found["BestTrainingJob"]["TrainingJobDefinitionName"], "high");
    let listed = world.call("ListTrainingJobsForHyperParameterTuningJob", json!({"HyperParameterTuningJobName": "Tune"})).await.unwrap();
    let kinds: Vec<_> =
        listed["TrainingJobSummaries"].as_array().unwrap().iter().map(|job| job["TrainingJobDefinitionName"].clone()).collect();
    assert_eq!(kinds, ["low", "high", "low", "high", "low"]);
}

#[tokio::test]
async fn nothing_of_use_ends_a_search() {
    for (fate, reason) in [
        (Err("AlgorithmError: bad, exit code: 1"), "No training job succeeded after 6 attempts."),
        (Ok(json!([])), "ClientError: No objective metrics found after running 6 training jobs."),
    ] {
        let world = World::new().await;
        let request = with(tuning(), "/HyperParameterTuningJobConfig/ResourceLimits/MaxNumberOfTrainingJobs", json!(20));
        world.call("CreateHyperParameterTuningJob", request).await.unwrap();
        while world.round(|_| fate.clone()).await {}
        let found = world.describe().await;
        assert_eq!(found["HyperParameterTuningJobStatus"], "Failed", "{found}");
        assert!(found["FailureReason"].as_str().unwrap().starts_with(reason), "{found}");
        assert_eq!(found["ObjectiveStatusCounters"]["Failed"], 6);
        let failed = if fate.is_err() { "NonRetryableError" } else { "Completed" };
        assert_eq!(found["TrainingJobStatusCounters"][failed], 6);
    }
    // One that succeeds is enough.
    let world = World::new().await;
    let request = with(tuning(), "/HyperParameterTuningJobConfig/ResourceLimits/MaxNumberOfTrainingJobs", json!(20));
    world.call("CreateHyperParameterTuningJob", request).await.unwrap();
    world.round(bowl).await;
    while world.round(|_| Err("InternalServerError: no luck")).await {}
    let found = world.describe().await;
    assert_eq!(
        (&found["HyperParameterTuningJobStatus"], &found["TrainingJobStatusCounters"]["RetryableError"]),
        (&json!("Completed"), &json!(18))
    );
}

#[tokio::test]
async fn criteria_end_a_search() {
    let criteria = "/HyperParameterTuningJobConfig/TuningJobCompletionCriteria";
    let many = || with(tuning(), "/HyperParameterTuningJobConfig/ResourceLimits/MaxNumberOfTrainingJobs", json!(50));
    for (request, most) in [
        (with(many(), criteria, json!({"TargetObjectiveMetricValue": 2.0})), 2),
        (with(many(), criteria, json!({"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}})), 6),
        (with(many(), "/HyperParameterTuningJobConfig/ResourceLimits/MaxRuntimeInSeconds", json!(120)), 50),
    ] {
        let world = World::new().await;
        world.call("CreateHyperParameterTuningJob", request).await.unwrap();
        for _ in 0..200 {
            if !world.round(|_| Ok(loss(1.5))).await {
                break;
            }
            world.clock.advance_secs(10);
        }
        let found = world.describe().await;
        let made = found["TrainingJobStatusCounters"]["Completed"].as_u64().unwrap()
            + found["TrainingJobStatusCounters"]["Stopped"].as_u64().unwrap();
        assert_eq!(found["HyperParameterTuningJobStatus"], "Completed", "{found}");
        assert!(made <= most && made < 40, "{made} of {most}: {found}");
    }
}

#[tokio::test]
async fn stopping_and_deleting() {
    let world = World::new().await;
    world.call("CreateHyperParameterTuningJob", tuning()).await.unwrap();
    world.kernel.settle().await.unwrap();
    let named = json!({"HyperParameterTuningJobName": "TUNE"});
    assert_eq!(world.call("DeleteHyperParameterTuningJob", named.clone()).await.unwrap_err().code, "ValidationException");
    world.call("StopHyperParameterTuningJob", named.clone()).await.unwrap();
    world.call("StopHyperParameterTuningJob", named.clone()).await.unwrap();
    assert_eq!(world.describe().await["HyperParameterTuningJobStatus"], "Stopping");
    world.kernel.settle().await.unwrap();
    for name in world.running().await.keys() {
        let job = world.call("DescribeTrainingJob", json!({"TrainingJobName": name})).await.unwrap();
        assert_eq!(job["TrainingJobStatus"], "Stopping");
    }
    let found = world.over(bowl).await;
    assert_eq!((&found["HyperParameterTuningJobStatus"], &found["TrainingJobStatusCounters"]["Stopped"]), (&json!("Stopped"), &json!(2)));
    assert_eq!(world.call("StopHyperParameterTuningJob", named.clone()).await.unwrap_err().code, "ValidationException");
    let job = found["BestTrainingJob"]["TrainingJobName"].clone();
    world.call("DeleteHyperParameterTuningJob", named.clone()).await.unwrap();
    world.call("DeleteHyperParameterTuningJob", named.clone()).await.unwrap();
    assert_eq!(world.call("DescribeHyperParameterTuningJob", named.clone()).await.unwrap_err().code, "ResourceNotFound");
    world.call("DescribeTrainingJob", json!({"TrainingJobName": job})).await.unwrap();
    // Another of the same name is another search.
    world.call("CreateHyperParameterTuningJob", tuning()).await.unwrap();
    let listed = world.call("ListTrainingJobsForHyperParameterTuningJob", named).await.unwrap();
    assert_eq!(listed["TrainingJobSummaries"], json!([]));
    assert_eq!(world.over(bowl).await["TrainingJobStatusCounters"]["Completed"], 5);
}

#[tokio::test]
async fn what_cannot_be_done_is_named() {
    let world = World::new().await;
    let config = "/HyperParameterTuningJobConfig";
    let c = |rest: &str| format!("{config}/{rest}");
    let definition = "/TrainingJobDefinition";
    for (pointer, value, words) in [
        (c("Strategy"), json!("Hyperband"), "Hyperband is not available"),
        (c("StrategyConfig"), json!({"HyperbandStrategyConfig": {"MinResource": 1}}), "StrategyConfig"),
        (c("ParameterRanges/AutoParameters"), json!([{"Name": "a", "ValueHint": "1"}]), "AutoParameters"),
        (c("TuningJobCompletionCriteria"), json!({"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}), "ConvergenceDetected"),
        ("/Autotune".into(), json!({"Mode": "Enabled"}), "Autotune"),
        (
            "/WarmStartConfig".into(),
            json!({"WarmStartType": "TransferLearning", "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "p"}]}),
            "WarmStartConfig",
        ),
        (c("HyperParameterTuningJobObjective"), Value::Null, "HyperParameterTuningJobObjective is required"),
        (c("HyperParameterTuningJobObjective/MetricName"), json!("accuracy"), "`accuracy` is not among"),
        (c("ResourceLimits/MaxParallelTrainingJobs"), json!(11), "parallel training jobs"),
        (c("ResourceLimits/MaxNumberOfTrainingJobs"), json!(751), "Number of training jobs"),
        (c("ResourceLimits/MaxNumberOfTrainingJobs"), Value::Null, "MaxNumberOfTrainingJobs is required"),
        (format!("{definition}/StaticHyperParameters"), json!({"x": "1"}), "both static and searched"),
        (format!("{definition}/TuningObjective"), json!({"Type": "Minimize", "MetricName": "loss"}), "belong to TrainingJobDefinitions"),
        (format!("{definition}/ResourceConfig/InstanceCount"), json!(0), "InstanceCount from 1"),
        (format!("{definition}/ResourceConfig/VolumeKmsKeyId"), json!("key"), "VolumeKmsKeyId"),
        (format!("{definition}/AlgorithmSpecification/AlgorithmName"), json!("mine"), "AlgorithmName"),
        ("/TrainingJobDefinition".into(), Value::Null, "Exactly one of"),
    ] {
        let error = world.refused(with(tuning(), &pointer, value)).await;
        assert!(error.message.contains(words), "{pointer}: {error}");
    }
    assert!(world.running().await.is_empty());
}

/// Whoever must give subnets for training must give them for tuning, in every definition.
#[tokio::test]
async fn a_vpc_can_be_demanded() {
    let world = World::new().await;
    let mut limited = jobs::role();
    let deny = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"sagemaker:CreateHyperParameterTuningJob","Resource":"*",
        "Condition":{"Null":{"sagemaker:VpcSubnets":"true","sagemaker:VpcSecurityGroupIds":"true"}}}]}"#;
    limited.policies.inline.insert("limits".into(), deny.into());
    limited.arn = Arn::parse("arn:aws:iam::123456789012:role/limited").unwrap();
    limited.name = "limited".into();
    let mut batch = Batch::new();
    batch.put(Row::new(kind::ROLE, &Scope::global(ACCOUNT), "limited", Timestamp::default()).with(&limited).unwrap(), Expect::Any);
    world.store.commit(batch).await.unwrap();
    let caller = role_caller(&limited, &AccountId::from(ACCOUNT), "SageMaker");
    let create = |request| world.call_as(&caller, "CreateHyperParameterTuningJob", request);
    let error = create(tuning()).await.unwrap_err();
    assert_eq!(error.code, "AccessDeniedException");
    assert!(error.message.contains("sagemaker:CreateHyperParameterTuningJob on resource: arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/tune with an explicit deny"), "{error}");
    let vpc = json!({"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]});
    create(with(tuning(), "/TrainingJobDefinition/VpcConfig", vpc.clone())).await.unwrap();

    let kind = |name: &str, vpc: Option<&Value>| {
        let mut kind = definition();
        kind["DefinitionName"] = json!(name);
        kind["TuningObjective"] = json!({"Type": "Minimize", "MetricName": "loss"});
        kind["HyperParameterRanges"] = tuning()["HyperParameterTuningJobConfig"]["ParameterRanges"].clone();
        if let Some(vpc) = vpc {
            kind["VpcConfig"] = vpc.clone();
        }
        kind
    };
    let several = |second: Option<&Value>| {
        let mut request = with(tuning(), "/HyperParameterTuningJobName", json!("Several"));
        request.as_object_mut().unwrap().remove("TrainingJobDefinition");
        let config = request["HyperParameterTuningJobConfig"].as_object_mut().unwrap();
        config.retain(|member, _| matches!(member.as_str(), "Strategy" | "ResourceLimits"));
        request["TrainingJobDefinitions"] = json!([kind("a", Some(&vpc)), kind("b", second)]);
        request
    };
    assert_eq!(
        create(several(None)).await.unwrap_err().code,
        "AccessDeniedException",
        "one definition's subnets do not stand for another's"
    );
    create(several(Some(&vpc))).await.unwrap();
}

/// A run with the n-th of its commits going wrong and a new process for every step; how many commits it took.
async fn run_with(fault: Option<(u64, Fault)>) -> u64 {
    let world = World::new().await;
    world.call("CreateHyperParameterTuningJob", tuning()).await.unwrap();
    let before = world.store.commits();
    if let Some((nth, fault)) = fault {
        world.store.inject(nth, fault);
    }
    for _ in 0..60 {
        world.restarted().settle().await.ok();
        for (name, values) in world.running().await {
            trial::end(&world.restarted(), &scope(), &name, bowl(&values)).await.ok();
        }
        if world.describe().await["HyperParameterTuningJobStatus"] == "Completed" {
            break;
        }
        world.clock.advance_secs(130);
    }
    let found = world.describe().await;
    assert_eq!(found["HyperParameterTuningJobStatus"], "Completed", "{fault:?}: {found}");
    assert_eq!(
        (&found["TrainingJobStatusCounters"]["Completed"], &found["ObjectiveStatusCounters"]["Succeeded"]),
        (&json!(5), &json!(5)),
        "{fault:?}"
    );
    let rows = world.store.list(&List::of(names::TRAINING_JOB, &scope())).await.unwrap();
    let mut numbers: Vec<_> = rows.into_iter().map(|row| trial::Trial::of(row).unwrap().unwrap().number()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3, 4], "{fault:?}");
    world.store.commits() - before
}

#[tokio::test]
async fn no_training_job_is_made_twice_whatever_commit_is_lost() {
    let commits = run_with(None).await;
    assert!(commits > 8, "the run has become too short to show anything");
    for nth in 1..=commits {
        for fault in [Fault::Before, Fault::After] {
            run_with(Some((nth, fault))).await;
        }
    }
}

/// Training jobs that run: their logs have the objective, and those without prospects are stopped.
#[tokio::test]
async fn training_jobs_run_and_are_stopped_early() {
    let respond = |parameters: &Value| {
        let x = parameters["x"].as_str().unwrap();
        (0..3).map(|_| format!("loss={x}")).collect()
    };
    let world = jobs::World::new(Script { respond: Some(respond), ..Script::exits(0) }).await;
    let ranges = json!({"CategoricalParameterRanges": [{"Name": "x", "Values": ["0.3", "0.1", "0.2", "0.9"]}]});
    let request = with(tuning(), "/HyperParameterTuningJobConfig/ParameterRanges", ranges);
    let request = with(request, "/HyperParameterTuningJobConfig/Strategy", json!("Grid"));
    let request = with(request, "/HyperParameterTuningJobConfig/TrainingJobEarlyStoppingType", json!("Auto"));
    let request = with(request, "/HyperParameterTuningJobConfig/ResourceLimits", json!({"MaxParallelTrainingJobs": 1}));
    world.call("CreateHyperParameterTuningJob", request).await.unwrap();
    for turn in 0..3000 {
        world.kernel.settle().await.unwrap();
        let found = world.call("DescribeHyperParameterTuningJob", json!({"HyperParameterTuningJobName": "Tune"})).await.unwrap();
        if found["TrainingJobStatusCounters"]["Completed"] == 3 {
            // The fourth would go on for ever.
            world.engine.script.lock().unwrap().endless = true;
        }
        if found["HyperParameterTuningJobStatus"] == "Completed" {
            assert_eq!(found["TrainingJobStatusCounters"]["Stopped"], 1, "{found}");
            let best = &found["BestTrainingJob"];
            assert_eq!((&best["TunedHyperParameters"]["x"], &best["ObjectiveStatus"]), (&json!("0.1"), &json!("Succeeded")));
            return;
        }
        assert!(turn < 2999, "never: {found}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

//! Jobs from Create to their end.

mod breadth;
mod turns;
pub(crate) mod world;

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};
use tenantry_compute::{Compute, Network};
use tenantry_core::Region;
use world::{ROLE, Script, World, caller, gather};

fn training() -> Value {
    json!({
        "TrainingJobName": "Job-1",
        "AlgorithmSpecification": {"TrainingImage": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "HyperParameters": {"num_round": "5"},
        "InputDataConfig": [{
            "ChannelName": "train",
            "ContentType": "text/csv",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://data/train", "S3DataDistributionType": "FullyReplicated"}},
        }],
        "OutputDataConfig": {"S3OutputPath": "s3://results/models/", "KmsKeyId": ""},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    })
}

fn processing() -> Value {
    json!({
        "ProcessingJobName": "Job-1",
        "AppSpecification": {"ImageUri": "x/sagemaker-base-python:1.0", "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/script.py"], "ContainerArguments": ["--a", "b"]},
        "RoleArn": ROLE,
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
        "ProcessingInputs": [{
            "InputName": "code",
            "S3Input": {"S3Uri": "s3://data/code/script.py", "LocalPath": "/opt/ml/processing/input/code", "S3DataType": "S3Prefix", "S3InputMode": "File"},
        }],
        "ProcessingOutputConfig": {"Outputs": [{
            "OutputName": "out",
            "S3Output": {"S3Uri": "s3://results/out", "LocalPath": "/opt/ml/processing/out", "S3UploadMode": "EndOfJob"},
        }]},
        "Environment": {"MODE": "test"},
    })
}

fn with(mut request: Value, pointer: &str, value: Value) -> Value {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    request.pointer_mut(parent).unwrap()[last] = value;
    request
}

#[tokio::test]
async fn a_training_job_completes() {
    let writes = vec![("/opt/ml/model/xgboost-model", "weights"), ("/opt/ml/output/data/plot.txt", "plot")];
    let prints = vec!["hello", "[4]#011train-rmse:0.5"];
    let world = World::new(Script { writes, prints, ..Script::exits(0) }).await;
    let made = world.call("CreateTrainingJob", training()).await.unwrap();
    assert_eq!(made["TrainingJobArn"], "arn:aws:sagemaker:us-east-1:123456789012:training-job/job-1");
    assert_eq!(world.describe(true).await["SecondaryStatus"], "Starting");
    let found = world.over(true).await;
    assert_eq!((&found["TrainingJobStatus"], &found["SecondaryStatus"]), (&json!("Completed"), &json!("Completed")), "{found}");
    let steps: Vec<_> = found["SecondaryStatusTransitions"].as_array().unwrap().iter().map(|t| t["Status"].as_str().unwrap()).collect();
    assert!(steps.starts_with(&["Starting", "Downloading"]) && steps.ends_with(&["Uploading", "Completed"]), "{steps:?}");
    assert_eq!(found["ModelArtifacts"]["S3ModelArtifacts"], "s3://results/models/Job-1/output/model.tar.gz");
    assert_eq!(found["FinalMetricDataList"], json!([{"MetricName": "train:rmse", "Value": 0.5, "Timestamp": 1}]));
    assert_eq!((&found["HyperParameters"], &found["OutputDataConfig"]), (&training()["HyperParameters"], &training()["OutputDataConfig"]));
    assert!(found["BillableTimeInSeconds"].as_i64().unwrap() >= 1 && found["TrainingEndTime"].is_number());
    assert!(
        world.object("results/models/Job-1/output/model.tar.gz").is_some()
            && world.object("results/models/Job-1/output/output.tar.gz").is_some()
    );
    let seen = world.engine.seen.lock().unwrap()[0].clone();
    assert_eq!((seen["/opt/ml/input/data/train/a.csv"].as_str(), seen["/opt/ml/input/data/train/deep/b.csv"].as_str()), ("1,2", "3,4"));
    assert_eq!(seen["/opt/ml/input/config/hyperparameters.json"], r#"{"num_round":"5"}"#);
    assert!(seen["/opt/ml/input/config/resourceconfig.json"].contains(r#""hosts":["algo-1"]"#));
    assert_eq!(world.log("/aws/sagemaker/TrainingJobs", &found["CreationTime"]).await, ["hello", "[4]#011train-rmse:0.5"]);
    assert!(world.engine.works.lock().unwrap().is_empty(), "forgotten");
    assert_eq!(std::fs::read_dir(world.dir.join("work")).unwrap().count(), 0, "removed");
    let listed = world.call("ListTrainingJobs", json!({"StatusEquals": "Completed"})).await.unwrap();
    assert_eq!(listed["TrainingJobSummaries"][0]["TrainingJobName"], "Job-1");
}

#[tokio::test]
async fn what_a_workload_is_given() {
    let world = World::new(Script { endless: true, ..Script::exits(0) }).await;
    let request = with(training(), "/ResourceConfig/InstanceCount", json!(2));
    let request = with(request, "/InputDataConfig/0/DataSource/S3DataSource/S3DataDistributionType", json!("ShardedByS3Key"));
    let request = with(request, "/Environment", json!({"AWS_REGION": "mine", "A": "b"}));
    world.call("CreateTrainingJob", request).await.unwrap();
    world.until(true, |found| found["SecondaryStatus"] == "Training").await;
    let works = world.engine.works.lock().unwrap();
    let (workload, _) = works.values().next().unwrap();
    assert_eq!(workload.command, ["python", "-m", "tenantry_runtime.xgboost_train"]);
    assert_eq!(
        (workload.env["A"].as_str(), workload.env["AWS_REGION"].as_str(), workload.env["AWS_DEFAULT_REGION"].as_str()),
        ("b", "mine", "us-east-1")
    );
    assert!(workload.env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"].starts_with("/v2/credentials/"));
    assert_eq!(workload.env["NO_PROXY"], "127.0.0.1,169.254.170.2,localhost,algo-1,algo-2");
    assert!(workload.shared_network && matches!(&workload.network, Network::Brokered(out) if out.len() == 2));
    assert_eq!(workload.timeout, Some(Duration::from_secs(600)));
    let files = |host: usize| {
        let mut found = BTreeMap::new();
        workload.hosts[host].mounts.iter().for_each(|mount| gather(&mount.host, &mount.target, &mut found));
        found.into_keys().filter(|path| path.starts_with("/opt/ml/input/data")).collect::<Vec<_>>()
    };
    assert_eq!(
        (files(0), files(1)),
        (vec!["/opt/ml/input/data/train/a.csv".to_owned()], vec!["/opt/ml/input/data/train/deep/b.csv".to_owned()])
    );
}

#[tokio::test]
async fn isolation_means_no_way_out() {
    let world = World::new(Script { endless: true, ..Script::exits(0) }).await;
    world.call("CreateTrainingJob", with(training(), "/EnableNetworkIsolation", json!(true))).await.unwrap();
    world.until(true, |found| found["SecondaryStatus"] == "Training").await;
    let works = world.engine.works.lock().unwrap();
    let (workload, _) = works.values().next().unwrap();
    assert!(matches!(workload.network, Network::Isolated));
    assert!(
        !workload.env.keys().any(|name| name.contains("PROXY") || name.contains("CREDENTIALS") || name.contains("ENDPOINT")),
        "{:?}",
        workload.env
    );
}

#[tokio::test]
async fn a_processing_job_completes_and_leaves_a_message() {
    let writes = vec![("/opt/ml/processing/out/deep/result.json", "{}"), ("/opt/ml/output/message", "all good")];
    let world = World::new(Script { writes, ..Script::exits(0) }).await;
    world.call("CreateProcessingJob", processing()).await.unwrap();
    let found = world.over(false).await;
    assert_eq!((&found["ProcessingJobStatus"], &found["ExitMessage"]), (&json!("Completed"), &json!("all good")), "{found}");
    assert_eq!(world.object("results/out/deep/result.json").as_deref(), Some(&b"{}"[..]));
    let seen = world.engine.seen.lock().unwrap()[0].clone();
    assert_eq!(seen["/opt/ml/processing/input/code/script.py"], "print()");
    assert!(
        seen["/opt/ml/config/processingjobconfig.json"].contains("processing-job/job-1")
            && seen.contains_key("/opt/ml/config/resourceconfig.json")
    );
}

#[tokio::test]
async fn failures_have_reasons() {
    let failing = Script { writes: vec![("/opt/ml/output/failure", "bad labels")], ..Script::exits(3) };
    for (script, request, reason) in [
        (failing.clone(), training(), "AlgorithmError: bad labels, exit code: 3"),
        (
            Script { oom: true, ..Script::exits(137) },
            training(),
            "AlgorithmError: OutOfMemory: Please use an instance type with more memory",
        ),
        (
            Script::exits(0),
            with(training(), "/InputDataConfig/0/DataSource/S3DataSource/S3Uri", json!("s3://data/nowhere")),
            "ClientError: Data download failed:No S3 objects found under S3 URL \"s3://data/nowhere\"",
        ),
        (
            Script::exits(0),
            with(training(), "/InputDataConfig/0/DataSource/S3DataSource/S3Uri", json!("s3://denied/x")),
            "ClientError: Data download failed:",
        ),
        (
            Script::exits(0),
            with(training(), "/OutputDataConfig/S3OutputPath", json!("s3://denied/x")),
            "ClientError: Artifact upload failed:AccessDenied",
        ),
    ] {
        let world = World::new(script).await;
        world.call("CreateTrainingJob", request).await.unwrap();
        let found = world.over(true).await;
        assert_eq!(found["TrainingJobStatus"], "Failed", "{found}");
        assert!(found["FailureReason"].as_str().unwrap().starts_with(reason), "{found}");
    }
    let world = World::new(failing).await;
    world.call("CreateProcessingJob", processing()).await.unwrap();
    assert_eq!(world.over(false).await["FailureReason"], "AlgorithmError: See job logs for more information, exit code: 3");
    assert!(world.object("results/out/deep/result.json").is_none());
}

#[tokio::test]
async fn keys_are_never_paths() {
    let world = World::new(Script::exits(0)).await;
    world.objects.0.lock().unwrap().insert("data/train/../../escaped".into(), b"x".to_vec());
    world.call("CreateTrainingJob", training()).await.unwrap();
    let found = world.over(true).await;
    assert!(found["FailureReason"].as_str().unwrap().contains("cannot be the name of a file"), "{found}");
    assert_eq!(world.engine.starts.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn stopping_keeps_the_model() {
    let world = World::new(Script { endless: true, writes: vec![("/opt/ml/model/m", "half")], ..Script::exits(0) }).await;
    world.call("CreateTrainingJob", training()).await.unwrap();
    world.until(true, |found| found["SecondaryStatus"] == "Training").await;
    world.call("StopTrainingJob", json!({"TrainingJobName": "Job-1"})).await.unwrap();
    assert_eq!(world.describe(true).await["TrainingJobStatus"], "Stopping");
    world.call("StopTrainingJob", json!({"TrainingJobName": "Job-1"})).await.unwrap();
    let found = world.over(true).await;
    assert_eq!((&found["TrainingJobStatus"], &found["SecondaryStatus"]), (&json!("Stopped"), &json!("Stopped")));
    assert!(world.object("results/models/Job-1/output/model.tar.gz").is_some());
    let error = world.call("StopTrainingJob", json!({"TrainingJobName": "Job-1"})).await.unwrap_err();
    assert_eq!(error.message, "The request was rejected because the training job is in status Stopped.");
}

#[tokio::test]
async fn out_of_time_is_stopped() {
    let world = World::new(Script { endless: true, ..Script::exits(0) }).await;
    world.call("CreateTrainingJob", training()).await.unwrap();
    world.until(true, |found| found["SecondaryStatus"] == "Training").await;
    let name = world.engine.names().await.remove(0);
    world.engine.end(&name, |status| status.timed_out = true);
    let found = world.over(true).await;
    assert_eq!((&found["TrainingJobStatus"], &found["SecondaryStatus"]), (&json!("Stopped"), &json!("MaxRuntimeExceeded")));
}

#[tokio::test]
async fn checkpoints_come_and_go() {
    let writes = vec![("/opt/ml/checkpoints/new", "n")];
    let world = World::new(Script { writes, ..Script::exits(1) }).await;
    world.call("CreateTrainingJob", with(training(), "/CheckpointConfig", json!({"S3Uri": "s3://data/ck"}))).await.unwrap();
    world.over(true).await;
    assert_eq!(world.engine.seen.lock().unwrap()[0]["/opt/ml/checkpoints/old"], "checkpoint");
    assert_eq!(world.object("data/ck/new").as_deref(), Some(&b"n"[..]), "also when the job fails");
}

#[tokio::test]
async fn a_restart_begins_again_and_not_for_ever() {
    let mut world = World::new(Script { endless: true, ..Script::exits(0) }).await;
    world.call("CreateTrainingJob", training()).await.unwrap();
    for attempt in 1..=super::step::MAX_ATTEMPTS {
        world.until(true, |found| found["SecondaryStatus"] == "Training").await;
        assert_eq!(world.engine.starts.load(Ordering::Relaxed), attempt as usize);
        world.restart();
        if attempt < super::step::MAX_ATTEMPTS {
            world.until(true, |found| found["SecondaryStatus"] != "Training").await;
        }
    }
    let found = world.over(true).await;
    assert_eq!(found["FailureReason"], super::reason::INTERNAL);
    let log = world.log("/aws/sagemaker/TrainingJobs", &found["CreationTime"]).await;
    assert_eq!(log.len(), 3, "{log:?}");
    assert!(log[0].contains("begins again (attempt 2 of 3)"), "{log:?}");
}

#[tokio::test]
async fn a_restart_after_stop_is_stopped() {
    let mut world = World::new(Script { endless: true, ..Script::exits(0) }).await;
    world.call("CreateProcessingJob", processing()).await.unwrap();
    world.until(false, |_| world.engine.starts.load(Ordering::Relaxed) == 1).await;
    world.call("StopProcessingJob", json!({"ProcessingJobName": "Job-1"})).await.unwrap();
    world.restart();
    assert_eq!(world.over(false).await["ProcessingJobStatus"], "Stopped");
    assert_eq!(world.engine.starts.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn refused_at_create() {
    let world = World::new(Script::exits(0)).await;
    let vpc = json!({"Subnets": ["subnet-1"], "SecurityGroupIds": ["default"]});
    let second = training()["InputDataConfig"][0].clone();
    for (request, part) in [
        (with(training(), "/VpcConfig", vpc.clone()), "default in VpcConfig.SecurityGroupIds is not a valid id"),
        (with(training(), "/OutputDataConfig/KmsKeyId", json!("alias/x")), "KmsKeyId is not available here"),
        (with(training(), "/ResourceConfig/VolumeKmsKeyId", json!("alias/x")), "VolumeKmsKeyId is not available here"),
        (
            with(training(), "/SessionChainingConfig", json!({"EnableSessionTagChaining": true})),
            "EnableSessionTagChaining is not available",
        ),
        (with(training(), "/AlgorithmSpecification/TrainingInputMode", json!("Pipe")), "Pipe is not available here"),
        (
            with(training(), "/AlgorithmSpecification/TrainingImage", json!("x/unknown:1")),
            "image `x/unknown:1` is not known here: known are",
        ),
        (with(training(), "/AlgorithmSpecification/TrainingImage", json!("x/sagemaker-tritonserver:1")), "has no training program"),
        (with(training(), "/OutputDataConfig/S3OutputPath", json!("https://x/y")), "is not a valid S3 URI"),
        (with(training(), "/InputDataConfig", json!([second, second])), "Channel names must be unique"),
        (with(training(), "/InputDataConfig/0/ChannelName", json!("..")), "cannot be a directory"),
        (
            with(training(), "/RoleArn", json!("arn:aws:iam::123456789012:role/unknown")),
            "Could not assume role arn:aws:iam::123456789012:role/unknown",
        ),
        (with(training(), "/RoleArn", json!("arn:aws:iam::999999999999:role/execution")), "Cross-account pass role is not allowed"),
        (with(training(), "/ResourceConfig/InstanceCount", json!(0)), "InstanceCount"),
        (with(training(), "/EnableManagedSpotTraining", json!(true)), "MaxWaitTimeInSeconds"),
        (with(training(), "/AlgorithmSpecification/MetricDefinitions", json!([{"Name": "m", "Regex": "("}])), "Invalid regex"),
        (with(training(), "/CheckpointConfig", json!({"S3Uri": "s3://data/x", "LocalPath": "/etc"})), "must be a directory below /opt/ml"),
    ] {
        let error = world.call("CreateTrainingJob", request).await.unwrap_err();
        assert_eq!(error.code, "ValidationException", "{error}");
        assert!(error.message.contains(part), "{error}");
    }
    for (request, part) in [
        (with(processing(), "/NetworkConfig", json!({"VpcConfig": vpc})), "default in VpcConfig.SecurityGroupIds is not a valid id"),
        (with(processing(), "/ProcessingOutputConfig/KmsKeyId", json!("alias/x")), "KmsKeyId is not available here"),
        (with(processing(), "/ProcessingInputs/0/S3Input/LocalPath", json!("/opt/ml/../../etc")), "must be a directory below /opt/ml"),
        (with(processing(), "/ProcessingInputs/0/S3Input/S3InputMode", json!("Pipe")), "Pipe"),
    ] {
        let error = world.call("CreateProcessingJob", request).await.unwrap_err();
        assert!(error.code == "ValidationException" && error.message.contains(part), "{error}");
    }
}

#[tokio::test]
async fn policies_see_what_a_job_asks_for() {
    let world = World::new(Script::exits(0)).await;
    let deny =
        |action: &str, condition: &str| format!(r#"{{"Effect":"Deny","Action":"{action}","Resource":"*","Condition":{{{condition}}}}}"#);
    let create = |condition: &str| deny("sagemaker:CreateTrainingJob", condition);
    let tagged = with(training(), "/Tags", json!([{"Key": "team", "Value": "blue"}]));
    let keyed = with(training(), "/ResourceConfig/VolumeKmsKeyId", json!("alias/volume"));
    for (statement, request) in [
        (create(r#""Null":{"sagemaker:VpcSubnets":"true","sagemaker:VpcSecurityGroupIds":"true"}"#), training()),
        (create(r#""ForAnyValue:StringLike":{"sagemaker:InstanceTypes":"ml.m5.*"}"#), training()),
        (create(r#""BoolIfExists":{"sagemaker:NetworkIsolation":"false"}"#), training()),
        (create(r#""Null":{"sagemaker:OutputKmsKey":"true"}"#), training()),
        (create(r#""StringEquals":{"sagemaker:VolumeKmsKey":"alias/volume"}"#), keyed),
        (create(r#""StringEquals":{"aws:RequestTag/team":"blue"}"#), tagged.clone()),
        (deny("sagemaker:AddTags", r#""StringEquals":{"sagemaker:TaggingAction":"CreateTrainingJob"}"#), tagged),
        (deny("iam:PassRole", r#""StringEquals":{"iam:PassedToService":"sagemaker.amazonaws.com"}"#), training()),
    ] {
        let error = world.call_denied(&statement, "CreateTrainingJob", request).await;
        assert_eq!(error.code, "AccessDeniedException", "{statement}: {error}");
    }
    let within = with(training(), "/VpcConfig", json!({"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}));
    let statement = create(r#""Null":{"sagemaker:VpcSubnets":"true","sagemaker:VpcSecurityGroupIds":"true"}"#);
    world.call_limited(&statement, "CreateTrainingJob", within).await.unwrap();
    let network = with(processing(), "/NetworkConfig", json!({"EnableNetworkIsolation": true}));
    let statement = deny("sagemaker:CreateProcessingJob", r#""Bool":{"sagemaker:NetworkIsolation":"true"}"#);
    assert_eq!(world.call_denied(&statement, "CreateProcessingJob", network).await.code, "AccessDeniedException");
}

#[tokio::test]
async fn a_job_in_a_vpc_has_no_way_to_the_internet() {
    let vpc = json!({"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]});
    for (operation, request, internet) in [
        ("CreateTrainingJob", training(), true),
        ("CreateTrainingJob", with(training(), "/VpcConfig", vpc.clone()), false),
        ("CreateProcessingJob", processing(), true),
        ("CreateProcessingJob", with(processing(), "/NetworkConfig", json!({"VpcConfig": vpc})), false),
    ] {
        let (world, training) = (World::new(Script::exits(0)).await, operation == "CreateTrainingJob");
        world.call(operation, request).await.unwrap();
        let over = world.over(training).await;
        assert_eq!(over[if training { "TrainingJobStatus" } else { "ProcessingJobStatus" }], "Completed", "{over}");
        assert_eq!(*world.doors.0.lock().unwrap(), [internet], "{operation}");
        let echoed = if training { &over["VpcConfig"] } else { &over["NetworkConfig"]["VpcConfig"] };
        assert_eq!(echoed, &if internet { Value::Null } else { vpc.clone() });
    }
}

/// A trust policy that binds SageMaker to what it works for ("The confused deputy problem", IAM User Guide).
#[tokio::test]
async fn a_role_may_be_for_certain_jobs_only() {
    for (condition, allowed) in [
        (r#""StringEquals":{"aws:SourceAccount":"123456789012"}"#, true),
        (r#""StringEquals":{"aws:SourceAccount":"999999999999"}"#, false),
        (r#""ArnLike":{"aws:SourceArn":"arn:aws:sagemaker:us-east-1:123456789012:training-job/job-*"}"#, true),
        (r#""ArnLike":{"aws:SourceArn":"arn:aws:sagemaker:us-east-1:123456789012:processing-job/*"}"#, false),
        (r#""Bool":{"aws:PrincipalIsAWSService":"true"}"#, true),
        (r#""StringEquals":{"aws:PrincipalServiceName":"lambda.amazonaws.com"}"#, false),
    ] {
        let world = World::new(Script::exits(0)).await;
        world.trust_under(condition).await;
        let made = world.call("CreateTrainingJob", training()).await;
        match made {
            Ok(_) => assert!(allowed, "{condition}"),
            Err(error) => assert!(!allowed && error.message.starts_with("Could not assume role"), "{condition}: {error}"),
        }
    }
}

#[tokio::test]
async fn large_files_go_in_parts() {
    let world = World::new(Script::exits(0)).await;
    std::fs::create_dir_all(&world.dir).unwrap();
    let path = world.dir.join("large");
    std::fs::write(&path, "0123456789").unwrap();
    let mover = super::data::Mover::new(world.kernel.clone(), caller(), Region::from("us-east-1"));
    let put = async |key: &str| {
        let at = super::uri::S3Uri::parse(&format!("s3://results/{key}")).unwrap();
        mover.put_parts(&at, std::fs::File::open(&path).unwrap(), 10, 4).await
    };
    put("large").await.unwrap();
    assert_eq!(world.object("results/large").as_deref(), Some(&b"0123456789"[..]));
    assert!(put("fails").await.is_err());
    assert!(!world.objects.0.lock().unwrap().keys().any(|name| name.contains("fails")), "taken back");
}

#[tokio::test]
async fn a_model_can_be_stored_as_files() {
    let world = World::new(Script { writes: vec![("/opt/ml/model/deep/m", "weights")], ..Script::exits(0) }).await;
    let mut request = with(training(), "/OutputDataConfig/CompressionType", json!("NONE"));
    request["OutputDataConfig"].as_object_mut().unwrap().remove("KmsKeyId");
    world.call("CreateTrainingJob", request).await.unwrap();
    let found = world.over(true).await;
    assert_eq!((&found["OutputDataConfig"]["KmsKeyId"], &found["EnableManagedSpotTraining"]), (&json!(""), &json!(false)));
    assert_eq!(found["ModelArtifacts"]["S3ModelArtifacts"], "s3://results/models/Job-1/output/model/");
    assert_eq!(world.object("results/models/Job-1/output/model/deep/m").as_deref(), Some(&b"weights"[..]));
}

#[tokio::test]
async fn a_job_has_at_most_twenty_hosts() {
    let world = World::new(Script::exits(0)).await;
    let error = world.call("CreateTrainingJob", with(training(), "/ResourceConfig/InstanceCount", json!(21))).await.unwrap_err();
    assert_eq!(error.code, "ResourceLimitExceeded", "{error}");
    world.call("CreateTrainingJob", with(training(), "/ResourceConfig/InstanceCount", json!(20))).await.unwrap();
}

#[tokio::test]
async fn names_are_unique_without_case() {
    let world = World::new(Script::exits(0)).await;
    world.call("CreateTrainingJob", training()).await.unwrap();
    for name in ["Job-1", "job-1"] {
        let error = world.call("CreateTrainingJob", with(training(), "/TrainingJobName", json!(name))).await.unwrap_err();
        assert_eq!(error.code, "ResourceInUse");
        assert!(
            error
                .message
                .starts_with("Job name must be unique within an AWS account and region, and a job with this name already exists (arn:")
        );
    }
    let missing = world.call("DescribeTrainingJob", json!({"TrainingJobName": "none"})).await.unwrap_err();
    assert_eq!((missing.code.as_ref(), missing.message.as_str()), ("ValidationException", "Requested resource not found."));
    let missing = world.call("DescribeProcessingJob", json!({"ProcessingJobName": "none"})).await.unwrap_err();
    assert_eq!(missing.message, "Could not find requested job with name: none");
}

use serde_json::{Value, json};
use tenantry_kernel::Caller;
use tenantry_store::Fault;

use crate::world::{ALL, REGION, World};

mod versions;

fn token() -> String {
    format!("{}-{}", tenantry_kernel::Ids::uuid(), "t")
}

fn training(name: &str) -> Value {
    json!({"Name": name, "Type": "Training", "Arguments": {
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "RoleArn": "arn:aws:iam::111122223333:role/job", "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60}, "HyperParameters": {"tenant": {"Get": "Parameters.Tenant"}},
    }})
}

fn definition(steps: &[Value]) -> String {
    json!({"Version": "2020-12-01", "Parameters": [{"Name": "Tenant", "Type": "String", "DefaultValue": "t1"}],
        "PipelineExperimentConfig": {"ExperimentName": {"Get": "Execution.PipelineName"}, "TrialName": {"Get": "Execution.PipelineExecutionId"}},
        "Steps": steps})
    .to_string()
}

async fn create(world: &World, caller: &Caller, name: &str, role: &str, steps: &[Value]) {
    let request = json!({"PipelineName": name, "PipelineDefinition": definition(steps), "ClientRequestToken": token(),
        "RoleArn": format!("arn:aws:iam::111122223333:role/{role}")});
    world.ok(caller, "CreatePipeline", request).await;
}

async fn start(world: &World, caller: &Caller, name: &str) -> String {
    let reply = world.ok(caller, "StartPipelineExecution", json!({"PipelineName": name, "ClientRequestToken": token()})).await;
    reply["PipelineExecutionArn"].as_str().unwrap().to_owned()
}

async fn status(world: &World, caller: &Caller, arn: &str) -> Value {
    world.ok(caller, "DescribePipelineExecution", json!({"PipelineExecutionArn": arn})).await["PipelineExecutionStatus"].clone()
}

async fn steps(world: &World, caller: &Caller, arn: &str) -> Vec<Value> {
    let reply = world.ok(caller, "ListPipelineExecutionSteps", json!({"PipelineExecutionArn": arn, "SortOrder": "Ascending"})).await;
    reply["PipelineExecutionSteps"].as_array().unwrap().clone()
}

fn evaluate() -> Value {
    json!({"Name": "Evaluate", "Type": "Processing", "Arguments": {
        "AppSpecification": {"ImageUri": "image"}, "RoleArn": "arn:aws:iam::111122223333:role/job",
        "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
        "ProcessingInputs": [{"InputName": "model", "S3Input": {"S3Uri": {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"},
            "LocalPath": "/opt/ml/processing/model", "S3DataType": "S3Prefix", "S3InputMode": "File"}}],
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "evaluation", "S3Output": {"S3Uri": "s3://bucket/evaluation",
            "LocalPath": "/opt/ml/processing/evaluation", "S3UploadMode": "EndOfJob"}}]}},
      "PropertyFiles": [{"PropertyFileName": "Report", "OutputName": "evaluation", "FilePath": "evaluation.json"}]})
}

fn gate(group: &str) -> Value {
    json!({"Name": "Check", "Type": "Condition", "Arguments": {
        "Conditions": [{"Type": "LessThanOrEqualTo", "RightValue": 6.0,
            "LeftValue": {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.Report"}, "Path": "metrics.mse.value"}}}],
        "IfSteps": [{"Name": "Register", "Type": "RegisterModel", "Arguments": {"ModelPackageGroupName": group,
            "InferenceSpecification": {"Containers": [{"Image": "image", "ModelDataUrl": {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"}}],
                "SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}}}],
        "ElseSteps": [{"Name": "Bad", "Type": "Fail", "Arguments": {"ErrorMessage": "the model is not good enough"}}]}})
}

#[tokio::test]
async fn a_pipeline_is_created_changed_and_deleted() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    create(&world, &admin, "Tenant1-App", "admin", &[training("Train")]).await;
    let described = world.ok(&admin, "DescribePipeline", json!({"PipelineName": "tenant1-app"})).await;
    assert_eq!(described["PipelineArn"], "arn:aws:sagemaker:us-east-1:111122223333:pipeline/tenant1-app");
    assert_eq!(described["PipelineName"], "Tenant1-App");
    let again = json!({"PipelineName": "TENANT1-app", "PipelineDefinition": definition(&[training("Train")]), "ClientRequestToken": token(),
        "RoleArn": "arn:aws:iam::111122223333:role/admin"});
    let error = world.refused(&admin, "CreatePipeline", again.clone()).await;
    assert_eq!(error.code, "ValidationException");
    assert!(
        error.message.contains("Pipeline names must be unique within an AWS account and region")
            && error.message.contains("already exists")
    );

    // The same token is the same request.
    let mut twice = again.clone();
    twice["PipelineName"] = json!("twice");
    assert_eq!(world.ok(&admin, "CreatePipeline", twice.clone()).await, world.ok(&admin, "CreatePipeline", twice).await);

    world.ok(&admin, "UpdatePipeline", json!({"PipelineName": "Tenant1-App", "PipelineDescription": "d", "ParallelismConfiguration": {"MaxParallelExecutionSteps": 2}})).await;
    let described = world.ok(&admin, "DescribePipeline", json!({"PipelineName": described["PipelineArn"]})).await;
    assert_eq!(
        (&described["PipelineDescription"], &described["ParallelismConfiguration"]["MaxParallelExecutionSteps"]),
        (&json!("d"), &json!(2))
    );
    let list = world.ok(&admin, "ListPipelines", json!({"PipelineNamePrefix": "Tenant1", "MaxResults": 1})).await;
    assert_eq!(list["PipelineSummaries"].as_array().unwrap().len(), 1);

    let execution = start(&world, &admin, "tenant1-app").await;
    let error = world.refused(&admin, "DeletePipeline", json!({"PipelineName": "tenant1-app", "ClientRequestToken": token()})).await;
    assert_eq!(error.code, "ConflictException");
    world.pass(2).await;
    assert!(world.ok(&admin, "DescribePipeline", json!({"PipelineName": "tenant1-app"})).await["LastRunTime"].is_number());
    world.ok(&admin, "DeletePipeline", json!({"PipelineName": "tenant1-app", "ClientRequestToken": token()})).await;
    let error = world.refused(&admin, "DescribePipeline", json!({"PipelineName": "tenant1-app"})).await;
    assert_eq!(
        (&*error.code, &*error.message),
        ("ResourceNotFound", "Pipeline 'arn:aws:sagemaker:us-east-1:111122223333:pipeline/tenant1-app' does not exist.")
    );
    let error = world.refused(&admin, "DescribePipelineExecution", json!({"PipelineExecutionArn": execution})).await;
    assert_eq!(error.code, "ResourceNotFound");
}

#[tokio::test]
async fn a_new_definition_is_handed_to_the_stored_role() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    let editor = world
        .role("editor", r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sagemaker:*","Resource":"*"}]}"#, &[])
        .await;
    let text = definition(&[training("A")]);
    let create = json!({"PipelineName": "p", "PipelineDefinition": text, "ClientRequestToken": token(), "RoleArn": "arn:aws:iam::111122223333:role/admin"});
    world.ok(&admin, "CreatePipeline", create).await;
    let error = world.refused(&editor, "UpdatePipeline", json!({"PipelineName": "P", "PipelineDefinition": text})).await;
    assert!(error.message.contains("iam:PassRole on resource: arn:aws:iam::111122223333:role/admin"), "{error}");
    world.ok(&editor, "UpdatePipeline", json!({"PipelineName": "p", "PipelineDescription": "only words"})).await;
}

#[tokio::test]
async fn bad_definitions_and_parameters_are_named() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    let with = |text: String| json!({"PipelineName": "p", "PipelineDefinition": text, "ClientRequestToken": token(), "RoleArn": "arn:aws:iam::111122223333:role/admin"});
    let cycle = |of: &str, on: &str| {
        let mut step = training(of);
        step["DependsOn"] = json!([on]);
        step
    };
    for text in [
        "{".to_owned(),
        definition(&[json!({"Name": "x", "Type": "Nonsense", "Arguments": {}})]),
        definition(&[cycle("A", "B"), cycle("B", "A")]),
    ] {
        let error = world.refused(&admin, "CreatePipeline", with(text.clone())).await;
        assert_eq!(error.code, "ValidationException", "{text}");
    }
    let error = world
        .refused(
            &admin,
            "CreatePipeline",
            json!({"PipelineName": "p", "ClientRequestToken": token(), "RoleArn": "arn:aws:iam::111122223333:role/admin"}),
        )
        .await;
    assert_eq!(error.code, "ValidationException");
    let other = json!({"PipelineName": "p", "PipelineDefinition": definition(&[training("T")]), "ClientRequestToken": token(), "RoleArn": "arn:aws:iam::999922223333:role/admin"});
    assert_eq!(world.refused(&admin, "CreatePipeline", other).await.message, "Cross-account pass role is not allowed.");

    world.fates.objects.lock().unwrap().insert("bucket/definition.json".to_owned(), definition(&[training("T")]));
    let mut from_s3 = with(String::new());
    from_s3.as_object_mut().unwrap().remove("PipelineDefinition");
    from_s3["PipelineDefinitionS3Location"] = json!({"Bucket": "bucket", "ObjectKey": "definition.json"});
    world.ok(&admin, "CreatePipeline", from_s3).await;
    let given = |name: &str, value: &str| json!({"PipelineName": "p", "ClientRequestToken": token(), "PipelineParameters": [{"Name": name, "Value": value}]});
    assert_eq!(world.refused(&admin, "StartPipelineExecution", given("Nope", "1")).await.code, "ValidationException");
    assert_eq!(
        world.refused(&admin, "StartPipelineExecution", json!({"PipelineName": "q", "ClientRequestToken": token()})).await.code,
        "ResourceNotFound"
    );
}

/// The platform reads the definition for whoever creates the pipeline: it is the caller's right, by way of SageMaker.
#[tokio::test]
async fn a_definition_is_read_on_the_callers_behalf() {
    let world = World::new();
    world.fates.objects.lock().unwrap().insert("bucket/definition.json".to_owned(), definition(&[training("T")]));
    for (condition, allowed) in [
        (r#""Bool":{"aws:ViaAWSService":"true"}"#, true),
        (r#""ForAnyValue:StringEquals":{"aws:CalledVia":"sagemaker.amazonaws.com"}"#, true),
        (r#""StringEquals":{"aws:CalledViaFirst":"sagemaker.amazonaws.com"}"#, true),
        (r#""Bool":{"aws:ViaAWSService":"false"}"#, false),
        (r#""Bool":{"aws:PrincipalIsAWSService":"true"}"#, false),
    ] {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":["sagemaker:*","iam:PassRole"],"Resource":"*"}},
            {{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{{{condition}}}}}]}}"#
        );
        let caller = world.role("creator", &policy, &[]).await;
        let request = json!({"PipelineName": format!("p{}", tenantry_kernel::Ids::lower(6)), "ClientRequestToken": token(), "RoleArn": "arn:aws:iam::111122223333:role/creator",
            "PipelineDefinitionS3Location": {"Bucket": "bucket", "ObjectKey": "definition.json"}});
        if allowed {
            world.ok(&caller, "CreatePipeline", request).await;
        } else {
            let error = world.refused(&caller, "CreatePipeline", request).await;
            assert!(error.message.contains("s3:GetObject"), "{condition}: {error}");
        }
        // Asked for directly it is not by way of anyone.
        let direct = json!({"Bucket": "bucket", "Key": "definition.json"});
        let read = world.kernel.call(&caller, &REGION.into(), "s3", "GetObject", direct).await;
        assert_eq!(read.is_ok(), condition.contains("ViaAWSService\":\"false"), "{condition}");
    }
}

#[tokio::test]
async fn tenants_start_only_what_is_tagged_theirs() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    let abac = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sagemaker:StartPipelineExecution",
        "Resource":"arn:aws:sagemaker:*:*:pipeline/${aws:PrincipalTag/TenantID}-*",
        "Condition":{"StringEquals":{"aws:ResourceTag/TenantID":"${aws:PrincipalTag/TenantID}"}}}]}"#;
    let tenant = world.role("tenant", abac, &[("TenantID", "tenant1")]).await;
    for (name, tags) in [
        ("tenant1-a", json!([{"Key": "TenantID", "Value": "tenant1"}])),
        ("tenant1-x", json!([{"Key": "TenantID", "Value": "tenant2"}])),
        ("tenant2-a", json!([])),
    ] {
        let request = json!({"PipelineName": name, "PipelineDefinition": definition(&[training("T")]), "ClientRequestToken": token(),
            "RoleArn": "arn:aws:iam::111122223333:role/admin", "Tags": tags});
        world.ok(&admin, "CreatePipeline", request).await;
    }
    start(&world, &tenant, "tenant1-a").await;
    for name in ["tenant1-x", "tenant2-a", "tenant1-unknown"] {
        let error = world.refused(&tenant, "StartPipelineExecution", json!({"PipelineName": name, "ClientRequestToken": token()})).await;
        assert_eq!(error.code, "AccessDeniedException");
        assert_eq!(
            error.message,
            format!(
                "User: arn:aws:sts::111122223333:assumed-role/tenant/session is not authorized to perform: sagemaker:StartPipelineExecution on resource: arn:aws:sagemaker:us-east-1:111122223333:pipeline/{name} because no identity-based policy allows the sagemaker:StartPipelineExecution action"
            )
        );
    }
}

#[tokio::test]
async fn the_whole_way_to_a_registered_model() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    create(&world, &admin, "Abalone", "admin", &[training("Train"), evaluate(), gate("Abalone-Group")]).await;
    world
        .fates
        .objects
        .lock()
        .unwrap()
        .insert("bucket/evaluation/evaluation.json".to_owned(), json!({"metrics": {"mse": {"value": 4.5}}}).to_string());
    let arn = start(&world, &admin, "abalone").await;
    world.pass(5).await;
    let all = steps(&world, &admin, &arn).await;
    assert_eq!(status(&world, &admin, &arn).await, "Succeeded", "{all:?}");
    let names: Vec<_> = all.iter().map(|step| step["StepName"].as_str().unwrap()).collect();
    assert_eq!(names, ["Train", "Evaluate", "Check", "Register"]);
    assert_eq!(all[2]["Metadata"]["Condition"]["Outcome"], "True");
    assert_eq!(all[3]["Metadata"]["RegisterModel"]["Arn"], "arn:aws:sagemaker:us-east-1:111122223333:model-package/abalone-group/1");
    let package = world.ok(&admin, "DescribeModelPackage", json!({"ModelPackageName": "abalone-group/1"})).await;
    assert_eq!(package["ModelApprovalStatus"], "PendingManualApproval");
    let url = package["InferenceSpecification"]["Containers"][0]["ModelDataUrl"].as_str().unwrap();
    assert!(url.contains("/pipelines-") && url.contains("-Train-"), "{url}");
    let execution = world.ok(&admin, "DescribePipelineExecution", json!({"PipelineExecutionArn": arn})).await;
    assert_eq!(execution["PipelineExperimentConfig"]["ExperimentName"], "Abalone");
    world.ok(&admin, "DescribeTrial", json!({"TrialName": arn.rsplit('/').next()})).await;

    // A worse model takes the other branch, and a Fail step is its reason.
    world
        .fates
        .objects
        .lock()
        .unwrap()
        .insert("bucket/evaluation/evaluation.json".to_owned(), json!({"metrics": {"mse": {"value": 7}}}).to_string());
    let arn = start(&world, &admin, "abalone").await;
    world.pass(5).await;
    let execution = world.ok(&admin, "DescribePipelineExecution", json!({"PipelineExecutionArn": arn})).await;
    assert_eq!(
        (&execution["PipelineExecutionStatus"], &execution["FailureReason"]),
        (&json!("Failed"), &json!("the model is not good enough"))
    );
    let list = world.ok(&admin, "ListPipelineExecutions", json!({"PipelineName": "abalone", "SortBy": "PipelineExecutionArn"})).await;
    assert_eq!(list["PipelineExecutionSummaries"].as_array().unwrap().len(), 2);
    let parameters = world.ok(&admin, "ListPipelineParametersForExecution", json!({"PipelineExecutionArn": arn})).await;
    assert_eq!(parameters["PipelineParameters"], json!([{"Name": "Tenant", "Value": "t1"}]));
    world.ok(&admin, "DescribePipelineDefinitionForExecution", json!({"PipelineExecutionArn": arn})).await;
}

#[tokio::test]
async fn the_role_of_the_pipeline_decides() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    world.role("weak", r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#, &[]).await;
    create(&world, &admin, "p", "weak", &[training("Train")]).await;
    let arn = start(&world, &admin, "p").await;
    world.pass(2).await;
    assert_eq!(status(&world, &admin, &arn).await, "Failed");
    let reason = steps(&world, &admin, &arn).await[0]["FailureReason"].as_str().unwrap().to_owned();
    let job = reason.split("training-job/").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert_eq!(
        reason,
        format!(
            "ClientError: Failed to invoke sagemaker:CreateTrainingJob. Error Details: User: arn:aws:sts::111122223333:assumed-role/weak/SageMaker is not authorized to perform: sagemaker:CreateTrainingJob on resource: arn:aws:sagemaker:{REGION}:111122223333:training-job/{job} because no identity-based policy allows the sagemaker:CreateTrainingJob action"
        )
    );
    assert_eq!(world.jobs().await, 0);

    // Nobody to act as is a reason too.
    create(&world, &admin, "q", "nobody", &[training("Train")]).await;
    let arn = start(&world, &admin, "q").await;
    world.pass(2).await;
    assert_eq!(status(&world, &admin, &arn).await, "Failed");
    assert!(steps(&world, &admin, &arn).await[0]["FailureReason"].as_str().unwrap().contains("Could not assume role"));
}

#[tokio::test]
async fn failures_are_retried_and_runs_stopped() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    create(&world, &admin, "p", "admin", &[training("Train")]).await;
    world.fate("Train", "Failed");
    let arn = start(&world, &admin, "p").await;
    world.pass(2).await;
    assert_eq!(status(&world, &admin, &arn).await, "Failed");
    assert_eq!(steps(&world, &admin, &arn).await[0]["FailureReason"], "ClientError: AlgorithmError: the script failed, exit code: 1");
    let stop = json!({"PipelineExecutionArn": arn, "ClientRequestToken": token()});
    assert_eq!(world.refused(&admin, "StopPipelineExecution", stop).await.code, "ValidationException");
    world.fate("Train", "Completed");
    world.ok(&admin, "RetryPipelineExecution", json!({"PipelineExecutionArn": arn, "ClientRequestToken": token()})).await;
    world.pass(2).await;
    assert_eq!(status(&world, &admin, &arn).await, "Succeeded");
    assert_eq!(steps(&world, &admin, &arn).await[0]["AttemptCount"], 2);
    let retry = json!({"PipelineExecutionArn": arn, "ClientRequestToken": token()});
    assert_eq!(world.refused(&admin, "RetryPipelineExecution", retry).await.code, "ValidationException");

    world.fate("Train", "InProgress");
    let arn = start(&world, &admin, "p").await;
    world.pass(2).await;
    assert_eq!(status(&world, &admin, &arn).await, "Executing");
    world.ok(&admin, "UpdatePipelineExecution", json!({"PipelineExecutionArn": arn, "PipelineExecutionDisplayName": "shown"})).await;
    world.ok(&admin, "StopPipelineExecution", json!({"PipelineExecutionArn": arn, "ClientRequestToken": token()})).await;
    assert_eq!(status(&world, &admin, &arn).await, "Stopping");
    world.pass(5).await;
    let execution = world.ok(&admin, "DescribePipelineExecution", json!({"PipelineExecutionArn": arn})).await;
    assert_eq!((&execution["PipelineExecutionStatus"], &execution["PipelineExecutionDisplayName"]), (&json!("Stopped"), &json!("shown")));
    assert_eq!(steps(&world, &admin, &arn).await[0]["StepStatus"], "Stopped");
}

#[tokio::test]
async fn a_tuning_steps_best_training_jobs_go_on_to_the_next() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    let tune = json!({"Name": "Tune", "Type": "Tuning", "Arguments": {
        "HyperParameterTuningJobConfig": {"Strategy": "Random", "ResourceLimits": {"MaxParallelTrainingJobs": 1}},
        "TrainingJobDefinition": {"RoleArn": "arn:aws:iam::111122223333:role/job", "AlgorithmSpecification": {"TrainingInputMode": "File"},
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"}, "StoppingCondition": {"MaxRuntimeInSeconds": 60}}}});
    let mut train = training("Train");
    train["Arguments"]["HyperParameters"] = json!({
        "best": {"Get": "Steps.Tune.BestTrainingJob.TrainingJobName"},
        "top": {"Std:Join": {"On": "/", "Values": ["s3:/", "bucket", {"Get": "Steps.Tune.TrainingJobSummaries[1].TrainingJobName"}, "output/model.tar.gz"]}},
        "order": {"Get": "Steps.Tune.TrainingJobSummaries[0].TrainingJobName"},
    });
    create(&world, &admin, "p", "admin", &[tune, train]).await;
    let arn = start(&world, &admin, "p").await;
    world.pass(4).await;
    let all = steps(&world, &admin, &arn).await;
    assert_eq!(status(&world, &admin, &arn).await, "Succeeded", "{all:?}");
    let made = all[0]["Metadata"]["TuningJob"]["Arn"].as_str().unwrap();
    let name = made.rsplit('/').next().unwrap();
    assert!(made.contains(":hyper-parameter-tuning-job/") && name.len() <= 32 && name.contains("-tune-"), "{made}");
    let rows = world.kernel.store().list(&tenantry_store::List::of(crate::names::TRAINING_JOB, &world.scope())).await.unwrap();
    let body: Value = rows[0].body().unwrap();
    let parameters = &body["HyperParameters"];
    assert_eq!(
        (&parameters["top"], &parameters["order"]),
        (&json!("s3://bucket/second/output/model.tar.gz"), &json!("FinalObjectiveMetricValue-Descending"))
    );
    assert!(parameters["best"].as_str().unwrap().to_lowercase().starts_with(name), "{parameters}");
}

#[tokio::test]
async fn an_earlier_run_is_reused_until_it_expires() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    let mut cached = training("Train");
    cached["CacheConfig"] = json!({"Enabled": true, "ExpireAfter": "PT1H"});
    create(&world, &admin, "p", "admin", &[cached]).await;
    let first = start(&world, &admin, "p").await;
    world.pass(2).await;
    let second = start(&world, &admin, "p").await;
    world.pass(2).await;
    assert_eq!(steps(&world, &admin, &second).await[0]["CacheHitResult"]["SourcePipelineExecutionArn"], json!(first));
    assert_eq!(world.jobs().await, 1);
    let other = json!({"PipelineName": "p", "ClientRequestToken": token(), "PipelineParameters": [{"Name": "Tenant", "Value": "t2"}]});
    world.ok(&admin, "StartPipelineExecution", other).await;
    world.pass(2).await;
    assert_eq!(world.jobs().await, 2, "other arguments are another run");
    world.clock.advance_secs(3700);
    start(&world, &admin, "p").await;
    world.pass(2).await;
    assert_eq!(world.jobs().await, 3);
}

#[tokio::test]
async fn the_same_token_starts_one_execution() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    create(&world, &admin, "p", "admin", &[training("Train")]).await;
    let request = json!({"PipelineName": "p", "ClientRequestToken": token()});
    let first = world.ok(&admin, "StartPipelineExecution", request.clone()).await;
    assert_eq!(first, world.ok(&admin, "StartPipelineExecution", request).await);
    let id = first["PipelineExecutionArn"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert!(id.len() == 12 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{id}");
    world.pass(2).await;
    assert_eq!(world.jobs().await, 1);
}

#[tokio::test]
async fn selected_steps_take_the_others_from_an_earlier_execution() {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    let mut second = training("Second");
    second["DependsOn"] = json!(["First"]);
    create(&world, &admin, "p", "admin", &[training("First"), second]).await;
    let select = |source: Option<&str>| {
        let mut config = json!({"SelectedSteps": [{"StepName": "Second"}]});
        if let Some(source) = source {
            config["SourcePipelineExecutionArn"] = json!(source);
        }
        json!({"PipelineName": "p", "ClientRequestToken": token(), "SelectiveExecutionConfig": config})
    };
    let first = start(&world, &admin, "p").await;
    let error = world.refused(&admin, "StartPipelineExecution", select(Some(&first))).await;
    assert!(error.message.contains("it is in status Executing"), "{error}");
    world.pass(3).await;
    let error = world.refused(&admin, "StartPipelineExecution", select(None)).await;
    assert_eq!(error.code, "ValidationException");
    assert!(error.message.starts_with("Invalid SourcePipelineExecutionArn: null."), "no execution is chosen for the caller: {error}");
    let error = world.refused(&admin, "StartPipelineExecution", select(Some(&first.replace("pipeline/p/", "pipeline/q/")))).await;
    assert!(error.message.contains("is not an execution of this pipeline"), "{error}");
    let arn = world.ok(&admin, "StartPipelineExecution", select(Some(&first))).await["PipelineExecutionArn"].as_str().unwrap().to_owned();
    world.pass(3).await;
    assert_eq!(status(&world, &admin, &arn).await, "Succeeded");
    let taken = steps(&world, &admin, &arn).await;
    assert_eq!(taken[0]["SelectiveExecutionResult"]["SourcePipelineExecutionArn"], json!(first));
    assert_eq!(world.jobs().await, 3);
}

/// A run of training, evaluation and registration, with the n-th of its commits going wrong and a new process
/// for every step; how many commits it took.
async fn run_with(fault: Option<(u64, Fault)>) -> u64 {
    let world = World::new();
    let admin = world.role("admin", ALL, &[]).await;
    create(&world, &admin, "p", "admin", &[training("Train"), evaluate(), gate("g")]).await;
    world
        .fates
        .objects
        .lock()
        .unwrap()
        .insert("bucket/evaluation/evaluation.json".to_owned(), json!({"metrics": {"mse": {"value": 1}}}).to_string());
    let arn = start(&world, &admin, "p").await;
    let before = world.store.commits();
    if let Some((nth, fault)) = fault {
        world.store.inject(nth, fault);
    }
    for _ in 0..40 {
        world.restarted().settle().await.ok();
        if status(&world, &admin, &arn).await == "Succeeded" {
            break;
        }
        world.clock.advance_secs(130);
    }
    assert_eq!(status(&world, &admin, &arn).await, "Succeeded", "{fault:?}: {:?}", steps(&world, &admin, &arn).await);
    assert_eq!(world.jobs().await, 2, "{fault:?}");
    let packages = world.ok(&admin, "ListModelPackages", json!({"ModelPackageGroupName": "g"})).await;
    assert_eq!(packages["ModelPackageSummaryList"].as_array().unwrap().len(), 1, "{fault:?}");
    world.store.commits() - before
}

#[tokio::test]
async fn no_job_runs_twice_whatever_commit_is_lost() {
    let commits = run_with(None).await;
    assert!(commits > 10, "the run has become too short to show anything");
    for nth in 1..=commits {
        for fault in [Fault::Before, Fault::After] {
            run_with(Some((nth, fault))).await;
        }
    }
}

//! What the demo's tenants have: data, pipelines, policies. All of it is sent through the APIs.

use serde_json::{Value, json};

/// Columns of a house besides its price.
pub const FEATURES: usize = 6;
const REGISTRY: &str = "683313688378.dkr.ecr.us-east-1.amazonaws.com";

/// The image that trains, evaluates and publishes.
pub fn training_image() -> String {
    format!("{REGISTRY}/sagemaker-xgboost:2.1-1")
}
/// The image that serves all tenants' models.
pub const SERVING_IMAGE: &str = "785573368785.dkr.ecr.us-east-1.amazonaws.com/sagemaker-tritonserver:23.03-py3";

/// Rows `price,year,area,bedrooms,bathrooms,lot,garages`, the same for the same seed.
pub fn houses(rows: usize, seed: u64) -> String {
    let mut state = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    let mut next = |low: f64, high: f64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + (high - low) * ((state >> 33) as f64 / (1u64 << 31) as f64)
    };
    let mut out = String::new();
    for _ in 0..rows {
        let (year, area, beds) = (next(1980.0, 2020.0).floor(), next(1500.0, 4000.0).floor(), next(2.0, 7.0).floor());
        let (baths, lot, garages) = ((next(1.0, 4.0) * 2.0).floor() / 2.0, next(0.5, 1.5), next(0.0, 4.0).floor());
        let price = 130.0 * area + 9_000.0 * beds + 12_000.0 * baths + 15_000.0 * lot + 8_000.0 * garages + 900.0 * (year - 1980.0);
        out.push_str(&format!("{:.2},{year},{area},{beds},{baths},{lot:.2},{garages}\n", price + next(-8_000.0, 8_000.0)));
    }
    out
}

fn get(what: &str) -> Value {
    json!({"Get": what})
}

fn processing(image: &str, role: &str, code: &str, inputs: &[(&str, Value, &str)], outputs: &Value, arguments: &Value) -> Value {
    let mut all: Vec<Value> = Vec::new();
    for (name, uri, path) in inputs {
        all.push(json!({"InputName": name, "AppManaged": false, "S3Input": {
            "S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated", "S3CompressionType": "None"}}));
    }
    let script = code.rsplit('/').next().unwrap_or_default();
    all.push(json!({"InputName": "code", "AppManaged": false, "S3Input": {
        "S3Uri": code, "LocalPath": "/opt/ml/processing/input/code", "S3DataType": "S3Prefix", "S3InputMode": "File",
        "S3DataDistributionType": "FullyReplicated", "S3CompressionType": "None"}}));
    let mut out = json!({
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30}},
        "AppSpecification": {"ImageUri": image, "ContainerEntrypoint": ["python3", format!("/opt/ml/processing/input/code/{script}")]},
        "RoleArn": role,
        "ProcessingInputs": all,
    });
    if !arguments.is_null() {
        out["AppSpecification"]["ContainerArguments"] = arguments.clone();
    }
    if !outputs.is_null() {
        out["ProcessingOutputConfig"] = json!({"Outputs": outputs});
    }
    out
}

/// The pipeline of a tenant's app: train, evaluate, and if good enough register and publish.
pub fn pipeline(bucket: &str, role: &str, tenant: &str, app: &str) -> Value {
    let image = training_image();
    let artifacts = get("Steps.Train.ModelArtifacts.S3ModelArtifacts");
    let channel = |name: &str, parameter: &str| {
        json!({"ChannelName": name, "ContentType": "text/csv", "DataSource": {"S3DataSource": {
            "S3DataType": "S3Prefix", "S3Uri": get(parameter), "S3DataDistributionType": "FullyReplicated"}}})
    };
    let code = |script: &str| format!("s3://{bucket}/code/{script}");
    let evaluation = format!("s3://{bucket}/{tenant}/{app}/evaluation");
    let evaluate = processing(
        &image,
        role,
        &code("evaluate.py"),
        &[("model", artifacts.clone(), "/opt/ml/processing/model"), ("test", get("Parameters.TestDataPath"), "/opt/ml/processing/test")],
        &json!([{"OutputName": "evaluation", "AppManaged": false, "S3Output": {
            "S3Uri": evaluation, "LocalPath": "/opt/ml/processing/evaluation", "S3UploadMode": "EndOfJob"}}]),
        &Value::Null,
    );
    let publish = processing(
        &image,
        role,
        &code("publish.py"),
        &[("model", artifacts.clone(), "/opt/ml/processing/model")],
        &Value::Null,
        &json!([bucket, published(tenant, app), FEATURES.to_string()]),
    );
    let parameter = |name: &str| json!({"Name": name, "Type": "String"});
    json!({
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": [
            parameter("TrainDataPath"), parameter("ValidationDataPath"), parameter("TestDataPath"),
            {"Name": "TrainingInstanceCount", "Type": "Integer", "DefaultValue": 1},
        ],
        "PipelineExperimentConfig": {"ExperimentName": get("Execution.PipelineName"), "TrialName": get("Execution.PipelineExecutionId")},
        "Steps": [
            {"Name": "Train", "Type": "Training", "Arguments": {
                "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
                "RoleArn": role,
                "HyperParameters": {"objective": "reg:squarederror", "num_round": "60", "max_depth": "5", "eta": "0.2"},
                "InputDataConfig": [channel("train", "Parameters.TrainDataPath"), channel("validation", "Parameters.ValidationDataPath")],
                "OutputDataConfig": {"S3OutputPath": format!("s3://{bucket}/{tenant}/{app}/training")},
                "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": get("Parameters.TrainingInstanceCount"), "VolumeSizeInGB": 30},
                "StoppingCondition": {"MaxRuntimeInSeconds": 3600}}},
            {"Name": "Evaluate", "Type": "Processing", "Arguments": evaluate,
             "PropertyFiles": [{"PropertyFileName": "Report", "OutputName": "evaluation", "FilePath": "evaluation.json"}]},
            {"Name": "GoodEnough", "Type": "Condition", "Arguments": {
                "Conditions": [{"Type": "LessThanOrEqualTo",
                    "LeftValue": {"Std:JsonGet": {"PropertyFile": get("Steps.Evaluate.PropertyFiles.Report"), "Path": "regression_metrics.max_error.value"}},
                    "RightValue": 150_000.0}],
                "IfSteps": [
                    {"Name": "Register", "Type": "RegisterModel", "Arguments": {
                        "ModelPackageGroupName": format!("{tenant}-{app}"),
                        "ModelApprovalStatus": "Approved",
                        "InferenceSpecification": {
                            "Containers": [{"Image": image, "ModelDataUrl": artifacts}],
                            "SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"],
                            "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large"], "SupportedTransformInstanceTypes": ["ml.m5.large"]}}},
                    {"Name": "Publish", "Type": "Processing", "Arguments": publish},
                ],
                "ElseSteps": []}},
        ],
    })
}

/// The key under which a tenant's model is published for the shared endpoint.
pub fn published(tenant: &str, app: &str) -> String {
    format!("model_artifacts_mme/{}", model_name(tenant, app))
}
/// The target model's name.
pub fn model_name(tenant: &str, app: &str) -> String {
    format!("{tenant}-{app}.model.0.tar.gz")
}

/// Trusts SageMaker and the account's own principals.
pub fn execution_trust(account: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"},
        {"Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{account}:root")}, "Action": "sts:AssumeRole"}]})
}
/// Lets only the platform's own session in, and only with a tenant's tag.
pub fn tenant_trust(account: &str, role: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"AWS": format!("arn:aws:sts::{account}:assumed-role/{role}/SageMaker")},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {"StringLike": {"aws:RequestTag/TenantID": "tenant*"}}}]})
}
/// A tenant may start its own pipelines: by name and by tag.
pub fn start_policy(account: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "StartOwnPipelines", "Effect": "Allow", "Action": "sagemaker:StartPipelineExecution",
        "Resource": format!("arn:aws:sagemaker:us-east-1:{account}:pipeline/${{aws:PrincipalTag/TenantID}}-*"),
        "Condition": {"StringEquals": {"aws:ResourceTag/TenantID": "${aws:PrincipalTag/TenantID}"}}}]})
}
/// A tenant may call its own models on the shared endpoint.
pub fn invoke_policy(account: &str) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{
        "Sid": "CallOwnModels", "Effect": "Allow", "Action": "sagemaker:InvokeEndpoint",
        "Resource": format!("arn:aws:sagemaker:us-east-1:{account}:endpoint/shared-*"),
        "Condition": {"StringLike": {"sagemaker:TargetModel": "${aws:PrincipalTag/TenantID}*.tar.gz"}}}]})
}

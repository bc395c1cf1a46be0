//! A job's trial component out of what Describe answers for the job.
//!
//! Source: "View Experiment, Trial, and Trial Component Entities", Amazon SageMaker AI Developer Guide: what
//! SageMaker records by itself are hyperparameters, resources, image, channels, artifacts and metrics.

use serde_json::{Map, Value, json};
use tenantry_core::{Arn, AwsError, Result, Scope};
use tenantry_kernel::Kernel;
use tenantry_store::Batch;

use super::track::{JobRun, record_job};

/// Parameters of a trial component; hyperparameters beyond are not shown.
const MAX_PARAMETERS: usize = 290;
/// Input or output artifacts of a trial component.
const MAX_ARTIFACTS: usize = 60;

/// [`record_job`] for a job as DescribeTrainingJob, DescribeProcessingJob or DescribeTransformJob shows it: call it
/// when the job is made and when it has ended, and commit the batch. `by` is who made the job.
///
/// # Errors
/// Internal where the document is none of these; when the store cannot be read.
pub async fn record_described(kernel: &Kernel, scope: &Scope, document: &Value, by: &Value) -> Result<Batch> {
    let of = ["Training", "Processing", "Transform"].into_iter().find(|of| document.get(format!("{of}JobArn")).is_some());
    let of = of.ok_or_else(|| AwsError::internal("the document describes no job"))?;
    let text = |member: String| document.get(member).and_then(Value::as_str);
    let arn = Arn::parse(text(format!("{of}JobArn")).unwrap_or_default()).map_err(AwsError::internal)?;
    let time = |member: String| document.get(member).and_then(|time| serde_json::from_value(time.clone()).ok());
    let message = text("FailureReason".to_owned()).or_else(|| text("ExitMessage".to_owned()));
    let run = JobRun {
        arn: &arn,
        name: text(format!("{of}JobName")).unwrap_or_default(),
        source_type: match of {
            "Training" => "SageMakerTrainingJob",
            "Transform" => "SageMakerTransformJob",
            _ => "SageMakerProcessingJob",
        },
        config: document.get("ExperimentConfig").filter(|config| config.is_object()),
        status: (text(format!("{of}JobStatus")).unwrap_or("InProgress"), message),
        start: time(format!("{of}StartTime")),
        end: time(format!("{of}EndTime")),
        parameters: parameters(document),
        inputs: inputs(document),
        outputs: outputs(document),
        metrics: metrics(document, &arn),
        by,
    };
    record_job(kernel, scope, &run).await
}

fn parameters(document: &Value) -> Map<String, Value> {
    let mut all = Map::new();
    let given = document.get("HyperParameters").or_else(|| document.get("Environment")).and_then(Value::as_object);
    for (name, value) in given.into_iter().flatten().take(MAX_PARAMETERS) {
        let text = value.as_str().unwrap_or_default();
        let shown = match text.parse::<f64>() {
            Ok(number) if number.is_finite() => json!({"NumberValue": number}),
            _ => json!({"StringValue": text.chars().take(2500).collect::<String>()}),
        };
        all.insert(name.chars().take(256).collect(), shown);
    }
    let resources = ["/ResourceConfig", "/ProcessingResources/ClusterConfig", "/TransformResources"];
    let resources = resources.iter().find_map(|at| document.pointer(at));
    for member in ["InstanceType", "InstanceCount", "VolumeSizeInGB"] {
        match resources.and_then(|resources| resources.get(member)) {
            Some(Value::String(text)) => all.insert(format!("SageMaker.{member}"), json!({"StringValue": text})),
            Some(Value::Number(number)) => all.insert(format!("SageMaker.{member}"), json!({"NumberValue": number})),
            _ => None,
        };
    }
    all
}

fn artifact(all: &mut Map<String, Value>, name: &str, uri: Option<&Value>, media: Option<&Value>) {
    let Some(uri) = uri.and_then(Value::as_str).filter(|_| all.len() < MAX_ARTIFACTS) else { return };
    let mut shown = json!({"Value": uri});
    if let Some(media) = media.and_then(Value::as_str) {
        shown["MediaType"] = json!(media);
    }
    all.insert(name.to_owned(), shown);
}

fn elements<'a>(document: &'a Value, at: &str) -> impl Iterator<Item = &'a Value> {
    document.pointer(at).and_then(Value::as_array).into_iter().flatten()
}

fn name_in<'a>(element: &'a Value, member: &str) -> &'a str {
    element.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn inputs(document: &Value) -> Map<String, Value> {
    let mut all = Map::new();
    let image = ["/AlgorithmSpecification/TrainingImage", "/AppSpecification/ImageUri"].iter().find_map(|at| document.pointer(at));
    artifact(&mut all, "SageMaker.ImageUri", image, None);
    for channel in elements(document, "/InputDataConfig") {
        artifact(&mut all, name_in(channel, "ChannelName"), channel.pointer("/DataSource/S3DataSource/S3Uri"), channel.get("ContentType"));
    }
    for input in elements(document, "/ProcessingInputs") {
        artifact(&mut all, name_in(input, "InputName"), input.pointer("/S3Input/S3Uri"), None);
    }
    artifact(&mut all, "SageMaker.TransformInput", document.pointer("/TransformInput/DataSource/S3DataSource/S3Uri"), None);
    all
}

fn outputs(document: &Value) -> Map<String, Value> {
    let mut all = Map::new();
    artifact(&mut all, "SageMaker.ModelArtifact", document.pointer("/ModelArtifacts/S3ModelArtifacts"), None);
    for output in elements(document, "/ProcessingOutputConfig/Outputs") {
        artifact(&mut all, name_in(output, "OutputName"), output.pointer("/S3Output/S3Uri"), None);
    }
    artifact(&mut all, "SageMaker.TransformOutput", document.pointer("/TransformOutput/S3OutputPath"), None);
    all
}

/// The last values are what Describe knows: minimum, maximum and average are the same of one value.
fn metrics(document: &Value, arn: &Arn) -> Vec<Value> {
    let metric = |metric: &Value| {
        let value = metric.get("Value")?.as_f64()?;
        Some(json!({
            "MetricName": metric.get("MetricName")?, "SourceArn": arn, "TimeStamp": metric.get("Timestamp")?,
            "Last": value, "Min": value, "Max": value, "Avg": value, "StdDev": 0.0, "Count": 1,
        }))
    };
    elements(document, "/FinalMetricDataList").filter_map(metric).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{ALL, World};

    #[tokio::test]
    async fn a_training_job_shows_what_it_was_given_and_came_to() {
        let world = World::new();
        let admin = world.role("admin", ALL, &[]).await;
        let document = json!({
            "TrainingJobName": "Job", "TrainingJobArn": "arn:aws:sagemaker:us-east-1:111122223333:training-job/job", "TrainingJobStatus": "Completed",
            "TrainingStartTime": 1_700_000_000, "TrainingEndTime": 1_700_000_060, "HyperParameters": {"eta": "0.2", "objective": "reg:linear"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 30},
            "AlgorithmSpecification": {"TrainingImage": "image"}, "ModelArtifacts": {"S3ModelArtifacts": "s3://b/m.tar.gz"},
            "InputDataConfig": [{"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": {"S3Uri": "s3://b/t"}}}],
            "FinalMetricDataList": [{"MetricName": "train:rmse", "Value": 2.5, "Timestamp": 1_700_000_050}],
        });
        let by = crate::author::of(&admin);
        let batch = record_described(&world.kernel, &world.scope(), &document, &by).await.unwrap();
        world.kernel.store().commit(batch).await.unwrap();
        let shown = world.ok(&admin, "DescribeTrialComponent", json!({"TrialComponentName": "Job-aws-training-job"})).await;
        assert_eq!(shown["Parameters"]["eta"], json!({"NumberValue": 0.2}));
        assert_eq!(shown["Parameters"]["SageMaker.InstanceCount"], json!({"NumberValue": 2}));
        assert_eq!(shown["InputArtifacts"]["train"], json!({"Value": "s3://b/t", "MediaType": "text/csv"}));
        assert_eq!(shown["OutputArtifacts"]["SageMaker.ModelArtifact"]["Value"], "s3://b/m.tar.gz");
        assert_eq!((&shown["Metrics"][0]["Last"], &shown["EndTime"]), (&json!(2.5), &json!(1_700_000_060)));
        assert!(record_described(&world.kernel, &world.scope(), &json!({}), &by).await.is_err());
    }
}

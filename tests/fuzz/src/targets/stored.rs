//! Stored state that is not what was written: any document in a row of any kind, read by an operation or a step.
//!
//! Held: nobody panics, a request is answered, and nothing but a read that fails is answered with 500. A change that is
//! accepted on top of a damaged row is dropped with everything else.

use serde_json::{Value, json};
use tenantry_core::Region;

use super::{
    MEMORY,
    world::{ACCOUNT, Damage, REGION, World},
};
use crate::{
    engine::{Run, Target},
    mutate::{Form, Grammar},
};

pub(super) fn targets() -> Vec<Target> {
    vec![Target {
        name: "stored",
        what: "damaged rows: any document in any kind, read by operations and by steps of reconcilers",
        grammar: Grammar { head: false, form: Form::Json, tokens: TOKENS, longest: 32 << 10 },
        memory: MEMORY,
        renew: 2000,
        make,
        seeds,
    }]
}

const TOKENS: &[&str] = &[
    "InService",
    "Creating",
    "Deleting",
    "Failed",
    "Executing",
    "Stopping",
    "Completed",
    "InProgress",
    "ACTIVE",
    "status",
    "parent",
    "body",
    "kind",
    "name",
    "service",
    "input",
    "arn:aws:iam::123456789012:role/worker",
    "arn:",
    "s3://b/k",
    "2026-11-22T12:00:00Z",
    "v1",
    "DescribePipelineExecution",
    "ListPipelineExecutionSteps",
    "2012-10-17",
    "a/b/c",
    "..",
    "0",
    "training",
    "null",
];

/// An operation that reads: service, name, input.
type Reads = (&'static str, &'static str, Value);

/// Operations that read rows of most kinds between them.
fn readers() -> Vec<Reads> {
    let bucket = json!({"Bucket": "fuzz-bucket"});
    let object = json!({"Bucket": "fuzz-bucket", "Key": "key"});
    let arn = |resource: &str| format!("arn:aws:sagemaker:{REGION}:{ACCOUNT}:{resource}");
    vec![
        ("s3", "ListObjectsV2", bucket.clone()),
        ("s3", "ListObjectVersions", bucket.clone()),
        ("s3", "ListMultipartUploads", bucket.clone()),
        ("s3", "GetBucketTagging", bucket.clone()),
        ("s3", "GetBucketPolicyStatus", bucket),
        ("s3", "GetObject", object.clone()),
        ("s3", "HeadObject", object.clone()),
        (
            "s3",
            "GetObjectAttributes",
            json!({"Bucket": "fuzz-bucket", "Key": "key", "ObjectAttributes": ["ETag", "Checksum", "ObjectParts"]}),
        ),
        ("s3", "DeleteObject", object),
        ("s3", "CopyObject", json!({"Bucket": "fuzz-bucket", "Key": "copy", "CopySource": "fuzz-bucket/key"})),
        ("iam", "GetAccountAuthorizationDetails", json!({})),
        ("iam", "GetUser", json!({"UserName": "ann"})),
        ("iam", "ListMFADevices", json!({"UserName": "ann"})),
        ("iam", "ListVirtualMFADevices", json!({})),
        ("iam", "UpdateAssumeRolePolicy", json!({"RoleName": "worker", "PolicyDocument": "{\"Version\":\"2012-10-17\",\"Statement\":[]}"})),
        (
            "iam",
            "SimulatePrincipalPolicy",
            json!({"PolicySourceArn": format!("arn:aws:iam::{ACCOUNT}:user/ann"), "ActionNames": ["s3:GetObject"]}),
        ),
        ("iam", "DeleteUser", json!({"UserName": "ann"})),
        ("sts", "AssumeRole", json!({"RoleArn": format!("arn:aws:iam::{ACCOUNT}:role/worker"), "RoleSessionName": "s"})),
        ("organizations", "DescribeOrganization", json!({})),
        ("logs", "DescribeLogGroups", json!({})),
        ("logs", "DescribeLogStreams", json!({"logGroupName": "group"})),
        ("logs", "FilterLogEvents", json!({"logGroupName": "group"})),
        ("cloudtrail", "DescribeTrails", json!({})),
        ("sagemaker", "DescribePipeline", json!({"PipelineName": "pipeline"})),
        ("sagemaker", "ListPipelines", json!({})),
        ("sagemaker", "ListPipelineExecutions", json!({"PipelineName": "pipeline"})),
        ("sagemaker", "StartPipelineExecution", json!({"PipelineName": "pipeline", "ClientRequestToken": "y".repeat(32)})),
        ("sagemaker", "UpdatePipeline", json!({"PipelineName": "pipeline", "PipelineDisplayName": "x"})),
        ("sagemaker", "DescribeModel", json!({"ModelName": "model"})),
        ("sagemaker", "DescribeEndpointConfig", json!({"EndpointConfigName": "config"})),
        ("sagemaker", "DescribeEndpoint", json!({"EndpointName": "endpoint"})),
        ("sagemaker", "UpdateEndpoint", json!({"EndpointName": "endpoint", "EndpointConfigName": "config"})),
        ("sagemaker", "ListEndpoints", json!({})),
        ("sagemaker", "DescribeTrainingJob", json!({"TrainingJobName": "job"})),
        ("sagemaker", "ListTrainingJobs", json!({})),
        ("sagemaker", "StopTrainingJob", json!({"TrainingJobName": "job"})),
        ("sagemaker", "DescribeProcessingJob", json!({"ProcessingJobName": "processing"})),
        ("sagemaker", "Search", json!({"Resource": "ExperimentTrialComponent"})),
        ("sagemaker", "Search", json!({"Resource": "TrainingJob"})),
        ("sagemaker", "DescribeModelPackageGroup", json!({"ModelPackageGroupName": "group"})),
        ("sagemaker", "DescribeModelPackage", json!({"ModelPackageName": arn("model-package/group/1")})),
        ("sagemaker", "ListModelPackages", json!({"ModelPackageGroupName": "group"})),
        ("sagemaker", "DescribeExperiment", json!({"ExperimentName": "experiment"})),
        ("sagemaker", "DescribeTrial", json!({"TrialName": "trial"})),
        ("sagemaker", "DescribeTrialComponent", json!({"TrialComponentName": "component"})),
        ("sagemaker", "ListTrialComponents", json!({"TrialName": "trial"})),
        ("sagemaker", "ListImages", json!({})),
        ("sagemaker", "ListTags", json!({"ResourceArn": arn("pipeline/pipeline")})),
    ]
}

/// For every operation and step, and every kind of row that it reads: the row as it is, to be mutated from there.
fn seeds() -> Vec<Vec<u8>> {
    let world = World::new();
    let mut out = Vec::new();
    let mut add = |world: &World, call: &Value| {
        for (kind, bodies) in world.store.take_read() {
            // What every call reads of its caller is fuzzed under one call.
            if kind.starts_with("iam.") && !matches!(call["service"].as_str(), Some("iam" | "sts")) {
                continue;
            }
            let body: Value = bodies.first().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            let mut seed = call.clone();
            seed["kind"] = json!(kind);
            seed["body"] = body;
            out.push(seed.to_string().into_bytes());
        }
    };
    world.store.take_read();
    for (service, name, input) in readers() {
        let call = json!({"service": service, "name": name, "input": input});
        run(&world, &call);
        add(&world, &call);
    }
    for reconciler in &world.reconcilers {
        let call = json!({"service": "step", "name": reconciler.queue()});
        run(&world, &call);
        add(&world, &call);
    }
    out
}

fn make() -> Run {
    let world = World::new();
    Box::new(move |input| {
        let Ok(call) = serde_json::from_slice::<Value>(input) else { return };
        let text = |name: &str| call[name].as_str().map(str::to_owned);
        let Some(kind) = text("kind") else { return };
        world.store.damage(Some(Damage { kind, body: call["body"].clone(), status: text("status"), parent: text("parent") }));
        run(&world, &call);
        world.store.damage(None);
    })
}

/// Calls the operation, or takes a step for whatever is due in a queue.
fn run(world: &World, call: &Value) {
    let (Some(service), Some(name)) = (call["service"].as_str(), call["name"].as_str()) else { return };
    world.runtime.block_on(async {
        if service == "step" {
            let Some(reconciler) = world.reconcilers.iter().find(|reconciler| reconciler.queue() == name) else { return };
            for work in world.kernel.store().work_due(name, tenantry_core::Timestamp::from_secs(1 << 33), 3).await.unwrap_or_default() {
                // What cannot be read is tried again later, and quarantined in the end.
                drop(reconciler.step(&world.kernel, &work.key).await);
            }
            return;
        }
        let Some(row) = world.kernel.operations().find(|row| row.service == service && row.name == name) else { return };
        let called = world.kernel.call(&world.caller, &Region::from(REGION), row.service, row.name, call["input"].clone()).await;
        if let Err(error) = called {
            assert!((400..=503).contains(&error.status) && !error.code.is_empty(), "{error:?}");
            assert!(error.message.len() < 64 << 10, "a message of {} bytes", error.message.len());
        }
        world.kernel.flush_audit().await;
    });
}

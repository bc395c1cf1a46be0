//! A small world for tests of operations: a kernel over the store in memory, roles with policies, a clock
//! that moves when told, and stand-ins for the operations that run jobs and read objects.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tenantry_blob::Blobs;
use tenantry_core::{AccountId, Arn, AwsError, Region, Result, Scope, Tag, Timestamp};
use tenantry_kernel::{
    Access, Caller, Check, Checks, Cx, Ids, Kernel, ManualClock, Operation, OperationRow, Permit, Reply,
    directory::{Policies, Role, kind},
    role_caller,
};
use tenantry_store::{Batch, ByScope, CommitError, Expect, Memory, Row};

use crate::names;

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "us-east-1";
/// A policy that allows everything.
pub(crate) const ALL: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

/// What jobs come to, and what objects there are.
#[derive(Default)]
pub(crate) struct Fates {
    /// Job status by a part of the job's name; `Completed` where none fits.
    pub jobs: Mutex<Vec<(String, String)>>,
    pub objects: Mutex<BTreeMap<String, String>>,
}

pub(crate) struct World {
    pub kernel: Kernel,
    pub clock: Arc<ManualClock>,
    pub fates: Arc<Fates>,
    pub store: Arc<Memory>,
    directory: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("tenantry-sagemaker-{}", Ids::lower(16)));
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let fates = Arc::new(Fates::default());
        let store = Arc::new(Memory::new());
        let mut builder = Kernel::builder(Arc::clone(&store) as _, Blobs::open(&directory).unwrap())
            .clock(Arc::clone(&clock) as _)
            .provide(Arc::clone(&fates))
            .service(&stand_ins());
        for table in [
            crate::tagging::table(),
            crate::pipelines::table(),
            crate::registry::table(),
            crate::experiments::table(),
            crate::images::table(),
            crate::studio::table(),
        ] {
            builder = builder.service(&table);
        }
        for reconciler in crate::pipelines::reconcilers().into_iter().chain(crate::studio::reconcilers()) {
            builder = builder.reconciler(reconciler);
        }
        Self { kernel: builder.build(), clock, fates, store, directory }
    }

    /// The same state behind a new process: another kernel, nothing remembered.
    pub(crate) fn restarted(&self) -> Kernel {
        let directory = self.directory.join(Ids::lower(8));
        let mut builder = Kernel::builder(Arc::clone(&self.store) as _, Blobs::open(directory).unwrap())
            .clock(Arc::clone(&self.clock) as _)
            .provide(Arc::clone(&self.fates))
            .service(&stand_ins());
        for table in [crate::pipelines::table(), crate::registry::table(), crate::experiments::table()] {
            builder = builder.service(&table);
        }
        for reconciler in crate::pipelines::reconcilers() {
            builder = builder.reconciler(reconciler);
        }
        builder.build()
    }

    /// A role of the account that SageMaker may assume.
    pub(crate) async fn role(&self, name: &str, policy: &str, tags: &[(&str, &str)]) -> Caller {
        self.role_in(ACCOUNT, name, policy, tags).await
    }

    pub(crate) async fn role_in(&self, account: &str, name: &str, policy: &str, tags: &[(&str, &str)]) -> Caller {
        let role = Role {
            id: Ids::unique("AROA"),
            name: name.to_owned(),
            path: "/".to_owned(),
            arn: Arn::new("iam", "", account, format!("role/{name}")),
            created: self.kernel.now(),
            description: String::new(),
            trust: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#.to_owned(),
            trusted_ids: BTreeMap::new(),
            max_session: 3600,
            policies: Policies { inline: BTreeMap::from([("p".to_owned(), policy.to_owned())]), attached: Vec::new() },
            boundary: None,
            tags: tags.iter().map(|(key, value)| Tag::new(*key, *value)).collect(),
            last_used: None,
            linked_service: None,
        };
        let mut batch = Batch::new();
        let row = Row::new(kind::ROLE, &Scope::global(account), name.to_lowercase(), self.kernel.now()).with(&role).unwrap();
        batch.put(row, Expect::Any);
        self.kernel.store().commit(batch).await.unwrap();
        role_caller(&role, &AccountId::from(account), "session")
    }

    /// Calls an operation and holds its answer to the model.
    pub(crate) async fn call(&self, caller: &Caller, operation: &str, input: Value) -> Result<Value> {
        let reply = self.kernel.call(caller, &Region::from(REGION), "sagemaker", operation, input).await?;
        let model = tenantry_wire::service("sagemaker").unwrap().operation(operation).unwrap();
        assert_eq!(tenantry_wire::check_output(model, &reply.output), Vec::<String>::new(), "{operation}: {}", reply.output);
        Ok(reply.output)
    }

    /// The same, where it must work.
    pub(crate) async fn ok(&self, caller: &Caller, operation: &str, input: Value) -> Value {
        self.call(caller, operation, input).await.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// The same, where it must not.
    pub(crate) async fn refused(&self, caller: &Caller, operation: &str, input: Value) -> AwsError {
        match self.call(caller, operation, input).await {
            Err(error) => error,
            Ok(output) => panic!("{operation} answered {output}"),
        }
    }

    /// Lets time pass and everything due happen.
    pub(crate) async fn pass(&self, seconds: i64) {
        for _ in 0..seconds {
            self.kernel.settle().await.unwrap();
            self.clock.advance_secs(1);
        }
        self.kernel.settle().await.unwrap();
    }

    /// How many jobs there are.
    pub(crate) async fn jobs(&self) -> u64 {
        let (scope, mut all) = (self.scope(), 0);
        for kind in [names::TRAINING_JOB, names::PROCESSING_JOB] {
            all += self.kernel.store().count(kind, ByScope::Exact(&scope), None).await.unwrap();
        }
        all
    }

    pub(crate) fn scope(&self) -> Scope {
        Scope::new(ACCOUNT, REGION)
    }

    pub(crate) fn fate(&self, part: &str, status: &str) {
        let mut jobs = self.fates.jobs.lock().unwrap();
        jobs.retain(|(known, _)| known != part);
        jobs.push((part.to_owned(), status.to_owned()));
    }
}

fn stand_ins() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<CreateTrainingJob>(),
        OperationRow::of::<DescribeTrainingJob>(),
        OperationRow::of::<StopTrainingJob>(),
        OperationRow::of::<CreateProcessingJob>(),
        OperationRow::of::<DescribeProcessingJob>(),
        OperationRow::of::<CreateModel>(),
        OperationRow::of::<CreateHyperParameterTuningJob>(),
        OperationRow::of::<DescribeHyperParameterTuningJob>(),
        OperationRow::of::<ListTrainingJobsForHyperParameterTuningJob>(),
        OperationRow::of::<GetObject>(),
    ]
}

fn fates(cx: &Cx) -> Arc<Fates> {
    cx.kernel.provided::<Fates>().unwrap()
}

fn text<'a>(input: &'a Value, member: &str) -> &'a str {
    input[member].as_str().unwrap()
}

async fn create(cx: &Cx, scope: &Scope, of: &str, member: &str, kind: tenantry_store::Kind, input: Value) -> Result<Reply> {
    let name = text(&input, member).to_owned();
    let mut batch = Batch::new();
    batch.put(Row::new(kind, scope, &*name, cx.now()).status("InProgress").with(&input)?, Expect::Absent);
    match cx.commit(batch).await {
        Err(CommitError::Conflict { .. }) => return Err(crate::error::in_use(format!("{name} must be unique"))),
        done => done?,
    }
    Ok(Reply::new(json!({format!("{}Arn", member.trim_end_matches("Name")): names::arn(scope, of, &name)})))
}

async fn describe(cx: &Cx, scope: &Scope, of: &str, member: &str, kind: tenantry_store::Kind, input: &Value) -> Result<Reply> {
    let name = text(input, member);
    let row = cx.kernel.store().get(kind, scope, name).await?;
    let row = row.ok_or_else(|| crate::error::validation("Requested resource not found."))?;
    let mut output: Value = row.body()?;
    let base = member.trim_end_matches("Name");
    let fate = fates(cx).jobs.lock().unwrap().iter().rev().find(|(part, _)| name.contains(part)).map(|(_, status)| status.clone());
    let status = if row.status == "InProgress" { fate.unwrap_or_else(|| "Completed".to_owned()) } else { row.status.clone() };
    output[format!("{base}Status")] = json!(status);
    output[format!("{base}Arn")] = json!(names::arn(scope, of, name));
    output["ModelArtifacts"] = json!({"S3ModelArtifacts": format!("s3://bucket/{name}/model.tar.gz")});
    output["BestTrainingJob"] =
        json!({"TrainingJobName": format!("{name}-001-0a1b2c3d"), "FinalHyperParameterTuningJobObjectiveMetric": {"Type": "Maximize"}});
    output["FailureReason"] = json!("AlgorithmError: the script failed, exit code: 1");
    Ok(Reply::new(output))
}

macro_rules! stand_in {
    ($name:ident, $of:literal, $member:literal, $kind:expr, $does:ident) => {
        struct $name;
        impl Operation for $name {
            const SERVICE: &'static str = "sagemaker";
            const NAME: &'static str = stringify!($name);
            const ACCESS: Access = Access::check(concat!("sagemaker:", stringify!($name)), &[$of]);
            type Input = Value;
            async fn resolve(cx: &Cx, input: &Value) -> Result<Checks> {
                Ok(Check::on(concat!("sagemaker:", stringify!($name)), names::arn(&cx.scope(), $of, text(input, $member))).into())
            }
            async fn handle(cx: &Cx, permit: Permit<Self>, input: Value) -> Result<Reply> {
                stand_in!(@ $does, cx, permit, $of, $member, $kind, input)
            }
        }
    };
    (@ create, $cx:ident, $permit:ident, $of:literal, $member:literal, $kind:expr, $input:ident) => {
        create($cx, $permit.scope(), $of, $member, $kind, $input).await
    };
    (@ describe, $cx:ident, $permit:ident, $of:literal, $member:literal, $kind:expr, $input:ident) => {
        describe($cx, $permit.scope(), $of, $member, $kind, &$input).await
    };
    (@ stop, $cx:ident, $permit:ident, $of:literal, $member:literal, $kind:expr, $input:ident) => {{
        let row = $cx.kernel.store().get($kind, $permit.scope(), text(&$input, $member)).await?.unwrap();
        let mut batch = Batch::new();
        batch.update(row.status("Stopped"));
        $cx.commit(batch).await?;
        Ok(Reply::empty())
    }};
}

stand_in!(CreateTrainingJob, "training-job", "TrainingJobName", names::TRAINING_JOB, create);
stand_in!(DescribeTrainingJob, "training-job", "TrainingJobName", names::TRAINING_JOB, describe);
stand_in!(StopTrainingJob, "training-job", "TrainingJobName", names::TRAINING_JOB, stop);
stand_in!(CreateProcessingJob, "processing-job", "ProcessingJobName", names::PROCESSING_JOB, create);
stand_in!(DescribeProcessingJob, "processing-job", "ProcessingJobName", names::PROCESSING_JOB, describe);
stand_in!(CreateModel, "model", "ModelName", names::MODEL, create);

stand_in!(CreateHyperParameterTuningJob, "hyper-parameter-tuning-job", "HyperParameterTuningJobName", names::TUNING_JOB, create);
stand_in!(DescribeHyperParameterTuningJob, "hyper-parameter-tuning-job", "HyperParameterTuningJobName", names::TUNING_JOB, describe);

struct ListTrainingJobsForHyperParameterTuningJob;

impl Operation for ListTrainingJobsForHyperParameterTuningJob {
    const SERVICE: &'static str = "sagemaker";
    const NAME: &'static str = "ListTrainingJobsForHyperParameterTuningJob";
    const ACCESS: Access = Access::check("sagemaker:ListTrainingJobsForHyperParameterTuningJob", &["hyper-parameter-tuning-job"]);
    type Input = Value;
    async fn resolve(cx: &Cx, input: &Value) -> Result<Checks> {
        let arn = names::arn(&cx.scope(), "hyper-parameter-tuning-job", text(input, "HyperParameterTuningJobName"));
        Ok(Check::on("sagemaker:ListTrainingJobsForHyperParameterTuningJob", arn).into())
    }
    async fn handle(_: &Cx, _: Permit<Self>, input: Value) -> Result<Reply> {
        let order = format!("{}-{}", text(&input, "SortBy"), text(&input, "SortOrder"));
        Ok(Reply::new(json!({"TrainingJobSummaries": [{"TrainingJobName": order}, {"TrainingJobName": "second"}]})))
    }
}

struct GetObject;

impl Operation for GetObject {
    const SERVICE: &'static str = "s3";
    const NAME: &'static str = "GetObject";
    const ACCESS: Access = Access::check("s3:GetObject", &["object"]);
    type Input = Value;
    async fn resolve(cx: &Cx, input: &Value) -> Result<Checks> {
        let arn = Arn::new("s3", "", "", format!("{}/{}", text(input, "Bucket"), text(input, "Key")));
        Ok(Check::on("s3:GetObject", arn).owned_by(cx.caller.account.clone()).into())
    }
    async fn handle(cx: &Cx, _: Permit<Self>, input: Value) -> Result<Reply> {
        let at = format!("{}/{}", text(&input, "Bucket"), text(&input, "Key"));
        let found = fates(cx).objects.lock().unwrap().get(&at).cloned();
        let body = found.ok_or_else(|| AwsError::new(404, "NoSuchKey", "The specified key does not exist."))?;
        Ok(Reply::streaming(json!({}), tenantry_kernel::full(body)))
    }
}

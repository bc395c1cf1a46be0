//! CreateHyperParameterTuningJob.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenantry_core::{AwsError, Result};
use tenantry_kernel::{Check, Checks, Cx, Ids, OperationRow, Permit, Reply, reconcile::key_of, tags_of};
use tenantry_store::{Batch, ByScope, CommitError, Expect, Row};

use super::{
    record::{Counters, Record, State, arn},
    request::{self, Wishes},
    search::{self, Known},
};
use crate::{
    Machinery, author,
    error::{in_use, limit},
    jobs::trial,
    names::{self, PRINCIPAL},
    operation::operation,
    tagging,
};

/// Tuning jobs of an account that are not over ("Resource Limits for Automatic Model Tuning").
const MAX_AT_ONCE: usize = 100;

pub(super) fn table() -> Vec<OperationRow> {
    vec![OperationRow::of::<CreateHyperParameterTuningJob>()]
}

/// The input of CreateHyperParameterTuningJob.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Create {
    hyper_parameter_tuning_job_name: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

operation!(
    CreateHyperParameterTuningJob,
    ["hyper-parameter-tuning-job"]
        + [
            "aws:RequestTag/${TagKey}",
            "aws:TagKeys",
            "sagemaker:FileSystemAccessMode",
            "sagemaker:FileSystemDirectoryPath",
            "sagemaker:FileSystemId",
            "sagemaker:FileSystemType",
            "sagemaker:InstanceTypes",
            "sagemaker:InterContainerTrafficEncryption",
            "sagemaker:MaxRuntimeInSeconds",
            "sagemaker:NetworkIsolation",
            "sagemaker:OutputKmsKey",
            "sagemaker:VolumeKmsKey",
            "sagemaker:VpcSecurityGroupIds",
            "sagemaker:VpcSubnets",
        ]
    and ["iam:PassRole", "sagemaker:AddTags"],
    Create,
    checks,
    create
);

/// Each definition is asked about on its own: together, one's subnets would hide that another has none.
async fn checks(cx: &Cx, action: &'static str, input: &Create) -> Result<Checks> {
    let scope = cx.scope();
    let tuning = arn(&scope, &input.hyper_parameter_tuning_job_name);
    let request = Value::Object(input.rest.clone());
    let tags = tags_of(&request, "Tags");
    let plain = || Check::on(action, tuning.clone()).request_tags(&tags);
    let mut checks: Option<Checks> = None;
    for definition in request::definitions(&request) {
        let check = trial::keys(plain(), &request::with_resources(definition));
        let role = Check::pass_role_for(trial::role(&scope, definition)?, PRINCIPAL, &tuning);
        checks = Some(
            match checks {
                None => Checks::from(check),
                Some(checks) => checks.and(check),
            }
            .and(role),
        );
    }
    Ok(checks.unwrap_or_else(|| plain().into()).and_if(tagging::on_create(&tuning, &tags, "CreateHyperParameterTuningJob")))
}

async fn create(cx: &Cx, permit: Permit<CreateHyperParameterTuningJob>, input: Create) -> Result<Reply> {
    let (scope, name, now) = (permit.scope(), input.hyper_parameter_tuning_job_name, cx.now());
    let mut request = input.rest;
    request.insert("HyperParameterTuningJobName".to_owned(), json!(name));
    let view = Value::Object(request.clone());
    let tags = tags_of(&view, "Tags");
    tagging::checked(&tags)?;
    let wishes = Wishes::read(&view)?;
    let identity = author::source_identity(&cx.caller);
    let tuning = arn(scope, &name);
    let machinery = cx.kernel.provided::<Machinery>().ok_or_else(|| AwsError::internal("the kernel was composed without machinery"))?;
    for (definition, written) in wishes.definitions.iter().zip(request::definitions(&view)) {
        let values = search::next(wishes.strategy, &definition.space, 0, 0, 0, &Known::default());
        let training = trial::checked(&machinery, scope, definition.training(&format!("{name}-001-00000000"), &values))?;
        definition.objective_is_defined(&training)?;
        let role = written["RoleArn"].as_str().unwrap_or_default();
        trial::assumable(&cx.kernel, scope, role, &tuning, identity.as_deref()).await?;
    }
    let mut at_once = 0;
    for status in ["InProgress", "Stopping"] {
        at_once += cx.kernel.store().count(names::TUNING_JOB, ByScope::Exact(scope), Some(status)).await?;
    }
    if at_once >= MAX_AT_ONCE as u64 {
        return Err(limit(format!(
            "The account-level service limit 'Number of parallel hyperparameter tuning jobs' is {MAX_AT_ONCE}, with current utilization of \
             {at_once}."
        )));
    }
    let state = State {
        search: format!("{}@{}-{}", name.to_lowercase(), now.millis(), Ids::lower(8)),
        seed: wishes.seed.unwrap_or_else(|| Ids::digits(15).parse().unwrap_or_default()),
        made: 0,
        ending: None,
        ended: None,
        counters: Counters::default(),
        best: None,
        not_improving: 0,
        source_identity: identity,
    };
    let id = name.to_lowercase();
    let row = Record { request, state }.into_row(Row::new(names::TUNING_JOB, scope, &*id, now).name(&*name), now)?;
    let mut batch = Batch::new();
    batch.put(row, Expect::Absent);
    batch.set_tags(tuning.as_str(), tags);
    batch.enqueue(names::TUNING_JOB.as_str(), key_of(scope, &id), now);
    match cx.commit(batch).await {
        Ok(()) => Ok(Reply::new(json!({"HyperParameterTuningJobArn": tuning}))),
        Err(CommitError::Conflict { .. }) => Err(in_use(format!(
            "Hyper parameter tuning job names must be unique within an AWS account and region; a tuning job with this name already exists \
             ({tuning})"
        ))),
        Err(error) => Err(error.into()),
    }
}

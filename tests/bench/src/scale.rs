//! What a full instance costs beside one a hundredth as full.
//!
//! Full: 20 accounts with 50 tenants of 10 pipelines each, and 5,000 executions in each account's history,
//! 4,000 of them of one pipeline. Beside it: one account with 10 tenants of 10 pipelines and 1,000 executions, 800 of
//! them of one. Everything is made by signed requests; then the same requests are timed in the first account of both,
//! and the start on the data directory as it is left.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    Failure,
    load::{Keys, Load},
    server::Instance,
};

/// How full an instance is.
struct Size {
    accounts: usize,
    tenants: usize,
    /// Of the first pipeline of an account.
    long: usize,
    /// Of all others of an account together.
    rest: usize,
}

const SMALL: Size = Size { accounts: 1, tenants: 10, long: 800, rest: 200 };
const LARGE: Size = Size { accounts: 20, tenants: 50, long: 4000, rest: 1000 };
/// Pipelines of a tenant.
const PIPELINES: usize = 10;
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 400;
const RESTARTS: usize = 5;

type Measured = Vec<(&'static str, Duration)>;

/// Fills both and gives the table's rows.
///
/// # Errors
/// When a server does not start or refuses a request.
pub async fn rows(binary: &str) -> Result<Vec<String>, Failure> {
    let (small, small_memory) = measure(binary, &SMALL).await?;
    let (large, large_memory) = measure(binary, &LARGE).await?;
    let ratio = |a: Duration, b: Duration| b.as_secs_f64() / a.as_secs_f64();
    let mut rows: Vec<String> = small.iter().zip(&large).map(|((what, a), (_, b))| format!("| {what} | {:.2} |", ratio(*a, *b))).collect();
    rows.push(format!("| resident memory after the run | {:.2} |", large_memory as f64 / small_memory as f64));
    Ok(rows)
}

async fn measure(binary: &str, size: &Size) -> Result<(Measured, u64), Failure> {
    let began = Instant::now();
    let mut instance = Instance::start(binary).await?;
    let mut accounts = Vec::new();
    for n in 0..size.accounts {
        accounts.push(Account::make(&instance, n).await?);
    }
    for account in &accounts {
        account.fill(&instance, size).await?;
        eprintln!("{} of {} accounts full after {:.0?}", account.number + 1, size.accounts, began.elapsed());
    }
    let first = &accounts[0];
    first.settle(&instance).await?;
    let mut measured = Vec::new();
    for (what, operation, input) in first.questions(&instance).await? {
        measured.push((what, first.sagemaker(&instance, operation, &input).run(ROUNDS, 1).await?.p50));
    }
    measured.push(("StartPipelineExecution, p50", first.starts(&instance, 100).await?));
    for account in &accounts {
        account.settle(&instance).await?;
    }
    let memory = instance.resident_bytes()?;
    let mut times = Vec::new();
    for _ in 0..RESTARTS {
        times.push(instance.restart(binary).await?);
    }
    times.sort();
    measured.push(("start to ready", times[RESTARTS / 2]));
    Ok((measured, memory))
}

struct Account {
    number: usize,
    id: String,
    access_key: String,
    secret: String,
    token: String,
}

impl Account {
    /// A member account, and a session of its administrator's role.
    async fn make(instance: &Instance, number: usize) -> Result<Self, Failure> {
        let input = json!({"Email": format!("tenants{number}@example.com"), "AccountName": format!("tenants{number}")});
        let organizations =
            |operation: &str, input: &Value| instance.json("organizations", &format!("AWSOrganizationsV20161128.{operation}"), input);
        let mut status = reply(&organizations("CreateAccount", &input)).await?;
        let id = loop {
            let status_of = &status["CreateAccountStatus"];
            if let Some(id) = status_of["AccountId"].as_str() {
                break id.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            let request = json!({"CreateAccountRequestId": status_of["Id"]});
            status = reply(&organizations("DescribeCreateAccountStatus", &request)).await?;
        };
        let form = format!(
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A{id}%3Arole%2FOrganizationAccountAccessRole&RoleSessionName=scale"
        );
        // The account's role comes a moment after the account.
        let mut tries = 0;
        let answer = loop {
            match instance.form("sts", form.clone()).once().await {
                Ok(answer) => break answer,
                Err(error) if tries == 100 => return Err(error),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let text = String::from_utf8_lossy(&answer).into_owned();
        let of = |element: &str| between(&text, &format!("<{element}>"), &format!("</{element}>"));
        let this = Self { number, id, access_key: of("AccessKeyId")?, secret: of("SecretAccessKey")?, token: of("SessionToken")? };
        let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}]});
        let encoded: String = trust.to_string().bytes().map(|b| format!("%{b:02X}")).collect();
        let role = format!("Action=CreateRole&Version=2010-05-08&RoleName=scale&AssumeRolePolicyDocument={encoded}");
        this.signed(instance.form("iam", role)).once().await?;
        Ok(this)
    }

    fn signed(&self, load: Load) -> Load {
        let service = load.keys.as_ref().map_or("", |keys| keys.service);
        let keys = Keys { access_key: self.access_key.clone(), secret: self.secret.clone(), token: Some(self.token.clone()), service };
        Load { keys: Some(keys), ..load }
    }

    fn sagemaker(&self, instance: &Instance, operation: &str, input: &Value) -> Load {
        self.signed(instance.json("sagemaker", &format!("SageMaker.{operation}"), input))
    }

    /// Makes its pipelines and their history.
    async fn fill(&self, instance: &Instance, size: &Size) -> Result<(), Failure> {
        let definition = json!({"Version": "2020-12-01", "Steps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}]});
        let name = |n: usize| format!("tenant{}-{}", n / PIPELINES, n % PIPELINES);
        let pipelines = size.tenants * PIPELINES;
        let make = (0..pipelines).map(|n| {
            let input = json!({"PipelineName": name(n), "PipelineDefinition": definition.to_string(), "RoleArn": format!("arn:aws:iam::{}:role/scale", self.id),
                "ClientRequestToken": format!("scale-pipeline-0123456789abcdef-{n}"),
                "Tags": [{"Key": "tenant", "Value": (n / PIPELINES).to_string()}]});
            self.sagemaker(instance, "CreatePipeline", &input)
        });
        all(make.collect()).await?;
        // A pipeline runs at most 200 at a time, so the long history goes in portions.
        for portion in (0..size.long).collect::<Vec<_>>().chunks(150) {
            all(portion.iter().map(|n| self.start(instance, &name(0), &format!("long-{n}"))).collect()).await?;
            self.settle(instance).await?;
        }
        let rest = (0..size.rest).map(|n| self.start(instance, &name(1 + n % (pipelines - 1)), &format!("rest-{n}")));
        all(rest.collect()).await
    }

    fn start(&self, instance: &Instance, pipeline: &str, token: &str) -> Load {
        let input = json!({"PipelineName": pipeline, "ClientRequestToken": format!("scale-0123456789abcdef0123456789-{token}")});
        self.sagemaker(instance, "StartPipelineExecution", &input)
    }

    /// Waits until the newest executions of the first pipeline are over.
    async fn settle(&self, instance: &Instance) -> Result<(), Failure> {
        loop {
            let input = json!({"PipelineName": "tenant0-0", "MaxResults": 100});
            let listed = reply(&self.sagemaker(instance, "ListPipelineExecutions", &input)).await?;
            let summaries = listed["PipelineExecutionSummaries"].as_array().cloned().unwrap_or_default();
            if summaries.iter().all(|summary| summary["PipelineExecutionStatus"] != "Executing") {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn questions(&self, instance: &Instance) -> Result<Vec<(&'static str, &'static str, Value)>, Failure> {
        let of = json!({"PipelineName": "tenant0-0"});
        let listed = reply(&self.sagemaker(instance, "ListPipelineExecutions", &of)).await?;
        let execution = json!({"PipelineExecutionArn": listed["PipelineExecutionSummaries"][0]["PipelineExecutionArn"]});
        Ok(vec![
            ("ListPipelines, p50", "ListPipelines", json!({})),
            ("ListPipelineExecutions, p50", "ListPipelineExecutions", of.clone()),
            ("DescribePipeline, p50", "DescribePipeline", of),
            ("DescribePipelineExecution, p50", "DescribePipelineExecution", execution.clone()),
            ("ListPipelineExecutionSteps, p50", "ListPipelineExecutionSteps", execution),
        ])
    }

    /// The median time of a start of the pipeline with the long history.
    async fn starts(&self, instance: &Instance, rounds: usize) -> Result<Duration, Failure> {
        let mut times = Vec::with_capacity(rounds);
        for n in 0..rounds {
            let load = self.start(instance, "tenant0-0", &format!("timed-{n}"));
            let sent = Instant::now();
            load.once().await?;
            times.push(sent.elapsed());
        }
        times.sort();
        Ok(times[rounds / 2])
    }
}

/// Sends all of them, so many at a time.
async fn all(loads: Vec<Load>) -> Result<(), Failure> {
    let mut waiting = loads.into_iter();
    let mut sent = JoinSet::new();
    loop {
        while sent.len() < CONNECTIONS {
            let Some(load) = waiting.next() else { break };
            sent.spawn(async move { load.once().await.map(drop) });
        }
        match sent.join_next().await {
            Some(done) => done??,
            None => return Ok(()),
        }
    }
}

async fn reply(load: &Load) -> Result<Value, Failure> {
    Ok(serde_json::from_slice(&load.once().await?)?)
}

fn between(text: &str, from: &str, to: &str) -> Result<String, Failure> {
    let inside = text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map(|(inside, _)| inside.to_owned());
    inside.ok_or_else(|| format!("no {from} in the answer").into())
}

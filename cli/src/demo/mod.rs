//! `tenantry demo`: the main job on a temporary instance, through the front door only.
//!
//! Four pipelines of two tenants; tenant1's trains, evaluates, registers and publishes a model;
//! starting tenant2's is refused; one endpoint serves all tenants' models and lets each call its own.
//! What was allowed, what was denied and why stands in a table; anything that went otherwise than it
//! must makes the exit code 1.

mod scenario;

use std::{
    io::IsTerminal,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tenantry_core::{AccountId, AwsError, Scope};
use tenantry_front::Egress;
use tenantry_kernel::DENIAL;

use crate::{
    args::{Demo, Isolation},
    client::{Client, REQUEST_ID},
    environment,
    failure::Failure,
    instance::Settings,
    serve::Running,
};

const REGION: &str = "us-east-1";
const ROLE: &str = "DemoExecutionRole";
const IAM: &str = "2010-05-08";
/// Environments are built from a package index on first use.
const PATIENCE: Duration = Duration::from_secs(1500);

/// A line of the table.
struct Line {
    who: String,
    what: String,
    must_pass: bool,
    passed: bool,
    why: String,
}

/// `tenantry demo`.
pub async fn demo(arguments: Demo) -> Result<ExitCode, Failure> {
    let temporary = arguments.keep.is_none();
    let data = match arguments.keep {
        Some(dir) => dir,
        None => std::env::temp_dir().join(format!("tenantry-demo-{}", std::process::id())),
    };
    let settings = Settings {
        environments: arguments.environments.unwrap_or_else(environments),
        data: data.clone(),
        names: Vec::new(),
        egress: Egress::Open,
        isolation: Isolation::Sandbox,
        images: None,
    };
    let running = Running::start(&settings, ([127, 0, 0, 1], 0).into(), None).await?;
    let outcome = play(&running, &settings).await;
    running.stop(&settings).await;
    if temporary {
        std::fs::remove_dir_all(&data).map_err(Failure::file(&data))?;
    }
    let lines = outcome?;
    print(&lines);
    let wrong = lines.iter().filter(|line| line.passed != line.must_pass).count();
    if wrong > 0 {
        return Err(Failure::Refused(format!("{wrong} of {} calls went otherwise than they must", lines.len())));
    }
    Ok(ExitCode::SUCCESS)
}

/// Environments outlive the demo's data, so that the second demo is quick.
fn environments() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("tenantry/environments")
}

/// What is going on, on standard error.
struct Progress {
    since: Instant,
    live: bool,
}

impl Progress {
    fn say(&self, text: &str) {
        if self.live {
            eprint!("\r\x1b[K");
        }
        eprintln!("{:6.1} s  {text}", self.since.elapsed().as_secs_f64());
    }
    fn tick(&self, text: &str) {
        if self.live {
            eprint!("\r\x1b[K{:6.1} s  … {text}", self.since.elapsed().as_secs_f64());
        }
    }
}

struct Stage<'a> {
    running: &'a Running,
    progress: Progress,
    account: String,
    lines: Vec<Line>,
}

async fn play(running: &Running, settings: &Settings) -> Result<Vec<Line>, Failure> {
    let keys = environment::administrator(&settings.data)?;
    let administrator = Client {
        address: running.address.to_string(),
        region: REGION.to_owned(),
        access_key: keys.access_key_id,
        secret: keys.secret_access_key,
        token: None,
    };
    let progress = Progress { since: Instant::now(), live: std::io::stderr().is_terminal() };
    progress.say(&format!("instance of account {} on http://{}", keys.account, running.address));
    let mut stage = Stage { running, progress, account: keys.account, lines: Vec::new() };
    let (platform, role) = stage.prepare_platform(&administrator).await?;
    let bucket = stage.prepare_data(&platform).await?;
    stage.create_pipelines(&platform, &bucket, &role).await?;
    let tenant = stage.tenant_session(&platform, "DemoStartPipelineRole", scenario::start_policy).await?;
    stage.run_pipeline(&platform, &tenant, &bucket).await?;
    stage.refuse_other_tenant(&tenant).await;
    stage.serve_models(&platform, &bucket, &role).await?;
    Ok(stage.lines)
}

impl Stage<'_> {
    /// The execution role, and a session of it as notebooks have it.
    async fn prepare_platform(&self, administrator: &Client) -> Result<(Client, String), AwsError> {
        let trust = scenario::execution_trust(&self.account).to_string();
        administrator.query("iam", IAM, "CreateRole", &[("RoleName", ROLE), ("AssumeRolePolicyDocument", &trust)]).await?;
        for policy in ["AmazonSageMakerFullAccess", "AmazonS3FullAccess", "IAMFullAccess"] {
            let arn = format!("arn:aws:iam::aws:policy/{policy}");
            administrator.query("iam", IAM, "AttachRolePolicy", &[("RoleName", ROLE), ("PolicyArn", &arn)]).await?;
        }
        let role = format!("arn:aws:iam::{}:role/{ROLE}", self.account);
        let platform = administrator.assume(&role, "SageMaker", &[]).await?;
        self.progress.say(&format!("the platform works as assumed-role/{ROLE}/SageMaker"));
        Ok((platform, role))
    }

    async fn prepare_data(&self, platform: &Client) -> Result<String, AwsError> {
        let bucket = format!("sagemaker-{REGION}-{}", self.account);
        platform.put(&bucket, "", Vec::new()).await?;
        for (name, rows, seed) in [("train", 400, 1), ("validation", 100, 2), ("test", 100, 3)] {
            platform.put(&bucket, &format!("sample-data/tenant1/app1/{name}/{name}.csv"), scenario::houses(rows, seed)).await?;
        }
        platform.put(&bucket, "code/evaluate.py", include_str!("evaluate.py")).await?;
        platform.put(&bucket, "code/publish.py", include_str!("publish.py")).await?;
        self.progress.say(&format!("training data and code are in s3://{bucket}"));
        Ok(bucket)
    }

    async fn create_pipelines(&mut self, platform: &Client, bucket: &str, role: &str) -> Result<(), AwsError> {
        for (tenant, app) in [("tenant1", "app1"), ("tenant1", "app2"), ("tenant2", "app1"), ("tenant2", "app2")] {
            let name = format!("{tenant}-{app}");
            let definition = scenario::pipeline(bucket, role, tenant, app).to_string();
            let input = json!({"PipelineName": name, "PipelineDefinition": definition, "RoleArn": role, "ClientRequestToken": format!("create-{name}-0123456789abcdef0123456789"),
                "Tags": [{"Key": "TenantID", "Value": tenant}, {"Key": "AppID", "Value": app}]});
            platform.sagemaker("CreatePipeline", &input).await?;
            self.progress.say(&format!("pipeline {name} is created, tagged TenantID={tenant}"));
        }
        self.pass("platform", "create four tenant pipelines with tags", "");
        Ok(())
    }

    /// A role that only a tenant-tagged session of the platform may assume, and tenant1's session of it.
    async fn tenant_session(&mut self, platform: &Client, name: &str, policy: fn(&str) -> Value) -> Result<Client, AwsError> {
        let trust = scenario::tenant_trust(&self.account, ROLE).to_string();
        let document = policy(&self.account).to_string();
        platform.query("iam", IAM, "CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", &trust)]).await?;
        platform.query("iam", IAM, "PutRolePolicy", &[("RoleName", name), ("PolicyName", "Tenant"), ("PolicyDocument", &document)]).await?;
        let role = format!("arn:aws:iam::{}:role/{name}", self.account);
        match platform.assume(&role, "tenant1", &[]).await {
            Ok(_) => self.wrong("platform", &format!("assume {name} without a tenant tag"), false),
            Err(error) => self.deny("platform", &format!("assume {name} without a tenant tag"), &error).await,
        }
        let tenant = platform.assume(&role, "tenant1", &[("TenantID", "tenant1")]).await?;
        self.pass("platform", &format!("assume {name} with TenantID=tenant1"), "");
        Ok(tenant)
    }

    async fn start(&self, tenant: &Client, pipeline: &str, bucket: &str) -> Result<Value, AwsError> {
        let data = |name: &str| json!({"Name": format!("{}DataPath", capital(name)), "Value": format!("s3://{bucket}/sample-data/tenant1/app1/{name}/")});
        let input = json!({"PipelineName": pipeline, "ClientRequestToken": format!("start-{pipeline}-0123456789abcdef0123456789"),
            "PipelineParameters": [data("train"), data("validation"), data("test"), {"Name": "TrainingInstanceCount", "Value": "2"}]});
        tenant.sagemaker("StartPipelineExecution", &input).await
    }

    async fn run_pipeline(&mut self, platform: &Client, tenant: &Client, bucket: &str) -> Result<(), AwsError> {
        let started = self.start(tenant, "tenant1-app1", bucket).await?;
        self.pass("tenant1", "start pipeline tenant1-app1", "statement StartOwnPipelines allows it");
        let arn = json!({"PipelineExecutionArn": started["PipelineExecutionArn"]});
        let mut told = std::collections::BTreeMap::new();
        let end = Instant::now() + PATIENCE;
        let status = loop {
            let execution = platform.sagemaker("DescribePipelineExecution", &arn).await?;
            let steps = platform.sagemaker("ListPipelineExecutionSteps", &arn).await?;
            for step in steps["PipelineExecutionSteps"].as_array().into_iter().flatten().rev() {
                let (name, status) =
                    (step["StepName"].as_str().unwrap_or("-").to_owned(), step["StepStatus"].as_str().unwrap_or("-").to_owned());
                let reason = step["FailureReason"].as_str().map(|r| format!(": {r}")).unwrap_or_default();
                if told.insert(name.clone(), status.clone()).as_ref() != Some(&status) {
                    self.progress.say(&format!("step {name}: {status}{reason}"));
                    if status == "Failed" {
                        self.show_log(platform, step).await;
                    }
                }
            }
            let status = execution["PipelineExecutionStatus"].as_str().unwrap_or_default().to_owned();
            if !matches!(status.as_str(), "Executing" | "Stopping") || Instant::now() > end {
                break status;
            }
            self.progress.tick("tenant1-app1 is executing (the first run prepares Python environments)");
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        self.check("tenant1-app1", "trains on two instances, evaluates, registers, publishes", status == "Succeeded", &status);
        if status != "Succeeded" {
            return Ok(());
        }
        let packages = platform.sagemaker("ListModelPackages", &json!({"ModelPackageGroupName": "tenant1-app1"})).await?;
        let package = packages.pointer("/ModelPackageSummaryList/0/ModelPackageArn").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.check("tenant1-app1", "the model is in the registry", !package.is_empty(), &package);
        let published = scenario::published("tenant1", "app1");
        let there = platform.has(bucket, &published).await?;
        self.check("tenant1-app1", "the model is in the shared prefix", there, &format!("s3://{bucket}/{published}"));
        Ok(())
    }

    /// The last lines of a failed step's job, for whoever has to find out why.
    async fn show_log(&self, platform: &Client, step: &Value) {
        for (of, group) in [("TrainingJob", "/aws/sagemaker/TrainingJobs"), ("ProcessingJob", "/aws/sagemaker/ProcessingJobs")] {
            let Some(job) = step["Metadata"][of]["Arn"].as_str().and_then(|arn| arn.rsplit('/').next()) else { continue };
            let all = json!({"logGroupName": group, "startFromHead": false});
            let Ok(streams) = platform.json("logs", "Logs_20140328.DescribeLogStreams", &json!({"logGroupName": group})).await else {
                continue;
            };
            for stream in streams["logStreams"].as_array().into_iter().flatten().filter_map(|s| s["logStreamName"].as_str()) {
                // Names in ARNs are lower case.
                if !stream.to_lowercase().starts_with(&format!("{job}/")) {
                    continue;
                }
                let mut input = all.clone();
                input["logStreamName"] = json!(stream);
                input["limit"] = json!(15);
                if let Ok(events) = platform.json("logs", "Logs_20140328.GetLogEvents", &input).await {
                    for event in events["events"].as_array().into_iter().flatten().filter_map(|e| e["message"].as_str()) {
                        eprintln!("          {stream}: {event}");
                    }
                }
            }
        }
    }

    async fn refuse_other_tenant(&mut self, tenant: &Client) {
        match self.start(tenant, "tenant2-app1", "none").await {
            Ok(_) => self.wrong("tenant1", "start pipeline tenant2-app1", false),
            Err(refusal) => self.deny("tenant1", "start pipeline tenant2-app1", &refusal).await,
        }
        let describe = tenant.sagemaker("DescribePipeline", &json!({"PipelineName": "tenant1-app1"})).await;
        match describe {
            Ok(_) => self.wrong("tenant1", "describe pipeline tenant1-app1", false),
            Err(refusal) => self.deny("tenant1", "describe pipeline tenant1-app1", &refusal).await,
        }
    }

    async fn serve_models(&mut self, platform: &Client, bucket: &str, role: &str) -> Result<(), AwsError> {
        let container = json!({"Image": scenario::SERVING_IMAGE, "ModelDataUrl": format!("s3://{bucket}/model_artifacts_mme/"), "Mode": "MultiModel",
            "Environment": {"SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": "fil"}});
        platform.sagemaker("CreateModel", &json!({"ModelName": "shared", "ExecutionRoleArn": role, "PrimaryContainer": container})).await?;
        let variant = json!({"VariantName": "AllTraffic", "ModelName": "shared", "InstanceType": "ml.m5.2xlarge", "InitialInstanceCount": 1, "InitialVariantWeight": 1.0});
        platform.sagemaker("CreateEndpointConfig", &json!({"EndpointConfigName": "shared", "ProductionVariants": [variant]})).await?;
        let name = "shared-models";
        platform.sagemaker("CreateEndpoint", &json!({"EndpointName": name, "EndpointConfigName": "shared"})).await?;
        self.progress.say("endpoint shared-models is being created");
        let end = Instant::now() + PATIENCE;
        let status = loop {
            let endpoint = platform.sagemaker("DescribeEndpoint", &json!({"EndpointName": name})).await?;
            let status = endpoint["EndpointStatus"].as_str().unwrap_or_default().to_owned();
            if status != "Creating" || Instant::now() > end {
                let reason = endpoint["FailureReason"].as_str().map(|r| format!(": {r}")).unwrap_or_default();
                break format!("{status}{reason}");
            }
            self.progress.tick("endpoint shared-models is being created");
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        self.check("platform", "one endpoint serves all tenants' models", status == "InService", &status);
        let tenant = self.tenant_session(platform, "DemoInvokeRole", scenario::invoke_policy).await?;
        let house = json!({"inputs": [{"name": "input__0", "shape": [1, scenario::FEATURES], "datatype": "FP32", "data": [1997.0, 2527.0, 6.0, 2.5, 0.57, 1.0]}]});
        match tenant.invoke(name, &scenario::model_name("tenant1", "app1"), &house).await {
            Ok(answer) => {
                let price = answer.pointer("/outputs/0/data/0").and_then(Value::as_f64);
                self.check(
                    "tenant1",
                    "call its own model",
                    price.is_some_and(|p| p > 100_000.0),
                    &format!("the house is worth {:.0}", price.unwrap_or(f64::NAN)),
                );
            }
            Err(refusal) => self.check("tenant1", "call its own model", false, &refusal.message),
        }
        match tenant.invoke(name, &scenario::model_name("tenant2", "app1"), &house).await {
            Ok(_) => self.wrong("tenant1", "call tenant2's model", false),
            Err(refusal) => self.deny("tenant1", "call tenant2's model", &refusal).await,
        }
        Ok(())
    }

    fn pass(&mut self, who: &str, what: &str, why: &str) {
        self.lines.push(Line { who: who.to_owned(), what: what.to_owned(), must_pass: true, passed: true, why: why.to_owned() });
    }
    fn check(&mut self, who: &str, what: &str, passed: bool, why: &str) {
        self.progress.say(&format!("{what}: {why}"));
        self.lines.push(Line { who: who.to_owned(), what: what.to_owned(), must_pass: true, passed, why: why.to_owned() });
    }
    /// A call that went through and must not have, or the other way round.
    fn wrong(&mut self, who: &str, what: &str, must_pass: bool) {
        self.lines.push(Line {
            who: who.to_owned(),
            what: what.to_owned(),
            must_pass,
            passed: !must_pass,
            why: "THIS MUST NOT HAPPEN".to_owned(),
        });
    }
    /// A refusal. Only an access denial is the refusal that must be.
    async fn deny(&mut self, who: &str, what: &str, error: &AwsError) {
        self.progress.say(&format!("denied as it must be: {}", error.message));
        let denied = error.code.starts_with("AccessDenied");
        let request = error.details.iter().find(|(name, _)| name == REQUEST_ID).map(|(_, id)| id.as_str()).unwrap_or_default();
        let why = self.reason(request).await.unwrap_or_else(|| error.message.clone());
        self.lines.push(Line { who: who.to_owned(), what: what.to_owned(), must_pass: false, passed: !denied, why });
    }
    /// The line of the recorded explanation that says what was closest to allowing it.
    async fn reason(&self, request: &str) -> Option<String> {
        let scope = Scope::global(AccountId::from(self.account.as_str()));
        for _ in 0..50 {
            if let Ok(Some(row)) = self.running.instance.kernel.store().get(DENIAL, &scope, request).await {
                let body: Value = row.body().ok()?;
                let lines = body.pointer("/explanation/checks/0/lines")?.as_array()?.clone();
                let mut lines = lines.iter().filter_map(Value::as_str);
                return lines.clone().find(|line| line.contains("closest")).or_else(|| lines.next_back()).map(str::to_owned);
            }
            // Denials are recorded behind the answer.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "the table is the command's data")]
fn print(lines: &[Line]) {
    let width = |f: fn(&Line) -> usize| lines.iter().map(f).max().unwrap_or(0);
    let (who, what) = (width(|l| l.who.len()), width(|l| l.what.len()));
    println!("\n{:<who$}  {:<what$}  outcome  why", "who", "what");
    for line in lines {
        let outcome = match (line.passed, line.must_pass) {
            (true, true) => "allowed",
            (false, false) => "denied",
            (true, false) => "ALLOWED",
            (false, true) => "FAILED",
        };
        println!("{:<who$}  {:<what$}  {outcome:<7}  {}", line.who, line.what, line.why);
    }
}

//! What the platform adds to user code: to a training job that does nothing, and to a call of a model.
//!
//! Both against the same program without the platform: the script run by this machine's Python, the model server's own
//! `/invocations`. What is added is a difference of medians, an absolute time of this machine.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{Failure, load::Load, median, server::Instance};

const REGISTRY: &str = "683313688378.dkr.ecr.us-east-1.amazonaws.com";
const SCRIPT: [&str; 3] = ["python3", "-c", "pass"];
const JOBS: usize = 7;
const CALLS: usize = 2000;
/// The first job builds its image where that is not there yet.
const PATIENCE: Duration = Duration::from_secs(600);

const MODEL: &str = "def model_fn(directory):\n    return None\n\n\ndef transform_fn(model, data, content_type, accept):\n    return \"42\", \"text/plain\"\n";

/// The table's rows: what, without the platform, through it, added.
///
/// # Errors
/// When a job fails, the endpoint does not come into service, or a request is refused.
pub async fn rows(binary: &str, runtime: &Path) -> Result<Vec<String>, Failure> {
    let instance = Instance::start(binary).await?;
    let role = role(&instance).await?;
    instance.load("s3", "PUT", "/bench", Vec::new(), "").once().await?;
    let mut out = vec![job(&instance, &role).await?];
    out.extend(endpoint(&instance, &role, runtime).await?);
    Ok(out)
}

fn row(what: &str, without: Duration, through: Duration) -> String {
    let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    format!("| {what} | {} | {} | {} |", ms(without), ms(through), ms(through.saturating_sub(without)))
}

/// A role whose work may use the bucket.
async fn role(instance: &Instance) -> Result<String, Failure> {
    let encoded = |document: Value| document.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}]});
    let allow = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": ["arn:aws:s3:::bench", "arn:aws:s3:::bench/*"]}]});
    let create = format!("Action=CreateRole&Version=2010-05-08&RoleName=work&AssumeRolePolicyDocument={}", encoded(trust));
    instance.form("iam", create).once().await?;
    let put = format!("Action=PutRolePolicy&Version=2010-05-08&RoleName=work&PolicyName=data&PolicyDocument={}", encoded(allow));
    instance.form("iam", put).once().await?;
    Ok(format!("arn:aws:iam::{}:role/work", instance.account()))
}

async fn call(instance: &Instance, operation: &str, input: &Value) -> Result<Value, Failure> {
    let answer = instance.json("sagemaker", &format!("SageMaker.{operation}"), input).once().await?;
    Ok(if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer)? })
}

/// Asks again and again until the answer is no longer one of `pending`.
async fn until(instance: &Instance, operation: &str, input: Value, member: &str, pending: &[&str]) -> Result<Value, Failure> {
    let start = Instant::now();
    loop {
        let described = call(instance, operation, &input).await?;
        if !pending.contains(&described[member].as_str().unwrap_or_default()) {
            return Ok(described);
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("{operation}: {described}").into());
        }
        sleep(Duration::from_millis(10)).await;
    }
}

async fn job(instance: &Instance, role: &str) -> Result<String, Failure> {
    let mut through = Vec::new();
    let mut bare = Vec::new();
    // The interpreter itself: what is on the path may be a script that looks for it.
    let found = Command::new(SCRIPT[0]).args(["-c", "import sys; print(sys.executable, end='')"]).output()?;
    let interpreter = String::from_utf8(found.stdout)?;
    for n in 0..JOBS {
        eprintln!("job {n}");
        let start = Instant::now();
        if !Command::new(&interpreter).args(&SCRIPT[1..]).status()?.success() {
            return Err("the script failed without the platform".into());
        }
        bare.push(start.elapsed());
        let name = format!("bench-{n}");
        let input = json!({
            "TrainingJobName": name,
            "RoleArn": role,
            "AlgorithmSpecification": {"TrainingImage": format!("{REGISTRY}/sagemaker-base-python:1.0"), "TrainingInputMode": "File", "ContainerEntrypoint": SCRIPT},
            "OutputDataConfig": {"S3OutputPath": "s3://bench/out"},
            "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        });
        let start = Instant::now();
        call(instance, "CreateTrainingJob", &input).await?;
        let described =
            until(instance, "DescribeTrainingJob", json!({"TrainingJobName": name}), "TrainingJobStatus", &["InProgress"]).await?;
        through.push(start.elapsed());
        if described["TrainingJobStatus"] != "Completed" {
            return Err(format!("a job did not complete: {}", described["FailureReason"]).into());
        }
        transitions(&described);
    }
    // The first prepares the image.
    let warm = through.split_off(1);
    Ok(row("training job of a script that does nothing, image prepared", median(bare), median(warm)))
}

/// Where a job's time went, for whoever watches the run.
fn transitions(described: &Value) {
    let began = described["CreationTime"].as_f64().unwrap_or_default();
    for step in described["SecondaryStatusTransitions"].as_array().into_iter().flatten() {
        let at = |member: &str| (step[member].as_f64().unwrap_or_default() - began) * 1e3;
        eprintln!("  {:>6.0} to {:>6.0} ms {} {}", at("StartTime"), at("EndTime"), step["Status"], step["StatusMessage"]);
    }
}

async fn endpoint(instance: &Instance, role: &str, runtime: &Path) -> Result<Vec<String>, Failure> {
    let bare = Bare::start(runtime).await?;
    let archive = bare.home.join("model.tar.gz");
    let packed = Command::new("tar").arg("czf").arg(&archive).arg("-C").arg(bare.home.join("model")).arg(".").status()?;
    if !packed.success() {
        return Err("the model cannot be packed".into());
    }
    instance.load("s3", "PUT", "/bench/model.tar.gz", Vec::new(), fs::read(&archive)?).once().await?;
    let container =
        json!({"Image": format!("{REGISTRY}/sagemaker-scikit-learn:0.23-1-cpu-py3"), "ModelDataUrl": "s3://bench/model.tar.gz"});
    call(instance, "CreateModel", &json!({"ModelName": "bench", "ExecutionRoleArn": role, "PrimaryContainer": container})).await?;
    let variant = json!({"VariantName": "AllTraffic", "ModelName": "bench", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1});
    call(instance, "CreateEndpointConfig", &json!({"EndpointConfigName": "bench", "ProductionVariants": [variant]})).await?;
    call(instance, "CreateEndpoint", &json!({"EndpointName": "bench", "EndpointConfigName": "bench"})).await?;
    let described = until(instance, "DescribeEndpoint", json!({"EndpointName": "bench"}), "EndpointStatus", &["Creating"]).await?;
    if described["EndpointStatus"] != "InService" {
        return Err(format!("the endpoint is not in service: {described}").into());
    }
    let text = || vec![("content-type", "text/plain".to_owned())];
    let through = instance.load("sagemaker", "POST", "/endpoints/bench/invocations", text(), "x");
    let direct = Load {
        address: bare.address.clone(),
        method: "POST",
        path: "/invocations".to_owned(),
        headers: text(),
        body: "x".into(),
        keys: None,
    };
    for load in [&through, &direct] {
        let answer = load.once().await?;
        if answer != "42" {
            return Err(format!("the model answers {}", String::from_utf8_lossy(&answer)).into());
        }
    }
    let mut out = Vec::new();
    for connections in [1, 4] {
        eprintln!("calls of a model over {connections} connections");
        let (mut with, mut without) = (Vec::new(), Vec::new());
        // In turns, so that both meet the same machine.
        for _ in 0..5 {
            without.push(direct.run(CALLS / 5, connections).await?.p50);
            with.push(through.run(CALLS / 5, connections).await?.p50);
        }
        out.push(row(&format!("call of a model, p50, {connections} connections"), median(without), median(with)));
    }
    Ok(out)
}

/// The model server of the image, without the platform.
struct Bare {
    process: Child,
    home: PathBuf,
    address: String,
}

impl Bare {
    async fn start(runtime: &Path) -> Result<Self, Failure> {
        let home = std::env::temp_dir().join(format!("tenantry-bench-model-{}", std::process::id()));
        fs::create_dir_all(home.join("model/code"))?;
        fs::File::create(home.join("model/code/inference.py"))?.write_all(MODEL.as_bytes())?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = Command::new("python3")
            .args(["-m", "tenantry_runtime.serve", "sklearn"])
            .env("PYTHONPATH", runtime)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("TENANTRY_OPT_ML", &home)
            .env("SAGEMAKER_BIND_TO_PORT", port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let bare = Self { process, home, address: format!("127.0.0.1:{port}") };
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(&bare.address).await.is_ok() {
                return Ok(bare);
            }
            sleep(Duration::from_millis(100)).await;
        }
        Err("the model server does not answer without the platform".into())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _dead = self.process.kill();
        let _reaped = self.process.wait();
        let _gone = fs::remove_dir_all(&self.home);
    }
}

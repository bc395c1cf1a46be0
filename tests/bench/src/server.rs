//! The servers under load: an instance of the release build, a bare handler, moto.

use std::{
    convert::Infallible,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    Failure,
    load::{Keys, Load},
};

/// A running instance with a data directory of its own.
pub struct Instance {
    process: Child,
    data: PathBuf,
    address: String,
    keys: Value,
}

impl Instance {
    /// Starts the binary.
    pub async fn start(binary: &str) -> Result<Self, Failure> {
        Self::serve(binary)
    }

    /// The same, for who is not asynchronous.
    pub fn serve(binary: &str) -> Result<Self, Failure> {
        let data = std::env::temp_dir().join(format!("tenantry-bench-data-{}", std::process::id()));
        let (process, address) = serve(binary, &data)?;
        let keys = serde_json::from_str(&std::fs::read_to_string(data.join("administrator.json"))?)?;
        Ok(Self { process, data, address, keys })
    }

    /// Ends it as an operator does and starts it on the same directory: how long until it is ready.
    pub async fn restart(&mut self, binary: &str) -> Result<Duration, Failure> {
        // One that has been stopped is gone already.
        if self.process.try_wait()?.is_none() {
            self.stop()?;
        }
        let start = Instant::now();
        (self.process, self.address) = serve(binary, &self.data)?;
        Ok(start.elapsed())
    }

    /// Ends it as an operator does.
    pub fn stop(&mut self) -> Result<(), Failure> {
        Command::new("kill").arg(self.process.id().to_string()).status()?;
        self.process.wait()?;
        Ok(())
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// Its resident memory.
    pub fn resident_bytes(&self) -> Result<u64, Failure> {
        self.memory("VmRSS:")
    }

    /// The most resident memory that it has had.
    pub fn peak_bytes(&self) -> Result<u64, Failure> {
        self.memory("VmHWM:")
    }

    fn memory(&self, which: &str) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(which)).ok_or_else(|| format!("no {which}"))?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// Where it listens: host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its first account.
    pub fn account(&self) -> &str {
        self.keys["account"].as_str().unwrap_or_default()
    }

    /// The administrator's keys.
    pub fn keys(&self, service: &'static str) -> Keys {
        let text = |name: &str| self.keys[name].as_str().unwrap_or_default().to_owned();
        Keys { access_key: text("access_key_id"), secret: text("secret_access_key"), token: None, service }
    }

    /// Any signed request.
    pub fn load(
        &self,
        service: &'static str,
        method: &'static str,
        path: &str,
        headers: Vec<(&'static str, String)>,
        body: impl Into<Bytes>,
    ) -> Load {
        Load { address: self.address.clone(), method, path: path.to_owned(), headers, body: body.into(), keys: Some(self.keys(service)) }
    }

    /// A request of the query protocol.
    pub fn form(&self, service: &'static str, form: impl Into<Bytes>) -> Load {
        self.load(service, "POST", "/", vec![("content-type", "application/x-www-form-urlencoded".to_owned())], form)
    }

    /// A request of the JSON protocol.
    pub fn json(&self, service: &'static str, target: &str, input: &Value) -> Load {
        let headers = vec![("content-type", "application/x-amz-json-1.1".to_owned()), ("x-amz-target", target.to_owned())];
        self.load(service, "POST", "/", headers, input.to_string())
    }

    /// sts GetCallerIdentity.
    pub fn caller_identity(&self) -> Load {
        self.form("sts", "Action=GetCallerIdentity&Version=2011-06-15")
    }

    /// sagemaker DescribePipeline of a pipeline that is made here.
    pub async fn describe_pipeline(&self) -> Result<Load, Failure> {
        let account = self.account();
        let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}]});
        let encoded: String = trust.to_string().bytes().map(|b| format!("%{b:02X}")).collect();
        let role = format!("Action=CreateRole&Version=2010-05-08&RoleName=bench&AssumeRolePolicyDocument={encoded}");
        // The second round finds role and pipeline already there.
        let _there = self.form("iam", role).once().await;
        let definition = json!({"Version": "2020-12-01", "Steps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}]});
        let input = json!({"PipelineName": "bench", "PipelineDefinition": definition.to_string(), "RoleArn": format!("arn:aws:iam::{account}:role/bench"),
            "ClientRequestToken": "bench-0123456789abcdef0123456789abcdef"});
        let _there = self.sagemaker("CreatePipeline", &input).once().await;
        Ok(self.sagemaker("DescribePipeline", &json!({"PipelineName": "bench"})))
    }

    fn sagemaker(&self, operation: &str, input: &Value) -> Load {
        self.json("sagemaker", &format!("SageMaker.{operation}"), input)
    }
}

fn serve(binary: &str, data: &Path) -> Result<(Child, String), Failure> {
    let mut process = Command::new(binary)
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let address = line.trim().strip_prefix("ready http://").ok_or("the server did not start")?.to_owned();
    Ok((process, address))
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _dead = self.process.kill();
        let _reaped = self.process.wait();
        let _gone = std::fs::remove_dir_all(&self.data);
    }
}

/// A handler that answers a constant: what HTTP itself costs here.
pub async fn bare() -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _nodelay = stream.set_nodelay(true);
            let service = service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok")))) });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}

/// moto's server, run by a Python that has it.
pub struct Moto {
    process: Child,
    pub address: String,
}

impl Moto {
    /// Its process.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// Starts it and waits until it answers.
    pub async fn start(python: &str) -> Result<Self, Failure> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let process = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let moto = Self { process, address };
        for _ in 0..300 {
            if tokio::net::TcpStream::connect(&moto.address).await.is_ok() {
                return Ok(moto);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("moto does not answer".into())
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _dead = self.process.kill();
        let _reaped = self.process.wait();
    }
}

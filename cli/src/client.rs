//! A small AWS client of our own, for the demo: signed requests to the instance's address, as any
//! client would send them.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tenantry_core::{AwsError, Result, Timestamp};
use tenantry_sigv4::{Parts, Signer};
use tokio::net::TcpStream;

/// Keys and the place they are used at.
#[derive(Clone)]
pub struct Client {
    /// `127.0.0.1:4566`.
    pub address: String,
    /// The region.
    pub region: String,
    /// The access key id.
    pub access_key: String,
    /// Its secret.
    pub secret: String,
    /// The session token of temporary credentials.
    pub token: Option<String>,
}

/// An answer.
pub struct Answer {
    /// The error code that REST services put into a header.
    pub error_type: String,
    /// The HTTP status.
    pub status: u16,
    /// `x-amzn-requestid`: what `explain` takes.
    pub request_id: String,
    /// The body.
    pub body: Bytes,
}

/// A request before it is signed.
pub struct Call<'a> {
    /// The signing name.
    pub service: &'a str,
    /// `POST`, …
    pub method: &'a str,
    /// Escaped.
    pub path: &'a str,
    /// Besides `host`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: Vec<u8>,
}

fn trouble(error: impl std::fmt::Display) -> AwsError {
    AwsError::internal(format!("the instance does not answer: {error}"))
}

fn now() -> Timestamp {
    tenantry_kernel::Clock::now(&tenantry_kernel::SystemClock)
}

impl Client {
    /// Sends a request; any status is an answer.
    pub async fn send(&self, call: Call<'_>) -> Result<Answer> {
        let hash: String = Sha256::digest(&call.body).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut headers: Vec<(&str, &str)> = vec![("host", &self.address)];
        headers.extend(call.headers);
        let parts = Parts { method: call.method, path: call.path, query: "", headers: &headers };
        let signer = Signer {
            access_key: &self.access_key,
            secret: &self.secret,
            token: self.token.as_deref(),
            region: &self.region,
            service: call.service,
        };
        let added = tenantry_sigv4::sign(&parts, &hash, &signer, now());
        let mut request = Request::builder().method(call.method).uri(call.path);
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        for (name, value) in &added {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(call.body))).map_err(trouble)?;
        let stream = TcpStream::connect(&self.address).await.map_err(trouble)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(trouble)?;
        tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(trouble)?;
        let status = response.status().as_u16();
        let header = |names: &[&str]| {
            let value = names.iter().find_map(|name| response.headers().get(*name));
            value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let (request_id, error_type) = (header(&["x-amzn-requestid", "x-amz-request-id"]), header(&["x-amzn-errortype"]));
        let body = response.into_body().collect().await.map_err(trouble)?.to_bytes();
        Ok(Answer { error_type, status, request_id, body })
    }

    /// An operation of a JSON service.
    pub async fn json(&self, service: &str, target: &str, input: &Value) -> Result<Value> {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        let call = Call { service, method: "POST", path: "/", headers: &headers, body: input.to_string().into_bytes() };
        let answer = self.send(call).await?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status == 200 { Ok(value) } else { Err(refusal(&answer, &value)) }
    }

    /// An operation of SageMaker.
    pub async fn sagemaker(&self, operation: &str, input: &Value) -> Result<Value> {
        self.json("sagemaker", &format!("SageMaker.{operation}"), input).await
    }

    /// An operation of IAM or STS; the answer is XML text.
    pub async fn query(&self, service: &str, version: &str, operation: &str, params: &[(&str, &str)]) -> Result<String> {
        let mut form = format!("Action={operation}&Version={version}");
        for (name, value) in params {
            form.push_str(&format!("&{name}={}", escape(value)));
        }
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self.send(Call { service, method: "POST", path: "/", headers: &headers, body: form.into_bytes() }).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status == 200 {
            return Ok(text);
        }
        let code = element(&text, "Code").unwrap_or("Unknown").to_owned();
        Err(AwsError::new(answer.status, code, element(&text, "Message").unwrap_or_default()).with(REQUEST_ID, answer.request_id))
    }

    /// A session of a role.
    pub async fn assume(&self, role: &str, session: &str, tags: &[(&str, &str)]) -> Result<Self> {
        let names: Vec<(String, String)> =
            (1..=tags.len()).map(|n| (format!("Tags.member.{n}.Key"), format!("Tags.member.{n}.Value"))).collect();
        let mut params = vec![("RoleArn", role), ("RoleSessionName", session)];
        for ((key_name, value_name), (key, value)) in names.iter().zip(tags) {
            params.push((key_name, key));
            params.push((value_name, value));
        }
        let text = self.query("sts", "2011-06-15", "AssumeRole", &params).await?;
        let get = |name: &str| {
            element(&text, name).map(str::to_owned).ok_or_else(|| AwsError::internal("AssumeRole answered without credentials"))
        };
        Ok(Self { access_key: get("AccessKeyId")?, secret: get("SecretAccessKey")?, token: Some(get("SessionToken")?), ..self.clone() })
    }

    /// Stores an object, or makes a bucket where `key` is empty.
    pub async fn put(&self, bucket: &str, key: &str, body: impl Into<Vec<u8>>) -> Result<()> {
        let path = if key.is_empty() { format!("/{bucket}") } else { format!("/{bucket}/{key}") };
        let answer = self.send(Call { service: "s3", method: "PUT", path: &path, headers: &[], body: body.into() }).await?;
        s3_ok(&answer).map(drop)
    }

    /// Whether an object is there.
    pub async fn has(&self, bucket: &str, key: &str) -> Result<bool> {
        let path = format!("/{bucket}/{key}");
        Ok(self.send(Call { service: "s3", method: "HEAD", path: &path, headers: &[], body: Vec::new() }).await?.status == 200)
    }

    /// InvokeEndpoint with a target model.
    pub async fn invoke(&self, endpoint: &str, model: &str, body: &Value) -> Result<Value> {
        let path = format!("/endpoints/{endpoint}/invocations");
        let headers = [("content-type", "application/json"), ("x-amzn-sagemaker-target-model", model)];
        let call = Call { service: "sagemaker", method: "POST", path: &path, headers: &headers, body: body.to_string().into_bytes() };
        let answer = self.send(call).await?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status == 200 { Ok(value) } else { Err(refusal(&answer, &value)) }
    }
}

/// The detail of a refusal that holds the request's id: what `explain` takes.
pub const REQUEST_ID: &str = "RequestId";

fn refusal(answer: &Answer, value: &Value) -> AwsError {
    let text = |names: [&str; 2]| names.iter().find_map(|name| value.get(*name)).and_then(Value::as_str).unwrap_or_default().to_owned();
    let code = if answer.error_type.is_empty() { text(["__type", "code"]) } else { answer.error_type.clone() };
    AwsError::new(answer.status, code, text(["message", "Message"])).with(REQUEST_ID, answer.request_id.clone())
}

fn s3_ok(answer: &Answer) -> Result<()> {
    if answer.status < 300 {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&answer.body);
    let code = element(&text, "Code").unwrap_or("Unknown").to_owned();
    Err(AwsError::new(answer.status, code, element(&text, "Message").unwrap_or_default()))
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// The text of the first element of this name. The demo asks only for elements whose text has no entities.
pub fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let rest = &xml[xml.find(&format!("<{name}>"))? + name.len() + 2..];
    Some(&rest[..rest.find(&format!("</{name}>"))?])
}

//! A closed-loop load of one request over keep-alive connections.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tenantry_core::Timestamp;
use tenantry_sigv4::{Parts, Signer};
use tokio::net::TcpStream;

use crate::Failure;

/// Keys to sign with.
#[derive(Clone)]
pub struct Keys {
    pub access_key: String,
    pub secret: String,
    pub token: Option<String>,
    pub service: &'static str,
}

/// One request, repeated.
#[derive(Clone)]
pub struct Load {
    pub address: String,
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    pub keys: Option<Keys>,
}

/// What was measured.
pub struct Sample {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
}

impl Load {
    /// The same load elsewhere.
    pub fn at(&self, address: &str) -> Self {
        Self { address: address.to_owned(), ..self.clone() }
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, Failure> {
        let mut headers: Vec<(&str, &str)> = vec![("host", &self.address)];
        headers.extend(self.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let mut request = Request::builder().method(self.method).uri(&self.path);
        if let Some(keys) = &self.keys {
            let hash: String = Sha256::digest(&self.body).iter().map(|byte| format!("{byte:02x}")).collect();
            let parts = Parts { method: self.method, path: &self.path, query: "", headers: &headers };
            let signer = Signer {
                access_key: &keys.access_key,
                secret: &keys.secret,
                token: keys.token.as_deref(),
                region: "us-east-1",
                service: keys.service,
            };
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
            for (name, value) in tenantry_sigv4::sign(&parts, &hash, &signer, Timestamp::from_secs(since.as_secs().try_into()?)) {
                request = request.header(name, value);
            }
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        Ok(request.body(Full::new(self.body.clone()))?)
    }

    async fn connect(&self) -> Result<http1::SendRequest<Full<Bytes>>, Failure> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// Sends it once and gives the body.
    pub async fn once(&self) -> Result<Bytes, Failure> {
        let mut sender = self.connect().await?;
        let response = sender.send_request(self.request()?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status.is_success() {
            Ok(body)
        } else {
            Err(format!("{} {}: {status} {}", self.method, self.path, String::from_utf8_lossy(&body)).into())
        }
    }

    /// `total` requests over `connections`, after a warm-up of a tenth. A failed request fails the run.
    pub async fn run(&self, total: usize, connections: usize) -> Result<Sample, Failure> {
        let each = total / connections;
        for _ in 0..(total / 10).min(100) {
            self.once().await?;
        }
        let start = Instant::now();
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..connections {
            let load = self.clone();
            workers.spawn(async move {
                let mut sender = load.connect().await?;
                let mut times = Vec::with_capacity(each);
                for _ in 0..each {
                    let request = load.request()?;
                    let sent = Instant::now();
                    // A server that closes after each answer is asked on a new connection, which belongs to what it costs.
                    if sender.ready().await.is_err() {
                        sender = load.connect().await?;
                    }
                    let response = sender.send_request(request).await?;
                    if !response.status().is_success() {
                        return Err::<Vec<Duration>, Failure>(format!("{}: {}", load.path, response.status()).into());
                    }
                    response.into_body().collect().await?;
                    times.push(sent.elapsed());
                }
                Ok(times)
            });
        }
        let mut times = Vec::new();
        while let Some(done) = workers.join_next().await {
            times.extend(done??);
        }
        let elapsed = start.elapsed();
        times.sort();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        Ok(Sample { per_second: times.len() as f64 / elapsed.as_secs_f64(), p50: at(0.50), p99: at(0.99) })
    }
}

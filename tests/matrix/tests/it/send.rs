//! A request as a client has it before and after signing, and what came back.

use std::net::{IpAddr, Ipv4Addr};

use hyper::Request;
use tenantry_core::Timestamp;
use tenantry_kernel::{Arrival, Kernel};
use tenantry_sigv4::{Parts, Signer, presign, sha256_hex, sign};

/// A request without a signature.
#[derive(Debug, Clone)]
pub struct Plain {
    /// The model's name of the service.
    pub service: &'static str,
    /// The service's name in credential scopes.
    pub signing_name: &'static str,
    /// `GET`, …
    pub method: String,
    /// Percent-encoded.
    pub path: String,
    /// Without `?`.
    pub query: String,
    /// Lower-cased names, `host` among them.
    pub headers: Vec<(String, String)>,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// Credentials.
#[derive(Clone)]
pub struct Key {
    /// The access key id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// The session token of temporary ones.
    pub token: Option<String>,
}

/// How a request is signed.
#[derive(Clone)]
pub struct Signing<'a> {
    /// With these credentials.
    pub key: &'a Key,
    /// For this region.
    pub region: &'a str,
    /// For this service, where it is not the request's.
    pub service: Option<&'a str>,
    /// At this instant.
    pub at: Timestamp,
}

impl Plain {
    fn with<T>(&self, then: impl FnOnce(&Parts<'_>) -> T) -> T {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        then(&Parts { method: &self.method, path: &self.path, query: &self.query, headers: &headers })
    }

    fn signer<'a>(&'a self, how: &'a Signing<'_>) -> Signer<'a> {
        Signer {
            access_key: &how.key.id,
            secret: &how.key.secret,
            token: how.key.token.as_deref(),
            region: how.region,
            service: how.service.unwrap_or(self.signing_name),
        }
    }

    /// Signed in the `Authorization` header.
    pub fn signed(&self, how: &Signing<'_>) -> Self {
        self.signed_as(how, &sha256_hex(&self.body))
    }

    /// The same, saying this of the payload.
    pub fn signed_as(&self, how: &Signing<'_>, payload: &str) -> Self {
        let added = self.with(|parts| sign(parts, payload, &self.signer(how), how.at));
        let mut signed = self.clone();
        signed.headers.extend(added);
        signed
    }

    /// Signed in the query, good for `expires` seconds.
    pub fn presigned(&self, how: &Signing<'_>, expires: u32) -> Self {
        let query = self.with(|parts| presign(parts, expires, &self.signer(how), how.at));
        Self { query, ..self.clone() }
    }

    /// With another value of a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    /// The first value of a header.
    pub fn value(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP's status.
    pub status: u16,
    /// AWS's error code; empty for a good answer and for answers to HEAD.
    pub code: String,
    /// The body's beginning.
    pub text: String,
    /// Lower-cased names.
    pub headers: Vec<(String, String)>,
}

/// Sends it to the kernel as from 192.0.2.1 under TLS.
pub async fn send(kernel: &Kernel, plain: &Plain) -> Answer {
    let uri = if plain.query.is_empty() { plain.path.clone() } else { format!("{}?{}", plain.path, plain.query) };
    let mut request = Request::builder().method(plain.method.as_str()).uri(uri);
    for (name, value) in &plain.headers {
        request = request.header(name.as_str(), value.as_str());
    }
    if !plain.body.is_empty() {
        // Clients do not sign it: proxies may change it.
        request = request.header("content-length", plain.body.len());
    }
    let request = request.body(tenantry_kernel::full(plain.body.clone())).unwrap();
    let arrival = Arrival { peer: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))), secure: true, ..Arrival::default() };
    answer(kernel.serve(request, arrival).await).await
}

/// Reads a response.
pub async fn answer(response: hyper::Response<tenantry_kernel::Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let bytes = tenantry_kernel::collect(body, 1 << 22).await.ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = parts.status.as_u16();
    let code = if status < 400 { String::new() } else { code(&headers, &text) };
    Answer { status, code, text, headers }
}

/// The error code, wherever the protocol puts it.
fn code(headers: &[(String, String)], text: &str) -> String {
    if let Some((_, value)) = headers.iter().find(|(name, _)| name == "x-amzn-errortype") {
        return value.clone();
    }
    if let Some(rest) = text.split("<Code>").nth(1) {
        return rest.split("</Code>").next().unwrap_or_default().to_owned();
    }
    let json: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    json["__type"].as_str().unwrap_or_default().to_owned()
}

//! The one function that turns a request into a response:
//!
//! ```text
//! route -> authenticate -> decode -> validate -> resolve resources -> authorize -> handle -> commit -> encode
//! ```
//!
//! Up to `authenticate` nothing of a service has run. From `resolve` on it is [`crate::OperationRow`]'s
//! one path. There is no second router: listeners, tunnels and brokers all end here.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{HeaderName, HeaderValue},
};
use serde_json::Value;
use tenantry_core::{AwsError, Region, Result, Timestamp};
use tenantry_wire::{Encoded, Operation as Shape, RequestParts, Service};

use crate::{
    addressing::{self, Address},
    audit,
    authenticate::{self, Signed},
    body::{self, Body},
    clock::Ids,
    credential::Credential,
    cx::{Caller, Cx, NetworkOrigin, RequestInfo, SignedAs},
    form_upload,
    kernel::Kernel,
    operation::{Access, OperationRow, Reply},
};

/// The longest body that is held in memory. AWS's longest such input is InvokeEndpoint's 25 MiB.
pub const MAX_BUFFERED: usize = 26 * 1024 * 1024;
/// What a document (JSON, form, XML) may have; CompleteMultipartUpload of 10,000 parts has about 2 MiB.
pub const MAX_DOCUMENT: usize = 8 * 1024 * 1024;

/// What the connection knows of a request; nothing of it comes from the request itself.
#[derive(Debug, Clone, Default)]
pub struct Arrival {
    /// The peer's address.
    pub peer: Option<IpAddr>,
    /// Whether it came under TLS.
    pub secure: bool,
    /// Under which version, where it did: `1.3`.
    pub tls: Option<&'static str>,
    /// Set by a broker: the sandbox that it came out of.
    pub network: Option<NetworkOrigin>,
}

/// A request's head, taken apart once.
pub(crate) struct Head {
    pub id: String,
    pub method: String,
    /// Raw, as sent.
    pub path: String,
    /// Raw, without `?`.
    pub raw_query: String,
    pub query: Vec<(String, String)>,
    /// Lower-cased names; a name may come twice.
    pub headers: Vec<(String, String)>,
    pub host: String,
    pub address: Address,
    pub arrival: Arrival,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// `UnknownOperationException`: AWS has it, or not, but this instance does not.
pub(crate) fn unknown_operation(service: &str, name: &str) -> AwsError {
    AwsError::new(
        400,
        "UnknownOperationException",
        format!("{service} {name} is not available on this instance. See the API coverage page for what is."),
    )
}

/// A routed request: the model's operation and what the path said.
struct Routed {
    service: &'static Service,
    shape: &'static Shape,
    labels: Vec<(String, String)>,
    /// The body where routing or hashing needed it.
    buffered: Option<Bytes>,
}

/// A request whose caller is known, as its operation is to have it: what was sent, or what a form stands for.
pub(crate) struct Admitted<'a> {
    pub method: &'a str,
    pub labels: Vec<(String, String)>,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    /// The body where it is a document.
    pub document: Bytes,
    /// The body where it streams.
    pub stream: Option<Body>,
    pub caller: Arc<Caller>,
    pub region: Region,
    pub signed: SignedAs,
    pub time: Timestamp,
}

/// An error with the service that must word it, where that is known.
struct Failure {
    service: Option<&'static Service>,
    error: AwsError,
}

/// Counts a request for as long as it is answered: also one whose client goes away, which drops the
/// answer half made.
struct Flight<'a>(&'a AtomicUsize);

impl<'a> Flight<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Kernel {
    /// Answers a request. Never fails: an error is an answer.
    pub async fn serve(&self, request: Request<Body>, arrival: Arrival) -> Response<Body> {
        let _flight = Flight::begin(&self.inner().in_flight);
        self.answer(request, arrival).await
    }

    async fn answer(&self, request: Request<Body>, arrival: Arrival) -> Response<Body> {
        let id = Ids::uuid();
        let head_only = request.method() == Method::HEAD;
        let (parts, body) = request.into_parts();
        let mut encoded = match Head::read(id.clone(), parts, arrival) {
            Err(error) => encode_failure(&Failure { service: None, error }, &id, false),
            Ok(mut head) => {
                if let Some(page) = self.page(&head).await {
                    return page;
                }
                let targeted = head.header("x-amz-target").is_some();
                match self.route_and_run(&mut head, body).await {
                    Ok((shape, reply)) => encode_reply(shape, reply, &id),
                    Err(failure) => encode_failure(&failure, &id, targeted),
                }
            }
        };
        if head_only {
            encoded.1 = Some(body::empty());
        }
        respond(encoded.0, encoded.1)
    }

    async fn route_and_run(&self, head: &mut Head, body: Body) -> std::result::Result<(&'static Shape, Reply), Failure> {
        let presented = authenticate::present(head);
        let service = find_service(head, presented.as_ref().ok().and_then(Option::as_ref));
        let fail = |error| Failure { service, error };
        let Some(known) = service else {
            return Err(fail(unknown_service(head)));
        };
        let signed = presented.map_err(|fault| fail(authenticate::fault_error(known, &fault)))?;
        if let Some(signed) = &signed {
            head.take_over(signed.carried());
        }
        if known.is_s3() && signed.is_none() {
            let (bucket, key) = s3_names(head).map_err(fail)?;
            if form_upload::is_form(head, bucket.as_deref(), key.as_deref()) {
                return self.upload_form(head, known, bucket.unwrap_or_default(), body).await.map_err(fail);
            }
        }
        let (routed, body) = route(head, known, body).await.map_err(fail)?;
        self.perform(head, routed, signed, body).await.map_err(fail)
    }

    async fn perform(&self, head: &mut Head, mut routed: Routed, signed: Option<Signed>, body: Body) -> Result<(&'static Shape, Reply)> {
        let (service, shape) = (routed.service, routed.shape);
        let row = *self.operation(&service.name, &shape.name).ok_or_else(|| unknown_operation(&service.name, &shape.name))?;
        let streams = shape.streaming_input() && service.is_s3();
        let mut body = Some(body);
        if !streams && routed.buffered.is_none() {
            let limit = if shape.streaming_input() { MAX_BUFFERED } else { MAX_DOCUMENT };
            routed.buffered = Some(buffer(service, body.take(), limit).await?);
        }
        let now = self.now();
        let access = match row.credential() {
            Credential::Signature => row.access(),
            // Nobody need have signed it: the operation's own path refuses whoever its input does not prove.
            Credential::Input(reason) => Access::Public(reason),
        };
        let how = signed.as_ref().map_or(SignedAs::Header, Signed::how);
        let (caller, region, payload) =
            self.authenticate(head, service, &access, signed, routed.buffered.as_ref(), body.take().filter(|_| streams), now).await?;
        let empty = Bytes::new();
        let document = if shape.streaming_input() { &empty } else { payload.buffered.as_ref().unwrap_or(&empty) }.clone();
        let stream = match payload.stream {
            Some(stream) => Some(stream),
            None if shape.streaming_input() => Some(body::full(payload.buffered.unwrap_or_default())),
            None => None,
        };
        let method = std::mem::take(&mut head.method);
        let admitted = Admitted {
            method: &method,
            labels: routed.labels,
            // Nobody asks the head for them any more.
            query: std::mem::take(&mut head.query),
            headers: std::mem::take(&mut head.headers),
            document,
            stream,
            caller,
            region,
            signed: how,
            time: now,
        };
        Ok((shape, self.perform_admitted(head, row, shape, admitted).await?))
    }

    /// What is left to do once it is known who asks: decode, and the operation's own path.
    pub(crate) async fn perform_admitted(
        &self,
        head: &Head,
        row: OperationRow,
        shape: &'static Shape,
        admitted: Admitted<'_>,
    ) -> Result<Reply> {
        let Admitted { method, labels, query, headers, document, stream, caller, region, signed, time } = admitted;
        let parts = RequestParts { method, labels: &labels, query: &query, headers: &headers, body: &document };
        let decoded = tenantry_wire::decode(shape, &parts);
        // The headers are where a form has not put others in their place.
        let kept = |name: &str| headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let said = |name: &str| head.header(name).or_else(|| kept(name)).map(str::to_owned);
        let (user_agent, referer) = (said("user-agent").unwrap_or_default(), said("referer"));
        let cx = Cx {
            kernel: self.clone(),
            caller,
            region,
            request: RequestInfo {
                id: head.id.clone(),
                time,
                source_ip: head.arrival.peer.filter(|_| head.arrival.network.is_none()),
                user_agent,
                referer,
                secure: head.arrival.secure,
                tls: head.arrival.tls,
                network: head.arrival.network.clone(),
                base_url: format!("{}://{}", if head.arrival.secure { "https" } else { "http" }, head.host),
                headers: headers.into_iter().collect(),
                query,
                signed,
            },
            operation: (row.service, row.name),
            body: Mutex::new(stream),
            claims: None,
            trail: Arc::new(audit::Trail::begin(&head.id, time, false)),
        };
        let reply = audit::recorded(&cx, async {
            let input = decoded?;
            cx.trail.asked(shape, &input);
            tenantry_wire::validate(shape, &input)?;
            (row.call)(&cx, input).await
        })
        .await?;
        #[cfg(debug_assertions)]
        for fault in tenantry_wire::check_output(shape, &reply.output) {
            tracing::error!(operation = %shape.name, %fault, "the answer does not fit the model");
        }
        Ok(reply)
    }
}

impl Head {
    /// Headers that the query stands for, where they are not there as headers.
    fn take_over(&mut self, carried: &[(String, String)]) {
        for (name, value) in carried {
            if self.header(name).is_none() {
                self.headers.push((name.clone(), value.clone()));
            }
        }
    }

    fn read(id: String, parts: hyper::http::request::Parts, arrival: Arrival) -> Result<Self> {
        let mut headers = Vec::with_capacity(parts.headers.len());
        for (name, value) in &parts.headers {
            // Latin-1 bytes are legal in headers and are what S3 metadata may hold.
            let text = std::str::from_utf8(value.as_bytes())
                .map_or_else(|_| value.as_bytes().iter().map(|b| char::from(*b)).collect(), str::to_owned);
            headers.push((name.as_str().to_owned(), text));
        }
        let host =
            headers.iter().find(|(n, _)| n == "host").map(|(_, v)| v.clone()).or_else(|| parts.uri.authority().map(ToString::to_string));
        let host = host.ok_or_else(|| AwsError::new(400, "MissingHostHeader", "The request has no Host header."))?;
        let raw_query = parts.uri.query().unwrap_or_default().to_owned();
        let query = tenantry_wire::parse_query(&raw_query)?;
        let address = addressing::read_host(&host);
        Ok(Self {
            id,
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path().to_owned(),
            raw_query,
            query,
            headers,
            host,
            address,
            arrival,
        })
    }
}

/// The service, by the host's name, or else by the credential scope and the target header.
fn find_service(head: &Head, signed: Option<&Signed>) -> Option<&'static Service> {
    if let Some(endpoint) = &head.address.endpoint {
        return tenantry_wire::service(endpoint);
    }
    if let Some((prefix, _)) = head.header("x-amz-target").and_then(|t| t.rsplit_once('.')) {
        return tenantry_wire::services().find(|s| s.target_prefix.as_deref() == Some(prefix));
    }
    match signed.map(Signed::service) {
        Some(name) => tenantry_wire::services().find(|s| s.signing_name == name && s.target_prefix.is_none()),
        None if unsigned_action(head) => tenantry_wire::service("sts"),
        None => tenantry_wire::service("s3"),
    }
}

/// An unsigned call of a query service at an address that names none. Only STS has such operations, and S3 has
/// no form that is posted to no bucket.
fn unsigned_action(head: &Head) -> bool {
    let form = || head.header("content-type").is_some_and(|of| of.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
    let posted = head.method == "POST" && form();
    head.address.bucket.is_none() && head.path == "/" && (posted || head.query.iter().any(|(name, _)| name == "Action"))
}

fn unknown_service(head: &Head) -> AwsError {
    let what = head
        .address
        .endpoint
        .clone()
        .or_else(|| head.header("x-amz-target").map(str::to_owned))
        .unwrap_or_else(|| "the service of this credential scope".to_owned());
    AwsError::new(
        400,
        "UnknownOperationException",
        format!("{what} is not available on this instance. See the API coverage page for what is."),
    )
}

async fn buffer(service: &Service, body: Option<Body>, limit: usize) -> Result<Bytes> {
    let Some(body) = body else { return Ok(Bytes::new()) };
    let too_long = || match service.is_s3() {
        true => AwsError::new(400, "MaxMessageLengthExceeded", "Your request was too large."),
        false => AwsError::new(413, "RequestEntityTooLargeException", format!("The request body is longer than {limit} bytes.")),
    };
    let incomplete = |_| AwsError::new(400, "IncompleteBody", "The request body terminated unexpectedly.");
    body::collect(body, limit).await.map_err(incomplete)?.ok_or_else(too_long)
}

async fn route(head: &Head, service: &'static Service, body: Body) -> Result<(Routed, Body)> {
    use tenantry_wire::Protocol;
    match service.protocol {
        Protocol::AwsJson => {
            let target = head
                .header("x-amz-target")
                .ok_or_else(|| AwsError::new(400, "UnknownOperationException", "The X-Amz-Target header is missing."))?;
            let name = target.rsplit_once('.').map_or(target, |(_, name)| name);
            let shape = service.operation(name).ok_or_else(|| unknown_operation(&service.name, &clip(name)))?;
            Ok((Routed { service, shape, labels: Vec::new(), buffered: None }, body))
        }
        Protocol::AwsQuery | Protocol::Ec2Query => {
            let bytes = buffer(service, Some(body), MAX_DOCUMENT).await?;
            let mut params = head.query.clone();
            if !bytes.is_empty() {
                let text = std::str::from_utf8(&bytes).map_err(malformed_utf8)?;
                params.extend(tenantry_wire::parse_query(text)?);
            }
            let shape = tenantry_wire::operation_from_params(service, &params)?;
            Ok((Routed { service, shape, labels: Vec::new(), buffered: Some(bytes) }, body::empty()))
        }
        Protocol::RestJson | Protocol::RestXml => {
            let found = if service.is_s3() {
                let (bucket, key) = s3_names(head)?;
                tenantry_wire::match_s3(service, &head.method, bucket.as_deref(), key.as_deref(), &head.query, &head.headers)
            } else {
                // A signature covers the normalised path only, so nothing else may choose the operation.
                tenantry_wire::match_rest(service, &head.method, &tenantry_sigv4::normal_path(&head.path), &head.query)
            };
            let (shape, labels) = found.ok_or_else(|| match service.is_s3() {
                true => {
                    AwsError::new(501, "NotImplemented", "A header or query you provided implies functionality that is not implemented.")
                }
                false => AwsError::new(
                    404,
                    "UnknownOperationException",
                    format!("{} {} is not available on this instance.", head.method, clip(&head.path)),
                ),
            })?;
            Ok((Routed { service, shape, labels, buffered: None }, body))
        }
    }
}

fn malformed_utf8(_: std::str::Utf8Error) -> AwsError {
    AwsError::new(400, "MalformedQueryString", "The form body is not valid UTF-8.")
}

/// Bucket and key, decoded: the bucket of a virtual-hosted name stands in front of the path.
fn s3_names(head: &Head) -> Result<(Option<String>, Option<String>)> {
    let path = head.path.strip_prefix('/').unwrap_or(&head.path);
    let (bucket, key) = match &head.address.bucket {
        Some(bucket) => (bucket.as_str(), path),
        None => path.split_once('/').unwrap_or((path, "")),
    };
    let decode = |text: &str| -> Result<Option<String>> {
        let decoded =
            tenantry_wire::percent_decode(text).ok_or_else(|| AwsError::new(400, "InvalidURI", "Couldn't parse the specified URI."))?;
        Ok(Some(decoded).filter(|d| !d.is_empty()))
    };
    Ok((decode(bucket)?, decode(key)?))
}

/// A client's text in an error: not more than a line of it.
fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

fn encode_reply(shape: &'static Shape, reply: Reply, id: &str) -> (Encoded, Option<Body>) {
    let output = if reply.output.is_null() { Value::Object(serde_json::Map::new()) } else { reply.output };
    let mut encoded = tenantry_wire::encode(shape, &output, id, &reply.headers);
    if reply.status != 0 {
        encoded.status = reply.status;
    }
    (encoded, reply.body)
}

fn encode_failure(failure: &Failure, id: &str, json: bool) -> (Encoded, Option<Body>) {
    if let Some(cause) = &failure.error.cause {
        tracing::error!(request = id, code = %failure.error.code, cause, "internal error");
    }
    // Where the service is not known, its protocol is guessed from the way it was asked.
    let fallback = if json { "sagemaker" } else { "s3" };
    let service = failure.service.or_else(|| tenantry_wire::service(fallback)).expect("the fallback models are embedded");
    (tenantry_wire::encode_error(service, &failure.error, id, "tenantry"), None)
}

fn respond(encoded: Encoded, stream: Option<Body>) -> Response<Body> {
    let mut response = Response::new(stream.unwrap_or_else(|| body::full(encoded.body)));
    *response.status_mut() = StatusCode::from_u16(encoded.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in encoded.headers {
        // A value that is no header value (a control character in metadata) is left out rather than splitting the answer.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes())) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

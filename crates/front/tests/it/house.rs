//! An instance whose one operation tells where a request came from, with its listener and its broker.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::{Value, json};
use tenantry_blob::Blobs;
use tenantry_core::Result;
use tenantry_front::{Authority, Broker, Egress, Front, Listening};
use tenantry_kernel::{
    Access, BrokerHandle, BrokerSpec, Brokers, Checks, Cx, Kernel, NetworkOrigin, Operation, OperationRow, Permit, Reply,
};
use tenantry_store::{Memory, Store};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};

/// Tells where the request came from, in the members of a caller's identity.
struct Whence;

impl Operation for Whence {
    const SERVICE: &'static str = "sts";
    const NAME: &'static str = "GetCallerIdentity";
    const ACCESS: Access = Access::Public("it tells strangers where they come from");
    type Input = Value;
    async fn resolve(_: &Cx, _: &Value) -> Result<Checks> {
        Ok(Checks::none())
    }
    async fn handle(cx: &Cx, _: Permit<Self>, _: Value) -> Result<Reply> {
        let network = cx.request.network.as_ref();
        let origin = format!(
            "ip={} vpc={} vpce={}",
            cx.request.source_ip.map_or_else(|| "none".to_owned(), |ip| ip.to_string()),
            network.and_then(|n| n.vpc.as_deref()).unwrap_or("none"),
            network.and_then(|n| n.vpc_endpoint.as_deref()).unwrap_or("none"),
        );
        Ok(json!({"UserId": origin, "Account": format!("secure={}", cx.request.secure), "Arn": cx.request.base_url}).into())
    }
}

/// An instance.
pub struct House {
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub kernel: Kernel,
    pub authority: Arc<Authority>,
    pub dir: PathBuf,
    /// What brokers were told of refusals.
    pub told: Arc<Mutex<Vec<String>>>,
    _listening: [Listening; 2],
    _closing: watch::Sender<bool>,
}

impl Drop for House {
    fn drop(&mut self) {
        // What is left behind is in the system's temporary directory.
        let _left = std::fs::remove_dir_all(&self.dir);
    }
}

impl House {
    pub async fn new(egress: Egress) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tenantry-front-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        let authority = Arc::new(Authority::open(&dir, Vec::new()).unwrap());
        let broker = Arc::new(Broker::new(Arc::clone(&authority), egress.clone()));
        let kernel = Kernel::builder(store, Blobs::open(dir.join("blobs")).unwrap())
            .service(&[OperationRow::of::<Whence>()])
            .brokers(Arc::clone(&broker) as Arc<dyn Brokers>)
            .build();
        broker.serve(kernel.clone());
        let front = Front::new(kernel.clone(), Arc::clone(&authority), egress);
        let (close, closing) = watch::channel(false);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let plain = front.listen(any, false, closing.clone()).await.unwrap();
        let tls = front.listen(any, true, closing).await.unwrap();
        Self {
            http: plain.address,
            https: tls.address,
            kernel,
            authority,
            dir,
            told: Arc::default(),
            _listening: [plain, tls],
            _closing: close,
        }
    }

    /// A sandbox's socket in `vpc-1`, reached through `vpce-1`.
    pub fn open(&self, name: &str, internet: bool) -> (PathBuf, Box<dyn BrokerHandle>) {
        let socket = self.dir.join(name);
        let told = Arc::clone(&self.told);
        let spec = BrokerSpec {
            socket: socket.clone(),
            uid: None,
            network: NetworkOrigin { vpc: Some("vpc-1".to_owned()), vpc_endpoint: Some("vpce-1".to_owned()), vpc_source_ip: None },
            internet,
            credentials: (
                "/v2/credentials".to_owned(),
                Arc::new(|| Box::pin(async { Ok(json!({"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "planted-secret"})) })),
            ),
            refused: Arc::new(move |text| told.lock().unwrap().push(text)),
        };
        let handle = self.kernel.open_broker(spec).unwrap();
        (socket, handle)
    }

    pub async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.http).await.unwrap()
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, text: &str) -> Answer {
        exchange(self.dial().await, text).await
    }

    /// The instance still answers.
    pub async fn alive(&self) {
        let good = self.ask(&whence("sts.us-east-1.amazonaws.com", "")).await;
        assert_eq!(good.status, 200, "{}", good.body);
    }
}

/// A request for the one operation, closing its connection.
pub fn whence(host: &str, headers: &str) -> String {
    format!("GET /?Action=GetCallerIdentity&Version=2011-06-15 HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n")
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Writes a request and reads until the end.
pub async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) -> Answer {
    // The other side may hang up while a long request is still being written.
    let _hung_up = stream.write_all(text.as_bytes()).await;
    let mut bytes = Vec::new();
    let _reset = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Answer { status: status(head), head: head.to_ascii_lowercase(), body: body.to_owned() }
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Asks for a tunnel; answers the status and the stream behind it.
pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, to: &str) -> (u16, S) {
    stream.write_all(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap() == 1 {
        head.push(byte[0]);
    }
    (status(&String::from_utf8_lossy(&head)), stream)
}

/// TLS as a client that trusts the CA in `certificate` and nobody else.
pub async fn tls<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    certificate: &Path,
    name: &str,
) -> std::io::Result<tokio_rustls::client::TlsStream<S>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

//! What every sandbox of SageMaker has around its user code: a way out (the broker) and the variables
//! and files by which clients find it.
//!
//! With network isolation there is neither: no broker, no endpoint, no credentials. The names of workloads
//! and sockets are hashes of the row's key, because a socket's path has at most 108 bytes.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest, Sha256};
use tenantry_compute::{Limits, Mount, Network, Outbound, host_name, instance, limits_on};
use tenantry_core::{Arn, Region, Result, Timestamp};
use tenantry_kernel::{
    BrokerHandle, BrokerSpec, Caller, CredentialsSource, Ids, Kernel, NetworkOrigin, SANDBOX_CREDENTIALS, ServiceSession,
};
use tokio::sync::Mutex;

use crate::{Machinery, names};

/// Where the instance answers inside a sandbox: AWS's API, S3, and the proxy for everything else.
const ENDPOINT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4600);
/// The container credentials endpoint of AWS's agents.
const CREDENTIALS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)), 80);
/// Where the certificate bundle lies inside.
const CA_BUNDLE: &str = "/etc/tenantry-ca.pem";
/// Credentials are handed out again until so many seconds before their end: clients renew fifteen minutes before.
const RENEW_BEFORE: i64 = 3600;
/// Settings of the server that say where packages come from; handed on unless they hold a password.
const PACKAGE_INDEX: [&str; 3] = ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST"];

/// Twenty hexadecimal digits that stand for a row's queue and key.
pub(crate) fn digest(queue: &str, key: &str) -> String {
    let hash = Sha256::digest(format!("{queue}\0{key}"));
    hash.iter().take(10).map(|byte| format!("{byte:02x}")).collect()
}

/// What a type of instance is on this host; `None` for a type that is not known.
pub(crate) fn instance_limits(machinery: &Machinery, instance_type: &str) -> Option<Limits> {
    instance(instance_type).map(|kind| limits_on(machinery.host, kind))
}

/// Acts as an execution role for a resource: under the role's trust policy, as a session named `SageMaker`.
///
/// # Errors
/// `ValidationException` in AWS's words when the role cannot be assumed.
pub(crate) async fn assume(kernel: &Kernel, role: &Arn, source: &Arn, source_identity: Option<&str>, region: &Region) -> Result<Caller> {
    let wish = ServiceSession { role, service: names::PRINCIPAL, session: names::SESSION, source: Some(source), source_identity, region };
    kernel.assume_for_service(&wish).await
}

/// What a sandbox is to reach.
pub(crate) struct Wish<'a> {
    /// As whom its code acts.
    pub caller: Caller,
    /// Where.
    pub region: &'a Region,
    /// A directory of the server's own that is removed with the sandbox. Its path has at most 95 bytes.
    pub dir: &'a Path,
    /// `EnableNetworkIsolation`.
    pub isolated: bool,
    /// In a VPC: nothing but the instance is reached (see [`crate::vpc`]).
    pub vpc: bool,
    /// How many hosts it has: their names are not to be proxied.
    pub hosts: usize,
    /// Told of every destination that was refused.
    pub refused: Arc<dyn Fn(String) + Send + Sync>,
}

/// What a workload needs for that. The broker must live as long as the workload.
pub(crate) struct Surroundings {
    /// For [`tenantry_compute::Workload::network`].
    pub network: Network,
    /// Variables; the user's own come over them.
    pub env: BTreeMap<String, String>,
    /// Files.
    pub mounts: Vec<Mount>,
    /// Closes the way out when it is dropped.
    pub broker: Option<Box<dyn BrokerHandle>>,
}

/// Opens a sandbox's way out.
///
/// # Errors
/// When the broker's socket cannot be made.
pub(crate) fn open(kernel: &Kernel, machinery: &Machinery, wish: Wish<'_>) -> io::Result<Surroundings> {
    let text =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>();
    let region = wish.region.as_str();
    let mut env = text(&[("AWS_REGION", region), ("AWS_DEFAULT_REGION", region)]);
    if wish.isolated {
        return Ok(Surroundings { network: Network::Isolated, env, mounts: Vec::new(), broker: None });
    }
    let socket = wish.dir.join("broker.sock");
    let credentials_path = format!("/v2/credentials/{}", Ids::uuid());
    let broker = kernel.open_broker(BrokerSpec {
        socket: socket.clone(),
        uid: None,
        network: NetworkOrigin::default(),
        internet: !wish.vpc,
        credentials: (credentials_path.clone(), credentials(kernel.clone(), wish.caller)),
        refused: wish.refused,
    })?;
    let endpoint = format!("http://{ENDPOINT}");
    let hosts: Vec<String> = (0..wish.hosts).map(host_name).collect();
    let direct = format!("127.0.0.1,{},localhost,{}", CREDENTIALS.ip(), hosts.join(","));
    env.extend(text(&[
        ("AWS_ENDPOINT_URL", &endpoint),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", &credentials_path),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("HTTPS_PROXY", &endpoint),
        ("https_proxy", &endpoint),
        ("HTTP_PROXY", &endpoint),
        ("http_proxy", &endpoint),
        ("NO_PROXY", &direct),
        ("no_proxy", &direct),
        ("AWS_CA_BUNDLE", CA_BUNDLE),
        ("REQUESTS_CA_BUNDLE", CA_BUNDLE),
        ("SSL_CERT_FILE", CA_BUNDLE),
        ("CURL_CA_BUNDLE", CA_BUNDLE),
        ("PIP_CERT", CA_BUNDLE),
    ]));
    env.extend(
        PACKAGE_INDEX.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok().filter(|url| !url.contains('@'))?))),
    );
    let listen = |listen| Outbound { listen, host_socket: socket.clone() };
    Ok(Surroundings {
        network: Network::Brokered(vec![listen(ENDPOINT), listen(CREDENTIALS)]),
        env,
        mounts: vec![Mount { host: machinery.ca_bundle.clone(), target: PathBuf::from(CA_BUNDLE), writable: false }],
        broker: Some(broker),
    })
}

/// One set of keys for all who ask, until it is nearly over: user code that asks in a loop makes no sessions in a loop.
fn credentials(kernel: Kernel, caller: Caller) -> CredentialsSource {
    let held: Arc<Mutex<Option<(Timestamp, serde_json::Value)>>> = Arc::default();
    Arc::new(move || {
        let (kernel, caller, held) = (kernel.clone(), caller.clone(), Arc::clone(&held));
        Box::pin(async move {
            let mut held = held.lock().await;
            if let Some((until, document)) = &*held
                && kernel.now() < *until
            {
                return Ok(document.clone());
            }
            let document = kernel.issue_credentials(&caller).await?;
            *held = Some((kernel.now().plus_secs(SANDBOX_CREDENTIALS - RENEW_BEFORE), document.clone()));
            Ok(document)
        })
    })
}

//! `tenantry serve`: opens the instance, listens, works its queues, and drains on SIGTERM.

use std::{fs, net::SocketAddr, process::ExitCode, time::Duration};

use tenantry_front::{Egress, Front};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    args::{Isolation, Serve},
    environment::{self, Endpoint},
    failure::Failure,
    instance::{self, Instance, Settings},
};

/// Requests that run get so long after SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);

/// A running instance: `serve`'s, or the demo's own.
pub struct Running {
    /// The opened instance.
    pub instance: Instance,
    /// Where it listens for HTTP.
    pub address: SocketAddr,
    front: Front,
    closing: watch::Sender<bool>,
    reconcilers: tokio::task::JoinHandle<()>,
}

/// Reads `--egress`.
pub fn egress(text: &str) -> Egress {
    match text {
        "open" => Egress::Open,
        "closed" => Egress::Closed,
        hosts => Egress::Only(hosts.split(',').map(|host| host.trim().to_owned()).filter(|host| !host.is_empty()).collect()),
    }
}

impl Running {
    /// Opens the instance and listens.
    pub async fn start(settings: &Settings, listen: SocketAddr, tls: Option<SocketAddr>) -> Result<Self, Failure> {
        let instance = instance::open(settings).await?;
        let front = Front::new(instance.kernel.clone(), instance.authority.clone(), settings.egress.clone());
        let (closing, closed) = watch::channel(false);
        let bind = |address: SocketAddr| move |error| Failure::Unavailable(format!("cannot listen on {address}: {error}"));
        let http = front.listen(listen, false, closed.clone()).await.map_err(bind(listen))?;
        if let Some(tls) = tls {
            let https = front.listen(tls, true, closed.clone()).await.map_err(bind(tls))?;
            tracing::info!(address = %https.address, "https");
        }
        let endpoint = Endpoint { url: format!("http://{}", http.address), pid: std::process::id() };
        let path = environment::endpoint_file(&settings.data);
        let text = serde_json::to_string(&endpoint).map_err(|e| Failure::Unavailable(e.to_string()))?;
        environment::write_private(&path, &text).map_err(Failure::file(&path))?;
        let kernel = instance.kernel.clone();
        let reconcilers = tokio::spawn(async move { kernel.run(closed).await });
        Ok(Self { address: http.address, instance, front, closing, reconcilers })
    }

    /// Stops: no new requests, running ones end, steps end, sandboxes end.
    pub async fn stop(self, settings: &Settings) {
        self.front.drain(DRAIN).await;
        let _nobody = self.closing.send(true);
        let _late = tokio::time::timeout(DRAIN, self.reconcilers).await;
        self.instance.kernel.flush_audit().await;
        let _gone = fs::remove_file(environment::endpoint_file(&settings.data));
    }
}

/// `tenantry serve`.
#[expect(clippy::print_stdout, reason = "the ready line is the contract with scripts")]
pub async fn serve(arguments: Serve) -> Result<ExitCode, Failure> {
    if !arguments.listen.ip().is_loopback() {
        return Err(Failure::Usage(format!("{} is not a loopback address: serve other machines by --tls-listen", arguments.listen)));
    }
    let settings = Settings {
        environments: arguments.environments.unwrap_or_else(|| arguments.data.dir.join("environments")),
        data: arguments.data.dir,
        names: arguments.tls_name,
        egress: egress(&arguments.egress),
        isolation: arguments.isolation,
        images: arguments.images,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| Failure::Unavailable(e.to_string()))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| Failure::Unavailable(e.to_string()))?;
    let running = Running::start(&settings, arguments.listen, arguments.tls_listen).await?;
    for line in tenantry_compute::Capabilities::probe().shortcomings() {
        eprintln!("isolation: {line}");
    }
    if settings.isolation == Isolation::None {
        eprintln!("warning: `--isolation none`: user code runs with the rights of this server");
    }
    println!("ready http://{}", running.address);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    eprintln!("stopping: no new requests; what runs has {} s", DRAIN.as_secs());
    running.stop(&settings).await;
    Ok(ExitCode::SUCCESS)
}

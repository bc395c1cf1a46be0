//! The services as the instance composes them. The only file here that names them.

use std::{path::Path, sync::Arc, time::Duration};

use tenantry_compute::{BoxFuture, Compute, ComputeError, Duplex, WorkStatus, Workload};
use tenantry_identity::Administrator;
use tenantry_kernel::{Kernel, KernelBuilder, OperationRow};

use crate::{send::Key, world::World};

/// Every table.
pub fn table() -> Vec<OperationRow> {
    [tenantry_identity::table(), tenantry_logs::table()].concat()
}

/// All of them over one kernel, without reconcilers: nothing is worked on behind a request's back.
pub fn compose(builder: KernelBuilder, dir: &Path) -> KernelBuilder {
    let _ = (dir, Arc::new(NoEngine));
    builder.service(&table()).managed_policies(tenantry_identity::managed())
}

/// The first start.
pub async fn bootstrap(kernel: &Kernel) -> Administrator {
    tenantry_identity::bootstrap(kernel.store(), kernel.now()).await.unwrap().expect("a new instance begins")
}

/// What must be there to be asked for and cannot be put into the store as a document: answers the id of
/// an upload that was begun.
pub async fn fixtures(_: &World, _: &Key) -> String {
    "upload".to_owned()
}

/// An engine that runs nothing.
struct NoEngine;

impl Compute for NoEngine {
    fn start(&self, workload: Workload) -> BoxFuture<'_, Result<(), ComputeError>> {
        let name = workload.name;
        Box::pin(async move { Err(ComputeError::Invalid(format!("`{name}` is not run here"))) })
    }
    fn status(&self, _: &str) -> BoxFuture<'_, Option<WorkStatus>> {
        Box::pin(async { None })
    }
    fn stop(&self, _: &str, _: Duration) -> BoxFuture<'_, Result<(), ComputeError>> {
        Box::pin(async { Ok(()) })
    }
    fn connect(&self, name: &str, _: usize) -> BoxFuture<'_, Result<Box<dyn Duplex>, ComputeError>> {
        let name = name.to_owned();
        Box::pin(async move { Err(ComputeError::Unknown(name)) })
    }
    fn forget(&self, _: &str) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
    fn names(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async { Vec::new() })
    }
    fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::Sender::new(0).subscribe()
    }
}

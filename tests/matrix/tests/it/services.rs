//! The services as the instance composes them. The only file here that names them.

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tenantry_compute::{BoxFuture, Compute, ComputeError, Duplex, HostCapacity, Images, WorkStatus, Workload};
use tenantry_core::Region;
use tenantry_identity::Administrator;
use tenantry_kernel::{Body, Kernel, KernelBuilder, OperationRow};
use tenantry_sagemaker::Machinery;

use crate::{
    example::BUCKET,
    world::{REGION, World},
};

/// Every table.
pub fn table() -> Vec<OperationRow> {
    [
        tenantry_accessanalyzer::table(),
        tenantry_identity::table(),
        tenantry_s3::table(),
        tenantry_logs::table(),
        tenantry_sagemaker::table(),
        tenantry_cloudtrail::table(),
        tenantry_servicequotas::table(),
    ]
    .concat()
}

/// All of them over one kernel, without reconcilers: nothing is worked on behind a request's back.
pub fn compose(builder: KernelBuilder, dir: &Path) -> KernelBuilder {
    let machinery = Machinery {
        engine: Arc::new(NoEngine),
        images: Images::builtin().unwrap(),
        host: HostCapacity::read(),
        work: dir.join("work"),
        ca_bundle: dir.join("ca-bundle.pem"),
    };
    builder.service(&table()).provide(Arc::new(machinery)).managed_policies(tenantry_identity::managed())
}

/// The first start.
pub async fn bootstrap(kernel: &Kernel) -> Administrator {
    tenantry_identity::bootstrap(kernel.store(), kernel.now()).await.unwrap().expect("a new instance begins")
}

/// What must be there to be asked for and cannot be put into the store as a document: a bucket, an
/// object, and an upload that was begun, whose id is answered.
pub async fn fixtures(world: &World) -> String {
    let owner = world.kernel.caller_of(&format!("arn:aws:iam::{}:user/everything", world.own)).await.unwrap();
    let region = Region::from(REGION);
    let call = |name: &'static str, input: Value, body: Option<Body>| world.kernel.call_with(&owner, &region, "s3", name, input, body);
    call("CreateBucket", json!({"Bucket": BUCKET}), None).await.unwrap();
    call("PutObject", json!({"Bucket": BUCKET, "Key": "key"}), Some(tenantry_kernel::full("value"))).await.unwrap();
    let begun = call("CreateMultipartUpload", json!({"Bucket": BUCKET, "Key": "key"}), None).await.unwrap();
    begun.output["UploadId"].as_str().unwrap().to_owned()
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

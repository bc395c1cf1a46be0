//! A call's context, and in it who calls, is made by the kernel.
use std::sync::Arc;

use tenantry_core::Region;
use tenantry_kernel::{Caller, Cx, Kernel, RequestInfo};

fn forge(kernel: Kernel, caller: Arc<Caller>, request: RequestInfo) -> Cx {
    Cx { kernel, caller, region: Region::global(), request, operation: ("logs", "DeleteLogGroup"), body: Default::default() }
}

fn main() {}

//! The maker of permits is the kernel's own, and there is no permit by default.
#[path = "operations.rs"]
mod operations;

use operations::Read;
use tenantry_core::Scope;
use tenantry_kernel::{Checks, Permit};

fn main() {
    let scope = Scope::new("111111111111", "us-east-1");
    let _granted: Permit<Read> = Permit::grant(scope, Checks::none());
    let _default: Permit<Read> = Default::default();
}

//! Nobody but the kernel makes a permit of its fields.
#[path = "operations.rs"]
mod operations;

use std::marker::PhantomData;

use operations::Read;
use tenantry_core::Scope;
use tenantry_kernel::{Checks, Permit};

fn main() {
    let scope = Scope::new("111111111111", "us-east-1");
    let _forged: Permit<Read> = Permit { scope, checks: Checks::none(), _of: PhantomData };
}

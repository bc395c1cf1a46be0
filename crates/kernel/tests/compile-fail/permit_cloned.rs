//! A permit is for one call.
#[path = "operations.rs"]
mod operations;

use operations::Read;
use tenantry_kernel::{Cx, Operation, Permit};

async fn twice(cx: &Cx, permit: Permit<Read>) {
    let _first = Read::handle(cx, permit.clone(), String::new()).await;
    let _second = Read::handle(cx, permit, String::new()).await;
}

fn main() {}

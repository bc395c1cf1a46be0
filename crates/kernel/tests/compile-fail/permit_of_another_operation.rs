//! Who may read may not therefore delete.
#[path = "operations.rs"]
mod operations;

use operations::{Delete, Read};
use tenantry_kernel::{Cx, Operation, Permit};

async fn swap(cx: &Cx, permit: Permit<Read>) {
    let _deleted = Delete::handle(cx, permit, String::new()).await;
}

fn main() {}

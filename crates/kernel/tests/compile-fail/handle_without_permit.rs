//! A handler is not reached without a permit, nor past the row's one path.
#[path = "operations.rs"]
mod operations;

use operations::Delete;
use serde_json::Value;
use tenantry_kernel::{Cx, Operation, OperationRow};

async fn straight(cx: &Cx, row: &OperationRow) {
    let _handled = Delete::handle(cx, String::new()).await;
    let _called = (row.call)(cx, Value::Null).await;
}

fn main() {}

//! A row is made from an operation, so it cannot say one thing and do another.
use tenantry_kernel::{Access, OperationRow};

fn main() {
    let _row = OperationRow {
        service: "logs",
        name: "DeleteLogGroup",
        access: Access::Public("let me in"),
        call: |_, _| Box::pin(async { Ok(tenantry_kernel::Reply::empty()) }),
    };
}

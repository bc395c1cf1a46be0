//! The control: what the other cases are without their fault.
#[path = "operations.rs"]
mod operations;

use operations::{Delete, Read};
use tenantry_kernel::OperationRow;

fn main() {
    let rows = [OperationRow::of::<Read>(), OperationRow::of::<Delete>()];
    assert_eq!(rows[1].name, "DeleteLogGroup");
}

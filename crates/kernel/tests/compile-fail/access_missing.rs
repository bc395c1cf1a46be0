//! There is no default of who may call.
use tenantry_core::Result;
use tenantry_kernel::{Checks, Cx, Operation, Permit, Reply};

struct Open;

impl Operation for Open {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "DescribeLogGroups";
    type Input = String;
    async fn resolve(_: &Cx, _: &String) -> Result<Checks> {
        Ok(Checks::none())
    }
    async fn handle(_: &Cx, _: Permit<Self>, _: String) -> Result<Reply> {
        Ok(Reply::empty())
    }
}

fn main() {}

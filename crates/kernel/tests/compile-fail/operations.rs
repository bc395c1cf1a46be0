// What the cases share: two good operations.

use tenantry_core::Result;
use tenantry_kernel::{Access, Check, Checks, Cx, Operation, Permit, Reply};

pub struct Read;

impl Operation for Read {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "DescribeLogGroups";
    const ACCESS: Access = Access::check("logs:DescribeLogGroups", &["log-group"]);
    type Input = String;
    async fn resolve(_: &Cx, _: &String) -> Result<Checks> {
        Ok(Check::any("logs:DescribeLogGroups").into())
    }
    async fn handle(_: &Cx, _: Permit<Self>, _: String) -> Result<Reply> {
        Ok(Reply::empty())
    }
}

pub struct Delete;

impl Operation for Delete {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "DeleteLogGroup";
    const ACCESS: Access = Access::check("logs:DeleteLogGroup", &["log-group"]);
    type Input = String;
    async fn resolve(_: &Cx, _: &String) -> Result<Checks> {
        Ok(Check::any("logs:DeleteLogGroup").into())
    }
    async fn handle(_: &Cx, _: Permit<Self>, _: String) -> Result<Reply> {
        Ok(Reply::empty())
    }
}

//! How the operations of this crate are declared: one line each.
//!
//! Their actions are named like the operations (with one exception or two, which are written out),
//! and most of them differ only in what they name and what they do. The macro writes the unit struct
//! and the trait; the functions stay plain functions. It decides nothing: who may call is an argument
//! without a default, and `handle` still gets the permit of its own operation.

/// `operation!("iam", GetRole, ["role"], RoleInput, resolve, handle)`; with condition keys: `["role"] + ["iam:PolicyARN"]`;
/// with further actions that the call may need: `["role"] + [] and ["iam:TagRole"]`.
///
/// `resolve(cx, action, input) -> Result<Checks>`, `handle(cx, permit, input) -> Result<Reply>`.
macro_rules! operation {
    ($service:literal, $name:ident, $types:tt, $input:ty, $resolve:expr, $handle:expr) => {
        operation!($service, $name, $types + [], $input, $resolve, $handle);
    };
    ($service:literal, $name:ident, $types:tt + $keys:tt, $input:ty, $resolve:expr, $handle:expr) => {
        operation!($service, $name, $types + $keys and [], $input, $resolve, $handle);
    };
    ($service:literal, $name:ident, $types:tt + $keys:tt and $dependent:tt, $input:ty, $resolve:expr, $handle:expr) => {
        #[doc = concat!("`", $service, ":", stringify!($name), "`")]
        pub(crate) struct $name;

        impl tenantry_kernel::Operation for $name {
            const SERVICE: &'static str = $service;
            const NAME: &'static str = stringify!($name);
            const ACCESS: tenantry_kernel::Access =
                tenantry_kernel::Access::check_with(concat!($service, ":", stringify!($name)), &$types, &$keys).and(&$dependent);
            type Input = $input;

            async fn resolve(cx: &tenantry_kernel::Cx, input: &$input) -> tenantry_core::Result<tenantry_kernel::Checks> {
                $resolve(cx, concat!($service, ":", stringify!($name)), input).await
            }
            async fn handle(
                cx: &tenantry_kernel::Cx,
                permit: tenantry_kernel::Permit<Self>,
                input: $input,
            ) -> tenantry_core::Result<tenantry_kernel::Reply> {
                $handle(cx, permit, input).await
            }
        }
    };
}
pub(crate) use operation;

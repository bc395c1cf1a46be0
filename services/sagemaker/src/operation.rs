//! How operations with plain functions are declared: one line each.
//!
//! Most operations are named like their action and differ only in what they name and what they do; the
//! macro writes the unit struct and the trait. It decides nothing: who may call is an argument without a
//! default, and `handle` gets the permit of its own operation.

/// `operation!(DescribePipeline, ["pipeline"], Input, resolve, handle)`; with condition keys: `["pipeline"] + ["sagemaker:X"]`;
/// with further actions that the call may need: `["pipeline"] + [] and ["iam:PassRole"]`.
///
/// `resolve(cx, action, &input) -> Result<Checks>`, `handle(cx, permit, input) -> Result<Reply>`.
macro_rules! operation {
    ($name:ident, $types:tt, $input:ty, $resolve:expr, $handle:expr) => {
        $crate::operation::operation!($name, $types + [], $input, $resolve, $handle);
    };
    ($name:ident, $types:tt + $keys:tt, $input:ty, $resolve:expr, $handle:expr) => {
        $crate::operation::operation!($name, $types + $keys and [], $input, $resolve, $handle);
    };
    ($name:ident, $types:tt + $keys:tt and $dependent:tt, $input:ty, $resolve:expr, $handle:expr) => {
        #[doc = concat!("`", stringify!($name), "` (SageMaker API Reference)")]
        pub(crate) struct $name;

        impl tenantry_kernel::Operation for $name {
            const SERVICE: &'static str = "sagemaker";
            const NAME: &'static str = stringify!($name);
            const ACCESS: tenantry_kernel::Access =
                tenantry_kernel::Access::check_with(concat!("sagemaker:", stringify!($name)), &$types, &$keys).and(&$dependent);
            type Input = $input;

            async fn resolve(cx: &tenantry_kernel::Cx, input: &$input) -> tenantry_core::Result<tenantry_kernel::Checks> {
                $resolve(cx, concat!("sagemaker:", stringify!($name)), input).await
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

//! How the operations of this crate are declared: one line each. Decides nothing.

/// `operation!(GetTrail, ["trail"] + [] and [], Input, resolve, handle)`: types of resources, condition keys, further
/// actions that the call may need. `resolve(cx, action, input)`, `handle(cx, permit, input)`.
macro_rules! operation {
    ($name:ident, $types:tt + $keys:tt and $dependent:tt, $input:ty, $resolve:expr, $handle:expr) => {
        #[doc = concat!("`cloudtrail:", stringify!($name), "`")]
        pub(crate) struct $name;

        impl tenantry_kernel::Operation for $name {
            const SERVICE: &'static str = "cloudtrail";
            const NAME: &'static str = stringify!($name);
            const ACCESS: tenantry_kernel::Access =
                tenantry_kernel::Access::check_with(concat!("cloudtrail:", stringify!($name)), &$types, &$keys).and(&$dependent);
            type Input = $input;

            async fn resolve(cx: &tenantry_kernel::Cx, input: &$input) -> tenantry_core::Result<tenantry_kernel::Checks> {
                $resolve(cx, concat!("cloudtrail:", stringify!($name)), input).await
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

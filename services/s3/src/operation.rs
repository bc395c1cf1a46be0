//! How the operations of this crate are declared: one line each.
//!
//! Most of them differ only in what they name and what they do. The macro writes the unit struct and
//! the trait and adds the condition keys that every S3 action has. It decides nothing: the action is
//! an argument without a default, and `handle` still gets the permit of its own operation.

/// `operation!(GetObject: "s3:GetObject" on ["object"] + ["s3:VersionId"], GetInput, resolve, handle)`.
///
/// An operation that is another action where the call names a version has both: `"s3:GetObject" | "s3:GetObjectVersion"`.
///
/// `resolve(cx, &input) -> Result<Checks>`, `handle(cx, permit, input) -> Result<Reply>`.
macro_rules! operation {
    ($name:ident: $($action:literal)|+ on [$($type:literal),*] + [$($key:literal),*], $input:ty, $resolve:expr, $handle:expr) => {
        #[doc = concat!("`s3:", stringify!($name), "`")]
        pub(crate) struct $name;

        impl tenantry_kernel::Operation for $name {
            const SERVICE: &'static str = "s3";
            const NAME: &'static str = stringify!($name);
            const ACCESS: tenantry_kernel::Access = tenantry_kernel::Access::check_any(
                &[$($action),+],
                &[$($type),*],
                &["s3:authType", "s3:ResourceAccount", "s3:signatureAge", "s3:signatureversion", "s3:x-amz-content-sha256" $(, $key)*],
            );
            type Input = $input;

            async fn resolve(cx: &tenantry_kernel::Cx, input: &$input) -> tenantry_core::Result<tenantry_kernel::Checks> {
                $resolve(cx, input).await
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

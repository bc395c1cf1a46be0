//! How the operations of this crate are declared: one line each.
//!
//! Most of them differ only in what they name and what they do. The macro writes the unit struct and
//! the trait and adds the condition keys that every S3 action has. It decides nothing: the action is
//! an argument without a default, and `handle` still gets the permit of its own operation.

/// `operation!(GetObject: "s3:GetObject" on ["object"] + ["s3:VersionId"], GetInput, resolve, handle)`.
///
/// Writes of objects have the keys of their headers besides: `on ["object"] + write ["s3:if-match"]`. Further actions that
/// the call may need come last: `+ ["s3:VersionId"] and ["s3:ListBucket"]`.
///
/// An operation that is another action where the call names a version has both: `"s3:GetObject" | "s3:GetObjectVersion"`.
///
/// `resolve(cx, &input) -> Result<Checks>`, `handle(cx, permit, input) -> Result<Reply>`.
macro_rules! operation {
    ($name:ident: $($action:literal)|+ on [$($type:literal),*] + write [$($key:literal),*] $(and [$($more:literal),*])?,
        $input:ty, $resolve:expr, $handle:expr) => {
        operation!($name: $($action)|+ on [$($type),*] + [
            "s3:ObjectCreationOperation",
            "s3:RequestObjectTag/<key>",
            "s3:RequestObjectTagKeys",
            "s3:if-match",
            "s3:if-none-match",
            "s3:object-lock-legal-hold",
            "s3:object-lock-mode",
            "s3:object-lock-remaining-retention-days",
            "s3:object-lock-retain-until-date",
            "s3:x-amz-acl",
            "s3:x-amz-copy-source",
            "s3:x-amz-grant-full-control",
            "s3:x-amz-grant-read",
            "s3:x-amz-grant-read-acp",
            "s3:x-amz-grant-write",
            "s3:x-amz-grant-write-acp",
            "s3:x-amz-metadata-directive",
            "s3:x-amz-server-side-encryption",
            "s3:x-amz-server-side-encryption-aws-kms-key-id",
            "s3:x-amz-server-side-encryption-customer-algorithm",
            "s3:x-amz-storage-class",
            "s3:x-amz-website-redirect-location"
            $(, $key)*
        ] $(and [$($more),*])?, $input, $resolve, $handle);
    };
    ($name:ident: $($action:literal)|+ on [$($type:literal),*] + [$($key:literal),*] $(and [$($more:literal),*])?,
        $input:ty, $resolve:expr, $handle:expr) => {
        #[doc = concat!("`s3:", stringify!($name), "`")]
        pub(crate) struct $name;

        impl tenantry_kernel::Operation for $name {
            const SERVICE: &'static str = "s3";
            const NAME: &'static str = stringify!($name);
            const ACCESS: tenantry_kernel::Access = tenantry_kernel::Access::check_any(
                &[$($action),+],
                &[$($type),*],
                &[
                    "s3:authType",
                    "s3:ResourceAccount",
                    "s3:signatureAge",
                    "s3:signatureversion",
                    "s3:TlsVersion",
                    "s3:x-amz-content-sha256"
                    $(, $key)*
                ],
            )
            .and(&[$($($more),*)?]);
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

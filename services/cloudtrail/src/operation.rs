//! The operations of this crate are all of one service: the kernel's macro with its name.

/// As [`tenantry_kernel::operation!`], without the service.
macro_rules! operation {
    ($($declared:tt)*) => {
        tenantry_kernel::operation!("cloudtrail", $($declared)*);
    };
}
pub(crate) use operation;

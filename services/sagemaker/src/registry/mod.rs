//! The model registry: groups, their versions, and unversioned model packages.
//!
//! A group's policy governs its packages too: other accounts list, describe and deploy versions by ARN.
//! Versions count up from 1 and are never given twice. What is registered is a document that Describe
//! echoes; nothing here looks into the container images or artifacts that it names.

mod group;
mod list;
mod package;
mod policy;
mod record;
#[cfg(test)]
mod tests;
mod update;

use tenantry_kernel::OperationRow;

pub(crate) use package::{CURRENT, current};
pub(crate) use record::{GroupRecord, PackageRecord, group_document, group_of, package_arn, package_document};

/// The operations of this module.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<group::CreateModelPackageGroup>(),
        OperationRow::of::<group::DescribeModelPackageGroup>(),
        OperationRow::of::<group::ListModelPackageGroups>(),
        OperationRow::of::<group::DeleteModelPackageGroup>(),
        OperationRow::of::<policy::PutModelPackageGroupPolicy>(),
        OperationRow::of::<policy::GetModelPackageGroupPolicy>(),
        OperationRow::of::<policy::DeleteModelPackageGroupPolicy>(),
        OperationRow::of::<package::CreateModelPackage>(),
        OperationRow::of::<package::DescribeModelPackage>(),
        OperationRow::of::<package::DeleteModelPackage>(),
        OperationRow::of::<list::ListModelPackages>(),
        OperationRow::of::<update::UpdateModelPackage>(),
    ]
}

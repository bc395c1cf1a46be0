//! Amazon S3: buckets, objects, versions, uploads, and who may touch them.
//!
//! Bytes are blobs on disk, encrypted, written before the row that names them; everything else is rows
//! of the store in the bucket owner's global scope. Keys are never paths. Every operation names all
//! resources that it touches: a copy checks its source, a version has an action of its own.
//!
//! Not here: virtual-hosted addressing, presigned URLs and `aws-chunked` (the kernel's and wire's),
//! websites, replication, Object Lock, inventory, Select, keys that customers manage.

mod bucket;
mod bytes;
mod error;
mod list;
mod names;
mod object;
mod operation;
#[cfg(test)]
mod tests;
mod upload;

use std::sync::Arc;

use tenantry_kernel::{OperationRow, Reconciler};

/// All operations of this service.
#[must_use]
pub fn table() -> Vec<OperationRow> {
    vec![
        OperationRow::of::<bucket::create::ListBuckets>(),
        OperationRow::of::<bucket::create::HeadBucket>(),
        OperationRow::of::<bucket::create::CreateBucket>(),
        OperationRow::of::<bucket::create::DeleteBucket>(),
        OperationRow::of::<bucket::create::GetBucketLocation>(),
        OperationRow::of::<bucket::tagging::PutBucketTagging>(),
        OperationRow::of::<bucket::tagging::GetBucketTagging>(),
        OperationRow::of::<bucket::tagging::DeleteBucketTagging>(),
        OperationRow::of::<bucket::configuration::PutBucketVersioning>(),
        OperationRow::of::<bucket::configuration::GetBucketVersioning>(),
        OperationRow::of::<bucket::configuration::PutBucketOwnershipControls>(),
        OperationRow::of::<bucket::configuration::GetBucketOwnershipControls>(),
        OperationRow::of::<bucket::configuration::DeleteBucketOwnershipControls>(),
        OperationRow::of::<bucket::configuration::PutBucketCors>(),
        OperationRow::of::<bucket::configuration::GetBucketCors>(),
        OperationRow::of::<bucket::configuration::DeleteBucketCors>(),
        OperationRow::of::<bucket::configuration::PutBucketNotificationConfiguration>(),
        OperationRow::of::<bucket::configuration::GetBucketNotificationConfiguration>(),
        OperationRow::of::<bucket::configuration::PutBucketLogging>(),
        OperationRow::of::<bucket::configuration::GetBucketLogging>(),
        OperationRow::of::<bucket::configuration::GetBucketWebsite>(),
        OperationRow::of::<bucket::configuration::GetBucketRequestPayment>(),
        OperationRow::of::<bucket::configuration::GetBucketAccelerateConfiguration>(),
        OperationRow::of::<bucket::configuration::GetObjectLockConfiguration>(),
        OperationRow::of::<bucket::configuration::GetBucketReplication>(),
        OperationRow::of::<bucket::policy::PutBucketPolicy>(),
        OperationRow::of::<bucket::policy::GetBucketPolicy>(),
        OperationRow::of::<bucket::policy::DeleteBucketPolicy>(),
        OperationRow::of::<bucket::policy::GetBucketPolicyStatus>(),
        OperationRow::of::<bucket::public::PutPublicAccessBlock>(),
        OperationRow::of::<bucket::public::GetPublicAccessBlock>(),
        OperationRow::of::<bucket::public::DeletePublicAccessBlock>(),
        OperationRow::of::<bucket::encryption::PutBucketEncryption>(),
        OperationRow::of::<bucket::encryption::GetBucketEncryption>(),
        OperationRow::of::<bucket::encryption::DeleteBucketEncryption>(),
        OperationRow::of::<bucket::lifecycle::PutBucketLifecycleConfiguration>(),
        OperationRow::of::<bucket::lifecycle::GetBucketLifecycleConfiguration>(),
        OperationRow::of::<bucket::lifecycle::DeleteBucketLifecycle>(),
        OperationRow::of::<bucket::acl::PutBucketAcl>(),
        OperationRow::of::<bucket::acl::GetBucketAcl>(),
        OperationRow::of::<list::objects::ListObjects>(),
        OperationRow::of::<list::objects::ListObjectsV2>(),
        OperationRow::of::<list::versions::ListObjectVersions>(),
        OperationRow::of::<object::get::GetObject>(),
        OperationRow::of::<object::get::HeadObject>(),
        OperationRow::of::<object::put::PutObject>(),
        OperationRow::of::<object::delete::DeleteObject>(),
        OperationRow::of::<object::delete::DeleteObjects>(),
        OperationRow::of::<object::copy::CopyObject>(),
        OperationRow::of::<object::attributes::GetObjectAttributes>(),
        OperationRow::of::<object::tagging::PutObjectTagging>(),
        OperationRow::of::<object::tagging::GetObjectTagging>(),
        OperationRow::of::<object::tagging::DeleteObjectTagging>(),
        OperationRow::of::<object::acl::PutObjectAcl>(),
        OperationRow::of::<object::acl::GetObjectAcl>(),
        OperationRow::of::<upload::begin::CreateMultipartUpload>(),
        OperationRow::of::<upload::begin::AbortMultipartUpload>(),
        OperationRow::of::<upload::part::UploadPart>(),
        OperationRow::of::<upload::part::UploadPartCopy>(),
        OperationRow::of::<upload::complete::CompleteMultipartUpload>(),
        OperationRow::of::<upload::list::ListParts>(),
        OperationRow::of::<upload::list::ListMultipartUploads>(),
    ]
}

/// The long-running work of this service.
#[must_use]
pub fn reconcilers() -> Vec<Arc<dyn Reconciler>> {
    vec![Arc::new(bytes::sweep::Sweeper), Arc::new(bucket::expire::Expiry)]
}

//! tenantry-s3

//! A bucket: its row, and what every call on it or its objects is checked against.
//!
//! Rows of this service lie in the owner's global scope, whatever region the bucket is in: names are
//! unique in the whole instance, so a request finds the owner by the name and the row by the owner.

pub(crate) mod acl;
pub(crate) mod configuration;
pub(crate) mod create;
pub(crate) mod encryption;
pub(crate) mod expire;
pub(crate) mod lifecycle;
pub(crate) mod policy;
pub(crate) mod public;
pub(crate) mod tagging;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_core::{AccountId, Arn, AwsError, Region, Result, Scope, Timestamp};
use tenantry_kernel::{Check, Cx, Kernel, Operation, Permit, SignedAs};
use tenantry_policy::PrincipalKind;
use tenantry_store::{Batch, CommitError, Kind, Row};

use crate::{error, names};

/// id: the bucket's name; scope: global of the owner.
pub(crate) const BUCKET: Kind = Kind::new("s3.bucket");

/// How often a lost race is tried again.
pub(crate) const ATTEMPTS: usize = 8;

/// Whether old versions are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Versioning {
    /// Never was.
    #[default]
    Off,
    Enabled,
    Suspended,
}

/// "Block public access settings".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
pub(crate) struct PublicAccess {
    pub block_public_acls: bool,
    pub ignore_public_acls: bool,
    pub block_public_policy: bool,
    pub restrict_public_buckets: bool,
}

/// What is stored of a bucket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub region: Region,
    #[serde(default)]
    pub versioning: Versioning,
    /// `BucketOwnerEnforced`, `BucketOwnerPreferred`, `ObjectWriter`; `None` once it was removed.
    #[serde(default)]
    pub ownership: Option<String>,
    #[serde(default)]
    pub public_access: Option<PublicAccess>,
    /// Whether the bucket's policy lets everybody in; kept with the policy.
    #[serde(default)]
    pub policy_is_public: bool,
    /// `None`: AES256.
    #[serde(default)]
    pub encryption: Option<Value>,
    #[serde(default)]
    pub cors: Option<Value>,
    #[serde(default)]
    pub lifecycle: Option<Value>,
}

/// A bucket as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub name: String,
    pub owner: AccountId,
    pub created: Timestamp,
    pub settings: Settings,
    row: Row,
}

impl Bucket {
    /// From its row.
    pub fn of_row(row: Row) -> Result<Self> {
        Ok(Self { name: row.id.clone(), owner: row.scope.account.clone(), created: row.created, settings: row.body()?, row })
    }

    /// The bucket of this name, whoever owns it.
    pub async fn find(cx: &Cx, name: &str) -> Result<Option<Self>> {
        let Some(owner) = cx.kernel.store().unique(names::BUCKETS, name).await? else { return Ok(None) };
        let row = cx.kernel.store().get(BUCKET, &Scope::global(owner), name).await?;
        row.map(Self::of_row).transpose()
    }

    /// For `resolve`: the bucket, in the region that the request is for, of the owner that it expects.
    ///
    /// # Errors
    /// `NoSuchBucket` (which AWS answers before it authorizes), `PermanentRedirect`, `AccessDenied`.
    pub async fn named(cx: &Cx, name: &str, expected_owner: Option<&str>) -> Result<Self> {
        let bucket = Self::anywhere(cx, name, expected_owner).await?;
        match bucket.elsewhere(cx) {
            true => Err(bucket.redirect()),
            false => Ok(bucket),
        }
    }

    /// The same, in whatever region.
    pub async fn anywhere(cx: &Cx, name: &str, expected_owner: Option<&str>) -> Result<Self> {
        let bucket = Self::find(cx, name).await?.ok_or_else(|| error::no_such_bucket(name))?;
        match expected_owner {
            Some(owner) if owner != bucket.owner.as_str() => Err(error::access_denied()),
            _ => Ok(bucket),
        }
    }

    /// For `handle`: the bucket again, in the scope that was authorized.
    pub async fn permitted<O: Operation>(cx: &Cx, permit: &Permit<O>, name: &str) -> Result<Self> {
        Self::in_scope(&cx.kernel, &permit.global(), name).await
    }

    /// The bucket in its owner's scope.
    pub async fn in_scope(kernel: &Kernel, scope: &Scope, name: &str) -> Result<Self> {
        let row = kernel.store().get(BUCKET, scope, name).await?;
        Self::of_row(row.ok_or_else(|| error::no_such_bucket(name))?)
    }

    /// Whether a client signed for another region. The platform's own calls and unsigned requests
    /// have no region to be wrong about.
    pub fn elsewhere(&self, cx: &Cx) -> bool {
        let asked = !cx.request.headers.is_empty() && cx.caller.principal.kind != PrincipalKind::Anonymous;
        asked && self.settings.region != cx.region
    }

    fn redirect(&self) -> AwsError {
        let text = "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.";
        AwsError::new(301, "PermanentRedirect", text)
            .with("Endpoint", format!("{}.s3.{}.amazonaws.com", self.name, self.settings.region))
            .with("Bucket", self.name.as_str())
            .with("Region", self.settings.region.as_str())
    }

    pub fn scope(&self) -> &Scope {
        &self.row.scope
    }
    pub fn arn(&self) -> Arn {
        Arn::new("s3", "", "", &self.name)
    }
    pub fn version(&self) -> u64 {
        self.row.version
    }
    /// Whether ACLs have no effect ("Bucket owner enforced").
    pub fn ignores_acls(&self) -> bool {
        self.settings.ownership.as_deref() == Some("BucketOwnerEnforced")
    }

    /// A check of `action` on the bucket, or on one of its objects.
    pub fn check(&self, cx: &Cx, action: &'static str, key: Option<&str>) -> Check {
        let arn = match key {
            Some(key) => Arn::new("s3", "", "", format_args!("{}/{key}", self.name)),
            None => self.arn(),
        };
        // Object tags are `s3:ExistingObjectTag`; a bucket's are seen only where ABAC was enabled for it, which it is not by default.
        let mut check = Check::on(action, arn).owned_by(self.owner.clone()).tagged(Vec::new());
        // RestrictPublicBuckets: a public policy serves the owner's account and AWS services only.
        let restricted = self.settings.public_access.is_some_and(|access| access.restrict_public_buckets) && self.settings.policy_is_public;
        let own = cx.caller.account == self.owner || cx.caller.principal.kind == PrincipalKind::Service;
        if !restricted || own {
            check = check.policy_of(self.arn());
        }
        request_keys(cx, check).key("s3:ResourceAccount", self.owner.as_str())
    }

    /// Changes the settings, again from what is stored where another request went first.
    pub async fn change(mut self, cx: &Cx, change: impl Fn(&mut Settings, &mut Batch) -> Result<()> + Send) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let mut batch = Batch::new();
            change(&mut self.settings, &mut batch)?;
            batch.update(self.row.clone().at(cx.now()).with(&self.settings)?);
            match cx.commit(batch).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Conflict { .. }) => self = Self::in_scope(&cx.kernel, &self.row.scope.clone(), &self.name).await?,
                Err(other) => return Err(other.into()),
            }
        }
        Err(error::conflict())
    }
}

/// Who writes: an operation, with its audit event, or the platform's own work.
#[derive(Clone, Copy)]
pub(crate) enum Hand<'a> {
    Call(&'a Cx),
    /// With the name of the work.
    Platform(&'a Kernel, &'static str),
}

impl Hand<'_> {
    pub fn kernel(&self) -> &Kernel {
        match self {
            Self::Call(cx) => &cx.kernel,
            Self::Platform(kernel, _) => kernel,
        }
    }
    pub fn now(&self) -> Timestamp {
        self.kernel().now()
    }
    /// Commits with an audit event about `resource`.
    pub async fn commit(&self, mut batch: Batch, resource: &Arn) -> std::result::Result<(), CommitError> {
        match self {
            Self::Call(cx) => cx.commit(batch).await,
            Self::Platform(kernel, work) => {
                let event = serde_json::json!({
                    "time": kernel.now(),
                    "service": "s3",
                    "operation": work,
                    "principal": "s3.amazonaws.com",
                    "resource": resource,
                    "outcome": "allowed",
                });
                batch.event(kernel.now(), &event);
                kernel.store().commit(batch).await
            }
        }
    }
}

/// The check of an operation that names a bucket and nothing else.
pub(crate) async fn checked(cx: &Cx, input: &create::BucketInput, action: &'static str) -> Result<tenantry_kernel::Checks> {
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(bucket.check(cx, action, None).into())
}

/// The condition keys that every S3 request has ("Condition keys for Amazon S3", Service Authorization Reference).
pub(crate) fn request_keys(cx: &Cx, check: Check) -> Check {
    let request = &cx.request;
    let query = |name: &str| request.query.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
    let hash = request.headers.get("x-amz-content-sha256").map(String::as_str);
    let check = check.key_if("s3:TlsVersion", request.tls);
    if cx.caller.principal.kind == PrincipalKind::Anonymous {
        return check.key_if("s3:x-amz-content-sha256", hash);
    }
    const V4: &str = "AWS4-HMAC-SHA256";
    let (kind, version, signed, hash) = match request.signed {
        SignedAs::Header => ("REST-HEADER", V4, None, hash),
        SignedAs::Query => ("REST-QUERY-STRING", V4, query("X-Amz-Date").and_then(Timestamp::parse), Some("UNSIGNED-PAYLOAD")),
        SignedAs::QueryV2 => ("REST-QUERY-STRING", "AWS", None, hash),
        SignedAs::Form(signed) => ("POST", V4, Some(signed), None),
        SignedAs::FormV2 => ("POST", "AWS", None, None),
    };
    let age = signed.map(|signed| (request.time.millis() - signed.millis()).max(0));
    check
        .key("s3:authType", kind)
        .key("s3:signatureversion", version)
        .key_if("s3:signatureAge", age.map(|age| age.to_string()))
        .key_if("s3:x-amz-content-sha256", hash)
}

//! An operation: the only thing that reads or changes state.
//!
//! A service is a table of [`OperationRow`]s. The row carries what the door needs before any code of
//! the service runs (which model operation, who may call), and one function that decodes, resolves,
//! authorizes and handles, in that order. The order cannot be got wrong by a service: `handle` takes
//! a [`Permit`] of its own operation, and only `authorize` makes one.
//!
//! What this does not do: routing, authentication and wire formats (the door does), nor storage.

use std::{future::Future, pin::Pin};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tenantry_core::{AwsError, Result};

use crate::{
    access::Checks,
    authorize,
    body::Body,
    credential::{Admission, Credential},
    cx::Cx,
    declared,
    permit::Permit,
    temporary,
};

/// Who may call an operation. There is no default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Policies decide. `resolve` must name at least one resource for `action`, or for one of `alternatives`.
    Check {
        /// As in the Service Authorization Reference: `sagemaker:CreateModel`.
        action: &'static str,
        /// Actions that `resolve` may name in its place (`s3:GetObjectVersion` where a version is asked for).
        alternatives: &'static [&'static str],
        /// The resource types of that action in the reference, or `["*"]` where it has none.
        resources: &'static [&'static str],
        /// Condition keys that `resolve` may set, as the reference writes them (`aws:RequestTag/${TagKey}`), beyond
        /// those of the resource's tags.
        keys: &'static [&'static str],
        /// Further actions that `resolve` may name (`iam:PassRole` on a role that the call hands over).
        dependent: &'static [&'static str],
    },
    /// Any authenticated principal; the reason stands in the golden file.
    CallerOnly(&'static str),
    /// Anyone; the reason stands in the golden file.
    Public(&'static str),
}

impl Access {
    /// `Access::Check` without service-specific condition keys.
    #[must_use]
    pub const fn check(action: &'static str, resources: &'static [&'static str]) -> Self {
        Self::Check { action, alternatives: &[], resources, keys: &[], dependent: &[] }
    }
    /// `Access::Check` with service-specific condition keys.
    #[must_use]
    pub const fn check_with(action: &'static str, resources: &'static [&'static str], keys: &'static [&'static str]) -> Self {
        Self::Check { action, alternatives: &[], resources, keys, dependent: &[] }
    }
    /// `Access::Check` of an operation that is one of several actions, by what the call names: the usual one first.
    ///
    /// # Panics
    /// While it is compiled, where `actions` is empty.
    #[must_use]
    pub const fn check_any(actions: &'static [&'static str], resources: &'static [&'static str], keys: &'static [&'static str]) -> Self {
        let Some((action, alternatives)) = actions.split_first() else { panic!("an operation has an action") };
        Self::Check { action, alternatives, resources, keys, dependent: &[] }
    }
    /// The same with further actions that the call may need.
    #[must_use]
    pub const fn and(self, dependent: &'static [&'static str]) -> Self {
        match self {
            Self::Check { action, alternatives, resources, keys, .. } => Self::Check { action, alternatives, resources, keys, dependent },
            open => open,
        }
    }
}

/// What an operation answers: the output document by model member names, and a streaming payload
/// for the operations that have one.
#[derive(Default)]
pub struct Reply {
    /// Members of the output shape.
    pub output: Value,
    /// The streaming member's bytes (`GetObject`, `InvokeEndpoint`).
    pub body: Option<Body>,
    /// Replaces the model's status code (206, 304) where it is not 0.
    pub status: u16,
    /// Headers that are no members of the model.
    pub headers: Vec<(String, String)>,
}

impl Reply {
    /// An output document without a payload.
    pub fn new(output: Value) -> Self {
        Self { output, ..Self::default() }
    }
    /// An operation without output members.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(Value::Object(serde_json::Map::new()))
    }
    /// With a streaming payload.
    pub fn streaming(output: Value, body: Body) -> Self {
        Self { output, body: Some(body), ..Self::default() }
    }
}

impl From<Value> for Reply {
    fn from(output: Value) -> Self {
        Self::new(output)
    }
}

/// One operation of one service.
pub trait Operation: Sized + Send + Sync + 'static {
    /// The model's file name: `sagemaker`, `iam`, …
    const SERVICE: &'static str;
    /// The model's operation name.
    const NAME: &'static str;
    /// Who may call it.
    const ACCESS: Access;
    /// The members that the handler uses, by model names.
    type Input: DeserializeOwned + Send + Sync + 'static;
    /// Where the caller's credential is. In the signature, but for the operations that give out the first keys.
    const CREDENTIAL: Credential = Credential::Signature;

    /// Verifies the credential of the input and says whom it speaks for: for operations of [`Credential::Input`], and
    /// called for no others. Reads state, never writes it.
    fn admit(_cx: &Cx, _input: &Self::Input) -> impl Future<Output = Result<Admission>> + Send {
        async { Err(AwsError::internal(format!("{}:{} verifies no credential of its input", Self::SERVICE, Self::NAME))) }
    }

    /// Names every action and resource that this call needs. Reads state, never writes it.
    fn resolve(cx: &Cx, input: &Self::Input) -> impl Future<Output = Result<Checks>> + Send;

    /// Does it. All scopes come from the permit.
    fn handle(cx: &Cx, permit: Permit<Self>, input: Self::Input) -> impl Future<Output = Result<Reply>> + Send;
}

pub(crate) type CallFuture<'a> = Pin<Box<dyn Future<Output = Result<Reply>> + Send + 'a>>;

/// An operation with its types erased: a row of a service's table.
#[derive(Clone, Copy)]
pub struct OperationRow {
    /// The model's file name.
    pub service: &'static str,
    /// The model's operation name.
    pub name: &'static str,
    access: Access,
    credential: Credential,
    pub(crate) call: for<'a> fn(&'a Cx, Value) -> CallFuture<'a>,
}

impl OperationRow {
    /// Who may call it.
    #[must_use]
    pub const fn access(&self) -> Access {
        self.access
    }
    /// Where the caller's credential is.
    #[must_use]
    pub const fn credential(&self) -> Credential {
        self.credential
    }
    /// The row of an operation.
    #[must_use]
    pub const fn of<O: Operation>() -> Self {
        Self {
            service: O::SERVICE,
            name: O::NAME,
            access: O::ACCESS,
            credential: O::CREDENTIAL,
            call: |cx, input| Box::pin(run::<O>(cx, input)),
        }
    }
}

async fn run<O: Operation>(cx: &Cx, input: Value) -> Result<Reply> {
    let typed: O::Input = serde_json::from_value(input).map_err(|e| AwsError::new(400, "SerializationException", e.to_string()))?;
    let admitted;
    let cx = match O::CREDENTIAL {
        Credential::Signature => cx,
        // Whoever signed the request, if anybody did, is not who calls.
        Credential::Input(_) => {
            admitted = cx.admitted(O::admit(cx, &typed).await?);
            &admitted
        }
    };
    temporary::refuse(&cx.caller, O::SERVICE, O::NAME)?;
    let checks = O::resolve(cx, &typed).await?;
    // What a row declares is what docs, validation and tests go by: it must be true.
    if cfg!(debug_assertions)
        && let Some(lie) = declared::undeclared(&O::ACCESS, &checks)
    {
        return Err(AwsError::internal(format!("{}:{} {lie}", O::SERVICE, O::NAME)));
    }
    let permit = authorize::authorize::<O>(cx, checks).await?;
    O::handle(cx, permit, typed).await
}

/// Declares an operation with plain functions: the unit struct and the trait. It decides nothing: who may call is an argument
/// without a default, and `handle` gets the permit of its own operation.
///
/// `operation!("iam", GetRole, ["role"], RoleInput, resolve, handle)`; with condition keys: `["role"] + ["iam:PolicyARN"]`; with further
/// actions that the call may need: `["role"] + [] and ["iam:TagRole"]`. Where actions have another prefix than the service:
/// `"service-quotas" as "servicequotas"`.
///
/// `resolve(cx, action, &input) -> Result<Checks>`, `handle(cx, permit, input) -> Result<Reply>`.
#[macro_export]
macro_rules! operation {
    ($service:literal, $($declared:tt)*) => {
        $crate::operation!($service as $service, $($declared)*);
    };
    ($service:literal as $prefix:literal, $name:ident, $types:tt, $input:ty, $resolve:expr, $handle:expr) => {
        $crate::operation!($service as $prefix, $name, $types + [] and [], $input, $resolve, $handle);
    };
    ($service:literal as $prefix:literal, $name:ident, $types:tt + $keys:tt, $input:ty, $resolve:expr, $handle:expr) => {
        $crate::operation!($service as $prefix, $name, $types + $keys and [], $input, $resolve, $handle);
    };
    ($service:literal as $prefix:literal, $name:ident, $types:tt + $keys:tt and $dependent:tt, $input:ty, $resolve:expr, $handle:expr) => {
        #[doc = concat!("`", $prefix, ":", stringify!($name), "`")]
        pub(crate) struct $name;

        impl $crate::Operation for $name {
            const SERVICE: &'static str = $service;
            const NAME: &'static str = stringify!($name);
            const ACCESS: $crate::Access =
                $crate::Access::check_with(concat!($prefix, ":", stringify!($name)), &$types, &$keys).and(&$dependent);
            type Input = $input;

            async fn resolve(cx: &$crate::Cx, input: &$input) -> tenantry_core::Result<$crate::Checks> {
                $resolve(cx, concat!($prefix, ":", stringify!($name)), input).await
            }
            async fn handle(cx: &$crate::Cx, permit: $crate::Permit<Self>, input: $input) -> tenantry_core::Result<$crate::Reply> {
                $handle(cx, permit, input).await
            }
        }
    };
}

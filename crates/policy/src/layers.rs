//! What is judged: the request, and the policies that apply to it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::caller::Principal;
use crate::context::Context;
use crate::policy::Policy;
use crate::set::PolicySet;

/// One authorization request. A call of an API may need several; all must be allowed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `prefix:Name`.
    pub action: &'a str,
    /// The full ARN, or `*` for an action that has no resource.
    pub resource: &'a str,
    /// The account that owns the resource; `None` means the caller's own.
    pub resource_account: Option<&'a str>,
    /// Who asks.
    pub principal: &'a Principal,
    /// The condition keys.
    pub context: &'a Context,
}

/// How a policy is tied to what it governs; shown in explanations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attachment {
    /// A managed policy, AWS's or the customer's.
    #[default]
    Managed,
    /// Embedded in the user, role or resource.
    Inline,
    /// Reaches the user through a group.
    Group,
}

/// A policy in the place where it applies.
#[derive(Debug, Clone)]
pub struct Attached {
    /// The document.
    pub policy: Arc<Policy>,
    /// The policy's ARN, or its name where it has none.
    pub id: Arc<str>,
    /// How it is attached.
    pub what: Attachment,
}

impl Attached {
    /// A managed policy, by ARN.
    #[must_use]
    pub fn managed(arn: &str, policy: Arc<Policy>) -> Self {
        Self { policy, id: arn.into(), what: Attachment::Managed }
    }

    /// An inline or resource policy, by name.
    #[must_use]
    pub fn inline(name: &str, policy: Arc<Policy>) -> Self {
        Self { policy, id: name.into(), what: Attachment::Inline }
    }

    /// A policy of a group the user is in.
    #[must_use]
    pub fn group(id: &str, policy: Arc<Policy>) -> Self {
        Self { policy, id: id.into(), what: Attachment::Group }
    }
}

/// Whether an identity policy alone can be enough in the resource's own account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ResourcePolicyMode {
    /// Either side may allow.
    #[default]
    Normal,
    /// The resource policy must allow: role trust policies and KMS key policies.
    MustAllow,
}

/// All policies that apply to a request. The default has none.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    /// Of the user and its groups, of the role behind the session, or of the user behind the
    /// federated session.
    pub identity: &'a PolicySet,
    /// The permissions boundary of that user or role.
    pub boundary: Option<&'a Attached>,
    /// Session policies; `None` when none was passed, which is not the same as an empty list.
    pub session: Option<&'a PolicySet>,
    /// Service control policies of the caller's organization: one entry per level, root first. No
    /// level means that there is no organization, or that it does not apply (management account); a
    /// level without policies lets nothing pass.
    pub service_control: &'a [PolicySet],
    /// Resource control policies of the resource's organization, likewise.
    pub resource_control: &'a [PolicySet],
    /// The policy of the resource, or the trust policy of the role.
    pub resource: Option<&'a Attached>,
    /// Whether that policy must allow.
    pub resource_mode: ResourcePolicyMode,
    /// The policy of the VPC endpoint through which the request came.
    pub endpoint: Option<&'a Attached>,
}

impl Default for Layers<'_> {
    fn default() -> Self {
        Self {
            identity: PolicySet::EMPTY,
            boundary: None,
            session: None,
            service_control: &[],
            resource_control: &[],
            resource: None,
            resource_mode: ResourcePolicyMode::Normal,
            endpoint: None,
        }
    }
}

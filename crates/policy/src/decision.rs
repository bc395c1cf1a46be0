//! The answer, and the sentence AWS gives with a refusal.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::layers::Attachment;

/// The type of policy that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Identity-based policies.
    Identity,
    /// The resource's policy.
    Resource,
    /// The permissions boundary.
    Boundary,
    /// Session policies.
    Session,
    /// The VPC endpoint's policy.
    Endpoint,
    /// Service control policies.
    ServiceControl,
    /// Resource control policies.
    ResourceControl,
    /// The role's trust policy.
    Trust,
}

impl Cause {
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Identity => "identity-based policy",
            Self::Resource => "resource-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
            Self::Endpoint => "VPC endpoint policy",
            Self::ServiceControl => "service control policy",
            Self::ResourceControl => "resource control policy",
            Self::Trust => "role trust policy",
        }
    }

    fn article(self) -> &'static str {
        match self {
            Self::Identity => "an",
            Self::Trust => "the",
            _ => "a",
        }
    }
}

/// Allowed, or how it was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Go ahead.
    Allow,
    /// Nothing allows it.
    ImplicitDeny,
    /// A statement denies it.
    ExplicitDeny,
}

/// A statement of an attached policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatementRef {
    /// ARN or name of the policy.
    pub policy: Arc<str>,
    /// How the policy is attached.
    pub attachment: Attachment,
    /// Its `Sid`, if it has one.
    pub sid: Option<Arc<str>>,
    /// Its place in the document, from zero.
    pub index: usize,
}

/// The answer to one authorization request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use]
pub struct Decision {
    /// Allowed, or how it was refused.
    pub outcome: Outcome,
    /// The type of policy that decided. For an implicit refusal: the first that should have allowed.
    pub cause: Cause,
    /// The statement that decided; `None` for implicit refusals and for the root user.
    pub statement: Option<StatementRef>,
}

impl Decision {
    /// Whether to go ahead.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.outcome == Outcome::Allow
    }

    /// Whether a statement denied it.
    #[must_use]
    pub fn explicit(&self) -> bool {
        self.outcome == Outcome::ExplicitDeny
    }

    /// AWS's sentence for a refusal ("Troubleshoot access denied error messages"); `resource` is
    /// left out where the action has none.
    #[must_use]
    pub fn message(&self, principal_arn: &str, action: &str, resource: Option<&str>) -> String {
        self.message_with(principal_arn, action, resource, None)
    }

    /// The same with the ARN of the denying policy behind an explicit denial, which AWS adds within
    /// the same account or organization.
    #[must_use]
    pub fn message_with(&self, principal_arn: &str, action: &str, resource: Option<&str>, policy_arn: Option<&str>) -> String {
        let mut text = format!("User: {principal_arn} is not authorized to perform: {action}");
        if let Some(resource) = resource {
            text.push_str(" on resource: ");
            text.push_str(resource);
        }
        let noun = self.cause.noun();
        if self.explicit() {
            text.push_str(&format!(" with an explicit deny in {} {noun}", self.cause.article()));
            if let Some(arn) = policy_arn {
                text.push_str(": ");
                text.push_str(arn);
            }
        } else {
            text.push_str(&format!(" because no {noun} allows the {action} action"));
        }
        text
    }
}

//! What a call needs: one [`Check`] per action and resource, all of which must be allowed.

use std::collections::BTreeMap;

use serde_json::Value;
use tenantry_core::{AccountId, Arn, Tag, Timestamp};
use tenantry_policy::PolicyKind;

/// Where the resource-based policy of a check comes from.
#[derive(Debug, Clone, Default)]
pub enum ResourcePolicy {
    /// The resource has none.
    #[default]
    None,
    /// The stored policy of this ARN (a bucket's policy for its objects), if there is one.
    Stored(Arn),
    /// A document that the service already holds: a role's trust policy.
    Inline {
        /// The JSON text.
        document: String,
        /// `Trust` or `Resource`. A trust policy must allow by itself.
        kind: PolicyKind,
        /// Principal ARN -> unique id when the document was saved.
        principal_ids: BTreeMap<String, String>,
    },
}

/// One authorization request: may this caller do `action` on `resource`?
#[derive(Debug, Clone)]
pub struct Check {
    /// `sagemaker:StartPipelineExecution`.
    pub action: &'static str,
    /// `None` is `*`: the action has no resource type, or names none in this call.
    pub resource: Option<Arn>,
    /// The owner, where the ARN does not say (S3). Otherwise the ARN's account, or the caller's.
    pub account: Option<AccountId>,
    /// The resource-based policy.
    pub policy: ResourcePolicy,
    /// Service-specific condition keys, in order.
    pub keys: Vec<(String, Key)>,
    /// The resource's tags where they are not in the tag table under the ARN; `None` asks the table.
    pub tags: Option<Vec<Tag>>,
    /// When an MFA code that came with this very call was found good (`sts:AssumeRole`).
    pub mfa: Option<Timestamp>,
}

/// A condition key's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Single-valued.
    One(String),
    /// Multi-valued; may be present and empty.
    Many(Vec<String>),
}

impl Check {
    /// A check on a resource.
    #[must_use]
    pub fn on(action: &'static str, resource: Arn) -> Self {
        Self { action, resource: Some(resource), account: None, policy: ResourcePolicy::None, keys: Vec::new(), tags: None, mfa: None }
    }
    /// A check of an action that names no resource.
    #[must_use]
    pub fn any(action: &'static str) -> Self {
        Self { action, resource: None, account: None, policy: ResourcePolicy::None, keys: Vec::new(), tags: None, mfa: None }
    }
    /// `iam:PassRole` on a role that the call hands to `service` (`sagemaker.amazonaws.com`).
    #[must_use]
    pub fn pass_role(role: Arn, service: &str) -> Self {
        Self::on("iam:PassRole", role).key("iam:PassedToService", service)
    }
    /// The same, and the resource that the role is handed over for: `iam:AssociatedResourceArn`.
    #[must_use]
    pub fn pass_role_for(role: Arn, service: &str, resource: &Arn) -> Self {
        Self::pass_role(role, service).key("iam:AssociatedResourceArn", resource.as_str())
    }
    /// A key with what of several things the call names: one value where they agree, else all of them, so that a
    /// comparison with one satisfies no Allow and every Deny. None where it names none.
    #[must_use]
    pub fn key_of(self, name: impl Into<String>, values: impl IntoIterator<Item = String>) -> Self {
        let mut values: Vec<String> = values.into_iter().collect();
        values.sort_unstable();
        values.dedup();
        match values.len() {
            0 => self,
            1 => self.key(name, values.remove(0)),
            _ => self.list(name, values),
        }
    }
    /// The owner of the resource where the ARN does not say.
    #[must_use]
    pub fn owned_by(mut self, account: AccountId) -> Self {
        self.account = Some(account);
        self
    }
    /// With the resource-based policy that is stored for `arn`.
    #[must_use]
    pub fn policy_of(mut self, arn: Arn) -> Self {
        self.policy = ResourcePolicy::Stored(arn);
        self
    }
    /// With a resource-based policy at hand.
    #[must_use]
    pub fn inline_policy(mut self, document: impl Into<String>, kind: PolicyKind, principal_ids: BTreeMap<String, String>) -> Self {
        self.policy = ResourcePolicy::Inline { document: document.into(), kind, principal_ids };
        self
    }
    /// A single-valued condition key.
    #[must_use]
    pub fn key(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.keys.push((name.into(), Key::One(value.into())));
        self
    }
    /// The same, where there is a value.
    #[must_use]
    pub fn key_if(self, name: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.key(name, value),
            None => self,
        }
    }
    /// A multi-valued condition key.
    #[must_use]
    pub fn list(mut self, name: impl Into<String>, values: Vec<String>) -> Self {
        self.keys.push((name.into(), Key::Many(values)));
        self
    }
    /// `aws:RequestTag/K` and `aws:TagKeys` of the tags that the request carries (none of it where there are none).
    #[must_use]
    pub fn request_tags(mut self, tags: &[Tag]) -> Self {
        if tags.is_empty() {
            return self;
        }
        for tag in tags {
            self.keys.push((format!("aws:RequestTag/{}", tag.key), Key::One(tag.value.clone())));
        }
        self.list("aws:TagKeys", tags.iter().map(|t| t.key.clone()).collect())
    }
    /// The tag keys of an untag request: `aws:TagKeys`.
    #[must_use]
    pub fn tag_keys(self, keys: &[String]) -> Self {
        if keys.is_empty() { self } else { self.list("aws:TagKeys", keys.to_vec()) }
    }
    /// The caller gave a good MFA code with this call, at this instant.
    #[must_use]
    pub fn authenticated_by_mfa(mut self, at: Option<Timestamp>) -> Self {
        self.mfa = at;
        self
    }
    /// The resource's tags where they are not in the tag table.
    #[must_use]
    pub fn tagged(mut self, tags: Vec<Tag>) -> Self {
        self.tags = Some(tags);
        self
    }
}

/// All checks of a call, the operation's own first.
#[derive(Debug, Clone, Default)]
pub struct Checks(Vec<Check>);

impl Checks {
    /// No resource: for `CallerOnly` and `Public` operations only.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }
    /// One more.
    #[must_use]
    pub fn and(mut self, check: Check) -> Self {
        self.0.push(check);
        self
    }
    /// One more, where there is one.
    #[must_use]
    pub fn and_if(self, check: Option<Check>) -> Self {
        match check {
            Some(check) => self.and(check),
            None => self,
        }
    }
    pub(crate) fn first(&self) -> Option<&Check> {
        self.0.first()
    }
    /// In order.
    pub fn iter(&self) -> std::slice::Iter<'_, Check> {
        self.0.iter()
    }
}

impl From<Check> for Checks {
    fn from(check: Check) -> Self {
        Self(vec![check])
    }
}
impl FromIterator<Check> for Checks {
    fn from_iter<I: IntoIterator<Item = Check>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

/// The tags of a request whose input has `member` as a list of `{Key, Value}`.
#[must_use]
pub fn tags_of(input: &Value, member: &str) -> Vec<Tag> {
    let list = input.get(member).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|tag| serde_json::from_value(tag.clone()).ok()).collect()
}

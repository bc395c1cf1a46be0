//! Who there is: the stored documents of accounts, users, groups, roles, policies and sessions.
//!
//! The identity service writes these rows; `authenticate` and `authorize` read them on every call.
//! They live here because services do not import each other and the kernel imports none: this is the
//! schema that both sides share. What it does not do: decide anything.
//!
//! Rows: kind, scope, id.
//! `org.account`  global of the account itself, id = account id
//! `org.root|ou|policy`  global of the management account
//! `iam.user|group|role|policy|profile`  global of the account, id = lower-cased name (IAM names are unique without case)
//! `iam.key`      global of the account, id = access key id; unique(`access-key`, id) = account id; secret(`access-key/ID`)
//! `iam.login|mfa|ssh-key|certificate|service-credential`  global of the account; they name their user by its unique id,
//!                which a new name does not change
//! `sts.session`  global of the account, id = access key id (`ASIA…`); secret(`access-key/ID`), secret(`session-token/ID`)
//! `policy.resource`  scope of the owner, id = the resource's ARN

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenantry_core::{AccountId, Arn, Tag, Timestamp};

/// Kinds of rows, as strings of the store.
pub mod kind {
    use tenantry_store::Kind;

    /// An account of the organization.
    pub const ACCOUNT: Kind = Kind::new("org.account");
    /// The organization; scope: global of the management account, id `organization`.
    pub const ORGANIZATION: Kind = Kind::new("org.organization");
    /// An organizational unit or the root.
    pub const UNIT: Kind = Kind::new("org.unit");
    /// A service or resource control policy.
    pub const ORG_POLICY: Kind = Kind::new("org.policy");
    /// A user.
    pub const USER: Kind = Kind::new("iam.user");
    /// A group.
    pub const GROUP: Kind = Kind::new("iam.group");
    /// A role.
    pub const ROLE: Kind = Kind::new("iam.role");
    /// A customer-managed policy.
    pub const POLICY: Kind = Kind::new("iam.policy");
    /// An instance profile.
    pub const PROFILE: Kind = Kind::new("iam.profile");
    /// A long-term access key.
    pub const ACCESS_KEY: Kind = Kind::new("iam.key");
    /// A user's password; id = the user's unique id.
    pub const LOGIN: Kind = Kind::new("iam.login");
    /// The account's password policy; id = `account`.
    pub const PASSWORD_POLICY: Kind = Kind::new("iam.password-policy");
    /// A virtual MFA device; id = path and name, parent = its user's unique id where it is enabled.
    pub const MFA_DEVICE: Kind = Kind::new("iam.mfa");
    /// An SSH public key; parent = its user's unique id.
    pub const SSH_KEY: Kind = Kind::new("iam.ssh-key");
    /// A signing certificate; parent = its user's unique id.
    pub const SIGNING_CERTIFICATE: Kind = Kind::new("iam.certificate");
    /// A service-specific credential; parent = its user's unique id.
    pub const SERVICE_CREDENTIAL: Kind = Kind::new("iam.service-credential");
    /// Temporary credentials.
    pub const SESSION: Kind = Kind::new("sts.session");
    /// A resource-based policy.
    pub const RESOURCE_POLICY: Kind = Kind::new("policy.resource");
}

/// The namespace of unique names that maps an access key id to its account.
pub const ACCESS_KEY_NAMES: &str = "access-key";

/// The id of the secret half of an access key.
#[must_use]
pub fn secret_id(access_key: &str) -> String {
    format!("access-key/{access_key}")
}

/// The id of the session token of temporary credentials.
#[must_use]
pub fn token_id(access_key: &str) -> String {
    format!("session-token/{access_key}")
}

/// An account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// Twelve digits.
    pub id: AccountId,
    /// As given to CreateAccount.
    pub name: String,
    /// The root user's address.
    pub email: String,
    /// `ACTIVE`, `SUSPENDED`, `PENDING_CLOSURE`.
    pub status: String,
    /// When it joined.
    pub joined: Timestamp,
    /// `o-…`; empty outside an organization.
    #[serde(default)]
    pub organization: String,
    /// Whether it is the organization's management account.
    #[serde(default)]
    pub management: bool,
    /// The management account.
    #[serde(default)]
    pub managed_by: AccountId,
    /// The root or OU above it: `r-…`, `ou-…`.
    #[serde(default)]
    pub parent: String,
    /// Attached organization policies.
    #[serde(default)]
    pub policies: Vec<String>,
}

/// The root (`r-…`) or an organizational unit (`ou-…`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Unit {
    /// `r-…` or `ou-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Empty for the root.
    #[serde(default)]
    pub parent: String,
    /// Attached organization policies.
    #[serde(default)]
    pub policies: Vec<String>,
    /// Policy types enabled (root only): `SERVICE_CONTROL_POLICY`, `RESOURCE_CONTROL_POLICY`.
    #[serde(default)]
    pub enabled_types: Vec<String>,
}

/// A service or resource control policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrgPolicy {
    /// `p-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// `SERVICE_CONTROL_POLICY` or `RESOURCE_CONTROL_POLICY`.
    pub policy_type: String,
    /// The JSON text.
    pub document: String,
    /// Whether AWS made it (`p-FullAWSAccess`).
    #[serde(default)]
    pub aws_managed: bool,
}

/// What users, groups and roles have in common: their identity policies.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Policies {
    /// Inline policies by name.
    #[serde(default)]
    pub inline: BTreeMap<String, String>,
    /// ARNs of attached managed policies, in order of attachment.
    #[serde(default)]
    pub attached: Vec<String>,
}

/// A user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    /// `AIDA…`.
    pub id: String,
    /// As given.
    pub name: String,
    /// Begins and ends with `/`.
    pub path: String,
    /// `arn:aws:iam::A:user/path/name`.
    pub arn: Arn,
    /// When it was made.
    pub created: Timestamp,
    /// Identity policies.
    #[serde(default)]
    pub policies: Policies,
    /// ARN of the permissions boundary.
    #[serde(default)]
    pub boundary: Option<String>,
    /// Lower-cased names of its groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// A group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    /// `AGPA…`.
    pub id: String,
    /// As given.
    pub name: String,
    /// Begins and ends with `/`.
    pub path: String,
    /// `arn:aws:iam::A:group/path/name`.
    pub arn: Arn,
    /// When it was made.
    pub created: Timestamp,
    /// Identity policies.
    #[serde(default)]
    pub policies: Policies,
}

/// A role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Role {
    /// `AROA…`.
    pub id: String,
    /// As given.
    pub name: String,
    /// Begins and ends with `/`.
    pub path: String,
    /// `arn:aws:iam::A:role/path/name`.
    pub arn: Arn,
    /// When it was made.
    pub created: Timestamp,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// The trust policy as the caller wrote it.
    pub trust: String,
    /// Principal ARN -> unique id at the time the trust policy was saved: a deleted and recreated principal does not match.
    #[serde(default)]
    pub trusted_ids: BTreeMap<String, String>,
    /// Seconds, 3,600 to 43,200.
    pub max_session: u32,
    /// Identity policies.
    #[serde(default)]
    pub policies: Policies,
    /// ARN of the permissions boundary.
    #[serde(default)]
    pub boundary: Option<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Last used: when and in which region.
    #[serde(default)]
    pub last_used: Option<(Timestamp, String)>,
    /// The service that a service-linked role belongs to.
    #[serde(default)]
    pub linked_service: Option<String>,
}

/// A customer-managed policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ManagedPolicy {
    /// `ANPA…`.
    pub id: String,
    /// As given.
    pub name: String,
    /// Begins and ends with `/`.
    pub path: String,
    /// `arn:aws:iam::A:policy/path/name`.
    pub arn: Arn,
    /// When it was made.
    pub created: Timestamp,
    /// When a version was last added.
    pub updated: Timestamp,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// At most five.
    pub versions: Vec<PolicyVersion>,
    /// The number that the next version gets.
    pub next_version: u32,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// A version of a managed policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// `v1`, …
    pub id: String,
    /// The JSON text.
    pub document: String,
    /// Whether it is in force.
    pub default: bool,
    /// When it was made.
    pub created: Timestamp,
}

impl Session {
    /// When its holder proved to have an MFA device, if that was proven.
    #[must_use]
    pub fn authenticated_by_mfa(&self) -> Option<Timestamp> {
        self.mfa.then(|| self.mfa_at.unwrap_or(self.issued))
    }
}

impl ManagedPolicy {
    /// The document in force.
    #[must_use]
    pub fn document(&self) -> Option<&str> {
        self.versions.iter().find(|v| v.default).map(|v| v.document.as_str())
    }
}

/// A long-term access key of a user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessKey {
    /// `AKIA…`.
    pub id: String,
    /// Lower-cased name of the user.
    pub user: String,
    /// `Active` or `Inactive`.
    pub status: String,
    /// When it was made.
    pub created: Timestamp,
}

/// Whose temporary credentials they are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum SessionKind {
    /// AssumeRole and its kin.
    Role {
        /// Lower-cased name.
        role: String,
        /// `AROA…`: a role deleted and made again is another.
        role_id: String,
    },
    /// GetFederationToken.
    Federated {
        /// Lower-cased name of the calling user.
        user: String,
    },
    /// GetSessionToken.
    User {
        /// Lower-cased name of the user.
        user: String,
    },
}

/// Temporary credentials: what the session may do and what it carries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    /// `ASIA…`.
    pub access_key: String,
    /// The account it acts in.
    pub account: AccountId,
    /// Whose they are.
    pub kind: SessionKind,
    /// `arn:aws:sts::A:assumed-role/Role/Name`, `…:federated-user/Name`, or the user's ARN.
    pub arn: Arn,
    /// `aws:userid`.
    pub user_id: String,
    /// The role session's name, or the federated user's.
    pub name: String,
    /// When they were issued: `aws:TokenIssueTime`.
    pub issued: Timestamp,
    /// When they end.
    pub expires: Timestamp,
    /// Session tags: role tags overridden by passed tags overridden by inherited ones.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Keys that go on to the next role in the chain.
    #[serde(default)]
    pub transitive: Vec<String>,
    /// Set once, stays for the chain.
    #[serde(default)]
    pub source_identity: Option<String>,
    /// The inline session policy and the documents of managed session policies. `None`: none were given.
    #[serde(default)]
    pub policies: Option<Vec<String>>,
    /// Whether the session was obtained from role credentials.
    #[serde(default)]
    pub chained: bool,
    /// `aws:MultiFactorAuthPresent`.
    #[serde(default)]
    pub mfa: bool,
    /// When the code was given, for `aws:MultiFactorAuthAge`. `None` means when the session was issued.
    #[serde(default)]
    pub mfa_at: Option<Timestamp>,
    /// The service principal that assumed the role for itself, and the resource it did so for.
    #[serde(default)]
    pub service: Option<String>,
    /// The resource that a service session works for: becomes `aws:SourceArn` where the service calls.
    #[serde(default)]
    pub source_arn: Option<String>,
    /// What it keeps of the assertion or token that it began with.
    #[serde(default)]
    pub federation: Option<Federation>,
}

/// What the session of AssumeRoleWithSAML or AssumeRoleWithWebIdentity keeps of who it was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Federation {
    /// The provider's ARN: `aws:FederatedProvider`.
    pub provider: String,
    /// Condition keys of the provider that later requests have too: `saml:sub`, `<issuer>:aud`.
    #[serde(default)]
    pub keys: BTreeMap<String, String>,
}

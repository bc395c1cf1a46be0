//! IAM's quotas. Source: "IAM and AWS STS quotas", IAM User Guide: default values.

/// Characters of a managed policy, without whitespace.
pub(crate) const MANAGED_POLICY: usize = 6144;
/// Characters of all inline policies of a role together.
pub(crate) const ROLE_INLINE: usize = 10_240;
/// Characters of all inline policies of a user together.
pub(crate) const USER_INLINE: usize = 2048;
/// Characters of all inline policies of a group together.
pub(crate) const GROUP_INLINE: usize = 5120;
/// Characters of a trust policy.
pub(crate) const TRUST_POLICY: usize = 2048;
/// Versions of a managed policy.
pub(crate) const VERSIONS: usize = 5;
/// Managed policies of a user, group or role.
pub(crate) const ATTACHED: usize = 10;
/// Tags of a resource.
pub(crate) const TAGS: usize = 50;
/// Access keys of a user.
pub(crate) const ACCESS_KEYS: usize = 2;
/// Groups of a user.
pub(crate) const GROUPS_PER_USER: usize = 10;
/// MFA devices of a user.
pub(crate) const MFA_DEVICES: usize = 8;
/// SSH public keys of a user.
pub(crate) const SSH_KEYS: usize = 5;
/// Signing certificates of a user.
pub(crate) const SIGNING_CERTIFICATES: usize = 2;
/// Credentials of a user for one service.
pub(crate) const SERVICE_CREDENTIALS: usize = 2;
/// Users of an account.
pub(crate) const USERS: usize = 5000;
/// Groups of an account.
pub(crate) const GROUPS: usize = 300;
/// Roles of an account.
pub(crate) const ROLES: usize = 1000;
/// Customer-managed policies of an account.
pub(crate) const POLICIES: usize = 1500;
/// Instance profiles of an account.
pub(crate) const PROFILES: usize = 1000;
/// What a list answers where MaxItems is not given.
pub(crate) const PAGE: usize = 100;

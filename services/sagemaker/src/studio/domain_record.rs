//! What is kept of a domain and shown of it, and what a request for one may not say.

use serde_json::{Map, Value, json};
use tenantry_core::{Result, Scope};
use tenantry_store::Row;

use super::{
    record::Record,
    settings::{self, refuse},
    url,
};
use crate::error::validation;

/// Domains that an account may have in a region: the default of the quota 'Total domains'.
pub(super) const TOTAL: u32 = 5;
/// Which of the account's places a domain has: [`slot`] to the domain's id.
pub(super) const SLOTS: &str = "sagemaker.domain-slot";
/// Whose a domain is: `region/id` to the account, for those who know a domain by its address only.
pub(super) const OWNERS: &str = "sagemaker.domain-owner";

/// Subnets of a domain ("CreateDomain").
const MAX_SUBNETS: usize = 16;
/// Security groups of a domain's boundary ("DomainSettings").
const MAX_SECURITY_GROUPS: usize = 3;
/// Encryption that is not there is refused, not ignored.
const KEYS: [&str; 2] = ["KmsKeyId", "HomeEfsFileSystemKmsKeyId"];
/// Settings of a domain that say what an application may do, and that nothing here would hold it to.
const UNHONOURED: [&str; 7] = [
    "RStudioServerProDomainSettings",
    "RStudioServerProDomainSettingsForUpdate",
    "TrustedIdentityPropagationSettings",
    "DockerSettings",
    "AmazonQSettings",
    "UnifiedStudioSettings",
    "IpAddressType",
];

/// Members of the request that DescribeDomain shows.
const SHOWN: [&str; 11] = [
    "DomainName",
    "AuthMode",
    "DefaultUserSettings",
    "DefaultSpaceSettings",
    "DomainSettings",
    "SubnetIds",
    "VpcId",
    "AppNetworkAccessType",
    "AppSecurityGroupManagement",
    "HomeEfsFileSystemCreation",
    "TagPropagation",
];

/// A place among an account's domains.
pub(super) fn slot(scope: &Scope, number: u32) -> String {
    format!("{}/{}/{number}", scope.account, scope.region)
}

/// Refuses what cannot be honoured in a request that makes or changes a domain.
///
/// # Errors
/// `ValidationException` that names the member.
pub(super) fn checked(input: &Value) -> Result<()> {
    let none = Map::new();
    let members = input.as_object().unwrap_or(&none);
    refuse(members, &KEYS, "keys are not available on this instance, and nothing would be encrypted under it")?;
    for (member, value, why) in [
        ("HomeEfsFileSystemCreation", "Enabled", "file systems are not available on this instance"),
        ("TagPropagation", "ENABLED", "applications, whose things would get the tags, do not run on this instance yet"),
    ] {
        if members.get(member).and_then(Value::as_str) == Some(value) {
            return Err(validation(format!("{member} {value} is not supported: {why}.")));
        }
    }
    for settings in ["DomainSettings", "DomainSettingsForUpdate"] {
        if let Some(settings) = members.get(settings).and_then(Value::as_object) {
            refuse(settings, &UNHONOURED, "nothing on this instance honours it")?;
            settings::ids(settings.get("SecurityGroupIds"), "sg-", MAX_SECURITY_GROUPS)?;
        }
    }
    settings::checked(members.get("DefaultUserSettings"))?;
    settings::checked(members.get("DefaultSpaceSettings"))?;
    settings::ids(members.get("SubnetIds"), "subnet-", MAX_SUBNETS)?;
    match members.get("VpcId").and_then(Value::as_str) {
        Some(vpc) => settings::id(vpc, "vpc-"),
        None => Ok(()),
    }
}

/// Whether sessions of profiles carry their names: `ExecutionRoleIdentityConfig`, `DISABLED` unless said otherwise.
pub(super) fn identity(record: &Record) -> Value {
    record.at(&["DomainSettings", "ExecutionRoleIdentityConfig"]).cloned().unwrap_or_else(|| json!("DISABLED"))
}

/// What DescribeDomain answers. Times are the only members that are not as asked for: scripts print the rest as JSON.
pub(super) fn document(row: &Row, record: &Record) -> Map<String, Value> {
    let mut document = record.document(row, &SHOWN);
    document.insert("DomainArn".to_owned(), json!(record.arn));
    document.insert("DomainId".to_owned(), json!(row.id));
    document.insert("Url".to_owned(), json!(url(&row.scope, &row.id)));
    for (member, default) in [("AppNetworkAccessType", "PublicInternetOnly"), ("TagPropagation", "DISABLED")] {
        document.entry(member).or_insert_with(|| json!(default));
    }
    document
}

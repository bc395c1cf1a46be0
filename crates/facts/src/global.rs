//! The global condition keys ("AWS global condition context keys", IAM User Guide): every service
//! may send them.

use crate::{Key, KeyType};

use KeyType::{Arn, Bool, Date, Ip, Numeric, String as Text};

const fn one(name: &'static str, kind: KeyType) -> Key {
    Key { name, kind, list: false }
}

const fn list(name: &'static str, kind: KeyType) -> Key {
    Key { name, kind, list: true }
}

/// All of them.
pub const GLOBAL_KEYS: &[Key] = &[
    one("aws:AssumedRoot", Bool),
    list("aws:CalledVia", Text),
    list("aws:CalledViaAWSMCP", Text),
    one("aws:CalledViaFirst", Text),
    one("aws:CalledViaLast", Text),
    one("aws:ChatbotSourceArn", Arn),
    one("aws:CurrentTime", Date),
    one("aws:Ec2InstanceSourcePrivateIPv4", Ip),
    one("aws:Ec2InstanceSourceVpc", Text),
    one("aws:EpochTime", Date),
    one("aws:FederatedProvider", Text),
    one("aws:IsMcpServiceAction", Bool),
    one("aws:MultiFactorAuthAge", Numeric),
    one("aws:MultiFactorAuthPresent", Bool),
    one("aws:PrincipalAccount", Text),
    one("aws:PrincipalArn", Arn),
    one("aws:PrincipalIsAWSService", Bool),
    one("aws:PrincipalOrgID", Text),
    list("aws:PrincipalOrgPaths", Text),
    one("aws:PrincipalServiceName", Text),
    list("aws:PrincipalServiceNamesList", Text),
    one("aws:PrincipalTag/*", Text),
    one("aws:PrincipalType", Text),
    one("aws:referer", Text),
    one("aws:RequestedRegion", Text),
    one("aws:RequestTag/*", Text),
    one("aws:ResourceAccount", Text),
    one("aws:ResourceOrgID", Text),
    list("aws:ResourceOrgPaths", Text),
    one("aws:ResourceTag/*", Text),
    one("aws:SecureTransport", Bool),
    one("aws:SourceAccount", Text),
    one("aws:SourceArn", Arn),
    one("aws:SourceIdentity", Text),
    one("aws:SourceIp", Ip),
    one("aws:SourceOrgID", Text),
    list("aws:SourceOrgPaths", Text),
    one("aws:SourceVpc", Text),
    one("aws:SourceVpcArn", Arn),
    one("aws:SourceVpce", Text),
    list("aws:TagKeys", Text),
    one("aws:TokenIssueTime", Date),
    one("aws:userid", Text),
    one("aws:UserAgent", Text),
    one("aws:username", Text),
    one("aws:ViaAWSMCPService", Bool),
    one("aws:ViaAWSService", Bool),
    one("aws:VpcSourceIp", Ip),
    one("aws:VpceAccount", Text),
    one("aws:VpceOrgID", Text),
    list("aws:VpceOrgPaths", Text),
    one("aws:SignInSessionArn", Arn),
];

/// The global key that `written` is, whatever its case.
#[must_use]
pub fn global_key(written: &str) -> Option<&'static Key> {
    GLOBAL_KEYS.iter().find(|key| key.is(written))
}

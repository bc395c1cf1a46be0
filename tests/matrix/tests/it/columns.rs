//! The columns: in each, somebody asks for a row's operation who must not have it, and what they are to
//! be told.

use std::collections::HashMap;

use serde_json::json;
use tenantry_kernel::{Access, Credential, OperationRow};
use tenantry_store::Batch;
use tenantry_wire::{Operation, Protocol};

use crate::{
    encode::host,
    send::{Answer, Key, Plain, Signing},
    world::{ALLOW_ALL, NewUser, REGION, START, World, add_policy, add_role, add_session, document},
};

/// A row of a service's table with a request for it.
pub struct Asked {
    /// The row.
    pub row: OperationRow,
    /// The model's operation.
    pub operation: &'static Operation,
    /// A good request without a signature, about the own account's things.
    pub plain: Plain,
    /// The same about the things of the accounts under service control policies.
    pub denied: Plain,
    /// See `denied`.
    pub fenced: Plain,
    /// Whether it names something of the own account, so that another account's caller reaches across.
    pub crosses: bool,
}

impl Asked {
    /// `iam CreateUser`
    pub fn name(&self) -> String {
        format!("{} {}", self.row.service, self.row.name)
    }

    /// Whether the caller's credential is in the input: then nobody who signs is who calls.
    pub fn proven_by_input(&self) -> bool {
        matches!(self.row.credential(), Credential::Input(_))
    }

    /// The action that policies are asked for, where they are.
    pub fn action(&self) -> Option<&'static str> {
        match self.row.access() {
            Access::Check { action, .. } => Some(action),
            Access::CallerOnly(_) | Access::Public(_) => None,
        }
    }
}

/// Everyone who asks.
pub struct Cast {
    /// Allowed everything.
    pub administrator: Key,
    unknown: Key,
    inactive: Key,
    /// A good session that may do everything.
    pub session: Key,
    expired: Key,
    without_token: Key,
    other_token: Key,
    nobody: Key,
    stranger: Key,
    resource_tag: Key,
    request_tag: Key,
    scp_denied: Key,
    scp_fenced: Key,
    /// By action.
    denied: HashMap<&'static str, Key>,
    bounded: HashMap<&'static str, Key>,
    confined: HashMap<&'static str, Key>,
}

impl Cast {
    /// Puts them into the world: three of them for every action.
    pub async fn new(world: &World, rows: &[OperationRow]) -> Self {
        let mut batch = Batch::new();
        let own = &world.own;
        let only = |key: &str| {
            document(json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {key: "tenant-b"}}}))
        };
        let (resource_tag, request_tag) = (only("aws:ResourceTag/TenantID"), only("aws:RequestTag/TenantID"));
        let role = add_role(&mut batch, own, "matrix", &[]);
        let session = add_session(&mut batch, own, &role, None, START.plus_secs(3600));
        let second = add_session(&mut batch, own, &role, None, START.plus_secs(3600));
        let mut user = |account, name, policies: &[&str]| NewUser::new(account, name, policies).add(&mut batch);
        let mut cast = Self {
            administrator: user(own, "everything", &[ALLOW_ALL]),
            unknown: Key { id: "AKIAAAAAAAAAAAAAAAAA".to_owned(), secret: "x".repeat(40), token: None },
            inactive: world.administrator.clone(),
            expired: session.clone(),
            without_token: Key { token: None, ..session.clone() },
            other_token: Key { token: second.token, ..session.clone() },
            session,
            nobody: user(own, "nobody", &[]),
            stranger: user(&world.other, "stranger", &[ALLOW_ALL]),
            resource_tag: user(own, "resource-tag", &[&resource_tag]),
            request_tag: user(own, "request-tag", &[&request_tag]),
            scp_denied: user(&world.denied, "scp-denied", &[ALLOW_ALL]),
            scp_fenced: user(&world.fenced, "scp-fenced", &[ALLOW_ALL]),
            denied: HashMap::new(),
            bounded: HashMap::new(),
            confined: HashMap::new(),
        };
        cast.inactive = NewUser { active: false, ..NewUser::new(own, "inactive", &[ALLOW_ALL]) }.add(&mut batch);
        cast.expired = add_session(&mut batch, own, &role, None, START);
        for row in rows {
            let Access::Check { action, .. } = row.access() else { continue };
            if cast.denied.contains_key(action) {
                continue;
            }
            let name = action.replace(':', "-");
            let deny = document(json!({"Effect": "Deny", "Action": action, "Resource": "*"}));
            let all_but = document(json!({"Effect": "Allow", "NotAction": action, "Resource": "*"}));
            let boundary = add_policy(&mut batch, own, &format!("all-but-{name}"), &all_but);
            let denied = NewUser::new(own, &format!("denied-{name}"), &[ALLOW_ALL, &deny]).add(&mut batch);
            let bounded =
                NewUser { boundary: Some(boundary), ..NewUser::new(own, &format!("bounded-{name}"), &[ALLOW_ALL]) }.add(&mut batch);
            let confined = add_session(&mut batch, own, &role, Some(vec![all_but]), START.plus_secs(3600));
            cast.denied.insert(action, denied);
            cast.bounded.insert(action, bounded);
            cast.confined.insert(action, confined);
        }
        world.commit(batch).await;
        cast
    }

    /// How the other account's administrator signs.
    pub fn of_the_stranger(&self) -> Signing<'_> {
        Signing { key: &self.stranger, region: REGION, service: None, at: START }
    }
}

/// A column of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Unsigned,
    BadSignature,
    ChangedAfterSigning,
    SignedLongAgo,
    PresignedExpired,
    OtherServicesScope,
    OtherServicesHost,
    OtherRegionsEndpoint,
    UnknownKey,
    InactiveKey,
    ExpiredSession,
    TokenMissing,
    OtherSessionsToken,
    NoPolicy,
    ExplicitDeny,
    OtherAccount,
    WrongResourceTag,
    WrongRequestTag,
    SessionPolicyLacks,
    BoundaryLacks,
    ScpDenies,
    ScpLacks,
}

impl Column {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Unsigned,
        Self::BadSignature,
        Self::ChangedAfterSigning,
        Self::SignedLongAgo,
        Self::PresignedExpired,
        Self::OtherServicesScope,
        Self::OtherServicesHost,
        Self::OtherRegionsEndpoint,
        Self::UnknownKey,
        Self::InactiveKey,
        Self::ExpiredSession,
        Self::TokenMissing,
        Self::OtherSessionsToken,
        Self::NoPolicy,
        Self::ExplicitDeny,
        Self::OtherAccount,
        Self::WrongResourceTag,
        Self::WrongRequestTag,
        Self::SessionPolicyLacks,
        Self::BoundaryLacks,
        Self::ScpDenies,
        Self::ScpLacks,
    ];

    /// Whether policies refuse, and not authentication.
    pub fn by_policy(self) -> bool {
        self as usize >= Self::NoPolicy as usize
    }

    /// Whether the column says something of the row.
    pub fn applies(self, asked: &Asked) -> bool {
        match self {
            Self::Unsigned => !matches!(asked.row.access(), Access::Public(_)),
            _ if self.by_policy() && asked.proven_by_input() => false,
            Self::OtherAccount => asked.crosses,
            _ => !self.by_policy() || asked.action().is_some(),
        }
    }

    /// The request.
    pub fn request(self, asked: &Asked, cast: &Cast) -> Plain {
        let plain = &asked.plain;
        let good = Signing { key: &cast.administrator, region: REGION, service: None, at: START };
        let by = |key: &Key| plain.signed(&Signing { key, ..good.clone() });
        let action = asked.action().unwrap_or_default();
        match self {
            Self::Unsigned => plain.clone(),
            Self::BadSignature => {
                let signed = plain.signed(&good);
                let text = signed.value("authorization").to_owned();
                let last = if text.ends_with('0') { "1" } else { "0" };
                signed.header("authorization", &format!("{}{last}", &text[..text.len() - 1]))
            }
            Self::ChangedAfterSigning => {
                let mut signed = plain.signed(&good);
                signed.query = if signed.query.is_empty() { "x-changed=1".to_owned() } else { format!("{}&x-changed=1", signed.query) };
                signed
            }
            Self::SignedLongAgo => plain.signed(&Signing { at: START.plus_secs(-16 * 60), ..good }),
            Self::PresignedExpired => plain.presigned(&Signing { at: START.plus_secs(-61), ..good }, 60),
            Self::OtherServicesScope => {
                let other = if plain.signing_name == "iam" { "sts" } else { "iam" };
                plain.signed(&Signing { service: Some(other), ..good })
            }
            Self::OtherServicesHost => {
                let other = if plain.service == "iam" { "sts" } else { "iam" };
                plain.signed(&good).header("host", &host(tenantry_wire::service(other).unwrap(), REGION))
            }
            Self::OtherRegionsEndpoint => {
                let elsewhere = format!("{}.eu-west-1.amazonaws.com", asked.operation.service.endpoint_prefix);
                plain.clone().header("host", &elsewhere).signed(&good)
            }
            Self::UnknownKey => by(&cast.unknown),
            Self::InactiveKey => by(&cast.inactive),
            Self::ExpiredSession => by(&cast.expired),
            Self::TokenMissing => by(&cast.without_token),
            Self::OtherSessionsToken => by(&cast.other_token),
            Self::NoPolicy => by(&cast.nobody),
            Self::ExplicitDeny => by(&cast.denied[action]),
            Self::OtherAccount => by(&cast.stranger),
            Self::WrongResourceTag => by(&cast.resource_tag),
            Self::WrongRequestTag => by(&cast.request_tag),
            Self::SessionPolicyLacks => by(&cast.confined[action]),
            Self::BoundaryLacks => by(&cast.bounded[action]),
            Self::ScpDenies => asked.denied.signed(&Signing { key: &cast.scp_denied, ..good }),
            Self::ScpLacks => asked.fenced.signed(&Signing { key: &cast.scp_fenced, ..good }),
        }
    }

    /// The codes of which the answer must have one.
    fn codes(self, asked: &Asked) -> Vec<&'static str> {
        let service = asked.operation.service;
        let json = matches!(service.protocol, Protocol::AwsJson | Protocol::RestJson);
        let pick = |in_json, in_query, in_s3| {
            vec![match (service.is_s3(), json) {
                (true, _) => in_s3,
                (_, true) => in_json,
                _ => in_query,
            }]
        };
        match self {
            // Refused for what the input holds, not for what is missing.
            Self::Unsigned if asked.proven_by_input() => vec!["InvalidIdentityToken"],
            Self::Unsigned => pick("MissingAuthenticationTokenException", "MissingAuthenticationToken", "AccessDenied"),
            Self::BadSignature | Self::ChangedAfterSigning | Self::OtherServicesScope | Self::OtherRegionsEndpoint => {
                pick("InvalidSignatureException", "SignatureDoesNotMatch", "SignatureDoesNotMatch")
            }
            // The other service cannot know what the request wants of it.
            Self::OtherServicesHost => vec!["SignatureDoesNotMatch", "InvalidAction", "MissingAction"],
            Self::SignedLongAgo => pick("InvalidSignatureException", "SignatureDoesNotMatch", "RequestTimeTooSkewed"),
            Self::PresignedExpired => pick("InvalidSignatureException", "SignatureDoesNotMatch", "AccessDenied"),
            Self::UnknownKey | Self::InactiveKey => pick("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"),
            Self::TokenMissing | Self::OtherSessionsToken => pick("UnrecognizedClientException", "InvalidClientTokenId", "InvalidToken"),
            Self::ExpiredSession => pick("ExpiredTokenException", "ExpiredToken", "ExpiredToken"),
            // Other accounts' log groups are not named at all.
            Self::OtherAccount if service.name == "logs" => vec!["InvalidParameterException"],
            _ => pick("AccessDeniedException", "AccessDenied", "AccessDenied"),
        }
    }

    /// What AWS says of the layer that refused, where the column has just one that can.
    fn because(self) -> &'static str {
        match self {
            Self::NoPolicy | Self::WrongResourceTag | Self::WrongRequestTag => "because no identity-based policy allows the ",
            Self::ExplicitDeny => "with an explicit deny in an identity-based policy",
            Self::SessionPolicyLacks => "because no session policy allows the ",
            Self::BoundaryLacks => "because no permissions boundary allows the ",
            Self::ScpDenies => "with an explicit deny in a service control policy",
            Self::ScpLacks => "because no service control policy allows the ",
            _ => "",
        }
    }

    /// What is wrong with an answer, if something is.
    pub fn fault(self, asked: &Asked, answer: &Answer) -> Option<String> {
        let told = format!("{} {} {}", answer.status, answer.code, answer.text.chars().take(400).collect::<String>());
        if !(400..500).contains(&answer.status) {
            return Some(format!("was not refused: {told}"));
        }
        if asked.operation.method == "HEAD" {
            // An answer to HEAD has no body and so no code.
            return (!answer.text.is_empty() || !matches!(answer.status, 400 | 403)).then_some(told);
        }
        let codes = self.codes(asked);
        if !codes.contains(&answer.code.as_str()) {
            return Some(format!("must be one of {codes:?}: {told}"));
        }
        // S3 tells strangers nothing.
        let tells =
            self.by_policy() && !(asked.operation.service.is_s3() && matches!(self, Self::OtherAccount | Self::ScpDenies | Self::ScpLacks));
        let action = asked.action().unwrap_or_default();
        // What sessions may never call is refused before policies are asked.
        let never = self == Self::SessionPolicyLacks && answer.text.contains("with session credentials");
        let tells = tells && !never && answer.code != "InvalidParameterException";
        if tells && !(answer.text.contains(&format!("is not authorized to perform: {action} ")) && answer.text.contains(self.because())) {
            return Some(format!("must tell of {action} and \"{}\": {told}", self.because()));
        }
        None
    }
}

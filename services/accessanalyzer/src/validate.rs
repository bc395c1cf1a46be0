//! `ValidatePolicy`: what is wrong with a document, and odd about it ("ValidatePolicy", IAM Access
//! Analyzer API Reference). The findings are those of `tenantry policy validate`.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{AwsError, Result};
use tenantry_kernel::{Access, Check, Checks, Cx, Operation, Permit, Reply};
use tenantry_offline::{Finding, MAX_DOCUMENT, Position, Step, findings};
use tenantry_policy::PolicyKind;

/// How many findings one answer has at most.
const PAGE: usize = 100;

const REFERENCE: &str = "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html";

pub(crate) struct ValidatePolicy;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    policy_document: String,
    policy_type: String,
    validate_policy_resource_type: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

impl Operation for ValidatePolicy {
    const SERVICE: &'static str = "accessanalyzer";
    const NAME: &'static str = "ValidatePolicy";
    const ACCESS: Access = Access::check("access-analyzer:ValidatePolicy", &["*"]);
    type Input = Input;

    async fn resolve(_cx: &Cx, _input: &Input) -> Result<Checks> {
        Ok(Check::any("access-analyzer:ValidatePolicy").into())
    }

    async fn handle(_cx: &Cx, _permit: Permit<Self>, input: Input) -> Result<Reply> {
        let kind = kind(&input)?;
        if input.policy_document.len() > MAX_DOCUMENT {
            return Err(invalid(format!("The policy document is longer than {MAX_DOCUMENT} bytes.")));
        }
        let size = match input.max_results {
            None => PAGE,
            Some(size) => usize::try_from(size)
                .ok()
                .filter(|size| (1..=1_000).contains(size))
                .ok_or_else(|| invalid("maxResults is a number from 1 to 1000."))?,
        };
        let start = match &input.next_token {
            None => 0,
            Some(token) => token.parse::<usize>().map_err(|_| invalid("The nextToken is not one that this operation has given."))?,
        };
        let all = findings(&input.policy_document, kind);
        let page: Vec<Value> = all.iter().skip(start).take(size).map(shown).collect();
        let mut output = json!({ "findings": page });
        let next = start.saturating_add(size);
        if next < all.len() {
            output["nextToken"] = json!(next.to_string());
        }
        Ok(Reply::new(output))
    }
}

fn invalid(text: impl Into<String>) -> AwsError {
    AwsError::new(400, "ValidationException", text)
}

/// A trust policy is a resource policy of the resource type `AWS::IAM::AssumeRolePolicyDocument`.
fn kind(input: &Input) -> Result<PolicyKind> {
    let resource = input.validate_policy_resource_type.as_deref();
    match (input.policy_type.as_str(), resource) {
        ("RESOURCE_POLICY", Some("AWS::IAM::AssumeRolePolicyDocument")) => Ok(PolicyKind::Trust),
        ("RESOURCE_POLICY", _) => Ok(PolicyKind::Resource),
        (_, Some(_)) => Err(invalid("A validatePolicyResourceType goes with the policy type RESOURCE_POLICY.")),
        ("IDENTITY_POLICY", None) => Ok(PolicyKind::Identity),
        ("SERVICE_CONTROL_POLICY", None) => Ok(PolicyKind::ServiceControl),
        ("RESOURCE_CONTROL_POLICY", None) => Ok(PolicyKind::ResourceControl),
        (other, None) => Err(invalid(format!("There is no policy type {other}."))),
    }
}

fn shown(finding: &Finding) -> Value {
    let position = |at: Position| json!({ "line": at.line, "column": at.column, "offset": at.offset });
    let path: Vec<Value> = finding
        .path
        .iter()
        .map(|step| match step {
            Step::Index(index) => json!({ "index": index }),
            Step::Value(name) => json!({ "value": name }),
            Step::Key(name) => json!({ "key": name }),
        })
        .collect();
    json!({
        "findingType": finding.kind.as_str(),
        "issueCode": finding.code,
        "findingDetails": finding.text,
        "learnMoreLink": format!("{REFERENCE}#access-analyzer-reference-policy-checks-{}", anchor(finding)),
        "locations": [{ "path": path, "span": { "start": position(finding.span.start), "end": position(finding.span.end) } }],
    })
}

/// The part of the reference that explains the finding.
fn anchor(finding: &Finding) -> String {
    let kind = match finding.kind.as_str() {
        "WARNING" => "general-warning".to_owned(),
        other => other.to_ascii_lowercase().replace('_', "-"),
    };
    format!("{kind}-{}", finding.code.to_ascii_lowercase().replace('_', "-"))
}

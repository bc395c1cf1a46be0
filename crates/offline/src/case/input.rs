//! Reading a case. Documents stay as they were written, so that what the policy reader refuses
//! (a repeated key, say) is not smoothed away before it sees it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A case as it was read.
#[derive(Debug, Deserialize)]
pub(super) struct Case {
    pub id: Option<Box<RawValue>>,
    #[serde(default)]
    pub policies: Policies,
    pub request: Request,
}

/// The documents. A layer that is not listed here is a mistake that would change the answer.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policies {
    pub identity: Option<Vec<Box<RawValue>>>,
    pub resource: Option<Box<RawValue>>,
    pub scp: Option<Vec<Level>>,
    pub rcp: Option<Vec<Level>>,
    pub boundary: Option<Vec<Box<RawValue>>>,
    pub session: Option<Vec<Box<RawValue>>>,
    pub vpce: Option<Vec<Box<RawValue>>>,
}

/// One level of an organization: the root, a unit, or the account.
#[derive(Debug, Deserialize)]
pub(super) struct Level {
    pub policies: Vec<Box<RawValue>>,
}

/// What is asked.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    pub principal: Asker,
    pub action: String,
    pub resource: Option<String>,
    pub resource_account: Option<String>,
    #[serde(default)]
    pub context: BTreeMap<String, Held>,
    pub wildcard_only_action: Option<bool>,
}

/// The principal: its ARN, a service's name, or an object that says which kind it is.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Asker {
    Named(String),
    Typed {
        #[serde(rename = "type")]
        kind: String,
        #[serde(alias = "arn", alias = "value")]
        name: Option<String>,
    },
}

/// A condition key's value.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Held {
    One(Scalar),
    Many(Vec<Scalar>),
}

/// Booleans and numbers are what their text says.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    Text(String),
    Bool(bool),
    Number(serde_json::Number),
}

impl Scalar {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
        }
    }
}

type Fault = (Option<Box<RawValue>>, String);

/// Reads a line.
pub(super) fn read(line: &str) -> Result<Case, Fault> {
    serde_json::from_str::<Case>(line).map_err(|error| {
        let id = serde_json::from_str::<Named>(line).ok().and_then(|named| named.id);
        (id, format!("not a case: {error}"))
    })
}

#[derive(Deserialize)]
struct Named {
    id: Option<Box<RawValue>>,
}

/// The text of a document: an object as it was written, or the content of a string.
pub(super) fn document(raw: &RawValue) -> Result<String, String> {
    let text = raw.get();
    if text.starts_with('"') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    Ok(text.to_owned())
}

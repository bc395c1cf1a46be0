//! GetContextKeysForCustomPolicy and GetContextKeysForPrincipalPolicy: the condition keys that policies ask for,
//! in conditions and as variables. What a simulation has to be given.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Check, Checks, Cx, OperationRow, Permit, Reply};
use tenantry_policy::{Policy, PolicyKind};

use super::{
    error, granting,
    held_policies::{Identity, statements, texts},
};
use tenantry_kernel::operation;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    #[serde(default)]
    policy_source_arn: String,
    #[serde(default)]
    policy_input_list: Vec<String>,
}

async fn resolve_custom(_: &Cx, action: &'static str, _: &Input) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn resolve_principal(_: &Cx, action: &'static str, input: &Input) -> Result<Checks> {
    Ok(granting::on(action, &input.policy_source_arn, &["user", "group", "role"])?.into())
}

/// Keys by their lower-cased names: they are compared without case.
#[derive(Default)]
struct Keys(BTreeMap<String, String>);

impl Keys {
    fn add(&mut self, key: &str) {
        self.0.entry(key.to_ascii_lowercase()).or_insert_with(|| key.to_owned());
    }

    /// `${key}` and `${key, 'default'}`; `${*}`, `${?}` and `${$}` are characters.
    fn variables(&mut self, text: &str) {
        for part in text.split("${").skip(1) {
            let name = part.split(['}', ',']).next().unwrap_or_default().trim();
            if name.contains(':') {
                self.add(name);
            }
        }
    }

    fn document(&mut self, document: &str) {
        let parsed: Value = serde_json::from_str(document).unwrap_or_default();
        // Without this version `${…}` is text.
        let variables = parsed["Version"] == "2012-10-17";
        for statement in &statements(document) {
            for block in statement["Condition"].as_object().into_iter().flat_map(|operators| operators.values()) {
                for key in block.as_object().into_iter().flat_map(|block| block.keys()) {
                    self.add(key);
                    texts(block, key).filter(|_| variables).for_each(|text| self.variables(text));
                }
            }
            for member in ["Resource", "NotResource"] {
                texts(statement, member).filter(|_| variables).for_each(|text| self.variables(text));
            }
        }
    }

    /// Documents that a call gives: of identities or of resources.
    fn given(&mut self, documents: &[String]) -> Result<()> {
        for text in documents {
            Policy::parse(text, PolicyKind::Identity)
                .or_else(|_| Policy::parse(text, PolicyKind::Resource))
                .map_err(|fault| error::invalid_input(fault.message))?;
            self.document(text);
        }
        Ok(())
    }

    fn reply(self) -> Reply {
        json!({ "ContextKeyNames": self.0.into_values().collect::<BTreeSet<_>>() }).into()
    }
}

async fn custom(_: &Cx, _: Permit<GetContextKeysForCustomPolicy>, input: Input) -> Result<Reply> {
    let mut keys = Keys::default();
    keys.given(&input.policy_input_list)?;
    Ok(keys.reply())
}

async fn principal(cx: &Cx, permit: Permit<GetContextKeysForPrincipalPolicy>, input: Input) -> Result<Reply> {
    let scope = permit.global();
    let mut keys = Keys::default();
    for source in Identity::find(cx, &scope, &input.policy_source_arn).await?.policies(cx, &scope).await? {
        keys.document(&source.document);
    }
    keys.given(&input.policy_input_list)?;
    Ok(keys.reply())
}

operation!("iam", GetContextKeysForCustomPolicy, ["*"], Input, resolve_custom, custom);
operation!("iam", GetContextKeysForPrincipalPolicy, ["user", "group", "role"], Input, resolve_principal, principal);

pub(super) const TABLE: &[OperationRow] =
    &[OperationRow::of::<GetContextKeysForCustomPolicy>(), OperationRow::of::<GetContextKeysForPrincipalPolicy>()];

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(document: &str) -> Vec<String> {
        let mut keys = Keys::default();
        keys.document(document);
        keys.0.into_values().collect()
    }

    #[test]
    fn keys_of_conditions_and_variables() {
        let statement = r#""Statement":{"Effect":"Allow","Action":"s3:*",
            "Resource":["arn:aws:s3:::b/${aws:username}/*","arn:aws:s3:::b/${*}${aws:PrincipalTag/Team, 'none'}"],
            "Condition":{"StringLike":{"s3:prefix":["${aws:userid}/*","x"]},"Bool":{"AWS:SecureTransport":"true"},
            "Null":{"aws:securetransport":"false"}}}"#;
        assert_eq!(
            keys(&format!(r#"{{"Version":"2012-10-17",{statement}}}"#)),
            ["aws:PrincipalTag/Team", "AWS:SecureTransport", "aws:userid", "aws:username", "s3:prefix"]
        );
        assert_eq!(keys(&format!("{{{statement}}}")), ["AWS:SecureTransport", "s3:prefix"], "variables are of the newer version");
        assert!(keys("{}").is_empty());
    }
}

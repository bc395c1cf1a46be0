//! What AWS stores and its author probably did not mean.
//!
//! Nothing here changes a decision; a document with warnings is as valid as one without.

use serde::Serialize;

use crate::named::PrincipalName;
use crate::policy::Policy;
use crate::statement::{Effect, Statement};

/// A remark on one statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The statement's place in the document, from zero.
    pub index: usize,
    /// Its `Sid`.
    pub sid: Option<String>,
    /// What is odd, and what to do about it.
    pub text: String,
}

/// Global condition keys that hold lists, in lower case.
const LISTS: [&str; 7] = [
    "aws:tagkeys",
    "aws:calledvia",
    "aws:principalorgpaths",
    "aws:resourceorgpaths",
    "aws:sourceorgpaths",
    "aws:principalservicenameslist",
    "sts:transitivetagkeys",
];

/// Condition keys that say on whose behalf a service calls.
const ON_BEHALF: [&str; 4] = ["aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths"];

impl Policy {
    /// Remarks on the document: a list compared without a set operator (an Allow then never
    /// applies and a Deny always does), and a service allowed to act for whoever asks it to ("The
    /// confused deputy problem", IAM User Guide).
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let remark = |(index, statement): (usize, &Statement)| {
            let texts = [unset(statement), deputy(statement)].into_iter().flatten();
            let sid = statement.sid.as_deref().map(str::to_owned);
            texts.map(|text| Warning { index, sid: sid.clone(), text }).collect::<Vec<_>>()
        };
        self.statements.iter().enumerate().flat_map(remark).collect()
    }
}

fn unset(statement: &Statement) -> Option<String> {
    let clause = statement.conditions.iter().find(|clause| clause.plain() && LISTS.contains(&clause.key()))?;
    let (key, operator) = (&clause.key_text, &clause.operator_text);
    Some(format!("`{key}` holds a list: put `ForAllValues:` or `ForAnyValue:` before `{operator}`"))
}

fn deputy(statement: &Statement) -> Option<String> {
    let names = statement.principal.entries().iter().find_map(|entry| match &entry.name {
        PrincipalName::Service(name) => Some(name),
        _ => None,
    })?;
    let bound = statement.conditions.iter().any(|clause| ON_BEHALF.contains(&clause.key()));
    (statement.effect == Effect::Allow && !bound)
        .then(|| format!("`{names}` may act for anybody: add a condition on `aws:SourceArn` or `aws:SourceAccount`"))
}

#[cfg(test)]
mod tests {
    use crate::{Policy, PolicyKind};

    fn texts(text: &str, kind: PolicyKind) -> Vec<(usize, String)> {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{text}]}}"#);
        Policy::parse(&text, kind).unwrap().warnings().into_iter().map(|warning| (warning.index, warning.text)).collect()
    }

    #[test]
    fn lists_and_deputies() {
        let with = |condition: &str| format!(r#"{{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{{{condition}}}}}"#);
        let odd = with(r#""StringEquals":{"aws:TagKeys":"a"}"#);
        let fine = with(r#""ForAnyValue:StringEquals":{"aws:TagKeys":"a"},"Null":{"aws:CalledVia":"true"},"StringEquals":{"a:k":"x"}"#);
        assert_eq!(
            texts(&format!("{fine},{odd}"), PolicyKind::Identity),
            [(1, "`aws:TagKeys` holds a list: put `ForAllValues:` or `ForAnyValue:` before `StringEquals`".to_owned())]
        );
        let trust = |condition: &str| {
            format!(
                r#"{{"Effect":"Allow","Principal":{{"Service":"x.amazonaws.com"}},"Action":"sts:AssumeRole","Condition":{{{condition}}}}}"#
            )
        };
        assert_eq!(texts(&trust(""), PolicyKind::Trust).len(), 1);
        assert!(texts(&trust(r#""StringEquals":{"AWS:SourceAccount":"1"}"#), PolicyKind::Trust).is_empty());
    }
}

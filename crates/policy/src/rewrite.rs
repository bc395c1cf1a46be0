//! Rewriting the principals of a document's text.
//!
//! AWS saves a role or user as its unique id and prints the ARN back for as long as the entity
//! exists. A service that stores the text does both with this: ARN to id on the way in, id to ARN
//! on the way out.

use serde_json::Value;

use crate::malformed::Malformed;

/// Replaces every principal in `Principal` and `NotPrincipal` under `AWS` for which `new_name`
/// answers, and leaves all else as it is (order of members included; white space is not kept).
///
/// # Errors
/// When `text` is not JSON.
pub fn rewrite_principals(text: &str, new_name: &dyn Fn(&str) -> Option<String>) -> Result<String, Malformed> {
    let mut document: Value = serde_json::from_str(text).map_err(|_| Malformed::syntax())?;
    let rename = |value: &mut Value| {
        if let Some(new) = value.as_str().and_then(new_name) {
            *value = Value::String(new);
        }
    };
    let statements = match document.get_mut("Statement") {
        Some(Value::Array(list)) => list.iter_mut().collect(),
        Some(single @ Value::Object(_)) => vec![single],
        _ => Vec::new(),
    };
    for statement in statements {
        for element in ["Principal", "NotPrincipal"] {
            match statement.get_mut(element).and_then(|names| names.get_mut("AWS")) {
                Some(Value::Array(list)) => list.iter_mut().for_each(rename),
                Some(single) => rename(single),
                None => {}
            }
        }
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let arn = "arn:aws:iam::123456789012:role/R";
        let text = format!(
            r#"{{"Statement":[{{"Principal":{{"AWS":["{arn}","*"],"Service":"{arn}"}}}},{{"NotPrincipal":{{"AWS":"{arn}"}}}},{{"Principal":"*"}}]}}"#
        );
        let saved = rewrite_principals(&text, &|name| (name == arn).then(|| "AROA1".to_owned())).unwrap();
        assert_eq!(
            saved,
            format!(
                r#"{{"Statement":[{{"Principal":{{"AWS":["AROA1","*"],"Service":"{arn}"}}}},{{"NotPrincipal":{{"AWS":"AROA1"}}}},{{"Principal":"*"}}]}}"#
            )
        );
        assert_eq!(rewrite_principals(&saved, &|name| (name == "AROA1").then(|| arn.to_owned())).unwrap(), text);
        assert!(rewrite_principals("{", &|_| None).is_err());
        assert_eq!(rewrite_principals("[1]", &|_| None).unwrap(), "[1]");
    }
}

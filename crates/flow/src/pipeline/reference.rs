//! What a value in a definition refers to: `{"Get": …}`, `Std:Join`, `Std:JsonGet`, and the paths in them.
//!
//! Only the grammar: [`super::check`] decides whether the target exists, [`super::resolve`] finds its value.

use serde_json::Value;

/// A reference to something outside the value that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `Parameters.<name>`
    Parameter(String),
    /// `Execution.<variable>`
    Execution(Variable),
    /// `Steps.<step>.<path>`, on what Describe answers for the step.
    Step {
        /// The step's name.
        step: String,
        /// What to take of its output document.
        path: Vec<Segment>,
    },
    /// `Steps.<step>.PropertyFiles.<name>`, only as the `PropertyFile` of `Std:JsonGet`.
    PropertyFile {
        /// The step's name.
        step: String,
        /// The `PropertyFileName`.
        file: String,
    },
}

/// The execution variables ("Execution Variables" of the SageMaker Python SDK).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// When the execution began.
    StartDateTime,
    /// When the step that asks began.
    CurrentDateTime,
    /// The pipeline's name.
    PipelineName,
    /// The pipeline's ARN.
    PipelineArn,
    /// The twelve characters at the end of the execution's ARN.
    PipelineExecutionId,
    /// The execution's ARN.
    PipelineExecutionArn,
    /// The name of the training job of the step that asks.
    TrainingJobName,
    /// The name of the processing job of the step that asks.
    ProcessingJobName,
}

/// One step down a JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A member, or the element of a list that bears this name (`Outputs['train']`).
    Key(String),
    /// An element of a list, from 0.
    Index(usize),
}

/// A value that is computed.
#[derive(Debug, Clone, PartialEq)]
pub enum Function<'a> {
    /// `{"Get": "…"}`
    Get(Reference),
    /// `{"Std:Join": {"On": "…", "Values": […]}}`
    Join {
        /// What stands between the values; nothing if not given.
        on: &'a str,
        /// What to join, each possibly computed.
        values: &'a [Value],
    },
    /// `{"Std:JsonGet": {"PropertyFile": {"Get": "…"}, "Path": "…"}}`
    JsonGet {
        /// The step whose file it is.
        step: String,
        /// The `PropertyFileName`.
        file: String,
        /// What to take of the file.
        path: Vec<Segment>,
    },
}

/// Reads `value` as a computed value; `None` if it is a literal.
///
/// # Errors
/// A sentence without period that says what is wrong with the function.
pub fn function(value: &Value) -> Result<Option<Function<'_>>, String> {
    let Some(object) = value.as_object().filter(|object| object.len() == 1) else { return Ok(None) };
    let Some((key, body)) = object.iter().next() else { return Ok(None) };
    match key.as_str() {
        "Get" => {
            let text = body.as_str().ok_or("[Get] takes a string")?;
            Ok(Some(Function::Get(get(text)?)))
        }
        "Std:Join" => {
            let on = match body.get("On") {
                None => "",
                Some(on) => on.as_str().ok_or("[Std:Join] takes a string as [On]")?,
            };
            let values = body.get("Values").and_then(Value::as_array).ok_or("[Std:Join] takes a list as [Values]")?;
            Ok(Some(Function::Join { on, values }))
        }
        "Std:JsonGet" => json_get(body).map(Some),
        other if other.starts_with("Std:") => Err(format!("function [{other}] is not supported")),
        _ => Ok(None),
    }
}

fn json_get(body: &Value) -> Result<Function<'_>, String> {
    if body.get("S3Uri").is_some() {
        return Err("[Std:JsonGet] with [S3Uri] is not supported: use a [PropertyFile]".into());
    }
    let file = body.get("PropertyFile").ok_or("[Std:JsonGet] needs [PropertyFile]")?;
    // Early SDKs wrote the reference without Get.
    let text = file.get("Get").unwrap_or(file).as_str().ok_or("[PropertyFile] of [Std:JsonGet] takes a [Get]")?;
    let Reference::PropertyFile { step, file } = get(text)? else {
        return Err(format!("[PropertyFile] of [Std:JsonGet] must be Steps.<step>.PropertyFiles.<name>, not [{text}]"));
    };
    let path = body.get("Path").and_then(Value::as_str).ok_or("[Std:JsonGet] takes a string as [Path]")?;
    Ok(Function::JsonGet { step, file, path: parse_path(path.strip_prefix('$').unwrap_or(path))? })
}

/// Reads the text of a `Get`.
///
/// # Errors
/// A sentence without period.
pub fn get(text: &str) -> Result<Reference, String> {
    let bad = || format!("[{}] is not a valid reference", shorten(text));
    let (root, rest) = text.split_once('.').ok_or_else(bad)?;
    match root {
        "Parameters" if !rest.is_empty() => Ok(Reference::Parameter(rest.to_owned())),
        "Execution" => variable(rest).map(Reference::Execution).ok_or_else(|| format!("[{}] is not an execution variable", shorten(text))),
        "Steps" => {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (step, path) = rest.split_at(end);
            if step.is_empty() {
                return Err(bad());
            }
            let path = parse_path(path)?;
            match path.as_slice() {
                [] => Err(format!("[{}] names a step but none of its properties", shorten(text))),
                [Segment::Key(root), file] if root == "PropertyFiles" => match file {
                    Segment::Key(file) => Ok(Reference::PropertyFile { step: step.to_owned(), file: file.clone() }),
                    Segment::Index(_) => Err(bad()),
                },
                _ => Ok(Reference::Step { step: step.to_owned(), path }),
            }
        }
        _ => Err(bad()),
    }
}

fn variable(text: &str) -> Option<Variable> {
    Some(match text {
        "StartDateTime" => Variable::StartDateTime,
        "CurrentDateTime" => Variable::CurrentDateTime,
        "PipelineName" => Variable::PipelineName,
        "PipelineArn" => Variable::PipelineArn,
        "PipelineExecutionId" => Variable::PipelineExecutionId,
        "PipelineExecutionArn" => Variable::PipelineExecutionArn,
        "TrainingJobName" => Variable::TrainingJobName,
        "ProcessingJobName" => Variable::ProcessingJobName,
        _ => return None,
    })
}

/// Reads a path such as `.A.B['k'][0]`; the first dot may be missing.
///
/// # Errors
/// A sentence without period.
pub fn parse_path(text: &str) -> Result<Vec<Segment>, String> {
    let bad = || format!("[{}] is not a valid path", shorten(text));
    let mut path = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (segment, after) = bracket(inner).ok_or_else(bad)?;
            path.push(segment);
            rest = after;
            continue;
        }
        let key = match rest.strip_prefix('.') {
            Some(key) => key,
            None if path.is_empty() => rest,
            None => return Err(bad()),
        };
        let end = key.find(['.', '[']).unwrap_or(key.len());
        if end == 0 || key[..end].contains(['*', ']']) {
            return Err(bad());
        }
        path.push(Segment::Key(key[..end].to_owned()));
        rest = &key[end..];
    }
    Ok(path)
}

/// What stands after `[`: a quoted key or an index, and what follows the `]`.
fn bracket(inner: &str) -> Option<(Segment, &str)> {
    if let Some(quote) = inner.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let (key, after) = inner[1..].split_once(quote)?;
        return Some((Segment::Key(key.to_owned()), after.strip_prefix(']')?));
    }
    let (index, after) = inner.split_once(']')?;
    Some((Segment::Index(index.parse().ok()?), after))
}

/// Calls `found` for every reference of `value` and `wrong` for every malformed function.
pub fn walk(value: &Value, found: &mut impl FnMut(Reference), wrong: &mut impl FnMut(String)) {
    match function(value) {
        Err(problem) => wrong(problem),
        Ok(Some(Function::Get(Reference::PropertyFile { step, file }))) => {
            wrong(format!("property file [{file}] of step [{step}] can only be read by [Std:JsonGet]"));
        }
        Ok(Some(Function::Get(reference))) => found(reference),
        Ok(Some(Function::JsonGet { step, file, .. })) => found(Reference::PropertyFile { step, file }),
        Ok(Some(Function::Join { values, .. })) => values.iter().for_each(|value| walk(value, found, wrong)),
        Ok(None) => match value {
            Value::Array(items) => items.iter().for_each(|item| walk(item, found, wrong)),
            Value::Object(members) => members.values().for_each(|member| walk(member, found, wrong)),
            _ => {}
        },
    }
}

/// Follows `path` down `document`. A key on a list finds the element that bears that name, which is how
/// `ProcessingOutputConfig.Outputs['train']` reads ("Data Dependency - Property Reference").
#[must_use]
pub fn follow<'a>(document: &'a Value, path: &[Segment]) -> Option<&'a Value> {
    const NAMES: [&str; 6] = ["OutputName", "InputName", "ChannelName", "MetricName", "ParameterName", "Name"];
    path.iter().try_fold(document, |at, segment| match (segment, at) {
        (Segment::Key(key), Value::Array(items)) => {
            items.iter().find(|item| NAMES.iter().any(|name| item.get(name).and_then(Value::as_str) == Some(key)))
        }
        (Segment::Key(key), _) => at.get(key),
        (Segment::Index(index), _) => at.get(index),
    })
}

/// A path as it would be written.
#[must_use]
pub fn show(path: &[Segment]) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Segment::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    shorten(&text)
}

/// Text of the client's for an error message: its first 128 characters.
#[must_use]
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(128) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(text: &str) -> Segment {
        Segment::Key(text.into())
    }

    #[test]
    fn references_read() {
        let step = |step: &str, path: Vec<Segment>| Reference::Step { step: step.into(), path };
        for (text, wanted) in [
            ("Parameters.a-b_c", Reference::Parameter("a-b_c".into())),
            ("Execution.PipelineExecutionId", Reference::Execution(Variable::PipelineExecutionId)),
            ("Steps.t-1_x.ModelArtifacts.S3ModelArtifacts", step("t-1_x", vec![key("ModelArtifacts"), key("S3ModelArtifacts")])),
            ("Steps.p.Outputs['tr.a]in'].S3Uri", step("p", vec![key("Outputs"), key("tr.a]in"), key("S3Uri")])),
            ("Steps.p.A[\"k\"][12].B", step("p", vec![key("A"), key("k"), Segment::Index(12), key("B")])),
            ("Steps.p['Outputs']", step("p", vec![key("Outputs")])),
            ("Steps.p.PropertyFiles.Report", Reference::PropertyFile { step: "p".into(), file: "Report".into() }),
        ] {
            assert_eq!(get(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn malformed_references_are_refused() {
        for text in [
            "",
            "Parameters",
            "Parameters.",
            "Execution.Nope",
            "Steps.",
            "Steps.s",
            "Steps.s.",
            "Steps.s..a",
            "Steps.s.a[",
            "Steps.s.a[-1]",
            "Steps.s.a[x]",
            "Steps.s.a['k'",
            "Steps.s.a[0]b",
            "Steps.s.a[*]",
            "Steps.s.*",
            "Nope.x",
            "Steps.s.PropertyFiles[0]",
        ] {
            assert!(get(text).is_err(), "{text}");
        }
        for value in [
            json!({"Get": 1}),
            json!({"Std:Join": {"Values": 1}}),
            json!({"Std:Join": {"On": 1, "Values": []}}),
            json!({"Std:Split": {}}),
            json!({"Std:JsonGet": {"Path": "a"}}),
            json!({"Std:JsonGet": {"PropertyFile": {"Get": "Parameters.x"}, "Path": "a"}}),
        ] {
            assert!(function(&value).is_err(), "{value}");
        }
        assert_eq!(function(&json!({"Get": "Parameters.x", "Else": 1})), Ok(None), "two members make a literal");
    }

    #[test]
    fn paths_follow_documents() {
        let document = json!({"O": [{"OutputName": "a", "U": 1}, {"OutputName": "b", "U": 2}], "m": {"x.y": [10, 20]}});
        for (path, wanted) in [
            ("O['b'].U", Some(json!(2))),
            (".O[0].U", Some(json!(1))),
            ("m['x.y'][1]", Some(json!(20))),
            ("O['c'].U", None),
            ("m.z", None),
            ("O[2]", None),
            ("m['x.y'][1].k", None),
        ] {
            assert_eq!(follow(&document, &parse_path(path).unwrap()).cloned(), wanted, "{path}");
        }
    }
}

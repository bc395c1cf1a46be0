//! `tenantry policy`: policies evaluated and checked without an instance, for use in CI.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::Path,
    process::ExitCode,
};

use tenantry_offline::{Answer, Finding, FindingType, Step, evaluate_line};
use tenantry_policy::PolicyKind;

use crate::{
    args::{Policy, PolicyCommand, PolicyEvaluate, PolicyType, PolicyValidate},
    failure::Failure,
};

/// A longer line is no case: the longest documents AWS stores are a tenth of it.
const MAX_LINE: usize = 4 << 20;

/// `tenantry policy`.
pub fn policy(policy: Policy) -> Result<ExitCode, Failure> {
    match policy.command {
        PolicyCommand::Evaluate(evaluate) => cases(&evaluate),
        PolicyCommand::Validate(validate) => findings(&validate),
    }
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(BufReader::new(File::open(path).map_err(Failure::file(path))?)))
}

/// Every case is answered in order; a case that cannot be judged does not stop the others, and
/// makes the exit code 1.
fn cases(evaluate: &PolicyEvaluate) -> Result<ExitCode, Failure> {
    let mut input = open(&evaluate.cases)?;
    let mut output = BufWriter::new(io::stdout().lock());
    let (mut failed, mut number) = (false, 0_usize);
    while let Some(line) = next_line(&mut input).map_err(Failure::file(&evaluate.cases))? {
        number += 1;
        let answer = match line {
            Line::Text(text) if text.trim().is_empty() => continue,
            Line::Text(text) => evaluate_line(&text),
            Line::TooLong => Answer::Failed { id: None, error: format!("line {number} is longer than {MAX_LINE} bytes") },
            Line::NotText => Answer::Failed { id: None, error: format!("line {number} is not UTF-8") },
        };
        failed |= matches!(answer, Answer::Failed { .. });
        let shown = if evaluate.json { serde_json::to_string(&answer).unwrap_or_default() } else { in_words(&answer, number) };
        writeln!(output, "{shown}").map_err(Failure::file("standard output"))?;
    }
    output.flush().map_err(Failure::file("standard output"))?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn in_words(answer: &Answer, number: usize) -> String {
    let name = |id: &Option<Box<serde_json::value::RawValue>>| {
        id.as_ref().map_or_else(|| format!("line {number}"), |id| id.get().trim_matches('"').to_owned())
    };
    match answer {
        Answer::Decided { id, decision, reason, .. } => format!("{:<24} {:<12} {reason}", name(id), format!("{decision:?}")),
        Answer::Failed { id, error } => format!("{:<24} {:<12} {error}", name(id), "error"),
    }
}

enum Line {
    Text(String),
    TooLong,
    NotText,
}

/// The next line; what is too long is read past without being kept.
fn next_line(input: &mut dyn BufRead) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    if input.take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && line.len() > MAX_LINE {
        input.skip_until(b'\n')?;
        return Ok(Some(Line::TooLong));
    }
    let text = line.strip_prefix(b"\xEF\xBB\xBF").map(<[u8]>::to_vec).unwrap_or(line);
    Ok(Some(String::from_utf8(text).map_or(Line::NotText, Line::Text)))
}

/// Prints what is found; errors make the exit code 1.
fn findings(validate: &PolicyValidate) -> Result<ExitCode, Failure> {
    let mut bytes = Vec::new();
    let limit = tenantry_offline::MAX_DOCUMENT as u64 + 1;
    open(&validate.file)?.take(limit).read_to_end(&mut bytes).map_err(Failure::file(&validate.file))?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::Refused(format!("`{}` is not UTF-8", validate.file.display())))?;
    let found = tenantry_offline::findings(&text, kind(validate.kind));
    let mut output = BufWriter::new(io::stdout().lock());
    for finding in &found {
        let shown = if validate.json { serde_json::to_string(finding).unwrap_or_default() } else { placed(&validate.file, finding) };
        writeln!(output, "{shown}").map_err(Failure::file("standard output"))?;
    }
    output.flush().map_err(Failure::file("standard output"))?;
    let failed = found.iter().any(|finding| finding.kind == FindingType::Error);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// One line as compilers write it, and the way through the document.
fn placed(file: &Path, finding: &Finding) -> String {
    let step = |step: &Step| match step {
        Step::Index(index) => format!("[{index}]"),
        Step::Value(name) | Step::Key(name) => format!(".{name}"),
    };
    let path: String = finding.path.iter().map(step).collect();
    let (at, kind) = (finding.span.start, finding.kind.as_str());
    format!(
        "{}:{}:{}: {kind} {}: {} (at {})",
        file.display(),
        at.line,
        at.column + 1,
        finding.code,
        finding.text,
        path.trim_start_matches('.')
    )
}

fn kind(kind: PolicyType) -> PolicyKind {
    match kind {
        PolicyType::Identity => PolicyKind::Identity,
        PolicyType::Resource => PolicyKind::Resource,
        PolicyType::Trust => PolicyKind::Trust,
        PolicyType::Scp => PolicyKind::ServiceControl,
        PolicyType::Rcp => PolicyKind::ResourceControl,
        PolicyType::Session => PolicyKind::Session,
        PolicyType::Boundary => PolicyKind::Boundary,
        PolicyType::Vpce => PolicyKind::Endpoint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_too_long_is_passed_over() {
        let long = vec![b'x'; MAX_LINE + 5];
        let text = [b"{}\n".as_slice(), &long, b"\nlast\xff\nend"].concat();
        let mut input = BufReader::new(text.as_slice());
        let kinds: Vec<String> = std::iter::from_fn(|| next_line(&mut input).unwrap())
            .map(|line| match line {
                Line::Text(text) => text,
                Line::TooLong => "too long".to_owned(),
                Line::NotText => "not text".to_owned(),
            })
            .collect();
        assert_eq!(kinds, ["{}\n", "too long", "not text", "end"]);
    }
}

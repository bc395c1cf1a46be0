//! Policy variables: where they may stand, and how they are written.

use std::ops::Range;

use super::Report;
use super::place::Step;

/// A variable where there are none; true when it has been reported.
pub(super) fn unsupported(report: &mut Report<'_>, path: &[Step], span: &Range<usize>, text: &str, element: &str) -> bool {
    let found = text.contains("${");
    if found {
        report.error("VARIABLE_UNSUPPORTED_IN_ELEMENT", path, span, format!("`{element}` has no variables: `${{` is plain text here"));
    }
    found
}

/// Variables where they are supported.
pub(super) fn check(report: &mut Report<'_>, path: &[Step], span: &Range<usize>, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if !report.variables {
            let why = "variables need `\"Version\": \"2012-10-17\"`; in this document `${` is plain text";
            return report.error("VARIABLE_UNSUPPORTED_IN_VERSION", path, span, why);
        }
        let inside = &rest[at + 2..];
        let Some((variable, behind)) = inside.split_once('}') else {
            return report.error("MISSING_BRACE_IN_VARIABLE", path, span, "a variable ends in `}`");
        };
        rest = behind;
        if matches!(variable, "*" | "?" | "$") {
            continue;
        }
        let (name, default) = variable.split_once(',').map_or((variable, None), |(name, default)| (name, Some(default.trim())));
        if name.trim().is_empty() {
            report.error("EMPTY_VARIABLE", path, span, "name the condition key between `${` and `}`");
        } else if name.trim() != name || name.contains(' ') && !name.contains('/') {
            report.error(
                "UNSUPPORTED_SPACE_IN_VARIABLE",
                path,
                span,
                format!("`{}` has a blank in its name", super::document::shown(name)),
            );
        }
        if default.is_some_and(|text| text.len() < 2 || !text.starts_with('\'') || !text.ends_with('\'')) {
            report.error("MISSING_QUOTE_IN_VARIABLE", path, span, "a default stands in single quotes: `${key, 'default'}`");
        }
    }
}

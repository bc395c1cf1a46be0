//! `promises`: every promise of PROMISES.md names the tests that keep it, and those tests exist.
//!
//! A promise is a numbered item that goes on to the next blank line; in it, `test: ` and behind it, parted
//! by commas, `path::name`. A name that is no test any more is refused, so a promise cannot outlive what
//! keeps it. This runs no test and does not judge whether a test shows what the promise says.

use crate::shell::root;

/// Holds PROMISES.md against the tree.
pub fn run(_: &[String]) -> Result<(), String> {
    let page = root().join("PROMISES.md");
    let text = std::fs::read_to_string(&page).map_err(|e| format!("{}: {e}", page.display()))?;
    let promises = parse(&text);
    let problems = check(&promises, &|path| std::fs::read_to_string(root().join(path)).ok());
    if !problems.is_empty() {
        return Err(format!("PROMISES.md:\n{}", problems.join("\n")));
    }
    let tests: usize = promises.iter().map(|promise| promise.tests.len()).sum();
    eprintln!("{} promises, kept by {tests} tests", promises.len());
    Ok(())
}

/// A promise: its number, and what stands behind `test: `.
#[derive(Debug, Default, PartialEq, Eq)]
struct Promise {
    number: usize,
    tests: Vec<String>,
}

fn parse(text: &str) -> Vec<Promise> {
    let mut promises: Vec<Promise> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if let Some(number) = line.split_once(". ").and_then(|(number, _)| number.parse().ok()) {
            promises.push(Promise { number, tests: Vec::new() });
            inside = true;
        } else if line.trim().is_empty() {
            inside = false;
        }
        let named = line.split_once("test: ").filter(|_| inside);
        if let (Some((_, named)), Some(promise)) = (named, promises.last_mut()) {
            promise.tests.extend(named.split(',').map(|test| test.trim().trim_matches('`').to_owned()).filter(|test| !test.is_empty()));
        }
    }
    promises
}

/// What is wrong, a line each. `read` gives a file of the tree.
fn check(promises: &[Promise], read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut problems = Vec::new();
    if promises.is_empty() {
        problems.push("no promise stands here".to_owned());
    }
    for (promise, expected) in promises.iter().zip(1..) {
        let number = promise.number;
        if number != expected {
            problems.push(format!("{number} stands where {expected} must"));
        }
        if promise.tests.is_empty() {
            problems.push(format!("{number} has no test"));
        }
        for test in &promise.tests {
            let fault = match test.split_once("::") {
                None => Some("is not `path::name`"),
                Some((path, name)) => match read(path) {
                    None => Some("names a file that is not there"),
                    Some(text) => fault(path, &text, name),
                },
            };
            problems.extend(fault.map(|fault| format!("{number}: `{test}` {fault}")));
        }
    }
    problems
}

/// Why `name` is not a test of this file that runs, if so.
fn fault(path: &str, text: &str, name: &str) -> Option<&'static str> {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let python = path.ends_with(".py");
    let found = lines.iter().position(|line| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix(if python { "def " } else { "fn " })
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('('))
    });
    let Some(at) = found else { return Some("is not there") };
    let above: Vec<&str> = lines[..at].iter().rev().take_while(|line| line.starts_with(['#', '@', '/'])).copied().collect();
    if above.iter().any(|line| ["#[ignore", "mark.skip", "mark.xfail", "unittest.skip"].iter().any(|word| line.contains(word))) {
        return Some("is skipped");
    }
    // A harness of its own (sandboxes, the engine) lists its tests by name.
    let listed = || lines.contains(&format!("{name},").as_str()) || text.contains(&format!("(\"{name}\", {name})"));
    let marked = if python { name.starts_with("test_") } else { above.iter().any(|line| line.contains("test]") || line.contains("test(")) };
    // A harness that has no tests with names of their own: it passes or fails as a whole.
    let harness = name == "main" && (path.contains("/tests/") || path.starts_with("tests/"));
    (!marked && !listed() && !harness).then_some("is a function but not a test")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUST: &str = "#[test]\nfn one() {}\n#[tokio::test]\nasync fn two() {}\nfn three() {}\n#[test]\n#[ignore = \"slow\"]\nfn four() {}\n\
        const TESTS: &[Test] = &[(\"five\", five)];\nfn five() {}\nconst MORE: &[Test] = tests![\n    six,\n];\nfn six() {}\n";

    fn problems(page: &str) -> Vec<String> {
        check(&parse(page), &|path| match path {
            "a.rs" => Some(RUST.to_owned()),
            "a/tests/whole/main.rs" => Some("fn main() {}\n".to_owned()),
            "b.py" => Some("def test_one(instance):\n    pass\n@pytest.mark.skip\ndef test_two():\n    pass\n".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn promises_that_are_kept() {
        assert_eq!(
            problems(
                "# Promises\n\n1. Yes. test: `a.rs::one`, `a.rs::two`\n2. Also,\n   at length. test: `b.py::test_one`\n   test: a.rs::five, a.rs::six,\n   test: `a/tests/whole/main.rs::main`\n"
            ),
            [""; 0]
        );
    }

    #[test]
    fn promises_that_are_not() {
        for (page, problem) in [
            ("nothing", "no promise stands here"),
            ("1. No test.", "1 has no test"),
            ("1. A. test: `a.rs::one`\n3. B. test: `a.rs::one`", "3 stands where 2 must"),
            ("1. A.\n\ntest: `a.rs::one`", "1 has no test"),
            ("1. A. test: `one`", "1: `one` is not `path::name`"),
            ("1. A. test: `c.rs::one`", "1: `c.rs::one` names a file that is not there"),
            ("1. A. test: `a.rs::on`", "1: `a.rs::on` is not there"),
            ("1. A. test: `a.rs::three`", "1: `a.rs::three` is a function but not a test"),
            ("1. A. test: `a.rs::four`", "1: `a.rs::four` is skipped"),
            ("1. A. test: `b.py::test_two`", "1: `b.py::test_two` is skipped"),
        ] {
            assert_eq!(problems(page), [problem], "{page}");
        }
    }
}

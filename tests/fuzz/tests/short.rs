//! The corpora replayed, and a short way on from them with a fixed seed: what `cargo xtask fuzz` does for a minute a target
//! with counters, without them.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Mutex;

use tenantry_fuzz::{
    corpus,
    engine::{Fuzzer, InFlight, Until},
    targets,
};

/// Panics of any thread count, so one target runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn short(name: &str, executions: usize) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let target = targets::all().into_iter().find(|target| target.name == name).unwrap();
    let mut inputs = corpus::read(&corpus::kept(name)).unwrap();
    inputs.extend((target.seeds)());
    assert!(!inputs.is_empty(), "a target without a corpus");
    let report = Fuzzer::new(&target, InFlight::nowhere()).fuzz(&inputs, 20_261_122, Until::Executions(executions));
    let findings: Vec<String> = report
        .findings
        .iter()
        .map(|(finding, input)| format!("{}: {} on {:?}", finding.kind, finding.cause, String::from_utf8_lossy(input)))
        .collect();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    assert!(report.executions >= inputs.len() + executions);
}

/// One test a target, so that a failure has its name.
macro_rules! targets {
    ($($test:ident: $name:literal, $executions:literal;)*) => {
        $(#[test]
        fn $test() {
            short($name, $executions);
        })*

        #[test]
        fn every_target_is_here() {
            let listed: Vec<&str> = targets::all().iter().map(|target| target.name).collect();
            assert_eq!(listed, [$($name),*]);
        }
    };
}

targets! {
    aws_json: "aws-json", 2000;
    aws_query: "aws-query", 2000;
    rest_json: "rest-json", 2000;
    rest_xml: "rest-xml", 2000;
    signature: "signature", 1000;
    chunks: "chunks", 1000;
    policy: "policy", 300;
    case: "case", 1000;
    saml: "saml", 1000;
    metadata: "metadata", 1000;
    jwt: "jwt", 1000;
    pipeline: "pipeline", 1000;
    archive: "archive", 500;
    image: "image", 1000;
    metric: "metric", 300;
    request: "request", 500;
    form: "form", 500;
    connection: "connection", 500;
    stored: "stored", 500;
}

#[test]
fn the_corpora_are_small() {
    let bytes: u64 =
        targets::all().iter().flat_map(|target| corpus::read(&corpus::kept(target.name)).unwrap()).map(|input| input.len() as u64).sum();
    assert!(bytes < 1_000_000, "{bytes} bytes");
}

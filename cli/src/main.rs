//! `tenantry`: the one binary. Composes services, store and compute, and is the front door for people.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 refused or
//! failed, 2 wrong usage, 3 the instance cannot be reached or opened.

mod args;
mod audit;
mod client;
mod coverage;
mod demo;
mod doctor;
mod environment;
mod explain;
mod failure;
mod instance;
mod policy;
mod serve;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::{Arguments, Command},
    failure::Failure,
};

fn main() -> ExitCode {
    // A sandbox is this binary again; it must not get as far as parsing arguments.
    tenantry_compute::maybe_become_jailer();
    let arguments = Arguments::parse();
    start_log(arguments.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tenantry: the runtime does not start: {error}");
            return ExitCode::from(3);
        }
    };
    let outcome = runtime.block_on(run(arguments));
    // A client that stays connected must not keep the process alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("tenantry: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        Command::Serve(serve) => serve::serve(serve).await,
        Command::Env(env) => environment::print(&env),
        Command::Exec(exec) => environment::exec(exec),
        Command::Profile(profile) => environment::profile(profile),
        Command::Doctor(doctor) => doctor::doctor(&doctor),
        Command::Explain(explain) => explain::explain(explain).await,
        Command::Audit(audit) => audit::audit(audit).await,
        Command::Policy(command) => policy::policy(command),
        Command::Coverage { json } => {
            if json {
                coverage::facts()
            } else {
                coverage::coverage()
            }
        }
        Command::Demo(demo) => demo::demo(demo).await,
    }
}

fn start_log(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false).init();
}

//! `tenantry doctor`: what this machine offers, and what is lost without it.

use std::process::{Command, ExitCode};

use serde_json::json;
use tenantry_compute::Capabilities;

use crate::{args::Doctor, failure::Failure};

/// `tenantry doctor`. Exit code 1 when jobs could not be isolated or have no Python to run on.
#[expect(clippy::print_stdout, reason = "the findings are the command's data")]
pub fn doctor(doctor: &Doctor) -> Result<ExitCode, Failure> {
    let host = Capabilities::probe();
    let python = python();
    let mut shortcomings = host.shortcomings();
    if python.is_none() {
        shortcomings.push("no Python 3 with its venv module: no image can be prepared (install python3 and python3-venv)".to_owned());
    }
    let usable = host.sandbox.is_ok() && python.is_some();
    let found = [
        ("sandbox", host.sandbox.is_ok()),
        ("a uid for each account", host.root),
        ("overlay file systems", host.overlay),
        ("system call filters", host.seccomp),
        ("memory limits", host.memory),
        ("processor limits", host.cpu),
        ("process limits", host.pids),
        ("landlock (not used yet)", host.landlock),
    ];
    if doctor.json {
        let offers: serde_json::Map<String, serde_json::Value> =
            found.iter().map(|(what, there)| ((*what).to_owned(), json!(there))).collect();
        println!("{}", json!({"offers": offers, "python": python, "shortcomings": shortcomings, "usable": usable}));
    } else {
        for (what, there) in found {
            println!("{}  {what}", if there { "ok     " } else { "missing" });
        }
        println!("{}  python {}", if python.is_some() { "ok     " } else { "missing" }, python.as_deref().unwrap_or("3"));
        for line in &shortcomings {
            println!("{line}");
        }
    }
    Ok(if usable { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn python() -> Option<String> {
    let script = "import sys, venv, ensurepip; print(sys.version.split()[0])";
    let output = Command::new("python3").args(["-c", script]).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

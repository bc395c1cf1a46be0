//! `@cloud-copilot/iam-simulate` under node, timed inside its own process.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    Failure, Times,
    scene::{ACCOUNT, Asked, Scene},
};

pub(crate) fn run(scene: &Scene, directory: &str) -> Result<(Vec<bool>, Times), Failure> {
    let request = |asked: &Asked| {
        json!({
            "principal": format!("arn:aws:sts::{ACCOUNT}:assumed-role/Scientist/session"),
            "action": asked.action,
            "resource": asked.resource,
            "account": ACCOUNT,
            "context": {"aws:PrincipalTag/team": asked.principal_team, "aws:ResourceTag/team": asked.resource_team},
        })
    };
    let requests: Vec<Value> = scene.requests.iter().map(request).collect();
    let rounds = (4_000 / scene.size).clamp(20, 2_000);
    let input = json!({"policies": scene.policies(), "requests": requests, "rounds": rounds}).to_string();
    let mut node = Command::new("node").arg("simulate.mjs").current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    node.stdin.take().ok_or("node has no standard input")?.write_all(input.as_bytes())?;
    let output = node.wait_with_output()?;
    if !output.status.success() {
        return Err("iam-simulate failed".into());
    }
    let told: Value = serde_json::from_slice(&output.stdout)?;
    let answers = told["answers"].as_array().ok_or("no answers")?.iter().map(|answer| answer == true).collect();
    let times = told["nanoseconds"].as_array().ok_or("no times")?.iter().filter_map(Value::as_u64).collect();
    Ok((answers, Times::new(times)))
}

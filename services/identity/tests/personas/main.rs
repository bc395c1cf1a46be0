//! The authorization matrix of the personas of a data-science platform, as a page for people.
//!
//! Roles as the secure-environment reference designs describe them, with inline policies of our own
//! and the managed policies of this crate, judged by the evaluator that serves requests. The page is
//! `docs/personas.md`; `PERSONAS=write cargo test -p tenantry-identity --test personas` writes it anew.

mod rows;

use std::{
    collections::HashMap,
    fmt::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use rows::{ROLES, ROWS, Role, Row};
use tenantry_policy::{
    Attached, Context, Decision, Layers, Outcome, Policy, PolicyKind, PolicySet, Principal, Request, ResourcePolicyMode, evaluate,
};

const ACCOUNT: &str = "111111111111";

fn parse(text: &str, kind: PolicyKind) -> Arc<Policy> {
    Arc::new(Policy::parse(text, kind).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// A role's policies, all of them.
fn policies(role: &Role, managed: &HashMap<String, Arc<Policy>>) -> PolicySet {
    let of_name = |name: &&str| {
        let (arn, policy) =
            managed.iter().find(|(arn, _)| arn.rsplit('/').next() == Some(*name)).unwrap_or_else(|| panic!("no managed policy {name}"));
        Attached::managed(arn, Arc::clone(policy))
    };
    let inline = Attached::inline(role.name, parse(role.inline, PolicyKind::Identity));
    role.managed.iter().map(of_name).chain([inline]).collect()
}

fn decide(role: &Role, row: &Row, identity: &PolicySet) -> Decision {
    let arn = format!("arn:aws:iam::{ACCOUNT}:role/{}", role.name);
    let principal = Principal::session(ACCOUNT, &arn, "AROAEXAMPLEROLE00001", "session");
    let mut context = Context::new();
    context.set("aws:PrincipalArn", arn.as_str()).set("aws:PrincipalAccount", ACCOUNT).set("aws:ResourceAccount", ACCOUNT);
    context.set("aws:ViaAWSService", "false").set("aws:RequestedRegion", "us-east-1");
    for (key, value) in role.tags {
        context.set(&format!("aws:PrincipalTag/{key}"), *value);
    }
    for (key, values) in row.context {
        match values {
            [one] if *key != "aws:TagKeys" => context.set(key, *one),
            many => context.set_list(key, many.iter().copied()),
        };
    }
    let bucket = Attached::inline("bucket", parse(include_str!("policies/bucket.json"), PolicyKind::Resource));
    let target = row.resource.strip_prefix("arn:aws:iam::111111111111:role/").filter(|_| row.action == "sts:AssumeRole");
    let trust = target.map(|name| Attached::inline("trust", parse(rows::trust(name), PolicyKind::Trust)));
    let of_bucket = row.resource.starts_with("arn:aws:s3:::team-");
    let layers = Layers {
        identity,
        resource: if of_bucket { Some(&bucket) } else { trust.as_ref() },
        resource_mode: if trust.is_some() { ResourcePolicyMode::MustAllow } else { ResourcePolicyMode::Normal },
        ..Layers::default()
    };
    let request =
        Request { action: row.action, resource: row.resource, resource_account: Some(ACCOUNT), principal: &principal, context: &context };
    evaluate(&request, &layers)
}

fn cell(decision: &Decision) -> &'static str {
    match decision.outcome {
        Outcome::Allow => "yes",
        Outcome::ImplicitDeny => "·",
        Outcome::ExplicitDeny => "**never**",
    }
}

/// The page.
fn page() -> String {
    let managed = tenantry_identity::managed();
    let sets: Vec<PolicySet> = ROLES.iter().map(|role| policies(role, &managed)).collect();
    let mut out = String::from(
        "# Who may do what\n\nThe roles of a data-science platform with one team, and what each may do. **yes**: the role may. **·**: nothing\n\
         allows it. **never**: a rule forbids it, whatever else is allowed; the rules are below the tables. Made by a test from\n\
         the policies in `services/identity/tests/personas` and the managed policies of this instance, with the evaluator\n\
         that serves requests. All is in one account, 111111111111; the team's buckets are `team-data` and `team-models`.\n\n## Roles\n\n",
    );
    for role in ROLES {
        let _ = writeln!(
            out,
            "- **{}**: {} Managed policies: {}.",
            role.name,
            role.says,
            if role.managed.is_empty() { "none".to_owned() } else { role.managed.join(", ") }
        );
    }
    let mut rules: Vec<(String, String)> = Vec::new();
    let mut group = "";
    for row in ROWS {
        if row.group != group {
            group = row.group;
            let names: Vec<String> = ROLES.iter().map(|role| role.short.to_owned()).collect();
            let _ = write!(out, "\n## {group}\n\n| what | asked as | {} |\n|---|---|{}\n", names.join(" | "), "---|".repeat(ROLES.len()));
        }
        let mut cells = Vec::new();
        for (role, set) in ROLES.iter().zip(&sets) {
            let decision = decide(role, row, set);
            cells.push(cell(&decision));
            if let Some(statement) = decision.statement.as_ref().filter(|_| decision.outcome == Outcome::ExplicitDeny) {
                let of = if &*statement.policy == "bucket" { "the team's buckets".to_owned() } else { role.name.to_owned() };
                let rule = format!("`{}` of {of}", statement.sid.as_deref().unwrap_or("?"));
                match rules.iter_mut().find(|(known, _)| *known == rule) {
                    Some((_, rows)) if !rows.contains(row.what) => {
                        let _ = write!(rows, "; {}", row.what);
                    }
                    Some(_) => {}
                    None => rules.push((rule, row.what.to_owned())),
                }
            }
        }
        let _ = writeln!(
            out,
            "| {} | `{}` on `{}` | {} |",
            row.what,
            row.action,
            row.resource.trim_start_matches("arn:aws:"),
            cells.join(" | ")
        );
    }
    out.push_str("\n## The rules behind \"never\"\n\n");
    for (rule, rows) in rules {
        let _ = writeln!(out, "- {rule}: {rows}.");
    }
    out
}

fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/personas.md")
}

#[test]
fn the_page_is_what_the_evaluator_decides() {
    let page = page();
    if std::env::var_os("PERSONAS").is_some_and(|value| value == "write") {
        std::fs::write(place(), &page).unwrap();
    }
    let kept = std::fs::read_to_string(place()).unwrap_or_default();
    assert!(kept == page, "docs/personas.md is not what is decided: PERSONAS=write writes it anew; review what changed");
}

/// What must hold whatever the page says.
#[test]
fn duties_stay_apart() {
    let managed = tenantry_identity::managed();
    let may = |role: &str, what: &str| {
        let role = ROLES.iter().find(|known| known.short == role).unwrap();
        let row = ROWS.iter().find(|row| row.what == what).unwrap();
        decide(role, row, &policies(role, &managed)).outcome
    };
    assert_eq!(may("Scientist", "Approve a model"), Outcome::ExplicitDeny);
    assert_eq!(may("Team admin", "Approve a model"), Outcome::Allow);
    assert_eq!(may("Scientist", "Open one's own Studio"), Outcome::Allow);
    assert_eq!(may("Scientist", "Open somebody else's Studio"), Outcome::ExplicitDeny);
    assert_eq!(may("Execution", "Train inside the VPC"), Outcome::Allow);
    assert_eq!(may("Execution", "Train outside the VPC"), Outcome::ExplicitDeny);
    assert_eq!(may("Pipeline", "Train outside the VPC"), Outcome::ExplicitDeny);
    assert_eq!(may("Admin", "Read the team's data from elsewhere"), Outcome::ExplicitDeny);
    assert_eq!(may("Execution", "Read the team's data from elsewhere"), Outcome::Allow);
    assert_eq!(may("Execution", "Give SageMaker an administrator's role"), Outcome::ExplicitDeny);
    assert_eq!(may("Scientist", "Give SageMaker an administrator's role"), Outcome::ExplicitDeny);
}

//! Tags open as well as close: whoever may touch only what bears a team's tag, may touch that, with every
//! operation that names a thing of SageMaker's; and may make things with the team's tag only.
//!
//! The columns show that a wrong tag is refused. That alone would also be so if no operation ever looked.

use std::collections::BTreeSet;

use serde_json::json;
use tenantry_core::Tag;
use tenantry_kernel::Access;
use tenantry_store::Batch;

use crate::{
    columns::Asked,
    matrix::prepare,
    send::{Answer, Signing, send},
    world::{NewUser, REGION, START, document},
};

/// More things than a call names.
const MOST: usize = 8;

/// What a refusal says it is about.
fn resource(answer: &Answer) -> Option<String> {
    let (_, rest) = answer.text.split_once("on resource: ")?;
    Some(rest.split_whitespace().next()?.to_owned())
}

fn denied(answer: &Answer) -> bool {
    answer.code == "AccessDeniedException"
}

/// A user who may do everything of SageMaker under a condition, and pass roles.
fn only(key: &str) -> String {
    let condition = json!({"StringEquals": {key: "tenant-a"}});
    document(json!([
        {"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*", "Condition": condition},
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"},
    ]))
}

/// A new domain's id is drawn by the call itself, so nothing can have been put on it before.
fn names_things(asked: &Asked) -> bool {
    asked.row.name != "CreateDomain"
        && matches!(asked.row.access(), Access::Check { resources, .. } if resources != ["*"])
        && asked.row.service.starts_with("sagemaker")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tag_of_a_thing_decides() {
    let (world, _, asked) = prepare().await;
    let mut batch = Batch::new();
    let key = NewUser::new(&world.own, "team", &[&only("aws:ResourceTag/Team")]).add(&mut batch);
    let alias = NewUser::new(&world.own, "team-too", &[&only("sagemaker:ResourceTag/Team")]).add(&mut batch);
    world.commit(batch).await;
    let tag = async |arns: &BTreeSet<String>, value: &str| {
        let mut batch = Batch::new();
        for arn in arns {
            batch.set_tags(arn.as_str(), vec![Tag::new("Team", value)]);
        }
        world.commit(batch).await;
    };
    let mut seen = 0;
    for one in asked.iter().filter(|one| names_things(one)) {
        for key in [&key, &alias] {
            let ask = async || send(&world.kernel, &one.plain.signed(&Signing { key, region: REGION, service: None, at: START })).await;
            let (mut arns, mut answer) = (BTreeSet::new(), ask().await);
            // What a call is about is found one by one, from what refuses it.
            while denied(&answer) && arns.len() < MOST {
                let arn = resource(&answer).unwrap_or_else(|| panic!("{}: {}", one.name(), answer.text));
                if arn == "*" {
                    // This call of it names none.
                    break;
                }
                assert!(arns.insert(arn), "{}: tagged, and refused still: {}", one.name(), answer.text);
                tag(&arns, "tenant-a").await;
                answer = ask().await;
            }
            assert_eq!(denied(&answer), resource(&answer).as_deref() == Some("*"), "{}: {}", one.name(), answer.text);
            seen += usize::from(!arns.is_empty());
            if !arns.is_empty() {
                tag(&arns, "tenant-b").await;
                assert!(denied(&ask().await), "{}: another's tag", one.name());
                tag(&arns, "nobody").await;
            }
        }
    }
    assert!(seen > 60, "{seen}: refusals were looked at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tag_of_a_request_decides() {
    let (world, _, asked) = prepare().await;
    let mut batch = Batch::new();
    let key = NewUser::new(&world.own, "maker", &[&only("aws:RequestTag/TenantID")]).add(&mut batch);
    world.commit(batch).await;
    let mut seen = Vec::new();
    let tagged = |one: &&Asked| one.row.service == "sagemaker" && String::from_utf8_lossy(&one.plain.body).contains("\"tenant-a\"");
    for one in asked.iter().filter(tagged) {
        let signing = Signing { key: &key, region: REGION, service: None, at: START };
        let answer = send(&world.kernel, &one.plain.signed(&signing)).await;
        assert!(!denied(&answer), "{}: {}", one.name(), answer.text);
        let mut other = one.plain.clone();
        other.body = String::from_utf8_lossy(&other.body).replace("\"tenant-a\"", "\"tenant-b\"").into_bytes();
        let answer = send(&world.kernel, &other.signed(&signing)).await;
        assert!(denied(&answer), "{} with another tag: {}", one.name(), answer.text);
        seen.push(one.row.name);
    }
    for name in ["CreateExperiment", "CreateTrial", "CreateTrainingJob", "CreateProcessingJob", "CreateTransformJob", "CreateModel"] {
        assert!(seen.contains(&name), "{name} takes tags: {seen:?}");
    }
    for name in ["CreateEndpointConfig", "CreateEndpoint", "CreatePipeline", "CreateModelPackageGroup", "CreateUserProfile", "AddTags"] {
        assert!(seen.contains(&name), "{name} takes tags: {seen:?}");
    }
}

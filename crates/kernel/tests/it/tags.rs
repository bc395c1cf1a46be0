//! Condition keys of tags know no case: two tags that differ in nothing else are no way around a policy.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Value, json};
use tenantry_core::{Region, Result, Tag};
use tenantry_kernel::{Access, Check, Checks, Cx, Kernel, Operation, OperationRow, Permit, Reply};
use tenantry_store::{Batch, Store};

use crate::place::{ALL, MEMBER, Place};

fn tags(pairs: &[(&str, &str)]) -> Vec<Tag> {
    pairs.iter().map(|(key, value)| Tag::new(*key, *value)).collect()
}

fn only(effect: &str, key: &str, value: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Action":"*","Resource":"*","Condition":{{"StringEquals":{{"{key}":"{value}"}}}}}}]}}"#
    )
}

#[tokio::test]
async fn of_a_resource_neither_spelling_wins() {
    let place = Place::new().await;
    let group = format!("arn:aws:logs:us-east-1:{MEMBER}:log-group:g");
    for (name, value) in [("one", "1"), ("two", "2")] {
        place.user(MEMBER, &format!("only-{name}"), &[&only("Allow", "aws:ResourceTag/Team", value)]).await;
        place.user(MEMBER, &format!("not-{name}"), &[ALL, &only("Deny", "aws:ResourceTag/Team", value)]).await;
    }
    let ask = async |who: &str| {
        let who = format!("arn:aws:iam::{MEMBER}:user/{who}");
        let answer = place.kernel.explain(&who, "logs:CreateLogGroup", &group, &HashMap::new()).await.unwrap();
        answer["checks"][0]["allowed"].as_bool().unwrap()
    };
    let set = async |pairs: &[(&str, &str)]| {
        let mut batch = Batch::new();
        batch.set_tags(&*group, tags(pairs));
        place.commit(batch).await;
    };
    set(&[("Team", "1")]).await;
    assert!(ask("only-one").await && !ask("only-two").await && !ask("not-one").await && ask("not-two").await);
    set(&[("Team", "1"), ("team", "2")]).await;
    for who in ["only-one", "only-two", "not-one", "not-two"] {
        assert!(!ask(who).await, "{who}");
    }
    set(&[("Team", "1"), ("team", "1")]).await;
    assert!(ask("only-one").await && ask("not-two").await, "two spellings of one value are that value");
}

/// Checks the tags of its request and does nothing.
struct TagResource;

impl Operation for TagResource {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "TagResource";
    const ACCESS: Access = Access::check_with("logs:TagResource", &["log-group"], &["aws:RequestTag/${TagKey}", "aws:TagKeys"]);
    type Input = Value;
    async fn resolve(cx: &Cx, input: &Value) -> Result<Checks> {
        let tags = input["tags"].as_object().unwrap().iter();
        let tags: Vec<Tag> = tags.map(|(key, value)| Tag::new(key, value.as_str().unwrap())).collect();
        Ok(Check::on("logs:TagResource", cx.arn("logs", "log-group:g")).request_tags(&tags).into())
    }
    async fn handle(_: &Cx, _: Permit<Self>, _: Value) -> Result<Reply> {
        Ok(Reply::empty())
    }
}

#[tokio::test]
async fn of_a_request_neither_spelling_wins() {
    let place = Place::new().await;
    let one = place.caller(MEMBER, "one", &[&only("Allow", "aws:RequestTag/team", "1")]).await;
    let kernel = Kernel::builder(Arc::clone(&place.store) as Arc<dyn Store>, place.kernel.blobs().clone())
        .service(&[OperationRow::of::<TagResource>()])
        .build();
    for (tags, allowed) in [
        (json!({"team": "1"}), true),
        (json!({"TEAM": "1", "other": "2"}), true),
        (json!({"team": "2", "Team": "1"}), false),
        (json!({"Team": "2", "team": "1"}), false),
        (json!({"TEAM": "1", "Team": "2", "team": "1"}), false),
    ] {
        let input = json!({"resourceArn": format!("arn:aws:logs:us-east-1:{MEMBER}:log-group:g"), "tags": tags});
        let answer = kernel.call(&one, &Region::from("us-east-1"), "logs", "TagResource", input).await;
        assert_eq!(answer.is_ok(), allowed, "{tags}");
    }
}

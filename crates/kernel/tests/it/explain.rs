//! `explain` judges as the door does, and says by what.

use std::collections::HashMap;

use serde_json::Value;
use tenantry_core::{Scope, Tag};
use tenantry_kernel::directory::{Role, kind};
use tenantry_store::{Batch, Store};

use crate::place::{ALL, MEMBER, Place, document};

async fn ask(place: &Place, who: &str, action: &str, context: &[(&str, &str)]) -> Value {
    let context: HashMap<String, String> = context.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let resource = format!("arn:aws:logs:us-east-1:{MEMBER}:log-group:g");
    let answer = place.kernel.explain(&format!("arn:aws:iam::{MEMBER}:{who}"), action, &resource, &context).await.unwrap();
    answer["checks"][0].clone()
}

fn lines(check: &Value) -> String {
    check["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn allowed_and_denied() {
    let place = Place::new().await;
    let deny = document("Deny", "logs:DeleteLogGroup");
    place.user(MEMBER, "u", &[ALL, &deny]).await;
    let allowed = ask(&place, "user/u", "logs:CreateLogGroup", &[]).await;
    assert_eq!(allowed["allowed"], true);
    assert!(lines(&allowed).contains("u/p0"), "it says which policy grants:\n{}", lines(&allowed));
    let denied = ask(&place, "user/u", "logs:DeleteLogGroup", &[]).await;
    assert_eq!(denied["allowed"], false);
    assert!(lines(&denied).contains("u/p1"), "it says which policy denies:\n{}", lines(&denied));
    place.org_policy("p-all", "SERVICE_CONTROL_POLICY", &document("Allow", "s3:*")).await;
    let fenced = ask(&place, "user/u", "logs:CreateLogGroup", &[]).await;
    assert_eq!(fenced["allowed"], false);
    assert!(lines(&fenced).contains("service-control"), "{}", lines(&fenced));
    assert_eq!(place.store.events(None, 10, false).await.unwrap().len(), 0, "a question leaves nothing behind");
}

#[tokio::test]
async fn principal_tags_can_be_asked_for() {
    let place = Place::new().await;
    let text = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*",
        "Condition":{"StringEquals":{"aws:PrincipalTag/Team":"a","aws:SourceVpc":"vpc-1"}}}]}"#;
    place.role(MEMBER, "r", &[text]).await;
    let mut row = place.store.get(kind::ROLE, &Scope::global(MEMBER), "r").await.unwrap().unwrap();
    let mut role: Role = row.body().unwrap();
    role.tags = vec![Tag::new("Team", "b")];
    row.set_body(&role).unwrap();
    let mut batch = Batch::new();
    batch.update(row);
    place.commit(batch).await;
    let action = "logs:CreateLogGroup";
    assert_eq!(ask(&place, "role/r", action, &[("aws:SourceVpc", "vpc-1")]).await["allowed"], false);
    let as_team_a = [("aws:SourceVpc", "vpc-1"), ("aws:PrincipalTag/Team", "a")];
    assert_eq!(ask(&place, "role/r", action, &as_team_a).await["allowed"], true);
    assert_eq!(ask(&place, "role/r", action, &as_team_a[1..]).await["allowed"], false);
}

#[tokio::test]
async fn questions_about_nobody() {
    let place = Place::new().await;
    for (who, code) in [("arn:aws:iam::222222222222:user/missing", "NoSuchEntity"), ("alice", "ValidationException")] {
        let error = place.kernel.explain(who, "logs:CreateLogGroup", "*", &HashMap::new()).await.unwrap_err();
        assert_eq!(error.code, code, "{who}");
    }
    place.user(MEMBER, "u", &[ALL]).await;
    let who = format!("arn:aws:iam::{MEMBER}:user/u");
    let error = place.kernel.explain(&who, "logs:CreateLogGroup", "not an arn", &HashMap::new()).await.unwrap_err();
    assert_eq!(error.code, "ValidationException");
}

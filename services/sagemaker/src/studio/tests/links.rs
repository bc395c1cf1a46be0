//! Links that sign a profile in, and the page behind them.

use serde_json::json;
use tenantry_kernel::{Page, Site, Visit};
use tenantry_store::List;

use super::{domain_request, of, studio, with};
use crate::{
    studio::{Studio, token},
    world::{ACCOUNT, REGION, World},
};

async fn open(world: &World, url: &str) -> Page {
    let (host, rest) = url.strip_prefix("https://").unwrap().split_once('/').unwrap();
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    assert!(Studio.owns(host), "{host}");
    Studio.page(&world.kernel, Visit { host: host.to_owned(), path: format!("/{path}"), query, peer: None }).await
}

#[tokio::test]
async fn a_link_opens_once_and_soon() {
    let world = World::new();
    let (admin, id) = studio(&world, "DISABLED").await;
    let link = async |seconds: i64| {
        let made = world.ok(&admin, "CreatePresignedDomainUrl", with(of(&id, "bob"), json!({"ExpiresInSeconds": seconds}))).await;
        made["AuthorizedUrl"].as_str().unwrap().to_owned()
    };
    let refused = "Auth token containing insufficient permissions";
    let first = link(5).await;
    assert!(first.starts_with(&format!("https://{id}.studio.us-east-1.sagemaker.aws/auth?token=")), "{first}");
    let page = open(&world, &first).await;
    assert!(page.status == 200 && page.html.contains("User profile: Bob") && page.html.contains(&id), "{page:?}");
    assert!(page.html.contains("No application runs"), "{page:?}");
    let page = open(&world, &first).await;
    assert!(page.status == 403 && page.html.contains(refused), "{page:?}");

    let late = link(5).await;
    world.clock.advance_secs(5);
    assert!(open(&world, &late).await.html.contains(refused));
    let in_time = link(5).await;
    world.clock.advance_secs(4);
    assert_eq!(open(&world, &in_time).await.status, 200);

    // Of another domain, changed by a character, twice in one address, in another region.
    let token = link(300).await;
    let other = world.ok(&admin, "CreateDomain", domain_request("DISABLED")).await["DomainId"].as_str().unwrap().to_owned();
    for wrong in [
        token.replace(&id, &other),
        format!("{token}x"),
        format!("{token}&token=x"),
        token.replace("us-east-1", "us-west-2"),
        token.split_once('?').unwrap().0.to_owned(),
        format!("{}?token={}", token.split_once('?').unwrap().0, "x".repeat(5000)),
    ] {
        assert!(open(&world, &wrong).await.html.contains(refused), "{wrong}");
    }
    assert_eq!(open(&world, &token).await.status, 200, "what did not fit used nothing up");
    assert_eq!(open(&world, &format!("https://{id}.studio.us-east-1.sagemaker.aws/")).await.status, 403);
}

#[tokio::test]
async fn a_link_is_of_the_profile_that_was() {
    let world = World::new();
    let (admin, id) = studio(&world, "DISABLED").await;
    let made = world.ok(&admin, "CreatePresignedDomainUrl", of(&id, "alice")).await;
    world.ok(&admin, "DeleteUserProfile", of(&id, "alice")).await;
    world.kernel.settle().await.unwrap();
    world.clock.advance_secs(1);
    world.ok(&admin, "CreateUserProfile", of(&id, "alice")).await;
    world.kernel.settle().await.unwrap();
    assert_eq!(open(&world, made["AuthorizedUrl"].as_str().unwrap()).await.status, 403);
}

#[tokio::test]
async fn tokens_are_kept_as_hashes_and_forgotten() {
    let world = World::new();
    let (admin, id) = studio(&world, "DISABLED").await;
    let made = world.ok(&admin, "CreatePresignedDomainUrl", of(&id, "alice")).await;
    let (_, token) = made["AuthorizedUrl"].as_str().unwrap().split_once("token=").unwrap();
    let rows = async || world.kernel.store().list(&List::of(token::TOKEN, &world.scope())).await.unwrap();
    let kept = rows().await;
    assert_eq!(kept.len(), 1);
    assert!(!kept[0].id.contains(token) && !kept[0].body_text().contains(token));
    world.clock.advance_secs(300);
    world.kernel.settle().await.unwrap();
    assert!(rows().await.is_empty());
}

#[tokio::test]
async fn a_link_is_asked_for_by_tag() {
    let world = World::new();
    let (_, id) = studio(&world, "DISABLED").await;
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sagemaker:CreatePresignedDomainUrl","Resource":"*",
        "Condition":{"StringEquals":{"sagemaker:ResourceTag/userId":"${aws:PrincipalTag/userId}"}}}]}"#;
    let alice = world.role("alice", policy, &[("userId", "alice")]).await;
    world.ok(&alice, "CreatePresignedDomainUrl", of(&id, "alice")).await;
    for other in ["bob", "nobody"] {
        let error = world.refused(&alice, "CreatePresignedDomainUrl", of(&id, other)).await;
        let why = format!(
            "User: arn:aws:sts::{ACCOUNT}:assumed-role/alice/session is not authorized to perform: sagemaker:CreatePresignedDomainUrl on resource: \
             arn:aws:sagemaker:{REGION}:{ACCOUNT}:user-profile/{id}/{other} because no identity-based policy allows the \
             sagemaker:CreatePresignedDomainUrl action"
        );
        assert_eq!((&*error.code, error.message), ("AccessDeniedException", why));
    }
}

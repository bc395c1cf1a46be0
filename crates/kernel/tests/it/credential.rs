//! Operations whose credential is in their input: who they are for, and that being proven allows nothing yet.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use tenantry_blob::Blobs;
use tenantry_core::{AccountId, Arn, AwsError, Region, Result};
use tenantry_kernel::{Access, Admission, Arrival, Check, Checks, Credential, Cx, Ids, Kernel, Operation, OperationRow, Permit, Reply};
use tenantry_policy::{PolicyKind, PrincipalKind};
use tenantry_store::Store;

use crate::place::{ALL, Create, MANAGEMENT, Place};

const PROVIDER: &str = "arn:aws:iam::111111111111:saml-provider/idp";

/// The name of the group is the credential: `good…` is proven.
struct Proven;

struct Claim(String);

impl Operation for Proven {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "DescribeLogStreams";
    const ACCESS: Access = Access::check("logs:DescribeLogStreams", &["log-group"]);
    const CREDENTIAL: Credential = Credential::Input("the name says so, which will do in a test");
    type Input = Value;

    async fn admit(_: &Cx, input: &Value) -> Result<Admission> {
        let name = input["logGroupName"].as_str().unwrap_or_default().to_owned();
        if !name.starts_with("good") {
            return Err(AwsError::new(400, "InvalidIdentityToken", "not good"));
        }
        Ok(Admission::provider(PROVIDER, AccountId::from(MANAGEMENT), format!("{PROVIDER}/{name}"), name.clone(), Claim(name)))
    }
    async fn resolve(cx: &Cx, _: &Value) -> Result<Checks> {
        assert_eq!(cx.caller.principal.kind, PrincipalKind::Provider, "whoever signed is not who calls");
        assert!(cx.caller.access_key.is_empty() && cx.caller.session.is_none());
        let claim = cx.claims::<Claim>().map(|claim| claim.0.clone());
        let statement = json!([{"Effect": "Allow", "Principal": {"Federated": PROVIDER}, "Action": "logs:DescribeLogStreams", "Resource": "*",
            "Condition": {"StringEquals": {"logs:ResourceTag/claim": "good-alice"}}}]);
        let document = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
        let arn = Arn::new("logs", "us-east-1", MANAGEMENT, "log-group:g");
        let check = Check::on("logs:DescribeLogStreams", arn).inline_policy(document, PolicyKind::Resource, BTreeMap::new());
        Ok(check.key("logs:ResourceTag/claim", claim.unwrap()).into())
    }
    async fn handle(cx: &Cx, _: Permit<Self>, _: Value) -> Result<Reply> {
        assert!(cx.claims::<String>().is_none(), "claims are had back as what they are");
        Ok(json!({"logStreams": []}).into())
    }
}

/// Says that its credential is in its input, and verifies none.
struct Careless;

impl Operation for Careless {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "DeleteLogGroup";
    const ACCESS: Access = Access::check("logs:DeleteLogGroup", &["log-group"]);
    const CREDENTIAL: Credential = Credential::Input("it says so and does nothing about it");
    type Input = Value;
    async fn resolve(_: &Cx, _: &Value) -> Result<Checks> {
        unreachable!("nobody is proven")
    }
    async fn handle(_: &Cx, _: Permit<Self>, _: Value) -> Result<Reply> {
        unreachable!("nobody is proven")
    }
}

fn kernel(place: &Place) -> Kernel {
    let dir = std::env::temp_dir().join(format!("tenantry-kernel-{}-{}", std::process::id(), Ids::lower(12)));
    let blobs = Blobs::open(&dir).unwrap();
    let rows = [OperationRow::of::<Proven>(), OperationRow::of::<Careless>(), OperationRow::of::<Create>()];
    let kernel = Kernel::builder(Arc::clone(&place.store) as Arc<dyn Store>, blobs).service(&rows).build();
    std::fs::remove_dir_all(dir).unwrap();
    kernel
}

/// An unsigned request; answers status and error code.
async fn unsigned(kernel: &Kernel, name: &str, group: &str) -> (u16, String) {
    let request = hyper::Request::builder()
        .method("POST")
        .uri("/")
        .header("host", "logs.us-east-1.amazonaws.com")
        .header("x-amz-target", format!("Logs_20140328.{name}"))
        .body(tenantry_kernel::full(json!({"logGroupName": group}).to_string()))
        .unwrap();
    let response = kernel.serve(request, Arrival::default()).await;
    let code = response.headers().get("x-amzn-errortype").map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), code.unwrap_or_default())
}

#[tokio::test]
async fn who_is_proven_by_the_input_is_a_provider_and_policies_decide() {
    let place = Place::new().await;
    let kernel = kernel(&place);
    assert_eq!(unsigned(&kernel, "DescribeLogStreams", "good-alice").await, (200, String::new()));
    assert_eq!(unsigned(&kernel, "DescribeLogStreams", "bad").await, (400, "InvalidIdentityToken".to_owned()));
    assert_eq!(unsigned(&kernel, "DescribeLogStreams", "good-bob").await, (403, "AccessDenied".to_owned()));
}

#[tokio::test]
async fn other_operations_stay_signed() {
    let place = Place::new().await;
    assert_eq!(unsigned(&kernel(&place), "CreateLogGroup", "g").await.1, "MissingAuthenticationTokenException");
}

#[tokio::test]
async fn what_the_signer_may_do_does_not_count() {
    let place = Place::new().await;
    let (kernel, region) = (kernel(&place), Region::from("us-east-1"));
    let everything = place.caller(MANAGEMENT, "alice", &[ALL]).await;
    let call = async |group: &str| {
        kernel
            .call(&everything, &region, "logs", "DescribeLogStreams", json!({"logGroupName": group}))
            .await
            .err()
            .map(|error| error.message)
    };
    assert_eq!(call("good-alice").await, None);
    assert_eq!(call("good-bob").await.as_deref(), Some("Not authorized to perform logs:DescribeLogStreams"));
    assert_eq!(call("bad").await.as_deref(), Some("not good"));
}

#[tokio::test]
async fn an_operation_that_verifies_nothing_lets_nobody_in() {
    let place = Place::new().await;
    assert_eq!(unsigned(&kernel(&place), "DeleteLogGroup", "g").await.0, 500);
}

//! Temporary credentials: in force to the instant, known as expired for a day, then forgotten.

use serde_json::json;
use tenantry_core::{Region, Scope};
use tenantry_kernel::{
    ServiceSession,
    directory::{self, kind},
};
use tenantry_store::Store;

use crate::place::{ALL, Key, MEMBER, Place};

#[tokio::test]
async fn sessions_end() {
    let place = Place::new().await;
    let role = place.role(MEMBER, "r", &[ALL]).await;
    let key = place.session(MEMBER, &role).await;
    assert_eq!(place.describe(&key).await, "");
    place.clock.advance_secs(3599);
    assert_eq!(place.describe(&key).await, "");
    place.clock.advance_secs(1);
    assert_eq!(place.describe(&key).await, "ExpiredTokenException");
    place.kernel.settle().await.unwrap();
    assert_eq!(place.describe(&key).await, "ExpiredTokenException", "a holder is told so for a day");
    place.clock.advance_secs(24 * 3600);
    place.kernel.settle().await.unwrap();
    assert_eq!(place.describe(&key).await, "UnrecognizedClientException");
    let scope = Scope::global(MEMBER);
    assert!(place.store.get(kind::SESSION, &scope, &key.id).await.unwrap().is_none());
    assert!(place.store.secret(&directory::secret_id(&key.id)).await.unwrap().is_none());
    assert!(place.store.secret(&directory::token_id(&key.id)).await.unwrap().is_none());
    assert!(place.store.unique(directory::ACCESS_KEY_NAMES, &key.id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_session_of_a_role_made_again_is_nobodys() {
    let place = Place::new().await;
    let role = place.role(MEMBER, "r", &[ALL]).await;
    let key = place.session(MEMBER, &role).await;
    let mut batch = tenantry_store::Batch::new();
    batch.delete(kind::ROLE, &Scope::global(MEMBER), "r", tenantry_store::Expect::Present);
    place.commit(batch).await;
    assert_eq!(place.describe(&key).await, "UnrecognizedClientException");
    place.role(MEMBER, "r", &[ALL]).await;
    assert_eq!(place.describe(&key).await, "UnrecognizedClientException");
}

#[tokio::test]
async fn services_assume_only_roles_that_trust_them() {
    let place = Place::new().await;
    let role = place.role(MEMBER, "r", &[ALL]).await;
    let region = Region::from("us-east-1");
    let wish = ServiceSession {
        role: &role.arn,
        service: "sagemaker.amazonaws.com",
        session: "SageMaker",
        source: None,
        source_identity: Some("alice"),
        region: &region,
    };
    let caller = place.kernel.assume_for_service(&wish).await.unwrap();
    assert_eq!(caller.arn, format!("arn:aws:sts::{MEMBER}:assumed-role/r/SageMaker"));
    place.create(&caller, "g").await.unwrap();
    let refused = place.kernel.assume_for_service(&ServiceSession { service: "lambda.amazonaws.com", ..wish.clone() }).await;
    assert!(refused.is_err());
    let missing = tenantry_core::Arn::new("iam", "", MEMBER, "role/missing");
    let error = place.kernel.assume_for_service(&ServiceSession { role: &missing, ..wish }).await.unwrap_err();
    assert!(error.message.contains("Could not assume role"), "{error}");

    let document = place.kernel.issue_credentials(&caller).await.unwrap();
    let text = |name: &str| document[name].as_str().unwrap().to_owned();
    let key = Key { id: text("AccessKeyId"), secret: text("SecretAccessKey"), token: Some(text("Token")) };
    assert_eq!(document["RoleArn"], json!(role.arn));
    assert_eq!(place.describe(&key).await, "");
    assert_eq!(place.describe(&Key { token: None, ..key.clone() }).await, "UnrecognizedClientException");
    place.clock.advance_secs(tenantry_kernel::SANDBOX_CREDENTIALS);
    assert_eq!(place.describe(&key).await, "ExpiredTokenException");
}

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn requests_at_once_keep_the_quota() {
    let w = World::new().await;
    w.user("ann", None).await;
    let ask = || w.call(&w.admin, "iam", "CreateAccessKey", json!({ "UserName": "ann" }));
    let answers = tokio::join!(ask(), ask(), ask(), ask());
    let made = [answers.0, answers.1, answers.2, answers.3].iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(made, 2);
    assert_eq!(w.iam("ListAccessKeys", json!({ "UserName": "ann" })).await["AccessKeyMetadata"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn two_keys_and_the_secret_once() {
    let w = World::new().await;
    w.user("ann", None).await;
    let mut secrets = Vec::new();
    for _ in 0..2 {
        let made = w.iam("CreateAccessKey", json!({ "UserName": "ann" })).await["AccessKey"].clone();
        assert!(made["AccessKeyId"].as_str().unwrap().starts_with("AKIA"));
        secrets.push((made["AccessKeyId"].clone(), made["SecretAccessKey"].as_str().unwrap().to_owned()));
    }
    let third = w.refused("iam", "CreateAccessKey", json!({ "UserName": "ann" })).await;
    assert_eq!((&*third.code, third.message.as_str()), ("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2"));
    let (id, secret) = &secrets[0];
    // The canary: no other operation answers it.
    for (operation, input) in [
        ("ListAccessKeys", json!({ "UserName": "ann" })),
        ("GetUser", json!({ "UserName": "ann" })),
        ("GetAccountAuthorizationDetails", json!({})),
        ("GetAccessKeyLastUsed", json!({ "AccessKeyId": id })),
    ] {
        let answer = w.iam(operation, input).await.to_string();
        assert!(!answer.contains(secret.as_str()), "{operation} answers the secret");
    }
    for event in w.kernel.store().events(None, 1000, false).await.unwrap() {
        assert!(!event.json().unwrap().to_string().contains(secret.as_str()), "the audit trail has the secret");
    }
    w.iam("UpdateAccessKey", json!({ "UserName": "ann", "AccessKeyId": id, "Status": "Inactive" })).await;
    let listed = w.iam("ListAccessKeys", json!({ "UserName": "ann" })).await;
    assert!(listed["AccessKeyMetadata"].as_array().unwrap().iter().any(|key| key["AccessKeyId"] == *id && key["Status"] == "Inactive"));
    assert_eq!(w.call(&w.admin, "sts", "GetAccessKeyInfo", json!({ "AccessKeyId": id })).await.unwrap()["Account"], w.account.as_str());
    w.iam("DeleteAccessKey", json!({ "UserName": "ann", "AccessKeyId": id })).await;
    let gone = w.refused("iam", "DeleteAccessKey", json!({ "UserName": "ann", "AccessKeyId": id })).await;
    assert_eq!((gone.status, gone.message), (404, format!("The Access Key with id {} cannot be found.", id.as_str().unwrap())));
    let stored = w.kernel.store().secret(&tenantry_kernel::directory::secret_id(id.as_str().unwrap())).await.unwrap();
    assert!(stored.is_none(), "the secret outlives the key");
    assert_eq!(&*w.refused("sts", "GetAccessKeyInfo", json!({ "AccessKeyId": id })).await.code, "ValidationError");
    // Another user's key is not found under this user.
    let other = &secrets[1].0;
    assert_eq!(
        &*w.refused("iam", "DeleteAccessKey", json!({ "UserName": "administrator", "AccessKeyId": other })).await.code,
        "NoSuchEntity"
    );
}

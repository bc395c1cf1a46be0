//! From the door: signed requests in, XML out. What these operations store is what authentication reads.

use serde_json::{Value, json};
use tenantry_kernel::{Arrival, collect, full};
use tenantry_sigv4::{Parts, Signer, sign};

use crate::world::{World, allow, trust_account};

pub struct Keys {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

impl Keys {
    pub fn of(credentials: &Value) -> Self {
        let text = |name: &str| credentials[name].as_str().map(str::to_owned);
        Self { id: text("AccessKeyId").unwrap(), secret: text("SecretAccessKey").unwrap(), token: text("SessionToken") }
    }
}

pub async fn send(w: &World, keys: &Keys, service: &str, form: &str) -> (u16, String) {
    let headers = [("host", "127.0.0.1:4566"), ("content-type", "application/x-www-form-urlencoded")];
    let parts = Parts { method: "POST", path: "/", query: "", headers: &headers };
    let signer = Signer { access_key: &keys.id, secret: &keys.secret, token: keys.token.as_deref(), region: "us-east-1", service };
    let added = sign(&parts, &tenantry_sigv4::sha256_hex(form.as_bytes()), &signer, w.kernel.now());
    let mut request = hyper::Request::builder().method("POST").uri("/");
    for (name, value) in headers.iter().copied().chain(added.iter().map(|(name, value)| (name.as_str(), value.as_str()))) {
        request = request.header(name, value);
    }
    let response = w.kernel.serve(request.body(full(form.to_owned())).unwrap(), Arrival::default()).await;
    let status = response.status().as_u16();
    let body = collect(response.into_body(), 1 << 20).await.unwrap().unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

pub const WHO: &str = "Action=GetCallerIdentity&Version=2011-06-15";

#[tokio::test]
async fn every_kind_of_credentials_signs() {
    let w = World::new().await;
    let admin = Keys { id: w.admin.access_key.clone(), secret: w.secret.expose().clone(), token: None };
    let (status, body) = send(&w, &admin, "sts", WHO).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains(&format!("<Arn>{}</Arn>", w.admin.arn)), "{body}");

    let ann = w.user("ann", Some(&allow("sts:*", "*"))).await;
    let key = Keys::of(&w.iam("CreateAccessKey", json!({ "UserName": "ann" })).await["AccessKey"]);
    let own = Keys::of(&w.call(&ann, "sts", "GetSessionToken", json!({})).await.unwrap()["Credentials"]);
    let guest = Keys::of(&w.call(&ann, "sts", "GetFederationToken", json!({ "Name": "guest" })).await.unwrap()["Credentials"]);
    w.role("R", &trust_account(w.account.as_str())).await;
    let assumed = w.call(&ann, "sts", "AssumeRole", json!({ "RoleArn": w.arn("role/R"), "RoleSessionName": "s1" })).await.unwrap();
    let role = Keys::of(&assumed["Credentials"]);
    for (keys, arn) in [
        (&key, ann.arn.clone()),
        (&own, ann.arn.clone()),
        (&guest, format!("arn:aws:sts::{}:federated-user/guest", w.account)),
        (&role, format!("arn:aws:sts::{}:assumed-role/R/s1", w.account)),
    ] {
        let (status, body) = send(&w, keys, "sts", WHO).await;
        assert_eq!(status, 200, "{arn}: {body}");
        assert!(body.contains(&format!("<Arn>{arn}</Arn>")), "{arn}: {body}");
    }

    // A token belongs to its key, and a key without its token is nobody.
    for token in [None, own.token.clone(), Some("x".to_owned())] {
        let other = Keys { id: role.id.clone(), secret: role.secret.clone(), token };
        assert_eq!(send(&w, &other, "sts", WHO).await.0, 403);
    }
    let (status, _) = send(&w, &Keys { id: key.id.clone(), secret: own.secret.clone(), token: None }, "sts", WHO).await;
    assert_eq!(status, 403, "another key's secret");

    // What ends credentials.
    w.iam("UpdateAccessKey", json!({ "UserName": "ann", "AccessKeyId": key.id, "Status": "Inactive" })).await;
    assert_eq!(send(&w, &key, "sts", WHO).await.0, 403);
    w.iam("UpdateAccessKey", json!({ "UserName": "ann", "AccessKeyId": key.id, "Status": "Active" })).await;
    assert_eq!(send(&w, &key, "sts", WHO).await.0, 200);
    w.iam("UpdateUser", json!({ "UserName": "ann", "NewUserName": "bea" })).await;
    assert_eq!(send(&w, &key, "sts", WHO).await.0, 200, "a key goes with its user");
    assert_eq!(send(&w, &own, "sts", WHO).await.0, 200, "and so does a session");
    w.iam("DeleteAccessKey", json!({ "UserName": "bea", "AccessKeyId": key.id })).await;
    assert_eq!(send(&w, &key, "sts", WHO).await.0, 403);
    w.iam("DeleteRole", json!({ "RoleName": "R" })).await;
    w.role("R", &trust_account(w.account.as_str())).await;
    assert_eq!(send(&w, &role, "sts", WHO).await.0, 403, "the role of this name is another now");
    w.iam("DeleteUserPolicy", json!({ "UserName": "bea", "PolicyName": "p" })).await;
    w.iam("DeleteUser", json!({ "UserName": "bea" })).await;
    w.user("bea", None).await;
    assert_eq!(send(&w, &own, "sts", WHO).await.0, 403, "the user of this name is another now");
    assert_eq!(send(&w, &guest, "sts", WHO).await.0, 403);
}

#[tokio::test]
async fn sessions_end() {
    let w = World::new().await;
    w.role("R", &trust_account(w.account.as_str())).await;
    let input = json!({ "RoleArn": w.arn("role/R"), "RoleSessionName": "s1", "DurationSeconds": 900 });
    let role = Keys::of(&w.call(&w.admin, "sts", "AssumeRole", input).await.unwrap()["Credentials"]);
    w.clock.advance_secs(899);
    assert_eq!(send(&w, &role, "sts", WHO).await.0, 200);
    w.clock.advance_secs(1);
    let (status, body) = send(&w, &role, "sts", WHO).await;
    assert_eq!(status, 403);
    assert!(body.contains("ExpiredToken"), "{body}");
}

#[tokio::test]
async fn errors_are_written_as_aws_writes_them() {
    let w = World::new().await;
    let admin = Keys { id: w.admin.access_key.clone(), secret: w.secret.expose().clone(), token: None };
    let (status, body) = send(&w, &admin, "iam", "Action=GetRole&Version=2010-05-08&RoleName=none").await;
    assert_eq!(status, 404);
    assert!(body.contains("<Code>NoSuchEntity</Code>") && body.contains("The role with name none cannot be found."), "{body}");
    w.role("R", &trust_account(w.account.as_str())).await;
    let (status, body) = send(&w, &admin, "iam", "Action=GetRole&Version=2010-05-08&RoleName=R").await;
    assert_eq!(status, 200);
    assert!(body.contains("<GetRoleResult>") && body.contains("<AssumeRolePolicyDocument>%7B%22Version%22"), "{body}");
    let (status, body) = send(&w, &admin, "iam", "Action=CreateRole&Version=2010-05-08&RoleName=R&AssumeRolePolicyDocument=%7B%7D").await;
    assert_eq!(status, 409, "{body}");
    assert!(body.contains("EntityAlreadyExists"), "{body}");
}

//! SSH keys, signing certificates and service-specific credentials.

use serde_json::json;

use crate::world::World;

/// Made with `ssh-keygen -t rsa -b 2048`; what `ssh-keygen -E md5 -l` says of it.
const SSH: &str = include_str!("ssh_key.txt");
/// A self-signed certificate.
const CERTIFICATE: &str = include_str!("certificate.pem");

#[tokio::test]
async fn ssh_keys() {
    let w = World::new().await;
    w.user("ann", None).await;
    let (line, fingerprint) = SSH.trim().split_once('\n').unwrap();
    let made = w.call(&w.admin, "iam", "UploadSSHPublicKey", json!({ "UserName": "ann", "SSHPublicKeyBody": line })).await.unwrap();
    let key = made["SSHPublicKey"].clone();
    assert_eq!((key["Fingerprint"].as_str().unwrap(), &key["Status"]), (fingerprint, &json!("Active")));
    assert!(line.starts_with(key["SSHPublicKeyBody"].as_str().unwrap()));
    let id = key["SSHPublicKeyId"].clone();
    let get = async |encoding: &str| {
        let input = json!({ "UserName": "ann", "SSHPublicKeyId": id, "Encoding": encoding });
        w.iam("GetSSHPublicKey", input).await["SSHPublicKey"].clone()
    };
    assert_eq!(get("SSH").await, key);
    let pem = get("PEM").await["SSHPublicKeyBody"].as_str().unwrap().to_owned();
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    // The same key in its other form.
    let again = w.refused("iam", "UploadSSHPublicKey", json!({ "UserName": "ann", "SSHPublicKeyBody": pem })).await;
    assert_eq!((again.status, &*again.code), (400, "DuplicateSSHPublicKey"));
    w.iam("UpdateSSHPublicKey", json!({ "UserName": "ann", "SSHPublicKeyId": id, "Status": "Inactive" })).await;
    let listed = w.iam("ListSSHPublicKeys", json!({ "UserName": "ann" })).await["SSHPublicKeys"].clone();
    assert_eq!((listed[0]["SSHPublicKeyId"].clone(), listed[0]["Status"].clone()), (id.clone(), json!("Inactive")));
    let error = w.refused("iam", "DeleteUser", json!({ "UserName": "ann" })).await;
    assert_eq!(error.message, "Cannot delete entity, must remove referenced objects first.");
    // Under another user it is not there.
    let other = w.refused("iam", "DeleteSSHPublicKey", json!({ "UserName": "administrator", "SSHPublicKeyId": id })).await;
    assert_eq!((other.status, &*other.code), (404, "NoSuchEntity"));
    w.iam("DeleteSSHPublicKey", json!({ "UserName": "ann", "SSHPublicKeyId": id })).await;
    w.iam("DeleteUser", json!({ "UserName": "ann" })).await;
}

#[tokio::test]
async fn certificates() {
    let w = World::new().await;
    w.user("ann", None).await;
    let input = json!({ "UserName": "ann", "CertificateBody": CERTIFICATE });
    let made = w.iam("UploadSigningCertificate", input.clone()).await["Certificate"].clone();
    assert_eq!(&*w.refused("iam", "UploadSigningCertificate", input).await.code, "DuplicateCertificate");
    let bad = w.refused("iam", "UploadSigningCertificate", json!({ "UserName": "ann", "CertificateBody": "hello" })).await;
    assert_eq!((bad.status, &*bad.code), (400, "MalformedCertificate"));
    let id = made["CertificateId"].clone();
    w.iam("UpdateSigningCertificate", json!({ "UserName": "ann", "CertificateId": id, "Status": "Inactive" })).await;
    let listed = w.iam("ListSigningCertificates", json!({ "UserName": "ann" })).await["Certificates"][0].clone();
    assert_eq!((&listed["Status"], &listed["CertificateBody"]), (&json!("Inactive"), &json!(CERTIFICATE)));
    let error = w.refused("iam", "DeleteUser", json!({ "UserName": "ann" })).await;
    assert_eq!(error.message, "Cannot delete entity, must delete certificates first.");
    w.iam("DeleteSigningCertificate", json!({ "UserName": "ann", "CertificateId": id })).await;
    w.iam("DeleteUser", json!({ "UserName": "ann" })).await;
}

#[tokio::test]
async fn credentials_for_one_service() {
    let w = World::new().await;
    w.user("ann", None).await;
    let create = json!({ "UserName": "ann", "ServiceName": "codecommit.amazonaws.com" });
    let mut made = Vec::new();
    for name in [format!("ann-at-{}", w.account), format!("ann+1-at-{}", w.account)] {
        let it = w.iam("CreateServiceSpecificCredential", create.clone()).await["ServiceSpecificCredential"].clone();
        assert_eq!((it["ServiceUserName"].as_str().unwrap(), it["ServicePassword"].as_str().unwrap().len()), (name.as_str(), 44));
        made.push(it);
    }
    assert_eq!(&*w.refused("iam", "CreateServiceSpecificCredential", create.clone()).await.code, "LimitExceeded");
    let unknown = w.refused("iam", "CreateServiceSpecificCredential", json!({ "UserName": "ann", "ServiceName": "x.amazonaws.com" })).await;
    assert_eq!((unknown.status, &*unknown.code), (404, "NotSupportedService"));
    let id = made[0]["ServiceSpecificCredentialId"].clone();
    let named = json!({ "UserName": "ann", "ServiceSpecificCredentialId": id });
    let reset = w.iam("ResetServiceSpecificCredential", named.clone()).await["ServiceSpecificCredential"].clone();
    assert_ne!(reset["ServicePassword"], made[0]["ServicePassword"]);
    let secret = format!("service-credential/{}", id.as_str().unwrap());
    let stored = w.kernel.store().secret(&secret).await.unwrap().unwrap();
    assert_eq!(stored.expose().as_str(), reset["ServicePassword"].as_str().unwrap());
    let listed = w.iam("ListServiceSpecificCredentials", json!({ "UserName": "ann" })).await;
    assert_eq!(listed["ServiceSpecificCredentials"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains("Password"));
    assert_eq!(w.iam("ListServiceSpecificCredentials", json!({ "AllUsers": true })).await, listed);
    w.iam("UpdateServiceSpecificCredential", json!({ "UserName": "ann", "ServiceSpecificCredentialId": id, "Status": "Inactive" })).await;
    w.refused("iam", "DeleteUser", json!({ "UserName": "ann" })).await;
    for it in made {
        w.iam(
            "DeleteServiceSpecificCredential",
            json!({ "UserName": "ann", "ServiceSpecificCredentialId": it["ServiceSpecificCredentialId"] }),
        )
        .await;
    }
    assert!(w.kernel.store().secret(&secret).await.unwrap().is_none(), "the password outlives the credential");
    // The name is free again.
    let again = w.iam("CreateServiceSpecificCredential", create).await["ServiceSpecificCredential"]["ServiceUserName"].clone();
    assert_eq!(again, format!("ann-at-{}", w.account));
}

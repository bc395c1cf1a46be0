//! SSH public keys of users: Upload, Get, Update, Delete, List. They are for git over SSH.
//!
//! Source: "UploadSSHPublicKey", IAM API Reference: RSA of 2,048 bits at least, as an `ssh-rsa` line or in PEM.

use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{AwsError, Result, Timestamp};
use tenantry_kernel::{Checks, Cx, Ids, OperationRow, Permit, Reply, directory::kind};
use tenantry_store::{Batch, Expect, Row};

use super::{
    der::{self, Rsa},
    entity, error,
    owned::{self, Owner},
    quota,
    users::{OwnInput, resolve_own},
};
use tenantry_kernel::operation;

/// What an `ssh-rsa` line begins with.
const TYPE: &str = "ssh-rsa";
/// Bits of a key.
const LEAST: usize = 2048;
const MOST: usize = 16_384;

/// A stored key.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Key {
    id: String,
    /// The line's middle: what SSH sends.
    body: String,
    status: String,
    uploaded: Timestamp,
}

/// A length and so many bytes.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// RFC 4253, 6.6: the type, the exponent, the modulus.
fn from_blob(blob: &[u8]) -> Option<Rsa> {
    let (name, rest) = string(blob)?;
    let (exponent, rest) = string(rest)?;
    let (modulus, rest) = string(rest)?;
    (name == TYPE.as_bytes() && rest.is_empty()).then(|| Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() })
}

fn to_blob(key: &Rsa) -> Vec<u8> {
    let mut out = Vec::new();
    for part in [TYPE.as_bytes(), &key.exponent, &key.modulus] {
        out.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(part);
    }
    out
}

/// What was uploaded, in either form; as SSH sends it.
fn read(text: &str) -> Result<Vec<u8>> {
    let fault = |code: &'static str, text: &str| AwsError::new(400, code, text);
    let text = text.trim();
    let key = if text.starts_with("-----BEGIN") {
        let bytes = der::from_pem(text, "PUBLIC KEY");
        let bytes = bytes.ok_or_else(|| fault("UnrecognizedPublicKeyEncoding", "The public key is no PEM block named PUBLIC KEY."))?;
        Rsa::from_info(&bytes)
    } else {
        let body = text.strip_prefix("ssh-rsa ").and_then(|rest| rest.split_whitespace().next());
        let body = body.ok_or_else(|| fault("UnrecognizedPublicKeyEncoding", "The public key is neither an ssh-rsa line nor PEM."))?;
        STANDARD.decode(body).ok().and_then(|blob| from_blob(&blob))
    };
    let key = key.filter(|key| (LEAST..=MOST).contains(&key.bits()));
    key.map(|key| to_blob(&key)).ok_or_else(|| fault("InvalidPublicKey", "The public key is no RSA key of at least 2,048 bits."))
}

fn fingerprint(blob: &[u8]) -> String {
    Md5::digest(blob).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn shown(owner: &Owner, key: &Key, encoding: &str) -> Result<Value> {
    let blob = STANDARD.decode(&key.body).map_err(AwsError::internal)?;
    let body = match encoding {
        "PEM" => from_blob(&blob).ok_or_else(|| AwsError::internal("a stored key cannot be read"))?.pem(),
        _ => format!("{TYPE} {}", key.body),
    };
    Ok(json!({
        "UserName": owner.user.name, "SSHPublicKeyId": key.id, "Fingerprint": fingerprint(&blob), "SSHPublicKeyBody": body,
        "Status": key.status, "UploadDate": key.uploaded,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UploadInput {
    #[serde(flatten)]
    own: OwnInput,
    #[serde(rename = "SSHPublicKeyBody")]
    body: String,
}

async fn resolve_upload(cx: &Cx, action: &'static str, input: &UploadInput) -> Result<Checks> {
    resolve_own(cx, action, input.own.user_name.as_ref()).await
}

async fn upload(cx: &Cx, permit: Permit<UploadSSHPublicKey>, input: UploadInput) -> Result<Reply> {
    let owner = Owner::find(cx, &permit.global(), input.own.user_name.as_ref()).await?;
    let body = STANDARD.encode(read(&input.body)?);
    let before = owner.all::<Key>(cx, kind::SSH_KEY).await?;
    if before.iter().any(|(_, key)| key.body == body) {
        return Err(AwsError::new(400, "DuplicateSSHPublicKey", "The SSH public key is already associated with the user."));
    }
    if before.len() >= quota::SSH_KEYS {
        return Err(error::quota("SSHPublicKeysPerUser", quota::SSH_KEYS));
    }
    let key = Key { id: Ids::access_key("APKA"), body, status: "Active".to_owned(), uploaded: cx.now() };
    let mut batch = Batch::new();
    owner.hold(&mut batch);
    batch.put(owner.row(cx, kind::SSH_KEY, &key.id).with(&key)?, Expect::Absent);
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(json!({ "SSHPublicKey": shown(&owner, &key, "SSH")? }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KeyInput {
    #[serde(flatten)]
    own: OwnInput,
    #[serde(rename = "SSHPublicKeyId")]
    id: String,
    #[serde(default)]
    encoding: String,
    #[serde(default)]
    status: String,
}

async fn resolve(cx: &Cx, action: &'static str, input: &KeyInput) -> Result<Checks> {
    resolve_own(cx, action, input.own.user_name.as_ref()).await
}

async fn find(cx: &Cx, owner: &Owner, id: &str) -> Result<(Row, Key)> {
    let found = owner.one(cx, kind::SSH_KEY, id).await?;
    found.ok_or_else(|| error::no_such_entity(format!("The Public Key with id {id} cannot be found.")))
}

async fn get(cx: &Cx, permit: Permit<GetSSHPublicKey>, input: KeyInput) -> Result<Reply> {
    let owner = Owner::find(cx, &permit.global(), input.own.user_name.as_ref()).await?;
    let (_, key) = find(cx, &owner, &input.id).await?;
    Ok(json!({ "SSHPublicKey": shown(&owner, &key, &input.encoding)? }).into())
}

async fn update(cx: &Cx, permit: Permit<UpdateSSHPublicKey>, input: KeyInput) -> Result<Reply> {
    let owner = Owner::find(cx, &permit.global(), input.own.user_name.as_ref()).await?;
    let (mut row, mut key) = find(cx, &owner, &input.id).await?;
    key.status = owned::status(&input.status)?;
    row.set_body(&key)?;
    let mut batch = Batch::new();
    batch.update(row.at(cx.now()));
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(Reply::empty())
}

async fn delete(cx: &Cx, permit: Permit<DeleteSSHPublicKey>, input: KeyInput) -> Result<Reply> {
    let owner = Owner::find(cx, &permit.global(), input.own.user_name.as_ref()).await?;
    let (row, _) = find(cx, &owner, &input.id).await?;
    let mut batch = Batch::new();
    owned::delete(&mut batch, &row);
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(Reply::empty())
}

async fn list(cx: &Cx, permit: Permit<ListSSHPublicKeys>, input: owned::ListInput) -> Result<Reply> {
    let owner = Owner::find(cx, &permit.global(), input.user_name.as_ref()).await?;
    let keys = owner.all::<Key>(cx, kind::SSH_KEY).await?;
    let shown = |key: Key| {
        let value = json!({ "UserName": owner.user.name, "SSHPublicKeyId": key.id, "Status": key.status, "UploadDate": key.uploaded });
        (key.id, value)
    };
    entity::answer("SSHPublicKeys", keys.into_iter().map(|(_, key)| shown(key)).collect(), input.marker.as_deref(), input.max_items)
}

operation!("iam", UploadSSHPublicKey, ["user"], UploadInput, resolve_upload, upload);
operation!("iam", GetSSHPublicKey, ["user"], KeyInput, resolve, get);
operation!("iam", UpdateSSHPublicKey, ["user"], KeyInput, resolve, update);
operation!("iam", DeleteSSHPublicKey, ["user"], KeyInput, resolve, delete);
operation!("iam", ListSSHPublicKeys, ["user"], owned::ListInput, owned::resolve_list, list);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<UploadSSHPublicKey>(),
    OperationRow::of::<GetSSHPublicKey>(),
    OperationRow::of::<UpdateSSHPublicKey>(),
    OperationRow::of::<DeleteSSHPublicKey>(),
    OperationRow::of::<ListSSHPublicKeys>(),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: usize) -> Rsa {
        Rsa { modulus: [vec![0, 0x9b], vec![0x35; bytes - 1]].concat(), exponent: vec![1, 0, 1] }
    }

    #[test]
    fn both_forms_are_one_key() {
        let key = key(256);
        let line = format!("ssh-rsa {} ann@laptop", STANDARD.encode(to_blob(&key)));
        assert_eq!(read(&line).unwrap(), to_blob(&key));
        assert_eq!(read(&key.pem()).unwrap(), to_blob(&key));
        assert_eq!(fingerprint(b"").as_str(), "d4:1d:8c:d9:8f:00:b2:04:e9:80:09:98:ec:f8:42:7e");
    }

    #[test]
    fn what_is_no_key_is_told_apart() {
        let code = |text: &str| read(text).unwrap_err().code.into_owned();
        assert_eq!(code("hello"), "UnrecognizedPublicKeyEncoding");
        assert_eq!(code("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"), "UnrecognizedPublicKeyEncoding");
        assert_eq!(code("ssh-rsa AAAA"), "InvalidPublicKey");
        assert_eq!(code(&format!("ssh-rsa {}", STANDARD.encode(to_blob(&key(255))))), "InvalidPublicKey", "2,040 bits");
        assert_eq!(code("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"), "InvalidPublicKey");
    }
}

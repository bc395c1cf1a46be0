//! Virtual MFA devices: Create, Get, List, Delete, and their tags. Codes are in [`super::mfa_codes`].
//!
//! The seed is answered once, by CreateVirtualMFADevice, as text and as a picture; it is stored as a secret.
//! Hardware tokens, SMS and passkeys are not served.
//!
//! Source: "Assign a virtual MFA device in the AWS Management Console", IAM User Guide; IAM API Reference.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{Arn, AwsError, Result, Scope, Secret, Tag, Timestamp};
use tenantry_kernel::{
    Check, Checks, Cx, Ids, OperationRow, Permit, Reply,
    directory::{User, kind},
};
use tenantry_store::{Batch, CommitError, Kind, Row};

use super::{
    attempts,
    entity::{self, Entity, arn_of},
    error, owned,
    owned::Owner,
    qr, quota, render, settings, tags, totp,
    users::{OwnInput, resolve_own},
};
use tenantry_kernel::operation;

/// The alphabet of RFC 4648.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A virtual device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Device {
    /// Path and name, `/team/phone`: what is unique in an account.
    name: String,
    /// The serial number.
    pub arn: Arn,
    /// The name of its secret, and of the tries at its codes.
    pub id: String,
    /// Whose it is, and since when.
    pub enabled: Option<(String, Timestamp)>,
    /// By how many steps its clock is off.
    #[serde(default)]
    pub drift: i64,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Entity for Device {
    const KIND: Kind = kind::MFA_DEVICE;
    const NOUN: &'static str = "mfa";
    const QUOTA: (&'static str, usize) = ("VirtualMFADevicesPerAccount", quota::USERS);

    fn name(&self) -> &str {
        &self.name
    }
    fn arn(&self) -> &Arn {
        &self.arn
    }
    fn id(&self) -> &str {
        &self.id
    }
    fn tags_mut(&mut self) -> Option<&mut Vec<Tag>> {
        Some(&mut self.tags)
    }
    fn parent(&self) -> &str {
        self.enabled.as_ref().map_or("", |(user, _)| user)
    }
    fn taken(_: &str) -> AwsError {
        error::already_exists("MFADevice entity at the same path and name already exists.")
    }
    fn missing(name: &str) -> AwsError {
        error::no_such_entity(format!("VirtualMFADevice {name} does not exist."))
    }
}

impl Device {
    /// Where its seed is kept.
    pub(crate) fn secret(&self) -> String {
        format!("mfa-seed/{}", self.id)
    }
    /// Where tries at its codes are counted.
    pub(crate) fn tries(&self) -> String {
        format!("mfa/{}", self.id)
    }
    /// Its seed.
    ///
    /// # Errors
    /// Internal, where it is not there: a device without seed accepts no code.
    pub(crate) async fn seed(&self, cx: &Cx) -> Result<Vec<u8>> {
        let stored = cx.kernel.store().secret(&self.secret()).await?;
        let seed = stored.as_ref().and_then(|text| from_base32(text.expose()));
        seed.ok_or_else(|| AwsError::internal(format!("{} has no seed", self.arn)))
    }
}

fn to_base32(bytes: &[u8]) -> String {
    // Seeds are a multiple of five bytes: no padding.
    bytes
        .chunks(5)
        .flat_map(|five| {
            let word = five.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
            (0..8).rev().map(move |at| char::from(BASE32[(word >> (5 * at) & 31) as usize]))
        })
        .collect()
}

fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for eight in text.as_bytes().chunks(8) {
        let mut word = 0_u64;
        for letter in eight {
            word = word << 5 | BASE32.iter().position(|known| known == letter)? as u64;
        }
        out.extend(&word.to_be_bytes()[3..]);
    }
    text.len().is_multiple_of(8).then_some(out)
}

/// 404 of a serial number.
pub(crate) fn missing(serial: &str) -> AwsError {
    error::no_such_entity(format!("VirtualMFADevice with serial number {serial} does not exist."))
}

/// Path and name of a serial number of this account.
fn name_of<'a>(scope: &Scope, serial: &'a str) -> Option<&'a str> {
    serial.strip_prefix("arn:aws:iam::")?.strip_prefix(scope.account.as_str())?.strip_prefix(":mfa").filter(|name| name.starts_with('/'))
}

/// The device of a serial number.
pub(crate) async fn find(cx: &Cx, scope: &Scope, serial: &str) -> Result<Option<(Row, Device)>> {
    let Some(name) = name_of(scope, serial) else { return Ok(None) };
    Ok(entity::find::<Device>(cx, scope, name).await?.filter(|(_, device)| device.arn.as_str() == serial))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateInput {
    path: Option<String>,
    #[serde(rename = "VirtualMFADeviceName")]
    name: String,
    #[serde(default)]
    tags: Vec<Tag>,
}

fn new_arn(cx: &Cx, input: &CreateInput) -> Arn {
    arn_of::<Device>(&cx.caller.account, input.path.as_deref().unwrap_or("/"), &input.name)
}

async fn resolve_create(cx: &Cx, action: &'static str, input: &CreateInput) -> Result<Checks> {
    let arn = new_arn(cx, input);
    let tag = (!input.tags.is_empty()).then(|| Check::on("iam:TagMFADevice", arn.clone()).request_tags(&input.tags));
    Ok(Checks::from(Check::on(action, arn).request_tags(&input.tags)).and_if(tag))
}

async fn create(cx: &Cx, permit: Permit<CreateVirtualMFADevice>, input: CreateInput) -> Result<Reply> {
    tags::check(&input.tags)?;
    let scope = permit.global();
    let mut bytes = [0_u8; totp::SEED];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).map_err(AwsError::internal)?;
    let seed = to_base32(&bytes);
    let device = Device {
        name: format!("{}{}", input.path.as_deref().unwrap_or("/"), input.name),
        arn: new_arn(cx, &input),
        id: Ids::unique("AMFA"),
        enabled: None,
        drift: 0,
        tags: input.tags,
    };
    let mut batch = Batch::new();
    batch.put_secret(device.secret(), Secret::new(seed.clone()));
    let device = entity::create(cx, &scope, device, batch).await?;
    let account = settings::shown_name(cx, &scope).await?;
    let picture = qr::png(&format!("otpauth://totp/{}@{account}?secret={seed}", input.name))?;
    let mut shown = json!({
        "SerialNumber": device.arn, "Base32StringSeed": STANDARD.encode(&seed), "QRCodePNG": STANDARD.encode(picture),
    });
    if !device.tags.is_empty() {
        shown["Tags"] = json!(device.tags);
    }
    Ok(json!({ "VirtualMFADevice": shown }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SerialInput {
    serial_number: String,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    tag_keys: Vec<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

/// A check on the device's ARN. A serial number that is no virtual device's cannot be named in a policy.
fn on(action: &'static str, serial: &str) -> Result<Check> {
    let arn = Arn::parse(serial).ok().filter(|arn| arn.service() == "iam" && arn.resource().starts_with("mfa/"));
    Ok(Check::on(action, arn.ok_or_else(|| missing(serial))?))
}

async fn resolve_serial(_: &Cx, action: &'static str, input: &SerialInput) -> Result<Checks> {
    Ok(on(action, &input.serial_number)?.request_tags(&input.tags).tag_keys(&input.tag_keys).into())
}

async fn delete(cx: &Cx, permit: Permit<DeleteVirtualMFADevice>, input: SerialInput) -> Result<Reply> {
    let scope = permit.global();
    let (row, device) = find(cx, &scope, &input.serial_number).await?.ok_or_else(|| missing(&input.serial_number))?;
    if device.enabled.is_some() {
        return Err(error::delete_conflict("MFA VirtualDevice in use. Must deactivate first."));
    }
    let mut batch = Batch::new();
    owned::delete(&mut batch, &row);
    batch.set_tags(device.arn.as_str(), Vec::new());
    batch.delete_secret(device.secret());
    attempts::forget(&mut batch, &scope, &device.tries());
    cx.commit(batch).await.map_err(error::lost)?;
    Ok(Reply::empty())
}

async fn tag(cx: &Cx, permit: Permit<TagMFADevice>, input: SerialInput) -> Result<Reply> {
    tags::check(&input.tags)?;
    change_tags(cx, &permit.global(), &input.serial_number, |tags| tags::merge(tags, &input.tags)).await
}

async fn untag(cx: &Cx, permit: Permit<UntagMFADevice>, input: SerialInput) -> Result<Reply> {
    let gone = |tag: &Tag| input.tag_keys.iter().any(|key| key.to_lowercase() == tag.key.to_lowercase());
    change_tags(cx, &permit.global(), &input.serial_number, |tags| {
        tags.retain(|tag| !gone(tag));
        Ok(())
    })
    .await
}

async fn change_tags(cx: &Cx, scope: &Scope, serial: &str, change: impl Fn(&mut Vec<Tag>) -> Result<()> + Send + Sync) -> Result<Reply> {
    let (_, device) = find(cx, scope, serial).await?.ok_or_else(|| missing(serial))?;
    entity::change::<Device, _>(cx, scope, &device.name, |device, batch| {
        change(&mut device.tags)?;
        batch.set_tags(device.arn.as_str(), device.tags.clone());
        Ok(())
    })
    .await?;
    Ok(Reply::empty())
}

async fn list_tags(cx: &Cx, permit: Permit<ListMFADeviceTags>, input: SerialInput) -> Result<Reply> {
    let found = find(cx, &permit.global(), &input.serial_number).await?;
    let (_, device) = found.ok_or_else(|| missing(&input.serial_number))?;
    entity::answer("Tags", tags::in_order(&device.tags), input.marker.as_deref(), input.max_items)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetInput {
    user_name: Option<String>,
    serial_number: String,
}

async fn resolve_get(cx: &Cx, action: &'static str, input: &GetInput) -> Result<Checks> {
    resolve_own(cx, action, input.user_name.as_ref()).await
}

async fn get(cx: &Cx, permit: Permit<GetMFADevice>, input: GetInput) -> Result<Reply> {
    let scope = permit.global();
    let owner = Owner::find(cx, &scope, input.user_name.as_ref()).await?;
    let found = find(cx, &scope, &input.serial_number).await?.filter(|(row, _)| row.parent == owner.user.id);
    let (_, device) = found.ok_or_else(|| missing(&input.serial_number))?;
    let enabled = device.enabled.as_ref().map(|(_, at)| at);
    Ok(json!({ "UserName": owner.user.name, "SerialNumber": device.arn, "EnableDate": enabled }).into())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    #[serde(flatten)]
    own: OwnInput,
    assignment_status: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

async fn resolve_list(cx: &Cx, action: &'static str, input: &ListInput) -> Result<Checks> {
    resolve_own(cx, action, input.own.user_name.as_ref()).await
}

async fn list(cx: &Cx, permit: Permit<ListMFADevices>, input: ListInput) -> Result<Reply> {
    let owner = Owner::find(cx, &permit.global(), input.own.user_name.as_ref()).await?;
    let shown = |device: &Device| json!({ "UserName": owner.user.name, "SerialNumber": device.arn, "EnableDate": device.enabled.as_ref().map(|(_, at)| at) });
    let devices = owner.all::<Device>(cx, kind::MFA_DEVICE).await?;
    let items = devices.into_iter().map(|(row, device)| (row.id, shown(&device))).collect();
    entity::answer("MFADevices", items, input.marker.as_deref(), input.max_items)
}

async fn resolve_list_all(_: &Cx, action: &'static str, _: &ListInput) -> Result<Checks> {
    Ok(Check::any(action).into())
}

async fn list_all(cx: &Cx, permit: Permit<ListVirtualMFADevices>, input: ListInput) -> Result<Reply> {
    let scope = permit.global();
    let wanted = input.assignment_status.as_deref().unwrap_or("Any");
    let users: std::collections::HashMap<String, User> =
        entity::all::<User>(cx, &scope).await?.into_iter().map(|user| (user.id.clone(), user)).collect();
    let mut items: Vec<(String, Value)> = Vec::new();
    for device in entity::all::<Device>(cx, &scope).await? {
        if !matches!((wanted, &device.enabled), ("Assigned", Some(_)) | ("Unassigned", None) | ("Any", _)) {
            continue;
        }
        let mut value = json!({ "SerialNumber": device.arn });
        if let Some((user, at)) = &device.enabled {
            value["EnableDate"] = json!(at);
            if let Some(user) = users.get(user) {
                value["User"] = render::user(user, render::Detail::Listed);
            }
        }
        items.push((device.name, value));
    }
    entity::answer("VirtualMFADevices", items, input.marker.as_deref(), input.max_items)
}

/// How many devices there are, and how many are somebody's.
pub(crate) async fn count(cx: &Cx, scope: &Scope) -> Result<(usize, usize)> {
    let devices = entity::all::<Device>(cx, scope).await?;
    Ok((devices.len(), devices.iter().filter(|device| device.enabled.is_some()).count()))
}

/// Stores a device that was changed, together with its user's row; `false` where another was faster.
pub(crate) async fn store(cx: &Cx, row: &Row, device: &Device, owner: &Owner) -> Result<bool> {
    let mut row = row.clone();
    row.set_body(device)?;
    row.parent = device.parent().to_owned();
    let mut batch = Batch::new();
    owner.hold(&mut batch);
    batch.update(row.at(cx.now()));
    match cx.commit(batch).await {
        Ok(()) => Ok(true),
        Err(CommitError::Conflict { .. }) => Ok(false),
        Err(other) => Err(other.into()),
    }
}

operation!(
    "iam",
    CreateVirtualMFADevice,
    ["mfa"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"] and ["iam:TagMFADevice"],
    CreateInput,
    resolve_create,
    create
);
operation!("iam", DeleteVirtualMFADevice, ["mfa"], SerialInput, resolve_serial, delete);
operation!("iam", GetMFADevice, ["user"], GetInput, resolve_get, get);
operation!("iam", ListMFADevices, ["user"], ListInput, resolve_list, list);
operation!("iam", ListVirtualMFADevices, ["*"], ListInput, resolve_list_all, list_all);
operation!("iam", TagMFADevice, ["mfa"] + ["aws:RequestTag/${TagKey}", "aws:TagKeys"], SerialInput, resolve_serial, tag);
operation!("iam", UntagMFADevice, ["mfa"] + ["aws:TagKeys"], SerialInput, resolve_serial, untag);
operation!("iam", ListMFADeviceTags, ["mfa"], SerialInput, resolve_serial, list_tags);

pub(super) const TABLE: &[OperationRow] = &[
    OperationRow::of::<CreateVirtualMFADevice>(),
    OperationRow::of::<DeleteVirtualMFADevice>(),
    OperationRow::of::<GetMFADevice>(),
    OperationRow::of::<ListMFADevices>(),
    OperationRow::of::<ListVirtualMFADevices>(),
    OperationRow::of::<TagMFADevice>(),
    OperationRow::of::<UntagMFADevice>(),
    OperationRow::of::<ListMFADeviceTags>(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_there_and_back() {
        assert_eq!(to_base32(b"12345678901234567890"), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let seed: Vec<u8> = (0..40).map(|n| n * 6).collect();
        let text = to_base32(&seed);
        assert_eq!((text.len(), from_base32(&text)), (64, Some(seed)));
        assert_eq!([from_base32("GEZDGNB"), from_base32("gezdgnbv")], [None, None]);
    }
}

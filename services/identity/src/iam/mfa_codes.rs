//! One-time codes of MFA devices: EnableMFADevice, ResyncMFADevice, DeactivateMFADevice, and what STS asks.
//!
//! Who may guess is bounded by [`super::attempts`]; a code counts once ([`super::totp`]). A code is used up when
//! it was found good, whatever becomes of the call that brought it.

use serde::Deserialize;
use tenantry_core::{AwsError, Result, Scope, Timestamp};
use tenantry_kernel::{Checks, Cx, OperationRow, Permit, Reply, directory::kind};
use tenantry_policy::PrincipalKind;
use tenantry_store::Row;

use super::{
    attempts::{self, Tried},
    entity, error,
    mfa::{self, Device},
    owned::Owner,
    quota, totp,
    users::resolve_own,
};
use tenantry_kernel::operation;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CodesInput {
    user_name: String,
    serial_number: String,
    authentication_code1: String,
    authentication_code2: String,
}

async fn resolve(cx: &Cx, action: &'static str, input: &CodesInput) -> Result<Checks> {
    resolve_own(cx, action, Some(&input.user_name)).await
}

/// 403 of codes.
fn invalid(text: impl Into<String>) -> AwsError {
    AwsError::new(403, "InvalidAuthenticationCode", text)
}

fn wait(seconds: i64) -> AwsError {
    invalid(format!("Too many wrong authentication codes for this device. Try again in {seconds} seconds."))
}

/// Holds two codes in a row against a device; answers by how many steps its clock is off.
async fn two(cx: &Cx, scope: &Scope, device: &Device, input: &CodesInput, wide: bool) -> Result<i64> {
    let (seed, now) = (device.seed(cx).await?, cx.now());
    let (first, second) = (&input.authentication_code1, &input.authentication_code2);
    let tried =
        attempts::attempt(cx, scope, &device.tries(), |tries| totp::accept_two(&seed, now, tries.step, first, second, wide)).await?;
    match tried {
        Tried::Good(step) => Ok(step - totp::step(now)),
        Tried::Wrong => Err(invalid("Authentication code for device is not valid.")),
        Tried::Wait(seconds) => Err(wait(seconds)),
    }
}

async fn enable(cx: &Cx, permit: Permit<EnableMFADevice>, input: CodesInput) -> Result<Reply> {
    let scope = permit.global();
    let serial = &input.serial_number;
    let mut proven = false;
    for _ in 0..entity::ATTEMPTS {
        let owner = Owner::find(cx, &scope, Some(&input.user_name)).await?;
        let (row, mut device) = mfa::find(cx, &scope, serial).await?.ok_or_else(|| mfa::missing(serial))?;
        if device.enabled.is_some() {
            return Err(error::already_exists(format!("MFADevice with serial number {serial} is already assigned to a user.")));
        }
        if owner.all::<Device>(cx, kind::MFA_DEVICE).await?.len() >= quota::MFA_DEVICES {
            return Err(error::quota("MFADevicesPerUser", quota::MFA_DEVICES));
        }
        // The codes are used up by the first look at them. They were in the window: the clock counts as right.
        if !proven {
            two(cx, &scope, &device, &input, false).await?;
            proven = true;
        }
        device.drift = 0;
        device.enabled = Some((owner.user.id.clone(), cx.now()));
        if mfa::store(cx, &row, &device, &owner).await? {
            return Ok(Reply::empty());
        }
    }
    Err(error::concurrent())
}

/// The device of a user.
async fn of(cx: &Cx, scope: &Scope, owner: &Owner, serial: &str) -> Result<(Row, Device)> {
    let found = mfa::find(cx, scope, serial).await?.filter(|(row, _)| row.parent == owner.user.id);
    found.ok_or_else(|| error::no_such_entity("MFA Device invalid for user."))
}

async fn resync(cx: &Cx, permit: Permit<ResyncMFADevice>, input: CodesInput) -> Result<Reply> {
    let scope = permit.global();
    let owner = Owner::find(cx, &scope, Some(&input.user_name)).await?;
    let (row, mut device) = of(cx, &scope, &owner, &input.serial_number).await?;
    device.drift = two(cx, &scope, &device, &input, true).await?;
    if mfa::store(cx, &row, &device, &owner).await? { Ok(Reply::empty()) } else { Err(error::concurrent()) }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeactivateInput {
    user_name: Option<String>,
    serial_number: String,
}

async fn resolve_deactivate(cx: &Cx, action: &'static str, input: &DeactivateInput) -> Result<Checks> {
    resolve_own(cx, action, input.user_name.as_ref()).await
}

async fn deactivate(cx: &Cx, permit: Permit<DeactivateMFADevice>, input: DeactivateInput) -> Result<Reply> {
    let scope = permit.global();
    let owner = Owner::find(cx, &scope, input.user_name.as_ref()).await?;
    let (row, mut device) = of(cx, &scope, &owner, &input.serial_number).await?;
    device.enabled = None;
    if mfa::store(cx, &row, &device, &owner).await? { Ok(Reply::empty()) } else { Err(error::concurrent()) }
}

/// Holds the code that came with a call of STS against the caller's own device, and uses it up. `None` where
/// the call brings none.
///
/// # Errors
/// `AccessDenied`, in STS's words.
pub(crate) async fn of_caller(cx: &Cx, serial: Option<&String>, code: Option<&String>) -> Result<Option<Timestamp>> {
    let denied = |text: String| AwsError::new(403, "AccessDenied", format!("MultiFactorAuthentication failed{text}"));
    let (serial, code) = match (serial, code) {
        (None, None) => return Ok(None),
        (Some(serial), Some(code)) => (serial, code),
        _ => return Err(denied(", must provide both MFA serial number and one time pass code.".to_owned())),
    };
    let unknown = || {
        denied(", unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.".to_owned())
    };
    let user = cx.caller.principal.unique_id.as_ref().filter(|_| cx.caller.principal.kind == PrincipalKind::User).ok_or_else(unknown)?;
    let scope = cx.global();
    let found = mfa::find(cx, &scope, serial).await?.filter(|(row, _)| row.parent == *user);
    let (_, device) = found.ok_or_else(unknown)?;
    let (seed, now) = (device.seed(cx).await?, cx.now());
    let tried = attempts::attempt(cx, &scope, &device.tries(), |tries| totp::accept(&seed, now, device.drift, tries.step, code)).await?;
    match tried {
        Tried::Good(_) => Ok(Some(now)),
        // The blank at the end is AWS's.
        Tried::Wrong => Err(denied(" with invalid MFA one time pass code. ".to_owned())),
        Tried::Wait(seconds) => Err(denied(format!(": too many wrong codes for this device, try again in {seconds} seconds."))),
    }
}

operation!("iam", EnableMFADevice, ["user"], CodesInput, resolve, enable);
operation!("iam", ResyncMFADevice, ["user"], CodesInput, resolve, resync);
operation!("iam", DeactivateMFADevice, ["user"], DeactivateInput, resolve_deactivate, deactivate);

pub(super) const TABLE: &[OperationRow] =
    &[OperationRow::of::<EnableMFADevice>(), OperationRow::of::<ResyncMFADevice>(), OperationRow::of::<DeactivateMFADevice>()];

//! MFA devices and what a code is good for.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;
use serde_json::{Value, json};
use tenantry_core::AwsError;
use tenantry_kernel::Caller;

use crate::world::{World, allow, trust_account};

/// A device as its holder has it.
pub struct Phone {
    pub serial: String,
    seed: Vec<u8>,
}

impl Phone {
    /// Made by the administrator.
    pub async fn new(w: &World, name: &str) -> Self {
        let made = w.iam("CreateVirtualMFADevice", json!({ "VirtualMFADeviceName": name })).await["VirtualMFADevice"].clone();
        let text = STANDARD.decode(made["Base32StringSeed"].as_str().unwrap()).unwrap();
        assert_eq!(text.len(), 64);
        let bits: String =
            text.iter().map(|c| format!("{:05b}", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(char::from(*c)).unwrap())).collect();
        let seed = bits.as_bytes().chunks(8).map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap()).collect();
        assert!(STANDARD.decode(made["QRCodePNG"].as_str().unwrap()).unwrap().starts_with(b"\x89PNG"));
        Self { serial: made["SerialNumber"].as_str().unwrap().to_owned(), seed }
    }

    /// What it shows, so many steps from now.
    pub fn code(&self, w: &World, ahead: i64) -> String {
        let step = w.kernel.now().secs() / 30 + ahead;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.seed), &step.to_be_bytes());
        let at = usize::from(tag.as_ref()[19] & 15);
        let word = u32::from_be_bytes(tag.as_ref()[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
        format!("{:06}", word % 1_000_000)
    }

    pub async fn enable(&self, w: &World, user: &str) -> Result<Value, AwsError> {
        let input = json!({
            "UserName": user, "SerialNumber": self.serial,
            "AuthenticationCode1": self.code(w, -1), "AuthenticationCode2": self.code(w, 0),
        });
        w.call(&w.admin, "iam", "EnableMFADevice", input).await
    }
}

async fn with_phone(w: &World, name: &str) -> (Caller, Phone) {
    let ann = w.user(name, Some(&allow("*", "*"))).await;
    let phone = Phone::new(w, name).await;
    phone.enable(w, name).await.unwrap();
    w.clock.advance_secs(30);
    (ann, phone)
}

fn denied(answer: Result<Value, AwsError>) -> String {
    let error = answer.unwrap_err();
    assert_eq!((error.status, &*error.code), (403, "AccessDenied"));
    error.message
}

const INVALID: &str = "MultiFactorAuthentication failed with invalid MFA one time pass code. ";

#[tokio::test]
async fn a_device_from_its_making_to_its_end() {
    let w = World::new().await;
    w.user("ann", None).await;
    let phone = Phone::new(&w, "phone").await;
    assert_eq!(phone.serial, w.arn("mfa/phone"));
    let again = w.refused("iam", "CreateVirtualMFADevice", json!({ "VirtualMFADeviceName": "Phone" })).await;
    assert_eq!((again.status, &*again.code), (409, "EntityAlreadyExists"));
    let listed = w.iam("ListVirtualMFADevices", json!({ "AssignmentStatus": "Unassigned" })).await;
    assert_eq!(listed["VirtualMFADevices"], json!([{ "SerialNumber": phone.serial }]));

    // Two codes in a row, in order.
    let input = |first: String, second: String| json!({ "UserName": "ann", "SerialNumber": phone.serial, "AuthenticationCode1": first, "AuthenticationCode2": second });
    for (first, second) in [(0, -1), (0, 0), (-9, -8)] {
        let error = w.refused("iam", "EnableMFADevice", input(phone.code(&w, first), phone.code(&w, second))).await;
        assert_eq!((error.status, &*error.code), (403, "InvalidAuthenticationCode"));
        assert_eq!(error.message, "Authentication code for device is not valid.");
    }
    phone.enable(&w, "ann").await.unwrap();
    let id = w.iam("GetUser", json!({ "UserName": "ann" })).await["User"]["UserId"].clone();
    let listed = w.iam("ListVirtualMFADevices", json!({ "AssignmentStatus": "Assigned" })).await["VirtualMFADevices"][0].clone();
    assert_eq!((&listed["User"]["UserId"], &listed["EnableDate"]), (&id, &json!(w.kernel.now().secs())));
    let own = w.iam("ListMFADevices", json!({ "UserName": "ann" })).await["MFADevices"][0].clone();
    assert_eq!((own["UserName"].as_str(), own["SerialNumber"].as_str()), (Some("ann"), Some(phone.serial.as_str())));
    let got = w.iam("GetMFADevice", json!({ "SerialNumber": phone.serial, "UserName": "ann" })).await;
    assert_eq!(got["EnableDate"], json!(w.kernel.now().secs()));
    let summary = w.iam("GetAccountSummary", json!({})).await["SummaryMap"].clone();
    assert_eq!((&summary["MFADevices"], &summary["MFADevicesInUse"]), (&json!(1), &json!(1)));
    assert_eq!(&*phone.enable(&w, "administrator").await.unwrap_err().code, "EntityAlreadyExists");

    // Nothing that has it goes away under it; a new name changes nothing.
    w.iam("UpdateUser", json!({ "UserName": "ann", "NewUserName": "bea" })).await;
    let error = w.refused("iam", "DeleteUser", json!({ "UserName": "bea" })).await;
    assert_eq!(error.message, "Cannot delete entity, must delete MFA device first.");
    let error = w.refused("iam", "DeleteVirtualMFADevice", json!({ "SerialNumber": phone.serial })).await;
    assert_eq!((&*error.code, error.message.as_str()), ("DeleteConflict", "MFA VirtualDevice in use. Must deactivate first."));
    let error = w.refused("iam", "DeactivateMFADevice", json!({ "UserName": "administrator", "SerialNumber": phone.serial })).await;
    assert_eq!(error.message, "MFA Device invalid for user.");
    w.iam("DeactivateMFADevice", json!({ "UserName": "bea", "SerialNumber": phone.serial })).await;
    w.iam("DeleteVirtualMFADevice", json!({ "SerialNumber": phone.serial })).await;
    let error = w.refused("iam", "DeleteVirtualMFADevice", json!({ "SerialNumber": phone.serial })).await;
    assert_eq!(error.message, format!("VirtualMFADevice with serial number {} does not exist.", phone.serial));
    w.iam("DeleteUser", json!({ "UserName": "bea" })).await;
}

#[tokio::test]
async fn a_devices_tags_are_seen_by_policies() {
    let w = World::new().await;
    let phone = Phone::new(&w, "phone").await;
    w.iam("TagMFADevice", json!({ "SerialNumber": phone.serial, "Tags": [{ "Key": "Team", "Value": "a" }] })).await;
    let tags = w.iam("ListMFADeviceTags", json!({ "SerialNumber": phone.serial })).await;
    assert_eq!(tags["Tags"], json!([{ "Key": "Team", "Value": "a" }]));
    let text = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "iam:ListMFADeviceTags", "Resource": "*",
        "Condition": { "StringEquals": { "aws:ResourceTag/Team": "a" } } }] });
    let ann = w.user("ann", Some(&text.to_string())).await;
    w.call(&ann, "iam", "ListMFADeviceTags", json!({ "SerialNumber": phone.serial })).await.unwrap();
    w.iam("UntagMFADevice", json!({ "SerialNumber": phone.serial, "TagKeys": ["team"] })).await;
    w.call(&ann, "iam", "ListMFADeviceTags", json!({ "SerialNumber": phone.serial })).await.unwrap_err();
}

#[tokio::test]
async fn eight_devices_and_one_more() {
    let w = World::new().await;
    w.user("ann", None).await;
    for n in 0..8 {
        Phone::new(&w, &format!("phone{n}")).await.enable(&w, "ann").await.unwrap();
    }
    let error = Phone::new(&w, "phone8").await.enable(&w, "ann").await.unwrap_err();
    assert_eq!((&*error.code, error.message.as_str()), ("LimitExceeded", "Cannot exceed quota for MFADevicesPerUser: 8"));
}

#[tokio::test]
async fn a_code_makes_a_session_that_says_so() {
    let w = World::new().await;
    let (ann, phone) = with_phone(&w, "ann").await;
    let when = |operator: &str, key: &str, value: &str| {
        let statement =
            json!({ "Effect": "Deny", "Action": "organizations:*", "Resource": "*", "Condition": { operator: { key: value } } });
        json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*" }, statement] }).to_string()
    };
    let token = async |input: Value| {
        let answer = w.call(&ann, "sts", "GetSessionToken", input).await.unwrap();
        w.holder(w.account.as_str(), &answer["Credentials"]).await
    };
    let bare = token(json!({})).await;
    let proven = token(json!({ "SerialNumber": phone.serial, "TokenCode": phone.code(&w, 0) })).await;
    w.clock.advance_secs(100);
    // Which are denied: long-term keys, a token without a code, a token with one of a hundred seconds ago.
    for (operator, key, value, expected) in [
        ("Bool", "aws:MultiFactorAuthPresent", "false", [false, true, false]),
        ("BoolIfExists", "aws:MultiFactorAuthPresent", "false", [true, true, false]),
        ("Bool", "aws:MultiFactorAuthPresent", "true", [false, false, true]),
        ("Null", "aws:MultiFactorAuthPresent", "true", [true, false, false]),
        ("Null", "aws:MultiFactorAuthAge", "true", [true, true, false]),
        ("NumericGreaterThan", "aws:MultiFactorAuthAge", "99", [false, false, true]),
        ("NumericGreaterThan", "aws:MultiFactorAuthAge", "100", [false, false, false]),
        ("NumericGreaterThanIfExists", "aws:MultiFactorAuthAge", "100", [true, true, false]),
    ] {
        w.iam("PutUserPolicy", json!({ "UserName": "ann", "PolicyName": "p", "PolicyDocument": when(operator, key, value) })).await;
        for (caller, denied) in [&ann, &bare, &proven].into_iter().zip(expected) {
            let answer = w.call(caller, "organizations", "DescribeOrganization", json!({})).await;
            assert_eq!(answer.is_err(), denied, "{operator} {key} {value} {:?}", caller.session.is_some());
        }
    }
}

#[tokio::test]
async fn a_code_counts_once_and_guesses_are_bounded() {
    let w = World::new().await;
    let (ann, phone) = with_phone(&w, "ann").await;
    let ask = |code: String| w.call(&ann, "sts", "GetSessionToken", json!({ "SerialNumber": phone.serial, "TokenCode": code }));
    let good = phone.code(&w, 0);
    ask(good.clone()).await.unwrap();
    assert_eq!(denied(ask(good.clone()).await), INVALID, "a code counts once");
    assert_eq!(denied(ask(phone.code(&w, -1)).await), INVALID, "and none from before it");
    // A code that was refused otherwise is used up too: here by the role's trust policy.
    w.clock.advance_secs(30);
    let code = phone.code(&w, 0);
    let input = json!({ "RoleArn": w.arn("role/none"), "RoleSessionName": "s1", "SerialNumber": phone.serial, "TokenCode": code });
    let error = w.call(&ann, "sts", "AssumeRole", input).await.unwrap_err();
    assert!(error.message.contains("is not authorized to perform: sts:AssumeRole"), "{}", error.message);
    assert_eq!(denied(ask(code).await), INVALID);

    // A good one in between counts them anew.
    w.clock.advance_secs(30);
    ask(phone.code(&w, 0)).await.unwrap();
    for _ in 0..5 {
        assert_eq!(denied(ask("000000".to_owned()).await), INVALID);
    }
    w.clock.advance_secs(30);
    let said = denied(ask(phone.code(&w, 0)).await);
    assert!(said.contains("too many wrong codes for this device, try again in 30 seconds"), "{said}");
    w.clock.advance_secs(30);
    ask(phone.code(&w, 0)).await.unwrap();
}

#[tokio::test]
async fn guesses_at_once_are_no_more_than_one_after_the_other() {
    let w = World::new().await;
    let (ann, phone) = with_phone(&w, "ann").await;
    let ask = |n: u32| {
        let input = json!({ "SerialNumber": phone.serial, "TokenCode": format!("{n:06}") });
        w.call(&ann, "sts", "GetSessionToken", input)
    };
    for n in 0..40 {
        let answers = tokio::join!(ask(4 * n), ask(4 * n + 1), ask(4 * n + 2), ask(4 * n + 3));
        for answer in [answers.0, answers.1, answers.2, answers.3] {
            let text = answer.unwrap_err().message;
            assert!(n == 0 || n == 1 || text.contains("too many wrong codes"), "{n}: {text}");
        }
    }
}

#[tokio::test]
async fn whose_device_it_is() {
    let w = World::new().await;
    let (ann, phone) = with_phone(&w, "ann").await;
    let (bob, other) = with_phone(&w, "bob").await;
    let ask = async |caller: &Caller, input: Value| w.call(caller, "sts", "GetSessionToken", input).await;
    let unable = "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.";
    assert_eq!(denied(ask(&ann, json!({ "SerialNumber": other.serial, "TokenCode": other.code(&w, 0) })).await), unable);
    assert_eq!(denied(ask(&bob, json!({ "SerialNumber": w.arn("mfa/none"), "TokenCode": "123456" })).await), unable);
    let both = "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.";
    assert_eq!(denied(ask(&ann, json!({ "SerialNumber": phone.serial })).await), both);
    assert_eq!(denied(ask(&ann, json!({ "TokenCode": phone.code(&w, 0) })).await), both);
    // Sessions of roles have no devices.
    w.role("R", &trust_account(w.account.as_str())).await;
    w.iam("AttachRolePolicy", json!({ "RoleName": "R", "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess" })).await;
    let role = w.assume(&ann, json!({ "RoleArn": w.arn("role/R"), "RoleSessionName": "s1" })).await.unwrap();
    let input =
        json!({ "RoleArn": w.arn("role/R"), "RoleSessionName": "s2", "SerialNumber": phone.serial, "TokenCode": phone.code(&w, 0) });
    assert_eq!(denied(w.call(&role, "sts", "AssumeRole", input).await), unable);
}

#[tokio::test]
async fn a_device_that_is_off_is_synchronised() {
    let w = World::new().await;
    let (ann, phone) = with_phone(&w, "ann").await;
    let ask = |code: String| w.call(&ann, "sts", "GetSessionToken", json!({ "SerialNumber": phone.serial, "TokenCode": code }));
    assert_eq!(denied(ask(phone.code(&w, 20)).await), INVALID);
    let codes = json!({ "UserName": "ann", "SerialNumber": phone.serial, "AuthenticationCode1": phone.code(&w, 20), "AuthenticationCode2": phone.code(&w, 21) });
    w.iam("ResyncMFADevice", codes).await;
    w.clock.advance_secs(30);
    ask(phone.code(&w, 21)).await.unwrap();
    assert_eq!(denied(ask(phone.code(&w, 0)).await), INVALID, "by its old time it shows what is past");
}

/// Roles that ask for a code, with one in the call and with one in the caller's session.
#[tokio::test]
async fn roles_that_ask_for_a_code() {
    let w = World::new().await;
    let (ann, phone) = with_phone(&w, "ann").await;
    let trust = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "AWS": w.account.as_str() }, "Condition": { "Bool": { "aws:MultiFactorAuthPresent": "true" } } }] });
    w.role("guarded", &trust.to_string()).await;
    let inside = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "iam:ListRoles", "Resource": "*", "Condition": { "Bool": { "aws:MultiFactorAuthPresent": "true" } } },
        { "Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*", "Condition": { "NumericLessThan": { "aws:MultiFactorAuthAge": "60" } } },
        { "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*" }] });
    w.iam("PutRolePolicy", json!({ "RoleName": "guarded", "PolicyName": "p", "PolicyDocument": inside.to_string() })).await;
    w.role("next", &trust_account(w.account.as_str())).await;
    w.iam("PutRolePolicy", json!({ "RoleName": "next", "PolicyName": "p", "PolicyDocument": inside.to_string() })).await;

    let plain = json!({ "RoleArn": w.arn("role/guarded"), "RoleSessionName": "s1" });
    let mut with_code = plain.clone();
    with_code["SerialNumber"] = json!(phone.serial);
    w.assume(&ann, plain.clone()).await.expect_err("long-term keys bring no code");
    let bare = w.call(&ann, "sts", "GetSessionToken", json!({})).await.unwrap();
    let bare = w.holder(w.account.as_str(), &bare["Credentials"]).await;
    w.assume(&bare, plain.clone()).await.expect_err("nor does a token without one");

    with_code["TokenCode"] = json!(phone.code(&w, 0));
    let role = w.assume(&ann, with_code.clone()).await.unwrap();
    w.call(&role, "iam", "ListRoles", json!({})).await.unwrap();
    w.clock.advance_secs(59);
    w.call(&role, "iam", "ListUsers", json!({})).await.unwrap();
    w.clock.advance_secs(1);
    w.call(&role, "iam", "ListUsers", json!({})).await.expect_err("the code is a minute old");
    // A chain does not hand it on.
    let next = w.assume(&role, json!({ "RoleArn": w.arn("role/next"), "RoleSessionName": "s2" })).await.unwrap();
    w.call(&next, "iam", "ListRoles", json!({})).await.unwrap_err();

    let token =
        w.call(&ann, "sts", "GetSessionToken", json!({ "SerialNumber": phone.serial, "TokenCode": phone.code(&w, 0) })).await.unwrap();
    let token = w.holder(w.account.as_str(), &token["Credentials"]).await;
    w.call(&token, "iam", "ListUsers", json!({})).await.expect("with a code IAM may be called");
    w.clock.advance_secs(40);
    let role = w.assume(&token, plain).await.unwrap();
    w.call(&role, "iam", "ListUsers", json!({})).await.expect("forty seconds");
    w.clock.advance_secs(20);
    w.call(&role, "iam", "ListUsers", json!({})).await.expect_err("the age is the code's, not the session's");
    w.call(&role, "iam", "ListRoles", json!({})).await.unwrap();
}

#[tokio::test]
async fn the_seed_is_answered_once() {
    let w = World::new().await;
    w.user("ann", None).await;
    let made = w.iam("CreateVirtualMFADevice", json!({ "VirtualMFADeviceName": "phone" })).await["VirtualMFADevice"].clone();
    let base64 = made["Base32StringSeed"].as_str().unwrap().to_owned();
    let plain = String::from_utf8(STANDARD.decode(&base64).unwrap()).unwrap();
    for (operation, input) in [
        ("ListVirtualMFADevices", json!({})),
        ("GetAccountAuthorizationDetails", json!({})),
        ("ListMFADeviceTags", json!({ "SerialNumber": made["SerialNumber"] })),
    ] {
        let answer = w.iam(operation, input).await.to_string();
        assert!(!answer.contains(&plain) && !answer.contains(&base64), "{operation}");
    }
    for event in w.kernel.store().events(None, 1000, false).await.unwrap() {
        let text = event.json().unwrap().to_string();
        assert!(!text.contains(&plain) && !text.contains(&base64), "the audit trail has the seed");
    }
}

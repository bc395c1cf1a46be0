//! Settings of users and spaces: the roles they hand on, the condition keys they set, what is refused of them.
//!
//! Source of the keys: "Actions, resources, and condition keys for Amazon SageMaker AI", Service Authorization Reference.

use serde_json::{Map, Value};
use tenantry_core::{Arn, Result};
use tenantry_kernel::{Caller, Check, Cx};

use crate::{error::validation, names};

/// Settings that need a file system.
const NEED_FILE_SYSTEMS: [&str; 3] = ["CustomFileSystemConfigs", "CustomFileSystems", "CustomPosixUserConfig"];
/// Security groups that settings or a domain may name ("UserSettings").
const MAX_SECURITY_GROUPS: usize = 5;

/// All texts behind members called `name`, however deep.
fn collect(value: &Value, name: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                if member == name {
                    let texts = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                    found.extend(texts.iter().filter_map(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned));
                }
                collect(value, name, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, name, found)),
        _ => {}
    }
}

/// Condition keys of the settings in a request; a key is there where the request says something of it.
pub(super) fn keys(mut check: Check, settings: &[Option<&Value>]) -> Check {
    let all = |names: &[&str]| {
        let mut found = Vec::new();
        for settings in settings.iter().flatten() {
            names.iter().for_each(|name| collect(settings, name, &mut found));
        }
        found.sort();
        found.dedup();
        found
    };
    for (key, members) in [
        ("sagemaker:InstanceTypes", &["InstanceType"][..]),
        ("sagemaker:ImageArns", &["SageMakerImageArn"]),
        ("sagemaker:ImageVersionArns", &["SageMakerImageVersionArn"]),
        ("sagemaker:StudioLifecycleConfigArns", &["LifecycleConfigArn", "LifecycleConfigArns"]),
        ("sagemaker:VpcSecurityGroupIds", &["SecurityGroups"]),
    ] {
        let values = all(members);
        if !values.is_empty() {
            check = check.list(key, values);
        }
    }
    check.key_if("sagemaker:DomainSharingOutputKmsKey", all(&["S3KmsKeyId"]).pop())
}

/// `sagemaker:DomainId` and `sagemaker:UserProfileName` of a caller that is a Studio user's session: which
/// profile asks, whatever it asks for. Nobody else has these keys.
pub(super) fn asker(check: Check, caller: &Caller) -> Check {
    let source = caller.session.as_ref().and_then(|session| Arn::parse(session.source_arn.clone()?).ok());
    let of = source.as_ref().filter(|arn| arn.service() == "sagemaker").map(Arn::resource_type_and_id);
    match of.and_then(|(of, rest)| rest.split_once('/').filter(|_| of == "user-profile")) {
        Some((domain, profile)) => check.key("sagemaker:DomainId", domain).key("sagemaker:UserProfileName", profile),
        None => check,
    }
}

/// `iam:PassRole` on the roles that settings name.
///
/// # Errors
/// `ValidationException` for roles of other accounts.
pub(super) fn pass_roles(cx: &Cx, settings: &[Option<&Value>]) -> Result<Vec<Check>> {
    let mut roles: Vec<&str> = settings.iter().flatten().filter_map(|settings| settings.get("ExecutionRole")?.as_str()).collect();
    roles.dedup();
    let pass = |role: &str| {
        let arn = Arn::parse(role).map_err(|_| validation(format!("Invalid role ARN: {role}")))?;
        if arn.account() != cx.caller.account.as_str() {
            return Err(validation("Cross-account pass role is not allowed."));
        }
        Ok(Check::pass_role(arn, names::PRINCIPAL))
    };
    roles.into_iter().map(pass).collect()
}

/// Refuses settings that nothing here honours, and ids that are none.
///
/// # Errors
/// `ValidationException` that names the member.
pub(super) fn checked(settings: Option<&Value>) -> Result<()> {
    let Some(members) = settings.and_then(Value::as_object) else { return Ok(()) };
    refuse(members, &NEED_FILE_SYSTEMS, "file systems are not available on this instance")?;
    for (member, value, why) in [
        ("AutoMountHomeEFS", "Enabled", "file systems are not available on this instance"),
        ("RemoteAccess", "ENABLED", "spaces cannot be reached from outside on this instance"),
        ("SpaceManagedResources", "ENABLED", "applications do not run on this instance yet"),
    ] {
        if members.get(member).and_then(Value::as_str) == Some(value) {
            return Err(validation(format!("{member} {value} is not supported: {why}.")));
        }
    }
    ids(members.get("SecurityGroups"), "sg-", MAX_SECURITY_GROUPS)
}

/// Refuses members by name.
pub(super) fn refuse(members: &Map<String, Value>, refused: &[&str], why: &str) -> Result<()> {
    match refused.iter().find(|member| members.get(**member).is_some_and(|value| !value.is_null())) {
        Some(member) => Err(validation(format!("{member} is not supported: {why}."))),
        None => Ok(()),
    }
}

/// Ids of EC2 in a list: `prefix` and 8 to 17 hexadecimal digits.
pub(super) fn ids(list: Option<&Value>, prefix: &str, most: usize) -> Result<()> {
    let texts = list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if texts.len() > most {
        return Err(validation(format!("At most {most} ids that begin with `{prefix}` may be given.")));
    }
    texts.iter().filter_map(Value::as_str).try_for_each(|text| id(text, prefix))
}

/// An id of EC2.
pub(super) fn id(text: &str, prefix: &str) -> Result<()> {
    let digits = text.strip_prefix(prefix).unwrap_or_default();
    let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if (8..=17).contains(&digits.len()) && hexadecimal {
        return Ok(());
    }
    Err(validation(format!("`{text}` is not an id that begins with `{prefix}`.")))
}

/// Puts the members of `new` over those of `old`, as an update does: what is not named stays.
pub(super) fn merge(request: &mut Map<String, Value>, member: &str, new: Option<&Value>) {
    let Some(new) = new.and_then(Value::as_object) else { return };
    let old = request.entry(member).or_insert_with(|| Value::Object(Map::new()));
    if let Some(old) = old.as_object_mut() {
        old.extend(new.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone())));
    }
}

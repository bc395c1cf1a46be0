//! `VpcConfig`: the subnets and security groups that a job or a model asks for.
//!
//! There is no network service here yet, so ids are not looked up: they must look like AWS's ids, and how many there
//! may be is the model's. Policies see them (`sagemaker:VpcSubnets`, `sagemaker:VpcSecurityGroupIds`). What runs in a
//! VPC reaches AWS's host names, which end at the instance, and nothing else: a subnet has no route to the internet
//! until there are routes, whatever the instance's own egress setting says.

use serde_json::Value;
use tenantry_core::Result;
use tenantry_kernel::Check;

use crate::error::validation;

/// Ids of a member, and what they begin with.
const MEMBERS: [(&str, &str, &str); 2] =
    [("Subnets", "subnet-", "sagemaker:VpcSubnets"), ("SecurityGroupIds", "sg-", "sagemaker:VpcSecurityGroupIds")];

/// Whether a request asks for a VPC.
///
/// # Errors
/// `ValidationException` for ids that cannot be those of subnets or security groups, and for either of them missing.
pub(crate) fn asked(config: &Value) -> Result<bool> {
    if config.is_null() {
        return Ok(false);
    }
    for (member, prefix, _) in MEMBERS {
        let ids = ids(config, member);
        if ids.is_empty() {
            return Err(validation(format!("VpcConfig must have {member}.")));
        }
        let wrong = ids.iter().find(|id| id.strip_prefix(prefix).is_none_or(|rest| rest.is_empty() || !rest.bytes().all(hexadecimal)));
        if let Some(wrong) = wrong {
            return Err(validation(format!("{wrong} in VpcConfig.{member} is not a valid id: expected {prefix} and hexadecimal digits.")));
        }
    }
    Ok(true)
}

fn hexadecimal(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn ids(config: &Value, member: &str) -> Vec<String> {
    config[member].as_array().into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect()
}

/// The condition keys of a `VpcConfig`, each only where the request has ids for it.
pub(crate) fn keys(check: Check, config: &Value) -> Check {
    MEMBERS.iter().fold(check, |check, (member, _, key)| match ids(config, member) {
        ids if ids.is_empty() => check,
        ids => check.list(*key, ids),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_look_like_ids() {
        assert!(!asked(&Value::Null).unwrap());
        assert!(asked(&json!({"Subnets": ["subnet-0a1b"], "SecurityGroupIds": ["sg-1", "sg-2"]})).unwrap());
        for wrong in [
            json!({"Subnets": ["subnet-1"]}),
            json!({"Subnets": [], "SecurityGroupIds": ["sg-1"]}),
            json!({"Subnets": ["subnet-"], "SecurityGroupIds": ["sg-1"]}),
            json!({"Subnets": ["sg-1"], "SecurityGroupIds": ["sg-1"]}),
            json!({"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-x"]}),
        ] {
            assert_eq!(asked(&wrong).unwrap_err().code, "ValidationException", "{wrong}");
        }
    }

    #[test]
    fn keys_of_what_is_there() {
        let names = |config| keys(Check::any("sagemaker:CreateModel"), &config).keys.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(Value::Null), Vec::<String>::new());
        assert_eq!(names(json!({"Subnets": ["subnet-1"], "SecurityGroupIds": []})), ["sagemaker:VpcSubnets"]);
        assert_eq!(
            names(json!({"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]})),
            ["sagemaker:VpcSubnets", "sagemaker:VpcSecurityGroupIds"]
        );
    }
}

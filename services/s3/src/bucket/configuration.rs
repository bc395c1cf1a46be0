//! Versioning, ownership, CORS, notifications and logging; and the settings of features that are not
//! here, which answer what a bucket of AWS answers that has none.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::{AwsError, Result};
use tenantry_kernel::{Cx, Permit, Reply};

use super::{Bucket, Versioning, checked, create::BucketInput};
use crate::{error, operation::operation};

/// Rules of a CORS configuration.
const MAX_CORS_RULES: usize = 100;

/// An operation that answers from the bucket's settings alone.
macro_rules! getter {
    ($name:ident: $action:literal, $answer:expr) => {
        operation!($name: $action on ["bucket"] + [], BucketInput, |cx, input| checked(cx, input, $action), async |cx: &Cx, permit: Permit<$name>, input: BucketInput| {
            let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
            let answer: fn(&Bucket) -> Result<Value> = $answer;
            answer(&bucket).map(Reply::new)
        });
    };
}

/// An operation that changes the settings; `$change` makes of the input what is stored.
macro_rules! setter {
    ($name:ident: $action:literal, $input:ty, $of:expr, $change:expr) => {
        operation!($name: $action on ["bucket"] + [], $input, async |cx: &Cx, input: &$input| {
            let of: fn(&$input) -> &BucketInput = $of;
            checked(cx, of(input), $action).await
        }, async |cx: &Cx, permit: Permit<$name>, input: $input| {
            let of: fn(&$input) -> &BucketInput = $of;
            let bucket = Bucket::permitted(cx, &permit, &of(&input).bucket).await?;
            let change: fn(&Bucket, &$input, &mut super::Settings) -> Result<()> = $change;
            let before = bucket.clone();
            bucket.change(cx, |settings, _| change(&before, &input, settings)).await?;
            Ok(Reply::empty())
        });
    };
}

fn missing(bucket: &Bucket, code: &'static str, text: &str) -> AwsError {
    AwsError::new(404, code, text).with("BucketName", bucket.name.as_str())
}

/// An input with the bucket and one document.
macro_rules! document_input {
    ($name:ident, $member:ident) => {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        pub(crate) struct $name {
            #[serde(flatten)]
            of: BucketInput,
            #[serde(default)]
            $member: Value,
        }
    };
}

// Versioning.

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct VersioningInput {
    #[serde(flatten)]
    of: BucketInput,
    versioning_configuration: VersioningConfiguration,
}

#[derive(Deserialize)]
struct VersioningConfiguration {
    #[serde(rename = "Status")]
    status: Option<Versioning>,
    #[serde(rename = "MFADelete")]
    mfa_delete: Option<String>,
}

getter!(GetBucketVersioning: "s3:GetBucketVersioning", |bucket| Ok(match bucket.settings.versioning {
    Versioning::Off => json!({}),
    status => json!({ "Status": status }),
}));
setter!(PutBucketVersioning: "s3:PutBucketVersioning", VersioningInput, |input| &input.of, |_, input, settings| {
    if input.versioning_configuration.mfa_delete.as_deref() == Some("Enabled") {
        return Err(error::not_implemented("MFA delete"));
    }
    let status = input.versioning_configuration.status.filter(|status| *status != Versioning::Off);
    settings.versioning = status.ok_or_else(|| AwsError::new(400, "IllegalVersioningConfigurationException", "The Versioning element must be specified"))?;
    Ok(())
});

// Ownership.

document_input!(OwnershipInput, ownership_controls);

getter!(GetBucketOwnershipControls: "s3:GetBucketOwnershipControls", |bucket| match &bucket.settings.ownership {
    Some(ownership) => Ok(json!({"OwnershipControls": {"Rules": [{"ObjectOwnership": ownership}]}})),
    None => Err(missing(bucket, "OwnershipControlsNotFoundError", "The bucket ownership controls were not found")),
});
setter!(PutBucketOwnershipControls: "s3:PutBucketOwnershipControls", OwnershipInput, |input| &input.of, |_, input, settings| {
    let rules = input.ownership_controls["Rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [rule] = rules else { return Err(error::malformed_xml()) };
    settings.ownership = Some(rule["ObjectOwnership"].as_str().ok_or_else(error::malformed_xml)?.to_owned());
    Ok(())
});
setter!(DeleteBucketOwnershipControls: "s3:PutBucketOwnershipControls", BucketInput, |input| input, |_, _, settings| {
    settings.ownership = None;
    Ok(())
});

// CORS. Stored for the clients that ask for it; this instance answers no browsers of other origins.

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CorsInput {
    #[serde(flatten)]
    of: BucketInput,
    #[serde(rename = "CORSConfiguration")]
    configuration: Value,
}

getter!(GetBucketCors: "s3:GetBucketCORS", |bucket| match &bucket.settings.cors {
    Some(cors) => Ok(cors.clone()),
    None => Err(missing(bucket, "NoSuchCORSConfiguration", "The CORS configuration does not exist")),
});
setter!(PutBucketCors: "s3:PutBucketCORS", CorsInput, |input| &input.of, |_, input, settings| {
    let rules = input.configuration["CORSRules"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rules.is_empty() || rules.len() > MAX_CORS_RULES {
        return Err(error::malformed_xml());
    }
    for method in rules.iter().flat_map(|rule| rule["AllowedMethods"].as_array().into_iter().flatten()) {
        let text = method.as_str().unwrap_or_default();
        if !["GET", "PUT", "POST", "DELETE", "HEAD"].contains(&text) {
            return Err(error::request(format!("Found unsupported HTTP method in CORS config. Unsupported method is {text}")));
        }
    }
    settings.cors = Some(input.configuration.clone());
    Ok(())
});
setter!(DeleteBucketCors: "s3:PutBucketCORS", BucketInput, |input| input, |_, _, settings| {
    settings.cors = None;
    Ok(())
});

// Notifications and logging: none, and no others can be set.

document_input!(NotificationInput, notification_configuration);
document_input!(LoggingInput, bucket_logging_status);

getter!(GetBucketNotificationConfiguration: "s3:GetBucketNotification", |_| Ok(json!({})));
setter!(PutBucketNotificationConfiguration: "s3:PutBucketNotification", NotificationInput, |input| &input.of, |_, input, _| {
    let lists = ["TopicConfigurations", "QueueConfigurations", "LambdaFunctionConfigurations"];
    let configuration = &input.notification_configuration;
    if configuration.get("EventBridgeConfiguration").is_some_and(|bridge| !bridge.is_null()) || lists.iter().any(|list| configuration[list].as_array().is_some_and(|list| !list.is_empty())) {
        return Err(error::not_implemented("Notifying of events in a bucket"));
    }
    Ok(())
});
getter!(GetBucketLogging: "s3:GetBucketLogging", |_| Ok(json!({})));
setter!(PutBucketLogging: "s3:PutBucketLogging", LoggingInput, |input| &input.of, |_, input, _| {
    match input.bucket_logging_status.get("LoggingEnabled").is_some_and(|logging| !logging.is_null()) {
        true => Err(error::not_implemented("Server access logging (see the instance's audit log)")),
        false => Ok(()),
    }
});

// What is not here.

getter!(GetBucketRequestPayment: "s3:GetBucketRequestPayment", |_| Ok(json!({"Payer": "BucketOwner"})));
getter!(GetBucketAccelerateConfiguration: "s3:GetAccelerateConfiguration", |_| Ok(json!({})));
getter!(GetBucketWebsite: "s3:GetBucketWebsite", |bucket| {
    Err(missing(bucket, "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"))
});
getter!(GetObjectLockConfiguration: "s3:GetBucketObjectLockConfiguration", |bucket| {
    Err(missing(bucket, "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket"))
});
getter!(GetBucketReplication: "s3:GetReplicationConfiguration", |bucket| {
    Err(missing(bucket, "ReplicationConfigurationNotFoundError", "The replication configuration was not found"))
});

//! The policies that AWS manages, as far as this instance knows them.
//!
//! The documents in `managed/` are written for this project: they grant, in the services that are or
//! will be served, what AWS's policy of the name is documented to grant. They are read-only; an
//! account sees them under `arn:aws:iam::aws:policy/…`.
//! Source: "AWS managed policy reference guide".

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use tenantry_core::{Arn, Timestamp};
use tenantry_kernel::directory::{ManagedPolicy, PolicyVersion};
use tenantry_policy::{Policy, PolicyKind};

/// What an administrator has.
pub(crate) const ADMINISTRATOR: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

/// 2026-11-01: when these documents were written. AWS's own dates are not claimed.
const WRITTEN: Timestamp = Timestamp::from_secs(1_793_491_200);

/// A policy that AWS manages.
pub(crate) struct Managed {
    pub(crate) arn: Arn,
    name: &'static str,
    path: &'static str,
    text: &'static str,
    policy: Arc<Policy>,
}

impl Managed {
    /// As if a customer had made it.
    pub(crate) fn as_stored(&self) -> ManagedPolicy {
        ManagedPolicy {
            // Stable and of AWS's form: AWS's ids of these policies are not known here.
            id: format!("ANPA{:X<17}", self.name.to_uppercase().chars().filter(char::is_ascii_alphabetic).take(17).collect::<String>()),
            name: self.name.to_owned(),
            path: self.path.to_owned(),
            arn: self.arn.clone(),
            created: WRITTEN,
            updated: WRITTEN,
            description: String::new(),
            versions: vec![PolicyVersion { id: "v1".to_owned(), document: self.text.to_owned(), default: true, created: WRITTEN }],
            next_version: 2,
            tags: Vec::new(),
        }
    }
}

macro_rules! documents {
    ($($path:literal $name:literal),* $(,)?) => {
        &[$(($path, $name, include_str!(concat!("../managed/", $name, ".json")))),*]
    };
}

const DOCUMENTS: &[(&str, &str, &str)] = documents![
    "/" "AdministratorAccess",
    "/" "AmazonEC2FullAccess",
    "/" "AmazonEC2ReadOnlyAccess",
    "/" "AmazonElasticFileSystemFullAccess",
    "/" "AmazonS3FullAccess",
    "/" "AmazonS3ReadOnlyAccess",
    "/" "AmazonSSMFullAccess",
    "/" "AmazonSSMReadOnlyAccess",
    "/" "AmazonSageMakerFeatureStoreAccess",
    "/" "AmazonSageMakerFullAccess",
    "/" "AmazonVPCFullAccess",
    "/" "AWSCloudFormationFullAccess",
    "/" "AWSCloudFormationReadOnlyAccess",
    "/" "AWSCodeCommitFullAccess",
    "/" "AWSCodeCommitReadOnly",
    "/" "AWSCodePipelineFullAccess",
    "/" "AWSKeyManagementServicePowerUser",
    "/" "AWSLambdaExecute",
    "/" "AWSLambdaFullAccess",
    "/" "AWSLambdaReadOnlyAccess",
    "/" "AWSLambda_FullAccess",
    "/" "AWSLambda_ReadOnlyAccess",
    "/" "AWSServiceCatalogAdminFullAccess",
    "/" "AWSServiceCatalogEndUserFullAccess",
    "/" "AWSServiceCatalogEndUserReadOnlyAccess",
    "/" "CloudWatchLogsFullAccess",
    "/" "CloudWatchSyntheticsFullAccess",
    "/" "IAMFullAccess",
    "/" "IAMReadOnlyAccess",
    "/" "PowerUserAccess",
    "/" "ReadOnlyAccess",
    "/job-function/" "DataScientist",
    "/service-role/" "AWSCodeDeployRoleForLambda",
    "/service-role/" "AWSLambdaBasicExecutionRole",
    "/service-role/" "AWSLambdaVPCAccessExecutionRole",
];

fn table() -> &'static BTreeMap<String, Managed> {
    static TABLE: OnceLock<BTreeMap<String, Managed>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let policies = DOCUMENTS.iter().map(|(path, name, text)| {
            let policy = Policy::parse(text, PolicyKind::Identity)
                .unwrap_or_else(|fault| panic!("managed/{name}.json is built in and must parse: {fault}"));
            let arn = Arn::new("iam", "", "aws", format!("policy{path}{name}"));
            (arn.to_string(), Managed { arn, name, path, text, policy: Arc::new(policy) })
        });
        policies.collect()
    })
}

/// AWS's policy of this ARN.
pub(crate) fn find(arn: &str) -> Option<&'static Managed> {
    table().get(arn)
}

/// All of them, by ARN.
pub(crate) fn all() -> impl Iterator<Item = &'static Managed> {
    table().values()
}

/// The policies that AWS manages, by ARN: for [`tenantry_kernel::KernelBuilder::managed_policies`].
#[must_use]
pub fn managed() -> HashMap<String, Arc<Policy>> {
    table().iter().map(|(arn, managed)| (arn.clone(), Arc::clone(&managed.policy))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_policy::{Attached, Context, Layers, PolicySet, Principal, Request, evaluate};

    fn allows(name: &str, action: &str, resource: &str, keys: &[(&str, &str)]) -> bool {
        let managed = all().find(|managed| managed.name == name).unwrap();
        let identity = PolicySet::from(vec![Attached::managed(managed.arn.as_str(), Arc::clone(&managed.policy))]);
        let mut context = Context::new();
        for (key, value) in keys {
            context.set(key, *value);
        }
        let principal = Principal::session("111122223333", "arn:aws:iam::111122223333:role/R", "AROAEXAMPLE", "SageMaker");
        let request = Request { action, resource, resource_account: None, principal: &principal, context: &context };
        evaluate(&request, &Layers { identity: &identity, ..Layers::default() }).allowed()
    }

    #[test]
    fn every_document_parses_and_every_name_is_there() {
        assert_eq!(all().count(), 35);
        assert_eq!(managed().len(), 35);
        assert!(find("arn:aws:iam::aws:policy/job-function/DataScientist").is_some());
        assert!(find("arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole").is_some());
        assert!(find(ADMINISTRATOR).is_some());
        assert!(all().all(|managed| managed.as_stored().id.len() == 21));
    }

    #[test]
    fn what_they_grant() {
        let job = "arn:aws:sagemaker:us-east-1:111122223333:training-job/x";
        let role = "arn:aws:iam::111122223333:role/x";
        type Keys = &'static [(&'static str, &'static str)];
        let table: &[(&str, &str, &str, Keys, bool)] = &[
            ("AmazonSageMakerFullAccess", "sagemaker:CreateTrainingJob", job, &[], true),
            ("AmazonSageMakerFullAccess", "sagemaker:ListTrainingJobs", "*", &[], true),
            ("AmazonSageMakerFullAccess", "sagemaker:CreateDomain", "arn:aws:sagemaker:us-east-1:111122223333:domain/d", &[], false),
            ("AmazonSageMakerFullAccess", "s3:PutObject", "arn:aws:s3:::sagemaker-us-east-1-111122223333/k", &[], true),
            ("AmazonSageMakerFullAccess", "s3:GetObject", "arn:aws:s3:::private/k", &[], false),
            ("AmazonSageMakerFullAccess", "s3:GetObject", "arn:aws:s3:::private/k", &[("s3:ExistingObjectTag/SageMaker", "TRUE")], true),
            ("AmazonSageMakerFullAccess", "s3:CreateBucket", "arn:aws:s3:::b", &[], true),
            ("AmazonSageMakerFullAccess", "iam:GetRole", role, &[], true),
            ("AmazonSageMakerFullAccess", "iam:PassRole", role, &[("iam:PassedToService", "sagemaker.amazonaws.com")], true),
            ("AmazonSageMakerFullAccess", "iam:PassRole", role, &[("iam:PassedToService", "lambda.amazonaws.com")], false),
            ("AmazonSageMakerFullAccess", "iam:CreateRole", role, &[], false),
            ("AmazonSageMakerFullAccess", "sts:AssumeRole", role, &[], false),
            ("AmazonSageMakerFullAccess", "logs:PutLogEvents", "arn:aws:logs:us-east-1:111122223333:log-group:g:log-stream:s", &[], true),
            ("PowerUserAccess", "sagemaker:CreateTrainingJob", job, &[], true),
            ("PowerUserAccess", "iam:CreateRole", role, &[], false),
            ("PowerUserAccess", "iam:ListRoles", "*", &[], true),
            ("ReadOnlyAccess", "s3:GetObject", "arn:aws:s3:::b/k", &[], true),
            ("ReadOnlyAccess", "s3:PutObject", "arn:aws:s3:::b/k", &[], false),
            ("ReadOnlyAccess", "sagemaker:CreateTrainingJob", job, &[], false),
            ("AmazonS3ReadOnlyAccess", "s3:ListBucket", "arn:aws:s3:::b", &[], true),
            ("AmazonS3ReadOnlyAccess", "s3:DeleteObject", "arn:aws:s3:::b/k", &[], false),
            ("AWSLambdaBasicExecutionRole", "logs:CreateLogStream", "arn:aws:logs:us-east-1:111122223333:log-group:g", &[], true),
            ("AWSLambdaBasicExecutionRole", "logs:DeleteLogGroup", "arn:aws:logs:us-east-1:111122223333:log-group:g", &[], false),
            ("AdministratorAccess", "iam:DeleteRole", role, &[], true),
        ];
        for (name, action, resource, keys, expected) in table {
            assert_eq!(allows(name, action, resource, keys), *expected, "{name}: {action} on {resource}");
        }
    }
}

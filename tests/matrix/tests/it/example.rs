//! A valid input for any operation, made from its shape: what is required, and tags where it takes any.
//!
//! Values are found by trying a list against the shape's constraints; only where a value means something
//! that the model does not say (an ARN, a policy, a name of something that is there) is it chosen by its
//! member's name.

use serde_json::{Map, Value, json};
use tenantry_wire::{Kind, Member, Metadata, Operation, Shape, Structure};

/// What inputs may name.
pub struct Facts {
    /// The account whose things are asked for.
    pub account: String,
    /// The organization's root.
    pub root: String,
    /// A user of the account that is there.
    pub access_key: String,
    /// An upload that was begun.
    pub upload: String,
}

/// The name of everything that has one.
pub const NAME: &str = "example";
/// The bucket that is there.
pub const BUCKET: &str = "matrix-example-bucket";

const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;
const STATEMENT_ALL: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

/// Tried in this order against a text's constraints.
const TEXTS: [&str; 16] = [
    NAME,
    "2",
    "v1",
    "p-examplepolicy",
    "ou-exam-example1",
    "car-example1",
    "123456789012",
    "text/csv",
    "s3://matrix-example-bucket/key",
    "https://example.com/a",
    "a@example.com",
    "ml.m5.large",
    "us-east-1",
    "example:1",
    "1.0",
    "{}",
];

impl Facts {
    /// An input that AWS's model takes.
    pub fn input(&self, operation: &Operation) -> Value {
        let Some(shape) = operation.input() else { return json!({}) };
        let maker = Maker { facts: self, operation };
        let Value::Object(mut input) = maker.structure(shape.structure().unwrap(), 0) else { unreachable!("a structure is an object") };
        for member in &shape.structure().unwrap().members {
            let tags = matches!(member.name.as_str(), "Tags" | "tags") && !input.contains_key(&member.name);
            if tags {
                input.insert(member.name.clone(), maker.value(&member.name, operation.service.shape(member.shape), 0));
            }
        }
        for (name, value) in maker.also() {
            input.insert(name.to_owned(), value);
        }
        if operation.streaming_input() {
            // The body travels beside the value.
            if let Some(payload) = shape.structure().and_then(Structure::payload) {
                input.remove(&payload.name);
            }
        }
        Value::Object(input)
    }
}

struct Maker<'a> {
    facts: &'a Facts,
    operation: &'a Operation,
}

impl Maker<'_> {
    fn service(&self) -> &'static Metadata {
        self.operation.service
    }

    fn structure(&self, structure: &Structure, depth: usize) -> Value {
        assert!(depth < 12, "{}: what is required has no end", self.operation.name);
        let mut out = Map::new();
        let mut put = |member: &Member| {
            out.insert(member.name.clone(), self.value(&member.name, self.service().shape(member.shape), depth + 1));
        };
        structure.required.iter().for_each(|at| put(&structure.members[*at]));
        if structure.union && structure.required.is_empty() {
            put(&structure.members[0]);
        }
        Value::Object(out)
    }

    fn value(&self, name: &str, shape: &Shape, depth: usize) -> Value {
        let service = self.service();
        let least = shape.constraints.min.unwrap_or(0.0);
        match &shape.kind {
            Kind::Structure(structure) => match pair(structure) {
                Some((key, value)) => json!({key: "TenantID", value: "tenant-a"}),
                None => self.structure(structure, depth),
            },
            Kind::List(element) => {
                let item = self.value(singular(name), service.shape(element.shape), depth + 1);
                Value::Array(vec![item; (least as usize).max(1)])
            }
            Kind::Map(..) if name == "tags" => json!({"TenantID": "tenant-a"}),
            Kind::Map(key, element) => {
                let Value::String(key) = self.text("", service.shape(key.shape)) else { unreachable!("keys are texts") };
                json!({key: self.value("", service.shape(element.shape), depth + 1)})
            }
            Kind::String => self.text(name, shape),
            Kind::Integer | Kind::Long => match name {
                "retentionInDays" => json!(7),
                "timestamp" => json!(1_795_348_800_000_i64),
                _ => json!((least as i64).max(1)),
            },
            Kind::Float | Kind::Double => json!(least.max(1.0)),
            Kind::Boolean => json!(true),
            Kind::Timestamp => json!(1_795_348_800),
            Kind::Blob => json!("e30="),
            Kind::Document => json!({}),
        }
    }

    fn text(&self, name: &str, shape: &Shape) -> Value {
        if let Some(first) = shape.constraints.one_of.first() {
            return json!(first);
        }
        let long = "x".repeat(shape.constraints.min.unwrap_or(0.0) as usize);
        let arn = self.arn(&shape.name);
        let known = self.known(name);
        let padded = format!("{NAME}-{}", "1".repeat(64));
        let candidates = known.iter().map(String::as_str).chain(arn.as_deref()).chain(TEXTS).chain([long.as_str(), padded.as_str()]);
        let fits = |text: &&str| {
            let count = text.chars().count() as f64;
            let constraints = &shape.constraints;
            constraints.min.is_none_or(|min| count >= min)
                && constraints.max.is_none_or(|max| count <= max)
                && constraints.pattern.as_ref().is_none_or(|pattern| pattern.matches(text))
        };
        let found = candidates.into_iter().find(fits);
        let pattern = shape.constraints.pattern.as_ref().map(tenantry_wire_pattern);
        json!(found.unwrap_or_else(|| panic!("{} {name}: no example for {} {pattern:?}", self.operation.name, shape.name)))
    }

    /// Of a shape that is an ARN by its name.
    fn arn(&self, shape: &str) -> Option<String> {
        let account = &self.facts.account;
        let sagemaker = |resource: &str| Some(format!("arn:aws:sagemaker:us-east-1:{account}:{resource}"));
        match (self.service().name.as_str(), shape) {
            (_, "RoleArn") => Some(format!("arn:aws:iam::{account}:role/example")),
            ("sts", "arnType") => Some(format!("arn:aws:iam::{account}:role/example")),
            ("iam", "arnType") => Some(format!("arn:aws:iam::{account}:policy/example")),
            ("logs", "AmazonResourceName" | "LogGroupIdentifier" | "LogGroupArn") => {
                Some(format!("arn:aws:logs:us-east-1:{account}:log-group:example"))
            }
            ("sagemaker", "PipelineArn") => sagemaker("pipeline/example"),
            ("sagemaker", "PipelineExecutionArn") => sagemaker("pipeline/example/execution/exampleexec1"),
            ("sagemaker", "ModelPackageArn") => sagemaker("model-package/example/1"),
            ("sagemaker", "ResourceArn") => sagemaker("pipeline/example"),
            ("sagemaker", other) if other.ends_with("Arn") => sagemaker("example/example"),
            _ => None,
        }
    }

    /// By what the member is called.
    fn known(&self, name: &str) -> Option<String> {
        let account = &self.facts.account;
        let text = match (self.service().name.as_str(), name) {
            (_, "AssumeRolePolicyDocument") => format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{account}:root"}},"Action":["sts:AssumeRole","sts:TagSession"]}}]}}"#
            ),
            ("iam", "PolicyDocument") if self.operation.name == "UpdateAssumeRolePolicy" => return self.known("AssumeRolePolicyDocument"),
            ("iam", "PolicyDocument" | "PolicyInput") => POLICY.to_owned(),
            ("iam", "PolicySourceArn") => format!("arn:aws:iam::{account}:user/example"),
            ("iam", "SAMLProviderArn") => format!("arn:aws:iam::{account}:saml-provider/{NAME}"),
            ("iam", "OpenIDConnectProviderArn") => format!("arn:aws:iam::{account}:oidc-provider/{NAME}"),
            ("iam", "Url") => "https://example.com/a".to_owned(),
            ("iam", "SerialNumber") => match self.operation.name.as_str() {
                // Of these the device is what is asked for; of the others its user is.
                "DeleteVirtualMFADevice" | "TagMFADevice" | "UntagMFADevice" | "ListMFADeviceTags" => {
                    format!("arn:aws:iam::{account}:mfa/{NAME}")
                }
                _ => "GAHT12345678".to_owned(),
            },
            ("iam", "AuthenticationCode1" | "AuthenticationCode2") => "123456".to_owned(),
            ("iam", "Arn") => format!("arn:aws:iam::{account}:user/{NAME}"),
            ("iam", "ActionName") => "s3:GetObject".to_owned(),
            ("iam", "AWSServiceName") => "sagemaker.amazonaws.com".to_owned(),
            ("iam", "DeletionTaskId") => "task/aws-service-role/example/example/1".to_owned(),
            (_, "AccessKeyId") => self.facts.access_key.clone(),
            ("organizations", "Content") => STATEMENT_ALL.to_owned(),
            ("organizations", "ParentId" | "SourceParentId" | "DestinationParentId" | "RootId" | "ResourceId" | "TargetId") => {
                self.facts.root.clone()
            }
            ("organizations", "AccountId" | "ChildId") => "222222222222".to_owned(),
            ("s3", "Bucket") => BUCKET.to_owned(),
            ("s3", "Key") => "key".to_owned(),
            ("s3", "UploadId") => self.facts.upload.clone(),
            ("s3", "CopySource") => format!("{BUCKET}/key"),
            ("s3", "Policy") => format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{account}"}},"Action":"s3:GetObject","Resource":"arn:aws:s3:::{BUCKET}/*"}}]}}"#
            ),
            ("sagemaker", "DomainId") => "d-example00000".to_owned(),
            ("sagemaker", "ResourcePolicy") => format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{account}"}},"Action":"sagemaker:DescribeModelPackageGroup","Resource":"*"}}]}}"#
            ),
            (_, "TagKey" | "tagKey" | "tag") => "TenantID".to_owned(),
            _ => return None,
        };
        Some(text)
    }

    /// What the operation needs though the model does not say so.
    fn also(&self) -> Vec<(&'static str, Value)> {
        let account = &self.facts.account;
        match (self.service().name.as_str(), self.operation.name.as_str()) {
            ("logs", "GetLogEvents" | "FilterLogEvents" | "DescribeLogStreams") => vec![("logGroupName", json!(NAME))],
            ("logs", "UntagLogGroup") => vec![("tags", json!(["TenantID"]))],
            ("iam", "GetUser" | "CreateAccessKey" | "ListAccessKeys" | "UpdateAccessKey" | "DeleteAccessKey") => {
                vec![("UserName", json!(NAME))]
            }
            ("iam", "CreateLoginProfile" | "GetLoginProfile" | "DeleteLoginProfile") => vec![("UserName", json!(NAME))],
            ("iam", "DeactivateMFADevice" | "GetMFADevice" | "ListMFADevices" | "ListSSHPublicKeys") => vec![("UserName", json!(NAME))],
            ("iam", name) if name.ends_with("SigningCertificate") || name.ends_with("SigningCertificates") => {
                vec![("UserName", json!(NAME))]
            }
            ("iam", name) if name.contains("ServiceSpecificCredential") => vec![("UserName", json!(NAME))],
            ("sagemaker", "CreatePipeline") => {
                vec![("PipelineDefinition", json!(r#"{"Version":"2020-12-01","Parameters":[],"Steps":[]}"#))]
            }
            ("sagemaker", "ListPipelineExecutionSteps") => {
                vec![(
                    "PipelineExecutionArn",
                    json!(format!("arn:aws:sagemaker:us-east-1:{account}:pipeline/example/execution/exampleexec1")),
                )]
            }
            ("sagemaker", "CreateApp" | "DescribeApp" | "DeleteApp") => vec![("UserProfileName", json!(NAME))],
            ("sagemaker", "CreateHyperParameterTuningJob") => vec![(
                "TrainingJobDefinition",
                json!({
                    "AlgorithmSpecification": {"TrainingInputMode": "File"},
                    "RoleArn": format!("arn:aws:iam::{account}:role/{NAME}"),
                    "OutputDataConfig": {"S3OutputPath": format!("s3://{BUCKET}/key")},
                    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
                }),
            )],
            ("sagemaker", "CreateModelPackage") => vec![("ModelPackageGroupName", json!(NAME))],
            ("s3", "PutBucketAcl" | "PutObjectAcl") => vec![("ACL", json!("private"))],
            _ => Vec::new(),
        }
    }
}

fn tenantry_wire_pattern(pattern: &impl std::fmt::Debug) -> String {
    format!("{pattern:?}").chars().take(200).collect()
}

/// A tag.
fn pair(structure: &Structure) -> Option<(&'static str, &'static str)> {
    let is = |key: &str, value: &str| structure.members.len() == 2 && structure.member(key).is_some() && structure.member(value).is_some();
    match () {
        () if is("Key", "Value") => Some(("Key", "Value")),
        () if is("key", "value") => Some(("key", "value")),
        () => None,
    }
}

/// What an element of a list of this name is called.
fn singular(name: &str) -> &str {
    name.strip_suffix("List").unwrap_or(name).strip_suffix('s').unwrap_or(name.strip_suffix("List").unwrap_or(name))
}

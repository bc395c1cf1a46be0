//! What AWS's services know: actions, their access levels, resource types, ARN formats, condition
//! keys and dependent actions, as the Service Authorization Reference lists them.
//!
//! The facts are `models/actions/facts.tsv`, written by `cargo xtask facts`: lines of fields
//! separated by tabs, each service a `service` line followed by its own lines.
//!
//! | line | fields |
//! |---|---|
//! | `service` | prefix |
//! | `key` | name, type; `*` stands for the part of the caller's choosing (`aws:RequestTag/*`) |
//! | `resource` | name, ARN format with `${…}`, condition keys separated by blanks |
//! | `action` | name, access level, rows separated by `;`, dependent actions separated by blanks |
//!
//! A row is `type`, a `*` when the type is required, and `=key,key`; the nameless row holds the
//! keys that belong to no resource type. A service is parsed when it is first asked for.
//!
//! It says what exists, not what an operation of ours checks: that stands in the operation tables.

mod global;
mod parse;

use std::collections::BTreeMap;
use std::sync::OnceLock;

pub use global::{GLOBAL_KEYS, global_key};

/// The type of a condition key's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// Text.
    String,
    /// An ARN.
    Arn,
    /// `true` or `false`.
    Bool,
    /// An instant.
    Date,
    /// A number.
    Numeric,
    /// An address.
    Ip,
    /// Base64.
    Binary,
}

/// A condition key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The name; `*` stands for the part of the caller's choosing, as in `aws:RequestTag/*`.
    pub name: &'static str,
    /// What each value is.
    pub kind: KeyType,
    /// True when the key holds a list.
    pub list: bool,
}

impl Key {
    /// Whether `written`, in whatever case, is this key.
    #[must_use]
    pub fn is(&self, written: &str) -> bool {
        names(self.name, written)
    }
}

/// Whether `written` is the key `pattern`, where a `*` of the pattern stands for one character or more.
#[must_use]
pub fn names(pattern: &str, written: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern.eq_ignore_ascii_case(written) };
    let (all, head, tail) = (written.as_bytes(), before.as_bytes(), after.as_bytes());
    all.len() > head.len() + tail.len()
        && all[..head.len()].eq_ignore_ascii_case(head)
        && all[all.len() - tail.len()..].eq_ignore_ascii_case(tail)
}

/// A type of resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// The name of the type, as in the reference.
    pub name: &'static str,
    /// `arn:${Partition}:sagemaker:${Region}:${Account}:model/${ModelName}`
    pub arn: &'static str,
    /// The condition keys of the resource.
    pub keys: Vec<&'static str>,
}

/// What an action does, in AWS's five classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// Names of things.
    List,
    /// Contents of things.
    Read,
    /// Creates, changes, deletes.
    Write,
    /// Tags only.
    Tagging,
    /// Grants or takes away permissions.
    PermissionsManagement,
}

/// How an action uses one resource type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The type; empty for what belongs to none.
    pub resource: &'static str,
    /// The action cannot do without it.
    pub required: bool,
    /// The condition keys that come with it.
    pub keys: Vec<&'static str>,
}

/// An action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Without the prefix.
    pub name: &'static str,
    /// Its class.
    pub level: Level,
    /// Resource types and keys.
    pub rows: Vec<Row>,
    /// Actions (`prefix:Name`) that the caller may need besides.
    pub dependents: Vec<&'static str>,
}

impl Action {
    /// True when the action has no resource type: only `"Resource": "*"` reaches it.
    #[must_use]
    pub fn wildcard_only(&self) -> bool {
        self.rows.iter().all(|row| row.resource.is_empty())
    }
}

/// A service prefix and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// As in `prefix:Action`.
    pub prefix: &'static str,
    /// The condition keys that its actions and resources mention, global ones included.
    pub keys: Vec<Key>,
    /// Its resource types.
    pub resources: Vec<Resource>,
    /// Its actions, in order of their names.
    pub actions: Vec<Action>,
}

impl Service {
    /// The action of this name, whatever its case.
    #[must_use]
    pub fn action(&self, name: &str) -> Option<&Action> {
        self.actions.iter().find(|action| action.name.eq_ignore_ascii_case(name))
    }

    /// The resource type of this name.
    #[must_use]
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.name == name)
    }

    /// The condition key that `written` is.
    #[must_use]
    pub fn key(&self, written: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.is(written))
    }

    /// The condition keys (patterns) of one action: of its rows and of the resource types in them.
    pub fn keys_of<'a>(&'a self, action: &'a Action) -> impl Iterator<Item = &'static str> + 'a {
        action.rows.iter().flat_map(|row| {
            let of_resource = self.resource(row.resource).into_iter().flat_map(|resource| resource.keys.iter().copied());
            row.keys.iter().copied().chain(of_resource)
        })
    }
}

type Sections = BTreeMap<&'static str, (&'static str, OnceLock<Service>)>;

fn sections() -> &'static Sections {
    static SECTIONS: OnceLock<Sections> = OnceLock::new();
    SECTIONS.get_or_init(|| parse::sections(parse::text()).map(|(prefix, lines)| (prefix, (lines, OnceLock::new()))).collect())
}

/// The service of a prefix (in lower case).
#[must_use]
pub fn service(prefix: &str) -> Option<&'static Service> {
    let (prefix, (lines, parsed)) = sections().get_key_value(prefix)?;
    Some(parsed.get_or_init(|| parse::service(prefix, lines)))
}

/// All prefixes, in order.
pub fn prefixes() -> impl Iterator<Item = &'static str> {
    sections().keys().copied()
}

/// The action `prefix:Name`, whatever its case.
#[must_use]
pub fn action(text: &str) -> Option<(&'static Service, &'static Action)> {
    let (prefix, name) = text.split_once(':')?;
    let service = service(&prefix.to_ascii_lowercase())?;
    service.action(name).map(|action| (service, action))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_of_the_product_is_known() {
        let wanted = "sagemaker sts iam s3 cloudformation lambda ssm kms ec2 elasticfilesystem organizations servicecatalog \
            codepipeline codebuild codecommit codedeploy events logs cloudwatch glue synthetics dynamodb cognito-idp route53 \
            route53resolver ram apigateway sns application-autoscaling resource-groups codestar-notifications ecr appconfig \
            autoscaling codestar-connections config ecs elasticbeanstalk elasticloadbalancing firehose opsworks rds sqs states \
            execute-api access-analyzer cloudtrail";
        for prefix in wanted.split_whitespace() {
            assert!(service(prefix).is_some_and(|service| !service.actions.is_empty()), "{prefix}");
        }
    }

    #[test]
    fn every_line_is_understood() {
        let mut actions = 0;
        for prefix in prefixes() {
            let service = service(prefix).unwrap();
            actions += service.actions.len();
            for action in &service.actions {
                for row in &action.rows {
                    assert!(
                        row.resource.is_empty() || service.resource(row.resource).is_some(),
                        "{prefix}:{} {}",
                        action.name,
                        row.resource
                    );
                }
            }
            assert!(service.resources.iter().all(|resource| resource.arn.starts_with("arn:")), "{prefix}");
        }
        assert!(actions > 20_000, "{actions}");
    }

    #[test]
    fn one_action_in_full() {
        let (service, create) = action("sagemaker:CREATEMODEL").unwrap();
        assert_eq!((create.level, create.wildcard_only()), (Level::Write, false));
        assert!(create.dependents.contains(&"iam:PassRole"));
        assert_eq!(service.resource("model").unwrap().arn, "arn:${Partition}:sagemaker:${Region}:${Account}:model/${ModelName}");
        let keys: Vec<_> = service.keys_of(create).collect();
        for key in ["aws:RequestTag/*", "aws:ResourceTag/*", "sagemaker:VpcSubnets"] {
            assert!(keys.contains(&key), "{key}");
        }
        let subnets = service.key("SageMaker:vpcsubnets").unwrap();
        assert_eq!((subnets.kind, subnets.list), (KeyType::String, true));
        assert!(action("sts:GetCallerIdentity").unwrap().1.wildcard_only());
        assert!(action("s3:NoSuchThing").is_none());
    }

    #[test]
    fn a_star_in_a_key_stands_for_something() {
        assert!(names("aws:RequestTag/*", "AWS:requesttag/Team"));
        assert!(!names("aws:RequestTag/*", "aws:RequestTag/"));
        assert!(!names("aws:TagKeys", "aws:TagKey"));
        assert!(action("s3:GetObject").unwrap().0.key("s3:ExistingObjectTag/Team").is_some());
        assert!(names("codebuild:fileSystemLocations/*.type", "codebuild:fileSystemLocations/a.type"));
    }
}

//! The policies of an identity with their documents: what reports about permissions look through.
//!
//! Only what policies say is looked at: boundaries, session policies and the organization's are not, as in AWS.

use serde_json::Value;
use tenantry_core::{Arn, Result, Scope};
use tenantry_kernel::{
    Cx,
    directory::{Group, ManagedPolicy, Policies, Role, User},
};

use super::{
    entity::{self, Entity},
    error, policies,
};

/// A policy, and where it is from.
pub(crate) struct Source {
    pub name: String,
    /// Of managed policies.
    pub arn: Option<String>,
    /// Of inline policies: `USER`, `ROLE` or `GROUP`, and its name.
    pub of: (&'static str, String),
    pub document: String,
}

/// An identity.
pub(crate) enum Identity {
    User(User),
    Group(Group),
    Role(Role),
}

impl Identity {
    /// The identity of an ARN.
    ///
    /// # Errors
    /// `InvalidInput` where it is of another account or kind, `NoSuchEntity` where it is not there.
    pub(crate) async fn find(cx: &Cx, scope: &Scope, text: &str) -> Result<Self> {
        async fn of<E: Entity>(cx: &Cx, scope: &Scope, arn: &Arn) -> Result<E> {
            let name = arn.resource().rsplit('/').next().unwrap_or_default();
            let found = entity::find::<E>(cx, scope, name).await?.map(|(_, it)| it).filter(|it| it.arn() == arn);
            found.ok_or_else(|| error::no_such_entity(format!("ARN {arn} does not exist.")))
        }
        let invalid = || error::invalid_input(format!("ARN {text} is not valid: expected a user, a group or a role of this account."));
        let arn = Arn::parse(text).ok().filter(|arn| arn.service() == "iam" && arn.account() == scope.account.as_str());
        let arn = arn.ok_or_else(invalid)?;
        Ok(match arn.resource_type_and_id().0 {
            "user" => Self::User(of(cx, scope, &arn).await?),
            "group" => Self::Group(of(cx, scope, &arn).await?),
            "role" => Self::Role(of(cx, scope, &arn).await?),
            _ => return Err(invalid()),
        })
    }

    /// Its policies, and those of a user's groups.
    ///
    /// # Errors
    /// Internal.
    pub(crate) async fn policies(&self, cx: &Cx, scope: &Scope) -> Result<Vec<Source>> {
        let mut out = Vec::new();
        match self {
            Self::Role(it) => gather(cx, scope, ("ROLE", &it.name), &it.policies, &mut out).await?,
            Self::Group(it) => gather(cx, scope, ("GROUP", &it.name), &it.policies, &mut out).await?,
            Self::User(it) => {
                gather(cx, scope, ("USER", &it.name), &it.policies, &mut out).await?;
                for name in &it.groups {
                    let group: Group = entity::get(cx, scope, name).await?;
                    gather(cx, scope, ("GROUP", &group.name), &group.policies, &mut out).await?;
                }
            }
        }
        Ok(out)
    }
}

async fn gather(cx: &Cx, scope: &Scope, of: (&'static str, &str), held: &Policies, out: &mut Vec<Source>) -> Result<()> {
    let source = |name: &str, arn: Option<&str>, document: &str| Source {
        name: name.to_owned(),
        arn: arn.map(str::to_owned),
        of: (of.0, of.1.to_owned()),
        document: document.to_owned(),
    };
    for (name, document) in &held.inline {
        out.push(source(name, None, document));
    }
    for arn in &held.attached {
        let policy: ManagedPolicy = policies::find(cx, scope, arn).await?;
        if let Some(document) = policy.document() {
            out.push(source(&policy.name, Some(arn), document));
        }
    }
    Ok(())
}

/// One or many.
fn many(value: &Value) -> &[Value] {
    match value {
        Value::Null => &[],
        Value::Array(all) => all,
        one => std::slice::from_ref(one),
    }
}

/// The statements of a document. Stored documents are JSON.
pub(crate) fn statements(document: &str) -> Vec<Value> {
    let parsed: Value = serde_json::from_str(document).unwrap_or_default();
    many(&parsed["Statement"]).to_vec()
}

/// Texts under a member of a statement.
pub(crate) fn texts<'a>(statement: &'a Value, member: &str) -> impl Iterator<Item = &'a str> {
    many(&statement[member]).iter().filter_map(Value::as_str)
}

/// Whether a document allows at least one action of a service, by what its Allow statements name.
pub(crate) fn grants(document: &str, service: &str) -> bool {
    let of = |action: &str| action.split_once(':').is_some_and(|(prefix, _)| prefix.eq_ignore_ascii_case(service));
    let all = |action: &str| action == "*" || of(action) && action.ends_with(":*");
    statements(document).iter().filter(|statement| statement["Effect"] == "Allow").any(|statement| match statement.get("NotAction") {
        Some(_) => !texts(statement, "NotAction").any(all),
        None => texts(statement, "Action").any(|action| action == "*" || of(action)),
    })
}

/// The services that a document's Allow statements name.
pub(crate) fn named_services(document: &str) -> Vec<String> {
    let mut services = Vec::new();
    for statement in statements(document).iter().filter(|statement| statement["Effect"] == "Allow") {
        services.extend(texts(statement, "Action").filter_map(|action| Some(action.split_once(':')?.0.to_ascii_lowercase())));
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grants_a_service() {
        let document = |body: &str| format!(r#"{{"Version":"2012-10-17","Statement":{{{body},"Resource":"*"}}}}"#);
        for (body, s3, iam) in [
            (r#""Effect":"Allow","Action":"s3:GetObject""#, true, false),
            (r#""Effect":"Allow","Action":["S3:*","iam:Get*"]"#, true, true),
            (r#""Effect":"Allow","Action":"*""#, true, true),
            (r#""Effect":"Deny","Action":"*""#, false, false),
            (r#""Effect":"Allow","NotAction":"iam:*""#, true, false),
            (r#""Effect":"Allow","NotAction":["iam:GetUser"]"#, true, true),
        ] {
            let text = document(body);
            assert_eq!((grants(&text, "s3"), grants(&text, "iam")), (s3, iam), "{body}");
        }
        assert_eq!(named_services(&document(r#""Effect":"Allow","Action":["S3:*","iam:Get*","*"]"#)), ["s3", "iam"]);
    }
}

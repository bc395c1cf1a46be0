//! What users, groups, roles, policies and instance profiles have in common: a row named without
//! case, a path, an ARN, and changes that are retried when another request was faster.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tenantry_core::{AccountId, Arn, Result, Scope, Tag, Timestamp};
use tenantry_kernel::{
    Check, Checks, Cx,
    directory::{Group, ManagedPolicy, Policies, Role, User, kind},
};
use tenantry_store::{Batch, CommitError, Expect, Kind, List, Row};

use super::{error, profiles::Profile, quota};

/// Attempts of a read-change-write before it is answered `ConcurrentModification`.
pub(crate) const ATTEMPTS: usize = 8;

/// A document of IAM with a name.
pub(crate) trait Entity: Serialize + DeserializeOwned + Send + Sync {
    /// Its rows.
    const KIND: Kind;
    /// `role`: also the resource type of its ARNs.
    const NOUN: &'static str;
    /// What the account quota is called, and how many there may be.
    const QUOTA: (&'static str, usize);

    fn name(&self) -> &str;
    fn arn(&self) -> &Arn;
    /// The unique id.
    fn id(&self) -> &str;
    /// `None` where it cannot be tagged.
    fn tags_mut(&mut self) -> Option<&mut Vec<Tag>>;
    /// What rows are grouped by in the store.
    fn parent(&self) -> &str {
        ""
    }
    /// Refuses what belongs to a service.
    fn modifiable(&self) -> Result<()> {
        Ok(())
    }
    /// 404.
    fn missing(name: &str) -> tenantry_core::AwsError {
        error::not_found(Self::NOUN, name)
    }
    /// 409.
    fn taken(name: &str) -> tenantry_core::AwsError;
}

/// An entity that holds identity policies.
pub(crate) trait Holder: Entity {
    /// Characters of inline policies together.
    const INLINE: usize;
    /// `PoliciesPerRole`.
    const ATTACH_QUOTA: &'static str;
    fn policies(&self) -> &Policies;
    fn policies_mut(&mut self) -> &mut Policies;
    /// The permissions boundary in force; groups have none.
    fn boundary(&self) -> Option<&String>;
}

/// A user or a role: may have a permissions boundary.
pub(crate) trait Bounded: Holder {
    fn boundary_mut(&mut self) -> &mut Option<String>;
}

macro_rules! entity {
    ($type:ty, $kind:expr, $noun:literal, $quota:expr, |$this:ident| $tags:expr, $taken:literal, { $($more:item)* }) => {
        impl Entity for $type {
            const KIND: Kind = $kind;
            const NOUN: &'static str = $noun;
            const QUOTA: (&'static str, usize) = $quota;
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
                let $this = self;
                $tags
            }
            fn taken(name: &str) -> tenantry_core::AwsError {
                error::already_exists(format!($taken, name = name))
            }
            $($more)*
        }
    };
}

entity!(
    User,
    kind::USER,
    "user",
    ("UsersPerAccount", quota::USERS),
    |user| Some(&mut user.tags),
    "User with name {name} already exists.",
    {}
);
entity!(Group, kind::GROUP, "group", ("GroupsPerAccount", quota::GROUPS), |_group| None, "Group with name {name} already exists.", {});
entity!(
    Role,
    kind::ROLE,
    "role",
    ("RolesPerAccount", quota::ROLES),
    |role| Some(&mut role.tags),
    "Role with name {name} already exists.",
    {
        fn modifiable(&self) -> Result<()> {
            match self.linked_service {
                Some(_) => Err(error::unmodifiable(&self.name)),
                None => Ok(()),
            }
        }
    }
);
entity!(
    ManagedPolicy,
    kind::POLICY,
    "policy",
    ("PoliciesPerAccount", quota::POLICIES),
    |policy| Some(&mut policy.tags),
    "A policy called {name} already exists. Duplicate names are not allowed.",
    {}
);
entity!(
    Profile,
    kind::PROFILE,
    "instance-profile",
    ("InstanceProfilesPerAccount", quota::PROFILES),
    |profile| Some(&mut profile.tags),
    "Instance Profile {name} already exists.",
    {
        fn parent(&self) -> &str {
            self.role.as_deref().unwrap_or_default()
        }
        fn missing(name: &str) -> tenantry_core::AwsError {
            error::no_such_entity(format!("Instance Profile {name} cannot be found."))
        }
    }
);

macro_rules! holder {
    ($type:ty, $inline:expr, $quota:literal, |$this:ident| $boundary:expr) => {
        impl Holder for $type {
            const INLINE: usize = $inline;
            const ATTACH_QUOTA: &'static str = $quota;
            fn policies(&self) -> &Policies {
                &self.policies
            }
            fn policies_mut(&mut self) -> &mut Policies {
                &mut self.policies
            }
            fn boundary(&self) -> Option<&String> {
                let $this = self;
                $boundary
            }
        }
    };
}
holder!(User, quota::USER_INLINE, "PoliciesPerUser", |user| user.boundary.as_ref());
holder!(Group, quota::GROUP_INLINE, "PoliciesPerGroup", |_group| None);
holder!(Role, quota::ROLE_INLINE, "PoliciesPerRole", |role| role.boundary.as_ref());

impl Bounded for User {
    fn boundary_mut(&mut self) -> &mut Option<String> {
        &mut self.boundary
    }
}
impl Bounded for Role {
    fn boundary_mut(&mut self) -> &mut Option<String> {
        &mut self.boundary
    }
}

/// The id of a row: names are unique without case.
pub(crate) fn row_id(name: &str) -> String {
    name.to_lowercase()
}

/// `role` + `/path/` + `Name`, as it stands behind the account in an ARN.
pub(crate) fn arn_of<E: Entity>(account: &AccountId, path: &str, name: &str) -> Arn {
    Arn::new("iam", "", account.as_str(), format!("{}{path}{name}", E::NOUN))
}

/// The row and document of a name, if there is one.
pub(crate) async fn find<E: Entity>(cx: &Cx, scope: &Scope, name: &str) -> Result<Option<(Row, E)>> {
    match cx.kernel.store().get(E::KIND, scope, &row_id(name)).await? {
        Some(row) => Ok(Some((row.clone(), row.body()?))),
        None => Ok(None),
    }
}

/// The document of a name.
///
/// # Errors
/// `NoSuchEntity`.
pub(crate) async fn get<E: Entity>(cx: &Cx, scope: &Scope, name: &str) -> Result<E> {
    find(cx, scope, name).await?.map(|(_, entity)| entity).ok_or_else(|| E::missing(name))
}

/// All of a kind.
pub(crate) async fn all<E: Entity>(cx: &Cx, scope: &Scope) -> Result<Vec<E>> {
    let rows = cx.kernel.store().list(&List::of(E::KIND, scope)).await?;
    rows.iter().map(|row| Ok(row.body()?)).collect()
}

/// A new row.
pub(crate) fn row_of<E: Entity>(scope: &Scope, entity: &E, now: Timestamp) -> Result<Row> {
    Ok(Row::new(E::KIND, scope, row_id(entity.name()), now).name(entity.name()).parent(entity.parent()).with(entity)?)
}

/// Adds the writes of a new entity to `batch` and commits.
///
/// # Errors
/// `EntityAlreadyExists`, `LimitExceeded`.
pub(crate) async fn create<E: Entity>(cx: &Cx, scope: &Scope, mut entity: E, mut batch: Batch) -> Result<E> {
    if find::<E>(cx, scope, entity.name()).await?.is_some() {
        return Err(E::taken(entity.name()));
    }
    let count = cx.kernel.store().count(E::KIND, tenantry_store::ByScope::Exact(scope), None).await?;
    if count >= E::QUOTA.1 as u64 {
        return Err(error::quota(E::QUOTA.0, E::QUOTA.1));
    }
    batch.put(row_of(scope, &entity, cx.now())?, Expect::Absent);
    if let Some(tags) = entity.tags_mut().map(|tags| tags.clone()) {
        batch.set_tags(entity.arn().as_str(), tags);
    }
    match cx.commit(batch).await {
        Ok(()) => Ok(entity),
        Err(CommitError::Conflict { kind, .. }) if kind == E::KIND => Err(E::taken(entity.name())),
        Err(CommitError::Conflict { .. } | CommitError::NotFound { .. }) => Err(error::concurrent()),
        Err(other) => Err(other.into()),
    }
}

/// Reads, lets `act` change the document (and add to the batch), writes; anew when another was faster.
///
/// # Errors
/// `NoSuchEntity`, what `act` answers, `ConcurrentModification`.
pub(crate) async fn change<E: Entity, T: Send>(
    cx: &Cx,
    scope: &Scope,
    name: &str,
    mut act: impl FnMut(&mut E, &mut Batch) -> Result<T> + Send,
) -> Result<T> {
    for _ in 0..ATTEMPTS {
        let Some((mut row, mut entity)) = find::<E>(cx, scope, name).await? else { return Err(E::missing(name)) };
        let mut batch = Batch::new();
        let answer = act(&mut entity, &mut batch)?;
        row.set_body(&entity)?;
        row.parent = entity.parent().to_owned();
        batch.update(row.at(cx.now()));
        match cx.commit(batch).await {
            Ok(()) => return Ok(answer),
            Err(CommitError::Conflict { kind, .. }) if kind == E::KIND => {}
            Err(CommitError::Conflict { .. } | CommitError::NotFound { .. }) => return Err(error::concurrent()),
            Err(other) => return Err(other.into()),
        }
    }
    Err(error::concurrent())
}

/// A check on an entity's own ARN, path included where it exists.
pub(crate) async fn on<E: Entity>(cx: &Cx, action: &'static str, name: &str) -> Result<Check> {
    let found = find::<E>(cx, &cx.global(), name).await?;
    let arn = found.map_or_else(|| arn_of::<E>(&cx.caller.account, "/", name), |(_, entity)| entity.arn().clone());
    Ok(Check::on(action, arn))
}

/// The same for changes of its policies, which may be made to depend on the boundary in force: a
/// delegated administrator who may only touch identities below a certain boundary.
pub(crate) async fn on_holder<E: Holder>(cx: &Cx, action: &'static str, name: &str) -> Result<Check> {
    let found = find::<E>(cx, &cx.global(), name).await?;
    let boundary = found.as_ref().and_then(|(_, entity)| entity.boundary().cloned());
    Ok(on::<E>(cx, action, name).await?.key_if("iam:PermissionsBoundary", boundary))
}

/// The name of an entity, under whichever member the operation has it, and what lists of its parts take.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EntityInput {
    #[serde(alias = "UserName", alias = "GroupName", alias = "RoleName", alias = "InstanceProfileName")]
    pub entity: String,
    pub path_prefix: Option<String>,
    pub marker: Option<String>,
    pub max_items: Option<usize>,
}

/// Operations on one entity by its name.
pub(crate) async fn resolve<E: Entity>(cx: &Cx, action: &'static str, input: &EntityInput) -> Result<Checks> {
    Ok(on::<E>(cx, action, &input.entity).await?.into())
}

/// Operations on one holder of policies by its name, where the reference has the boundary in force as a key.
pub(crate) async fn resolve_held<E: Holder>(cx: &Cx, action: &'static str, input: &EntityInput) -> Result<Checks> {
    Ok(on_holder::<E>(cx, action, &input.entity).await?.into())
}

/// What lists of entities take.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListInput {
    pub path_prefix: Option<String>,
    pub marker: Option<String>,
    pub max_items: Option<usize>,
}

/// Lists: AWS names the path that is listed, such as `role/`.
pub(crate) async fn resolve_list<E: Entity>(cx: &Cx, action: &'static str, input: &ListInput) -> Result<Checks> {
    let path = input.path_prefix.as_deref().unwrap_or("/");
    Ok(Check::on(action, cx.global_arn("iam", format!("{}{path}", E::NOUN))).into())
}

/// A page of `items`, which come with their keys, as `{member: […], IsTruncated, Marker}`.
pub(crate) fn answer(
    member: &str,
    items: Vec<(String, serde_json::Value)>,
    marker: Option<&str>,
    max_items: Option<usize>,
) -> Result<tenantry_kernel::Reply> {
    let page = crate::page::page(items, marker, max_items.unwrap_or(quota::PAGE)).map_err(|_| error::bad_marker())?;
    let mut output = serde_json::json!({ member: page.items, "IsTruncated": page.next.is_some() });
    if let Some(next) = page.next {
        output["Marker"] = next.into();
    }
    Ok(output.into())
}

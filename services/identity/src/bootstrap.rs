//! The first start: an organization, its management account, and one administrator.
//!
//! Before it there are no credentials at all; there is no default password or key anywhere. The
//! secret is answered once and can be read nowhere afterwards.

use tenantry_core::{AccountId, Result, Secret, Tag, Timestamp};
use tenantry_kernel::{
    Ids,
    directory::{Account, Policies, User},
};
use tenantry_store::{Batch, CommitError, Expect, Store};

use crate::{account, iam, managed, organizations};

/// The name of the first user.
const NAME: &str = "administrator";
/// Where the instance's one management account is remembered; the kernel reads it.
const INSTANCE: (&str, &str) = ("instance", "management-account");

/// The first administrator's credentials.
pub struct Administrator {
    /// The management account.
    pub account: AccountId,
    /// `AKIA…`.
    pub access_key: String,
    /// The secret access key; not to be had again.
    pub secret: Secret<String>,
}

/// Makes organization, management account and administrator where there are none, in one commit.
/// `None` where the instance has begun already, also when another process was faster.
///
/// # Errors
/// When the store fails.
pub async fn bootstrap(store: &dyn Store, now: Timestamp) -> Result<Option<Administrator>> {
    if store.unique(INSTANCE.0, INSTANCE.1).await?.is_some() {
        return Ok(None);
    }
    let id = AccountId::from(Ids::digits(12));
    let scope = tenantry_core::Scope::global(id.clone());
    let mut management = Account {
        id: id.clone(),
        name: "management".to_owned(),
        email: format!("root@{id}.invalid"),
        status: "ACTIVE".to_owned(),
        joined: now,
        organization: String::new(),
        management: true,
        managed_by: id.clone(),
        parent: String::new(),
        policies: Vec::new(),
    };
    let mut batch = Batch::new();
    batch.claim_unique(INSTANCE.0, INSTANCE.1, id.to_string());
    organizations::organization::found(&mut batch, &mut management, "ALL", now)?;
    batch.claim_unique(organizations::create_account::EMAILS, management.email.clone(), id.to_string());
    batch.put(account::row(&management, now)?, Expect::Absent);
    let user = User {
        id: Ids::unique("AIDA"),
        arn: iam::entity::arn_of::<User>(&id, "/", NAME),
        name: NAME.to_owned(),
        path: "/".to_owned(),
        created: now,
        policies: Policies { attached: vec![managed::ADMINISTRATOR.to_owned()], ..Policies::default() },
        boundary: None,
        groups: Vec::new(),
        tags: Vec::<Tag>::new(),
    };
    batch.put(iam::entity::row_of(&scope, &user, now)?, Expect::Absent);
    let (key, secret) = iam::keys::add(&mut batch, &scope, &iam::entity::row_id(NAME), now)?;
    batch.event(
        now,
        &serde_json::json!({
            "time": now, "service": "instance", "operation": "Bootstrap", "account": id, "principal": "instance",
            "accessKeyId": key.id, "outcome": "allowed",
        }),
    );
    match store.commit(batch).await {
        Ok(()) => Ok(Some(Administrator { account: id, access_key: key.id, secret })),
        Err(CommitError::UniqueTaken { namespace, .. }) if namespace == INSTANCE.0 => Ok(None),
        Err(other) => Err(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_kernel::directory::{ACCESS_KEY_NAMES, secret_id};
    use tenantry_store::{Fault, Memory};

    #[tokio::test]
    async fn once_and_all_or_nothing() {
        let (store, now) = (Memory::new(), Timestamp::from_secs(1_795_000_000));
        store.inject(1, Fault::Before);
        assert!(bootstrap(&store, now).await.is_err());
        assert_eq!(store.unique(INSTANCE.0, INSTANCE.1).await.unwrap(), None, "a failed start leaves nothing");
        let first = bootstrap(&store, now).await.unwrap().expect("the first start makes an administrator");
        assert_eq!(store.unique(ACCESS_KEY_NAMES, &first.access_key).await.unwrap().as_deref(), Some(first.account.as_str()));
        let stored = store.secret(&secret_id(&first.access_key)).await.unwrap().unwrap();
        assert_eq!(stored.expose(), first.secret.expose());
        assert!(bootstrap(&store, now).await.unwrap().is_none(), "a second start makes none");
        assert!(AccountId::is_valid(first.account.as_str()));
    }
}

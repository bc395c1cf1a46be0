//! An instance with everyone in it: an organization of four accounts, the principals of the matrix's
//! columns, and what requests name.
//!
//! Principals are put into the store as documents of the directory, not made by operations: what is
//! tested must not depend on what is tested.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::json;
use tenantry_blob::Blobs;
use tenantry_core::{AccountId, Arn, Scope, Secret, Tag, Timestamp};
use tenantry_kernel::{
    Ids, Kernel, ManualClock,
    directory::{
        self, AccessKey, Account, ManagedPolicy, OrgPolicy, Policies, PolicyVersion, Role, Session, SessionKind, Unit, User, kind,
    },
    store_session,
};
use tenantry_store::{Batch, Expect, List, Row, Sqlite, Store};

use crate::{send::Key, services, witness::Witness};

/// 2026-11-22T12:00:00Z.
pub const START: Timestamp = Timestamp::from_secs(1_795_348_800);
/// Where everything happens.
pub const REGION: &str = "us-east-1";

/// What allows everything.
pub const ALLOW_ALL: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

/// A document of one or more statements.
pub fn document(statements: serde_json::Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// An instance.
pub struct World {
    /// Its kernel.
    pub kernel: Kernel,
    /// Watches its store.
    pub witness: Witness,
    /// Moves its time.
    pub clock: Arc<ManualClock>,
    /// The management account: whose things are asked for.
    pub own: AccountId,
    /// A member account without further policies.
    pub other: AccountId,
    /// A member account under a service control policy that denies everything.
    pub denied: AccountId,
    /// A member account under a level of the organization that allows nothing.
    pub fenced: AccountId,
    /// The organization's root: `r-…`.
    pub root: String,
    /// The first administrator's key.
    pub administrator: Key,
    dir: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        // What is left behind is in the system's temporary directory.
        let _left = std::fs::remove_dir_all(&self.dir);
    }
}

impl World {
    /// A new instance after its first start, with its organization.
    pub async fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tenantry-matrix-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let store: Arc<dyn Store> = Arc::new(Sqlite::open(dir.join("store")).unwrap());
        let blobs = Blobs::open(dir.join("blobs")).unwrap();
        let clock = Arc::new(ManualClock::new(START));
        let builder = Kernel::builder(store, blobs).clock(Arc::clone(&clock) as Arc<dyn tenantry_kernel::Clock>);
        let kernel = services::compose(builder, &dir).build();
        let first = services::bootstrap(&kernel).await;
        let witness = Witness::new(&dir.join("store"));
        let administrator = Key { id: first.access_key, secret: first.secret.into_exposed(), token: None };
        let account = |text: &str| AccountId::from(text);
        let mut world = Self {
            kernel,
            witness,
            clock,
            own: first.account,
            other: account("222222222222"),
            denied: account("333333333333"),
            fenced: account("444444444444"),
            root: String::new(),
            administrator,
            dir,
        };
        world.organize().await;
        world
    }

    /// How many files of objects' bytes there are.
    pub fn blobs(&self) -> usize {
        fn files(dir: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
            entries.map(|entry| if entry.file_type().unwrap().is_dir() { files(&entry.path()) } else { 1 }).sum()
        }
        files(&self.dir.join("blobs"))
    }

    /// Commits what a test needs.
    pub async fn commit(&self, batch: Batch) {
        self.kernel.store().commit(batch).await.unwrap();
    }

    /// The three member accounts, and service control policies over two of them.
    async fn organize(&mut self) {
        let scope = Scope::global(self.own.clone());
        let store = self.kernel.store();
        let management: Account = store.get(kind::ACCOUNT, &scope, self.own.as_str()).await.unwrap().unwrap().body().unwrap();
        let mut rows = store.list(&List::of(kind::UNIT, &scope)).await.unwrap();
        assert_eq!(rows.len(), 1, "a new organization has its root only");
        let mut row = rows.remove(0);
        let mut root: Unit = row.body().unwrap();
        root.enabled_types = vec!["SERVICE_CONTROL_POLICY".to_owned(), "RESOURCE_CONTROL_POLICY".to_owned()];
        root.policies = vec!["p-FullAWSAccess".to_owned(), "p-RCPFullAWSAccess".to_owned()];
        row.set_body(&root).unwrap();
        self.root.clone_from(&root.id);
        let mut batch = Batch::new();
        batch.update(row);
        let fence = Unit {
            id: format!("ou-{}-fence001", &root.id[2..]),
            name: "fence".to_owned(),
            parent: root.id.clone(),
            policies: vec!["p-RCPFullAWSAccess".to_owned()],
            enabled_types: Vec::new(),
        };
        batch.put(Row::new(kind::UNIT, &scope, fence.id.clone(), START).name("fence").with(&fence).unwrap(), Expect::Absent);
        let nothing = OrgPolicy {
            id: "p-denyeverything".to_owned(),
            name: "DenyEverything".to_owned(),
            description: String::new(),
            policy_type: "SERVICE_CONTROL_POLICY".to_owned(),
            document: document(json!({"Effect": "Deny", "Action": "*", "Resource": "*"})),
            aws_managed: false,
        };
        batch.put(Row::new(kind::ORG_POLICY, &scope, nothing.id.clone(), START).with(&nothing).unwrap(), Expect::Absent);
        let full = ["p-FullAWSAccess", "p-RCPFullAWSAccess"];
        for (id, parent, policies) in [
            (&self.other, &root.id, full.to_vec()),
            (&self.denied, &root.id, [&full[..], &["p-denyeverything"]].concat()),
            (&self.fenced, &fence.id, full.to_vec()),
        ] {
            let account = Account {
                id: id.clone(),
                name: format!("member-{id}"),
                email: format!("{id}@example.com"),
                status: "ACTIVE".to_owned(),
                joined: START,
                management: false,
                parent: parent.clone(),
                policies: policies.into_iter().map(str::to_owned).collect(),
                ..management.clone()
            };
            let row = Row::new(kind::ACCOUNT, &Scope::global(id.clone()), id.as_str(), START).name(&account.name).status("ACTIVE");
            batch.put(row.parent(&account.parent).with(&account).unwrap(), Expect::Absent);
        }
        self.commit(batch).await;
    }
}

/// A user with a key; `policies` are inline documents.
pub struct NewUser<'a> {
    /// Whose.
    pub account: &'a AccountId,
    /// Its name.
    pub name: &'a str,
    /// Inline policies.
    pub policies: &'a [&'a str],
    /// The ARN of its boundary.
    pub boundary: Option<String>,
    /// Whether its key is active.
    pub active: bool,
}

impl<'a> NewUser<'a> {
    /// With these policies and an active key.
    pub fn new(account: &'a AccountId, name: &'a str, policies: &'a [&'a str]) -> Self {
        Self { account, name, policies, boundary: None, active: true }
    }

    /// Adds it to a batch.
    pub fn add(self, batch: &mut Batch) -> Key {
        let scope = Scope::global(self.account.clone());
        let inline: BTreeMap<String, String> =
            self.policies.iter().enumerate().map(|(at, text)| (format!("policy{at}"), (*text).to_owned())).collect();
        let user = User {
            id: Ids::unique("AIDA"),
            name: self.name.to_owned(),
            path: "/".to_owned(),
            arn: Arn::new("iam", "", self.account.as_str(), format_args!("user/{}", self.name)),
            created: START,
            policies: Policies { inline, attached: Vec::new() },
            boundary: self.boundary,
            groups: Vec::new(),
            tags: vec![Tag::new("TenantID", "tenant-a")],
        };
        let id = self.name.to_lowercase();
        batch.put(Row::new(kind::USER, &scope, id.clone(), START).name(self.name).with(&user).unwrap(), Expect::Absent);
        let key = Key { id: Ids::access_key("AKIA"), secret: Ids::secret_key().into_exposed(), token: None };
        let status = if self.active { "Active" } else { "Inactive" };
        let row = AccessKey { id: key.id.clone(), user: id.clone(), status: status.to_owned(), created: START };
        batch.claim_unique(directory::ACCESS_KEY_NAMES, key.id.clone(), self.account.to_string());
        batch.put_secret(directory::secret_id(&key.id), Secret::new(key.secret.clone()));
        batch.put(Row::new(kind::ACCESS_KEY, &scope, key.id.clone(), START).parent(id).with(&row).unwrap(), Expect::Absent);
        key
    }
}

/// A role that allows everything and that its own account trusts.
pub fn add_role(batch: &mut Batch, account: &AccountId, name: &str, services: &[&str]) -> Role {
    let mut principal = json!({"AWS": format!("arn:aws:iam::{account}:root")});
    if !services.is_empty() {
        principal["Service"] = json!(services);
    }
    let role = Role {
        id: Ids::unique("AROA"),
        name: name.to_owned(),
        path: "/".to_owned(),
        arn: Arn::new("iam", "", account.as_str(), format_args!("role/{name}")),
        created: START,
        description: String::new(),
        trust: document(json!({"Effect": "Allow", "Principal": principal, "Action": ["sts:AssumeRole", "sts:TagSession"]})),
        trusted_ids: BTreeMap::new(),
        max_session: 3600,
        policies: Policies { inline: BTreeMap::from([("all".to_owned(), ALLOW_ALL.to_owned())]), attached: Vec::new() },
        boundary: None,
        tags: Vec::new(),
        last_used: None,
        linked_service: None,
    };
    let scope = Scope::global(account.clone());
    batch.put(Row::new(kind::ROLE, &scope, name.to_lowercase(), START).name(name).with(&role).unwrap(), Expect::Absent);
    role
}

/// A session of a role, ending at `expires`.
pub fn add_session(batch: &mut Batch, account: &AccountId, role: &Role, policies: Option<Vec<String>>, expires: Timestamp) -> Key {
    let key = Key { id: Ids::access_key("ASIA"), secret: Ids::secret_key().into_exposed(), token: Some(Ids::token(356)) };
    let session = Session {
        access_key: key.id.clone(),
        account: account.clone(),
        kind: SessionKind::Role { role: role.name.to_lowercase(), role_id: role.id.clone() },
        arn: Arn::new("sts", "", account.as_str(), format_args!("assumed-role/{}/matrix", role.name)),
        user_id: format!("{}:matrix", role.id),
        name: "matrix".to_owned(),
        issued: START,
        expires,
        tags: Vec::new(),
        transitive: Vec::new(),
        source_identity: None,
        policies,
        chained: false,
        mfa: false,
        mfa_at: None,
        service: None,
        source_arn: None,
        federation: None,
    };
    let token = Secret::new(key.token.clone().unwrap());
    store_session(batch, &session, Secret::new(key.secret.clone()), token).unwrap();
    key
}

/// A customer-managed policy.
pub fn add_policy(batch: &mut Batch, account: &AccountId, name: &str, text: &str) -> String {
    let arn = Arn::new("iam", "", account.as_str(), format_args!("policy/{name}"));
    let version = PolicyVersion { id: "v1".to_owned(), document: text.to_owned(), default: true, created: START };
    let policy = ManagedPolicy {
        id: Ids::unique("ANPA"),
        name: name.to_owned(),
        path: "/".to_owned(),
        arn: arn.clone(),
        created: START,
        updated: START,
        description: String::new(),
        versions: vec![version],
        next_version: 2,
        tags: Vec::new(),
    };
    let scope = Scope::global(account.clone());
    batch.put(Row::new(kind::POLICY, &scope, name.to_lowercase(), START).name(name).with(&policy).unwrap(), Expect::Absent);
    arn.to_string()
}

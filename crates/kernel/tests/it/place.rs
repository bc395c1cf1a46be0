//! A kernel with two accounts, a small service, and people.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_blob::Blobs;
use tenantry_core::{AccountId, Arn, Region, Result, Scope, Secret, Timestamp};
use tenantry_kernel::{
    Access, Arrival, Caller, Check, Checks, Cx, Ids, Kernel, ManualClock, Operation, OperationRow, Permit, Reconciler, Reply,
    directory::{self, AccessKey, Account, OrgPolicy, Policies, Role, Session, SessionKind, Unit, User, kind},
    store_session, user_caller,
};
use tenantry_sigv4::{EMPTY_SHA256, Parts, Signer};
use tenantry_store::{Batch, Expect, Kind, Memory, Row, Store};

/// 2026-11-22T12:00:00Z.
pub const START: Timestamp = Timestamp::from_secs(1_795_348_800);
/// The management account.
pub const MANAGEMENT: &str = "111111111111";
/// A member account below `ou-a`.
pub const MEMBER: &str = "222222222222";
/// What allows everything.
pub const ALL: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
/// Groups of the small service.
pub const GROUP: Kind = Kind::new("logs.group");

/// `{"Effect": effect, "Action": action, "Resource": "*"}` as a document.
pub fn document(effect: &str, action: &str) -> String {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": action, "Resource": "*"}]}).to_string()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Name {
    log_group_name: String,
}

/// Changes.
pub struct Create;

impl Operation for Create {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "CreateLogGroup";
    const ACCESS: Access = Access::check("logs:CreateLogGroup", &["log-group"]);
    type Input = Name;
    async fn resolve(cx: &Cx, input: &Name) -> Result<Checks> {
        Ok(Check::on("logs:CreateLogGroup", cx.arn("logs", format_args!("log-group:{}", input.log_group_name))).into())
    }
    async fn handle(cx: &Cx, permit: Permit<Self>, input: Name) -> Result<Reply> {
        let mut batch = Batch::new();
        batch.put(Row::new(GROUP, permit.scope(), input.log_group_name, cx.now()), Expect::Any);
        cx.commit(batch).await?;
        Ok(Reply::empty())
    }
}

/// Reads.
pub struct Describe;

impl Operation for Describe {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "DescribeLogGroups";
    const ACCESS: Access = Access::check("logs:DescribeLogGroups", &["log-group"]);
    type Input = Value;
    async fn resolve(cx: &Cx, _: &Value) -> Result<Checks> {
        Ok(Check::on("logs:DescribeLogGroups", cx.arn("logs", "log-group:*")).into())
    }
    async fn handle(_: &Cx, _: Permit<Self>, _: Value) -> Result<Reply> {
        Ok(json!({"logGroups": []}).into())
    }
}

/// Names no resource though its access asks for a check.
pub struct Forgetful;

impl Operation for Forgetful {
    const SERVICE: &'static str = "logs";
    const NAME: &'static str = "DeleteLogGroup";
    const ACCESS: Access = Access::check("logs:DeleteLogGroup", &["log-group"]);
    type Input = Value;
    async fn resolve(_: &Cx, _: &Value) -> Result<Checks> {
        Ok(Checks::none())
    }
    async fn handle(_: &Cx, _: Permit<Self>, _: Value) -> Result<Reply> {
        Ok(Reply::empty())
    }
}

/// The kernel and what it stands on.
pub struct Place {
    pub kernel: Kernel,
    pub store: Arc<Memory>,
    pub clock: Arc<ManualClock>,
    dir: std::path::PathBuf,
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left behind is in the system's temporary directory.
        let _left = std::fs::remove_dir_all(&self.dir);
    }
}

/// Credentials.
#[derive(Clone)]
pub struct Key {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

impl Place {
    pub async fn new() -> Self {
        Self::with(Vec::new()).await
    }

    pub async fn with(reconcilers: Vec<Arc<dyn Reconciler>>) -> Self {
        let store = Arc::new(Memory::new());
        let clock = Arc::new(ManualClock::new(START));
        let dir = std::env::temp_dir().join(format!("tenantry-kernel-{}-{}", std::process::id(), Ids::lower(12)));
        let blobs = Blobs::open(&dir).unwrap();
        let mut builder = Kernel::builder(Arc::clone(&store) as Arc<dyn Store>, blobs)
            .clock(Arc::clone(&clock) as Arc<dyn tenantry_kernel::Clock>)
            .service(&[OperationRow::of::<Create>(), OperationRow::of::<Describe>(), OperationRow::of::<Forgetful>()]);
        for reconciler in reconcilers {
            builder = builder.reconciler(reconciler);
        }
        let place = Self { kernel: builder.build(), store, clock, dir };
        place.organize().await;
        place
    }

    pub async fn commit(&self, batch: Batch) {
        self.store.commit(batch).await.unwrap();
    }

    /// `r-root` with `ou-a`, below which the member is; everything allowed at every level.
    async fn organize(&self) {
        let scope = Scope::global(MANAGEMENT);
        let mut batch = Batch::new();
        batch.claim_unique("instance", "management-account", MANAGEMENT);
        for (id, parent) in [("r-root", ""), ("ou-a", "r-root")] {
            let types = if parent.is_empty() {
                vec!["SERVICE_CONTROL_POLICY".to_owned(), "RESOURCE_CONTROL_POLICY".to_owned()]
            } else {
                Vec::new()
            };
            let unit = Unit {
                id: id.to_owned(),
                name: id.to_owned(),
                parent: parent.to_owned(),
                policies: vec!["p-all".to_owned(), "p-rcp-all".to_owned()],
                enabled_types: types,
            };
            batch.put(Row::new(kind::UNIT, &scope, id, START).with(&unit).unwrap(), Expect::Absent);
        }
        for (id, parent, management) in [(MANAGEMENT, "r-root", true), (MEMBER, "ou-a", false)] {
            let account = Account {
                id: AccountId::from(id),
                name: id.to_owned(),
                email: format!("{id}@example.com"),
                status: "ACTIVE".to_owned(),
                joined: START,
                organization: "o-example".to_owned(),
                management,
                managed_by: AccountId::from(MANAGEMENT),
                parent: parent.to_owned(),
                policies: vec!["p-all".to_owned(), "p-rcp-all".to_owned()],
            };
            batch.put(Row::new(kind::ACCOUNT, &Scope::global(id), id, START).with(&account).unwrap(), Expect::Absent);
        }
        self.commit(batch).await;
        self.org_policy("p-all", "SERVICE_CONTROL_POLICY", ALL).await;
        let statement = json!([{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]);
        self.org_policy("p-rcp-all", "RESOURCE_CONTROL_POLICY", &json!({"Version": "2012-10-17", "Statement": statement}).to_string())
            .await;
    }

    pub async fn org_policy(&self, id: &str, of_type: &str, text: &str) {
        let policy = OrgPolicy {
            id: id.to_owned(),
            name: id.to_owned(),
            description: String::new(),
            policy_type: of_type.to_owned(),
            document: text.to_owned(),
            aws_managed: false,
        };
        let mut batch = Batch::new();
        batch.put(Row::new(kind::ORG_POLICY, &Scope::global(MANAGEMENT), id, START).with(&policy).unwrap(), Expect::Any);
        self.commit(batch).await;
    }

    /// Replaces a user, made with these inline policies where there is none.
    pub async fn user(&self, account: &str, name: &str, policies: &[&str]) -> User {
        let scope = Scope::global(account);
        let before: Option<User> = self.store.get(kind::USER, &scope, name).await.unwrap().map(|row| row.body().unwrap());
        let inline: BTreeMap<_, _> = policies.iter().enumerate().map(|(at, text)| (format!("p{at}"), (*text).to_owned())).collect();
        let user = User {
            id: before.map_or_else(|| Ids::unique("AIDA"), |user| user.id),
            name: name.to_owned(),
            path: "/".to_owned(),
            arn: Arn::new("iam", "", account, format_args!("user/{name}")),
            created: START,
            policies: Policies { inline, attached: Vec::new() },
            boundary: None,
            groups: Vec::new(),
            tags: Vec::new(),
        };
        let mut batch = Batch::new();
        batch.put(Row::new(kind::USER, &scope, name, START).with(&user).unwrap(), Expect::Any);
        self.commit(batch).await;
        user
    }

    /// The user as an internal caller.
    pub async fn caller(&self, account: &str, name: &str, policies: &[&str]) -> Caller {
        user_caller(&self.user(account, name, policies).await, &AccountId::from(account))
    }

    /// Gives a user a key.
    pub async fn key(&self, account: &str, name: &str) -> Key {
        let key = Key { id: Ids::access_key("AKIA"), secret: Ids::secret_key().into_exposed(), token: None };
        let mut batch = Batch::new();
        batch.claim_unique(directory::ACCESS_KEY_NAMES, key.id.clone(), account);
        batch.put_secret(directory::secret_id(&key.id), Secret::new(key.secret.clone()));
        self.commit(batch).await;
        self.key_status(account, name, &key, "Active").await;
        key
    }

    pub async fn key_status(&self, account: &str, name: &str, key: &Key, status: &str) {
        let stored = AccessKey { id: key.id.clone(), user: name.to_owned(), status: status.to_owned(), created: START };
        let mut batch = Batch::new();
        batch.put(Row::new(kind::ACCESS_KEY, &Scope::global(account), key.id.clone(), START).with(&stored).unwrap(), Expect::Any);
        self.commit(batch).await;
    }

    /// Replaces a role, made with these inline policies where there is none.
    pub async fn role(&self, account: &str, name: &str, policies: &[&str]) -> Role {
        let scope = Scope::global(account);
        let before: Option<Role> = self.store.get(kind::ROLE, &scope, name).await.unwrap().map(|row| row.body().unwrap());
        let inline: BTreeMap<_, _> = policies.iter().enumerate().map(|(at, text)| (format!("p{at}"), (*text).to_owned())).collect();
        let trust = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": ["sts:AssumeRole", "sts:SetSourceIdentity"]}]});
        let role = Role {
            id: before.map_or_else(|| Ids::unique("AROA"), |role| role.id),
            name: name.to_owned(),
            path: "/".to_owned(),
            arn: Arn::new("iam", "", account, format_args!("role/{name}")),
            created: START,
            description: String::new(),
            trust: trust.to_string(),
            trusted_ids: BTreeMap::new(),
            max_session: 3600,
            policies: Policies { inline, attached: Vec::new() },
            boundary: None,
            tags: Vec::new(),
            last_used: None,
            linked_service: None,
        };
        let mut batch = Batch::new();
        batch.put(Row::new(kind::ROLE, &scope, name, START).with(&role).unwrap(), Expect::Any);
        self.commit(batch).await;
        role
    }

    /// A session of a role for an hour.
    pub async fn session(&self, account: &str, role: &Role) -> Key {
        let key = Key { id: Ids::access_key("ASIA"), secret: Ids::secret_key().into_exposed(), token: Some(Ids::token(356)) };
        let session = Session {
            access_key: key.id.clone(),
            account: AccountId::from(account),
            kind: SessionKind::Role { role: role.name.clone(), role_id: role.id.clone() },
            arn: Arn::new("sts", "", account, format_args!("assumed-role/{}/s", role.name)),
            user_id: format!("{}:s", role.id),
            name: "s".to_owned(),
            issued: self.kernel.now(),
            expires: self.kernel.now().plus_secs(3600),
            tags: Vec::new(),
            transitive: Vec::new(),
            source_identity: None,
            policies: None,
            chained: false,
            mfa: false,
            mfa_at: None,
            service: None,
            source_arn: None,
            federation: None,
        };
        let mut batch = Batch::new();
        let token = Secret::new(key.token.clone().unwrap());
        store_session(&mut batch, &session, Secret::new(key.secret.clone()), token).unwrap();
        self.commit(batch).await;
        key
    }

    /// `DescribeLogGroups` by HTTP, signed with a key; answers the error code, or nothing.
    pub async fn describe(&self, key: &Key) -> String {
        self.send(key, "DescribeLogGroups", "{}").await
    }

    /// An operation by HTTP.
    pub async fn send(&self, key: &Key, name: &str, body: &str) -> String {
        let host = "logs.us-east-1.amazonaws.com";
        let target = format!("Logs_20140328.{name}");
        let headers = [("host", host), ("x-amz-target", target.as_str())];
        let parts = Parts { method: "POST", path: "/", query: "", headers: &headers };
        let hash = if body.is_empty() { EMPTY_SHA256.to_owned() } else { tenantry_sigv4::sha256_hex(body.as_bytes()) };
        let signer = Signer { access_key: &key.id, secret: &key.secret, token: key.token.as_deref(), region: "us-east-1", service: "logs" };
        let added = tenantry_sigv4::sign(&parts, &hash, &signer, self.kernel.now());
        let mut request = hyper::Request::builder().method("POST").uri("/");
        for (name, value) in headers.iter().copied().chain(added.iter().map(|(n, v)| (n.as_str(), v.as_str()))) {
            request = request.header(name, value);
        }
        let request = request.body(tenantry_kernel::full(body.to_owned())).unwrap();
        let response = self.kernel.serve(request, Arrival::default()).await;
        let code = response.headers().get("x-amzn-errortype").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(code.is_none(), response.status().is_success());
        code.unwrap_or_default()
    }

    /// `CreateLogGroup` by an internal caller.
    pub async fn create(&self, caller: &Caller, name: &str) -> Result<Reply> {
        self.kernel.call(caller, &Region::from("us-east-1"), "logs", "CreateLogGroup", json!({"logGroupName": name})).await
    }
}

//! An instance that has just begun: a management account, its administrator, a clock that is moved by hand.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};
use tenantry_core::{AccountId, AwsError, Region, Result, Scope, Secret, Timestamp};
use tenantry_kernel::{
    Caller, Kernel, ManualClock,
    directory::{Session, kind},
};
use tenantry_store::Memory;

pub struct World {
    pub kernel: Kernel,
    pub clock: Arc<ManualClock>,
    /// The administrator of the management account.
    pub admin: Caller,
    pub account: AccountId,
    /// The administrator's secret access key.
    pub secret: Secret<String>,
    dir: PathBuf,
}

static WORLDS: AtomicU32 = AtomicU32::new(0);

/// Trusts everybody of an account.
pub fn trust_account(account: &str) -> String {
    trust(&json!({ "AWS": format!("arn:aws:iam::{account}:root") }))
}

pub fn trust(principal: &Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole" }] }).to_string()
}

pub fn allow(action: &str, resource: &str) -> String {
    json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": action, "Resource": resource }] }).to_string()
}

impl World {
    pub async fn new() -> Self {
        let store = Arc::new(Memory::new());
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_795_000_000)));
        let first = tenantry_identity::bootstrap(&*store, Timestamp::from_secs(1_795_000_000)).await.unwrap().unwrap();
        assert!(tenantry_identity::bootstrap(&*store, Timestamp::from_secs(1_795_000_000)).await.unwrap().is_none());
        assert_eq!(first.secret.expose().len(), 40);
        let dir = std::env::temp_dir().join(format!("tenantry-identity-{}-{}", std::process::id(), WORLDS.fetch_add(1, Ordering::Relaxed)));
        let kernel = Kernel::builder(store, tenantry_blob::Blobs::open(&dir).unwrap())
            .clock(clock.clone())
            .service(&tenantry_identity::table())
            .managed_policies(tenantry_identity::managed())
            .reconciler(Arc::new(tenantry_identity::CreateAccounts))
            .reconciler(Arc::new(tenantry_identity::UsedAssertions))
            .build();
        let mut admin = kernel.caller_of(&format!("arn:aws:iam::{}:user/administrator", first.account)).await.unwrap();
        admin.access_key = first.access_key;
        Self { kernel, clock, admin, account: first.account, secret: first.secret, dir }
    }

    pub async fn call(&self, caller: &Caller, service: &'static str, operation: &str, input: Value) -> Result<Value> {
        let reply = self.kernel.call(caller, &Region::from("us-east-1"), service, operation, input).await?;
        if let Some(shape) = tenantry_wire::service(service).and_then(|service| service.operation(operation)) {
            assert_eq!(tenantry_wire::check_output(shape, &reply.output), Vec::<String>::new(), "{operation}: {}", reply.output);
        }
        Ok(reply.output)
    }

    pub async fn iam(&self, operation: &str, input: Value) -> Value {
        self.call(&self.admin, "iam", operation, input.clone()).await.unwrap_or_else(|error| panic!("{operation} {input}: {error}"))
    }

    pub async fn org(&self, operation: &str, input: Value) -> Value {
        self.call(&self.admin, "organizations", operation, input.clone())
            .await
            .unwrap_or_else(|error| panic!("{operation} {input}: {error}"))
    }

    /// Code and status of a refusal.
    pub async fn refused(&self, service: &'static str, operation: &str, input: Value) -> AwsError {
        let answer = self.call(&self.admin, service, operation, input.clone()).await;
        answer.expect_err(&format!("{operation} {input} is refused"))
    }

    pub fn arn(&self, resource: &str) -> String {
        format!("arn:aws:iam::{}:{resource}", self.account)
    }

    /// A user with an inline policy, as a caller.
    pub async fn user(&self, name: &str, policy: Option<&str>) -> Caller {
        self.iam("CreateUser", json!({ "UserName": name })).await;
        if let Some(policy) = policy {
            self.iam("PutUserPolicy", json!({ "UserName": name, "PolicyName": "p", "PolicyDocument": policy })).await;
        }
        self.kernel.caller_of(&self.arn(&format!("user/{name}"))).await.unwrap()
    }

    pub async fn role(&self, name: &str, trust: &str) -> Value {
        self.iam("CreateRole", json!({ "RoleName": name, "AssumeRolePolicyDocument": trust })).await["Role"].clone()
    }

    /// The caller that holds these `Credentials`, made from the stored session as authentication does.
    pub async fn holder(&self, account: &str, credentials: &Value) -> Caller {
        let key = credentials["AccessKeyId"].as_str().unwrap();
        let row = self.kernel.store().get(kind::SESSION, &Scope::global(account), key).await.unwrap().unwrap();
        let session: Session = row.body().unwrap();
        let mut caller = match &session.kind {
            tenantry_kernel::directory::SessionKind::Federated { user } => {
                let user = self.kernel.caller_of(&format!("arn:aws:iam::{account}:user/{user}")).await.unwrap();
                let id = user.principal.unique_id.unwrap();
                let principal = tenantry_policy::Principal::federated_user(account, &user.arn, &id, &session.name);
                Caller { principal, user_name: None, ..self.kernel.caller_of(&self.arn("user/administrator")).await.unwrap() }
            }
            _ => self.kernel.caller_of(session.arn.as_str()).await.unwrap(),
        };
        caller.account = session.account.clone();
        caller.arn = session.arn.to_string();
        caller.user_id.clone_from(&session.user_id);
        caller.tags.clone_from(&session.tags);
        caller.access_key = key.to_owned();
        caller.session = Some(Arc::new(session));
        caller
    }

    pub async fn assume(&self, caller: &Caller, input: Value) -> Result<Caller> {
        let account = input["RoleArn"].as_str().unwrap().split(':').nth(4).unwrap().to_owned();
        let output = self.call(caller, "sts", "AssumeRole", input).await?;
        Ok(self.holder(&account, &output["Credentials"]).await)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_dir_all(&self.dir);
    }
}

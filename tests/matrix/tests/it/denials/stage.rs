//! A world to be denied in, and what becomes of a denial.

use serde_json::{Value, json};
use tenantry_core::{AccountId, Region, Scope};
use tenantry_kernel::{Caller, DENIAL};
use tenantry_store::Batch;

use crate::{
    encode::encode,
    send::{Answer, Key, Signing, send},
    world::{ALLOW_ALL, NewUser, REGION, START, World, document},
};

/// A world with an administrator in every account.
pub struct Stage {
    pub world: World,
    /// What was told of each denial.
    pub told: Vec<String>,
}

/// A request that is denied, until the change is made.
pub struct Ask {
    /// Whose credentials sign.
    pub key: Key,
    /// How they were had, for sessions: who assumed the role, and with what.
    pub assumed: Option<(Key, Value)>,
    pub service: &'static str,
    pub operation: &'static str,
    pub input: Value,
}

impl Ask {
    pub fn new(key: &Key, service: &'static str, operation: &'static str, input: Value) -> Self {
        Self { key: key.clone(), assumed: None, service, operation, input }
    }
}

/// A session, and how it was had.
pub struct Session {
    pub key: Key,
    pub by: Key,
    pub input: Value,
}

impl Session {
    pub fn ask(&self, service: &'static str, operation: &'static str, input: Value) -> Ask {
        Ask { assumed: Some((self.by.clone(), self.input.clone())), ..Ask::new(&self.key, service, operation, input) }
    }
}

/// AWS's sentence where nothing allows.
pub fn lacks(who: &str, action: &str, resource: &str, noun: &str) -> String {
    format!("User: {who} is not authorized to perform: {action} on resource: {resource} because no {noun} allows the {action} action")
}

/// AWS's sentence where something denies; `by` is `an identity-based policy`, with the policy's ARN where it has one.
pub fn denies(who: &str, action: &str, resource: &str, by: &str) -> String {
    format!("User: {who} is not authorized to perform: {action} on resource: {resource} with an explicit deny in {by}")
}

/// One or more Allows, or Denies.
pub fn statement(effect: &str, action: &str, resource: &str) -> Value {
    json!({"Effect": effect, "Action": action, "Resource": resource})
}

impl Stage {
    pub async fn new() -> Self {
        let world = World::new().await;
        let mut batch = Batch::new();
        for account in [&world.own, &world.other, &world.denied, &world.fenced] {
            NewUser::new(account, "admin", &[ALLOW_ALL]).add(&mut batch);
        }
        world.commit(batch).await;
        Self { world, told: Vec::new() }
    }

    pub fn own(&self) -> AccountId {
        self.world.own.clone()
    }

    /// What an account's administrator answers to.
    pub async fn admin(&self, account: &str) -> Caller {
        self.world.kernel.caller_of(&format!("arn:aws:iam::{account}:user/admin")).await.unwrap()
    }

    /// A call of an account's administrator, which is good.
    pub async fn by_admin(&self, account: &str, service: &'static str, operation: &str, input: Value) -> Value {
        let admin = self.admin(account).await;
        let called = self.world.kernel.call(&admin, &Region::from(REGION), service, operation, input.clone()).await;
        called.unwrap_or_else(|error| panic!("{operation} {input}: {error}")).output
    }

    /// A user of the first account with these inline policies' statements; its tag `TenantID` is `tenant-a`.
    pub async fn user(&self, name: &str, policies: &[Value]) -> Key {
        self.user_of(&self.own(), name, policies).await
    }

    pub async fn user_of(&self, account: &AccountId, name: &str, policies: &[Value]) -> Key {
        let texts: Vec<String> = policies.iter().map(|statements| document(statements.clone())).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut batch = Batch::new();
        let key = NewUser::new(account, name, &texts).add(&mut batch);
        self.world.commit(batch).await;
        key
    }

    pub fn arn(&self, rest: &str) -> String {
        format!("arn:aws:iam::{}:{rest}", self.own())
    }

    /// A role of the first account: its trust policy's statements, its inline policy's.
    pub async fn role(&self, name: &str, trust: Value, policy: Value) -> String {
        let own = self.own();
        let input = json!({"RoleName": name, "AssumeRolePolicyDocument": document(trust)});
        let made = self.by_admin(own.as_str(), "iam", "CreateRole", input).await;
        if !policy.is_null() {
            let input = json!({"RoleName": name, "PolicyName": "p", "PolicyDocument": document(policy)});
            self.by_admin(own.as_str(), "iam", "PutRolePolicy", input).await;
        }
        made["Role"]["Arn"].as_str().unwrap().to_owned()
    }

    /// Trusts the first account's users to assume and to tag.
    pub fn trusting(&self) -> Value {
        json!({"Effect": "Allow", "Principal": {"AWS": self.arn("root")}, "Action": ["sts:AssumeRole", "sts:TagSession"]})
    }

    /// A session of a role, by a user who may do that.
    pub async fn session(&self, by: &Key, mut input: Value) -> Session {
        input["RoleSessionName"] = json!("s1");
        let answer = self.send(by, "sts", "AssumeRole", &input).await;
        assert_eq!(answer.status, 200, "{input}: {}", answer.text);
        Session { key: credentials(&answer.text), by: by.clone(), input }
    }

    pub async fn send(&self, key: &Key, service: &str, operation: &str, input: &Value) -> Answer {
        let shape = tenantry_wire::service(service).unwrap().operation(operation).unwrap();
        let how = Signing { key, region: REGION, service: None, at: START };
        send(&self.world.kernel, &encode(shape, input).signed(&how)).await
    }

    /// Sends the request, which is denied with this sentence; makes the smallest change; sends it again. A call that
    /// takes two permissions is denied for one after the other.
    pub async fn denied(&mut self, name: &str, mut ask: Ask, sentence: &str) {
        let mut told = format!("{name}\n  {sentence}\n");
        let mut answer = self.send(&ask.key, ask.service, ask.operation, &ask.input).await;
        assert_eq!(message(&answer.text), sentence, "{name}");
        for round in 0..2 {
            assert!(matches!(answer.status, 400 | 403), "{name}: {} {}", answer.status, answer.text);
            let id = answer.headers.iter().find(|(name, _)| matches!(name.as_str(), "x-amzn-requestid" | "x-amz-request-id"));
            let check = self.explained(&id.unwrap().1).await;
            assert_eq!(check["allowed"], false, "{name}");
            let changes = check["change"]["changes"].as_array().unwrap_or_else(|| panic!("{name} has no remedy: {check:#}")).clone();
            for change in &changes {
                self.make(name, change, &mut ask).await;
            }
            let texts: Vec<&str> = changes.iter().map(|change| change["text"].as_str().unwrap()).collect();
            told.push_str(&format!("  {}: {}\n", if round == 0 { "change" } else { "then" }, texts.join("; and ")));
            answer = self.send(&ask.key, ask.service, ask.operation, &ask.input).await;
            if answer.status == 200 {
                break;
            }
            let two =
                message(&answer.text).contains("sagemaker:AddTags") && !message(&answer.text).contains(check["action"].as_str().unwrap());
            assert!(two && round == 0, "{name} after {changes:#?}: {}", answer.text);
        }
        told.push('\n');
        let told = told.replace(self.own().as_str(), "111111111111").replace(&self.world.root[2..], "root");
        let organization = self.world.kernel.organization_of(&self.own()).await.unwrap().id.clone();
        self.told.push(told.replace(&organization, "o-organization"));
    }

    /// What is kept of a denial; it is written behind the answer.
    async fn explained(&self, id: &str) -> Value {
        for _ in 0..2_000 {
            for account in [&self.world.own, &self.world.other, &self.world.denied, &self.world.fenced] {
                if let Some(row) = self.world.kernel.store().get(DENIAL, &Scope::global(account.clone()), id).await.unwrap() {
                    return row.body::<Value>().unwrap()["explanation"]["checks"][0].clone();
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("nothing is kept of {id}");
    }

    async fn make(&self, name: &str, change: &Value, ask: &mut Ask) {
        let key = change["key"].as_str().unwrap_or_default();
        let after: Option<Vec<String>> =
            change["after"].as_array().map(|all| all.iter().map(|one| one.as_str().unwrap().to_owned()).collect());
        let kind = if change["layer"] == "session" { "session" } else { change["kind"].as_str().unwrap() };
        match kind {
            "request" => parameter(&mut ask.input, key, after.as_deref()),
            "session" => {
                let (by, mut input) = ask.assumed.clone().unwrap_or_else(|| panic!("{name}: {change}"));
                let wanted = &change["calls"][0]["input"];
                assert_eq!(wanted["RoleArn"], input["RoleArn"], "{name}: the same role");
                for (member, value) in wanted.as_object().unwrap() {
                    input[member] = value.clone();
                }
                ask.key = self.session(&by, input).await.key;
            }
            "circumstance" => panic!("{name}: no call makes this change: {change}"),
            _ => self.make_calls(name, change).await,
        }
    }

    async fn make_calls(&self, name: &str, change: &Value) {
        let calls = change["calls"].as_array().unwrap();
        assert!(!calls.is_empty(), "{name}: nobody can make this change: {change:#}");
        let mut answers: Vec<Value> = Vec::new();
        for call in calls {
            let mut input = call["input"].clone();
            fill(&mut input, &answers);
            let service = tenantry_wire::service(call["service"].as_str().unwrap()).unwrap();
            let operation = call["operation"].as_str().unwrap();
            answers.push(self.by_admin(call["account"].as_str().unwrap(), service.metadata().name.as_str(), operation, input).await);
        }
    }
}

/// Puts earlier answers in the place of references to them.
fn fill(value: &mut Value, answers: &[Value]) {
    if let Some(reference) = value.get("$answer") {
        let (at, pointer) = (reference[0].as_u64().unwrap() as usize, reference[1].as_str().unwrap());
        *value = answers[at].pointer(pointer).unwrap().clone();
        return;
    }
    if let Some(members) = value.as_object_mut() {
        members.values_mut().for_each(|value| fill(value, answers));
    }
}

/// The request's parameter that becomes this condition key.
fn parameter(input: &mut Value, key: &str, after: Option<&[String]>) {
    let tags = |input: &Value| input["Tags"].as_array().cloned().unwrap_or_default();
    if let Some(tag) = key.strip_prefix("aws:RequestTag/") {
        let mut tags = tags(input);
        tags.retain(|one| one["Key"] != tag);
        tags.extend(after.map(|values| json!({"Key": tag, "Value": values[0]})));
        input["Tags"] = json!(tags);
        return;
    }
    if key == "aws:TagKeys" {
        let keys = after.unwrap_or_default();
        let mut tags = tags(input);
        tags.retain(|one| keys.iter().any(|key| one["Key"] == key.as_str()));
        for key in keys {
            if !tags.iter().any(|one| one["Key"] == key.as_str()) {
                tags.push(json!({"Key": key, "Value": "value"}));
            }
        }
        input["Tags"] = json!(tags);
        return;
    }
    let name = match key {
        "s3:prefix" => "Prefix",
        "s3:max-keys" => "MaxKeys",
        "sts:ExternalId" => "ExternalId",
        "sts:RoleSessionName" => "RoleSessionName",
        "sts:SourceIdentity" => "SourceIdentity",
        _ => panic!("no parameter becomes {key}"),
    };
    match after.map(|values| values[0].as_str()) {
        Some(text) if name == "MaxKeys" => input[name] = json!(text.parse::<u64>().unwrap()),
        Some(text) => input[name] = json!(text),
        None => _ = input.as_object_mut().unwrap().remove(name),
    }
}

fn between<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(&format!("<{name}>")).nth(1)?.split(&format!("</{name}>")).next()
}

fn credentials(text: &str) -> Key {
    let part = |name: &str| between(text, name).unwrap_or_else(|| panic!("{text}")).to_owned();
    Key { id: part("AccessKeyId"), secret: part("SecretAccessKey"), token: Some(part("SessionToken")) }
}

/// An error's sentence.
fn message(text: &str) -> String {
    if let Some(message) = between(text, "Message") {
        return message.replace("&quot;", "\"");
    }
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    json["message"].as_str().or_else(|| json["Message"].as_str()).unwrap_or(text).to_owned()
}

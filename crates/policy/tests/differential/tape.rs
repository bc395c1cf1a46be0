//! Random documents and requests from a tape of bytes: a short tape is a simple world, so failures
//! shrink. The vocabulary is small, so that what is asked and what is written meet often.

mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};
use tenantry_policy::{PolicyKind, Principal, Value};

use crate::reference::{Asked, Keys, World};

/// Random bytes, for ever the same ones for a seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(step).collect()
}

pub(crate) struct Tape<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What is asked, owned.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) action: &'static str,
    pub(crate) resource: &'static str,
    pub(crate) owner: Option<&'static str>,
    pub(crate) who: Principal,
    pub(crate) keys: Keys,
    pub(crate) unclear: BTreeSet<String>,
}

impl Question {
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked { action: self.action, resource: self.resource, owner: self.owner, who: &self.who, keys: &self.keys, unclear: &self.unclear }
    }
}

impl<'a> Tape<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn next(&mut self) -> usize {
        self.at += 1;
        self.bytes.get(self.at - 1).copied().unwrap_or(0).into()
    }

    /// One in `n`; never when the tape has run out.
    fn rarely(&mut self, n: usize) -> bool {
        self.next() % n == n - 1
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.next() % from.len()]
    }

    /// One text, or a list of up to three.
    fn some(&mut self, from: &[&str]) -> Json {
        match self.next() % 8 {
            0..=3 => json!(self.pick(from)),
            4 => json!([self.pick(from)]),
            5 | 6 => json!([self.pick(from), self.pick(from)]),
            _ => json!([self.pick(from), self.pick(from), self.pick(from)]),
        }
    }

    pub(crate) fn question(&mut self) -> Question {
        let who = self.principal();
        let action = self.pick(words::ASKED_ACTIONS);
        let resource = self.pick(words::ASKED_RESOURCES);
        let owner = [Some("111111111111"), Some("111111111111"), Some("222222222222"), None][self.next() % 4];
        let (keys, unclear) = self.keys();
        Question { action, resource, owner, who, keys, unclear }
    }

    fn principal(&mut self) -> Principal {
        use words::{ALICE, ALICE_ID, ROLE, ROLE_ID};
        let home = "111111111111";
        match self.next() % 16 {
            0..=2 => Principal::session(home, ROLE, ROLE_ID, "S"),
            3 => Principal::session(home, ROLE, ROLE_ID, "T"),
            4 | 5 => Principal::user(home, ALICE, ALICE_ID),
            6 | 7 => Principal::federated_user(home, ALICE, ALICE_ID, "bob"),
            8 => Principal::root(home),
            9 => Principal::session("222222222222", "arn:aws:iam::222222222222:role/R", "AROAR000000000002", "S"),
            10 => Principal::service("sagemaker.amazonaws.com"),
            11 => Principal::session(home, "arn:aws:iam::111111111111:role/aws-service-role/x.amazonaws.com/L", "AROAL000000000001", "S"),
            // Made again after the first was deleted.
            12 => Principal::session(home, ROLE, "AROAR000000000099", "S"),
            13 => Principal::user(home, ALICE, "AIDAALICE00000099"),
            14 => Principal::provider(words::PROVIDER, "anybody"),
            _ => Principal::anonymous(),
        }
    }

    fn keys(&mut self) -> (Keys, BTreeSet<String>) {
        let (mut keys, mut unclear) = (Keys::new(), BTreeSet::new());
        for (key, values, multiple) in words::KEYS {
            let one = |tape: &mut Self| tape.pick(values).to_owned();
            let value = match self.next() % 8 {
                0 | 1 => continue,
                2 if *multiple => Value::Many(vec![]),
                3 if *multiple => Value::Many(vec![one(self)]),
                4..=6 if *multiple => Value::Many(vec![one(self), one(self)]),
                7 if key.contains("tag/") => {
                    unclear.insert((*key).to_owned());
                    Value::Many(vec![one(self), one(self)])
                }
                _ => Value::One(one(self)),
            };
            keys.insert((*key).to_owned(), value);
        }
        (keys, unclear)
    }

    fn condition(&mut self) -> Json {
        let family = &words::FAMILIES[self.next() % words::FAMILIES.len()];
        let key = match self.next() % 8 {
            0 => self.pick(family.keys).to_uppercase(),
            _ => self.pick(family.keys).to_owned(),
        };
        if self.rarely(8) {
            return json!({self.pick(&["Null", "null"]): {key: self.some(&["true", "false", "False", "maybe"])}});
        }
        let set = self.pick(&["", "", "", "ForAllValues:", "ForAnyValue:", "forAnyValue:"]);
        let operator = format!("{set}{}{}", self.pick(family.operators), self.pick(&["", "", "IfExists"]));
        let operands = match self.next() % 16 {
            0 => json!([]),
            1 if family.operators[0] == "Bool" => json!(true),
            1 if family.operators[0] == "NumericEquals" => json!(5),
            _ => self.some(family.operands),
        };
        json!({operator: {key: operands}})
    }

    fn conditions(&mut self) -> Option<Json> {
        let count = [0, 0, 0, 1, 1, 1, 2, 3][self.next() % 8];
        let mut all = serde_json::Map::new();
        for _ in 0..count {
            let one = self.condition();
            for (operator, block) in one.as_object().unwrap() {
                // The same operator again: another key of its block, or the same replaced.
                match all.get_mut(operator).and_then(Json::as_object_mut) {
                    Some(held) => held.extend(block.as_object().unwrap().clone()),
                    None => _ = all.insert(operator.clone(), block.clone()),
                }
            }
        }
        (count > 0).then(|| Json::Object(all))
    }

    fn statement(&mut self, deny: usize, kind: PolicyKind) -> Json {
        let mut statement = json!({"Effect": if self.rarely(deny) { "Deny" } else { "Allow" }});
        let actions = if kind == PolicyKind::Trust { words::STS_ACTIONS } else { words::ACTIONS };
        statement[if self.rarely(6) { "NotAction" } else { "Action" }] = self.some(actions);
        let resources: Vec<&str> = match kind {
            PolicyKind::Resource | PolicyKind::Endpoint => [words::RESOURCES, words::ODD_RESOURCES].concat(),
            PolicyKind::ServiceControl => [words::RESOURCES, words::TRAILING_RESOURCES].concat(),
            PolicyKind::ResourceControl => words::RESOURCES.to_vec(),
            _ => [words::RESOURCES, words::SHORT_RESOURCES].concat(),
        };
        let own = kind == PolicyKind::Trust || (kind == PolicyKind::Resource && self.rarely(8));
        if !own {
            statement[if self.rarely(6) { "NotResource" } else { "Resource" }] = self.some(&resources);
        }
        match kind {
            PolicyKind::Resource | PolicyKind::Trust | PolicyKind::Endpoint => {
                let element = self.named(kind);
                let negated = kind != PolicyKind::Trust && self.rarely(6);
                statement[if negated { "NotPrincipal" } else { "Principal" }] = element;
            }
            PolicyKind::ResourceControl => statement["Principal"] = self.pick_json(&[json!("*"), json!({"AWS": "*"})]),
            _ => {}
        }
        if let Some(conditions) = self.conditions() {
            statement["Condition"] = conditions;
        }
        statement
    }

    fn pick_json(&mut self, from: &[Json]) -> Json {
        from[self.next() % from.len()].clone()
    }

    fn named(&mut self, kind: PolicyKind) -> Json {
        match self.next() % 8 {
            0 => json!("*"),
            1 => json!({"Service": self.some(&["sagemaker.amazonaws.com", "logs.amazonaws.com", "*"])}),
            2 => json!({"AWS": self.some(words::NAMES), "Service": "sagemaker.amazonaws.com"}),
            3 if kind == PolicyKind::Trust || self.rarely(3) => json!({"Federated": self.some(&[words::PROVIDER, "other.example.com"])}),
            _ => json!({"AWS": self.some(words::NAMES)}),
        }
    }

    fn policy(&mut self, deny: usize, kind: PolicyKind) -> Json {
        let count = [1, 1, 2, 3][self.next() % 4];
        let statements: Vec<Json> = (0..count).map(|_| self.statement(deny, kind)).collect();
        let lenient = matches!(kind, PolicyKind::Resource | PolicyKind::Trust | PolicyKind::Endpoint | PolicyKind::Session);
        match self.next() % 8 {
            0 if lenient => json!({"Version": "2008-10-17", "Statement": statements}),
            1 if lenient => json!({"Statement": statements}),
            2 => json!({"Version": "2012-10-17", "Statement": statements[0]}),
            _ => json!({"Version": "2012-10-17", "Id": "i", "Statement": statements}),
        }
    }

    fn open(&mut self, kind: PolicyKind) -> Json {
        if self.rarely(3) {
            return self.policy(3, kind);
        }
        let mut statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
        if matches!(kind, PolicyKind::ResourceControl | PolicyKind::Endpoint) {
            statement["Principal"] = json!("*");
        }
        json!({"Version": "2012-10-17", "Statement": statement})
    }

    fn levels(&mut self, kind: PolicyKind) -> Vec<Vec<Json>> {
        let count = self.next() % 4;
        let level = |tape: &mut Self| {
            let extra = tape.rarely(4);
            let mut level = vec![tape.open(kind)];
            if extra {
                level.push(tape.policy(2, kind));
            }
            if tape.rarely(16) { vec![] } else { level }
        };
        (0..count).map(|_| level(self)).collect()
    }

    pub(crate) fn world(&mut self) -> World {
        let count = [0, 1, 1, 2, 3, 8][self.next() % 6];
        let identity = (0..count).map(|_| self.policy(8, PolicyKind::Identity)).collect();
        let trust = self.rarely(6);
        let resource = if trust { PolicyKind::Trust } else { PolicyKind::Resource };
        let resource = (!self.rarely(3)).then(|| self.policy(6, resource));
        let boundary = self.rarely(4).then(|| self.policy(8, PolicyKind::Boundary));
        let session = self.rarely(3).then(|| (0..self.next() % 3).map(|_| self.policy(8, PolicyKind::Session)).collect());
        let endpoint = self.rarely(4).then(|| self.open(PolicyKind::Endpoint));
        let scp = self.levels(PolicyKind::ServiceControl);
        let rcp = if self.rarely(3) { self.levels(PolicyKind::ResourceControl) } else { vec![] };
        let must_allow = trust || self.rarely(6);
        let mut ids = BTreeMap::new();
        if self.rarely(3) {
            for (name, id) in [(words::ROLE, words::ROLE_ID), (words::ALICE, words::ALICE_ID), (words::SESSION, words::ROLE_ID)] {
                ids.insert(name.to_owned(), id.to_owned());
            }
        }
        World { identity, boundary, session, scp, rcp, resource, trust, must_allow, endpoint, ids }
    }
}

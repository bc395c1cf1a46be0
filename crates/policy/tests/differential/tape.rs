//! Random documents from a tape of bytes: a short tape is a simple world, so failures shrink.

use serde_json::{Value as Json, json};
use tenantry_policy::{Principal, Value};

use crate::reference::{Keys, World};

pub(crate) struct Tape<'a> {
    bytes: &'a [u8],
    at: usize,
}

const ROLE: &str = "arn:aws:iam::111111111111:role/team/R";
const ALICE: &str = "arn:aws:iam::111111111111:user/eng/alice";

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

    pub(crate) fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.next() % from.len()]
    }

    /// One text, or a list of one or two.
    fn some(&mut self, from: &[&str]) -> Json {
        match self.next() % 4 {
            0 | 1 => json!(self.pick(from)),
            2 => json!([self.pick(from)]),
            _ => json!([self.pick(from), self.pick(from)]),
        }
    }

    pub(crate) fn principal(&mut self) -> Principal {
        match self.next() % 9 {
            0 | 1 => Principal::session("111111111111", ROLE, "AROAR000000000001", "S"),
            2 => Principal::user("111111111111", ALICE, "AIDAALICE00000001"),
            3 => Principal::federated_user("111111111111", ALICE, "AIDAALICE00000001", "bob"),
            4 => Principal::root("111111111111"),
            5 => Principal::session("222222222222", "arn:aws:iam::222222222222:role/R", "AROAR000000000002", "S"),
            6 => Principal::service("sagemaker.amazonaws.com"),
            7 => Principal::session(
                "111111111111",
                "arn:aws:iam::111111111111:role/aws-service-role/x.amazonaws.com/L",
                "AROAL000000000001",
                "S",
            ),
            _ => Principal::anonymous(),
        }
    }

    pub(crate) fn keys(&mut self) -> Keys {
        let mut keys = Keys::new();
        for (key, values) in [
            ("aws:principaltag/team", &["red", "*", "", "RED", "r?d"][..]),
            ("aws:resourcetag/team", &["red", "blue", "", "*"]),
            ("s3:max-keys", &["5", "10", "5.0", "many"]),
            ("aws:currenttime", &["2024-01-01T00:00:00Z", "1704067200", "2024-06-01T12:00:00Z", "soon"]),
            ("aws:sourceip", &["10.1.2.3", "203.0.113.9", "2001:db8::1", "x"]),
            ("aws:securetransport", &["true", "false", "TRUE", "1"]),
            ("aws:sourcearn", &["arn:aws:s3:::b", "arn:aws:s3:::b/red/x", "b"]),
            ("aws:tagkeys", &["a", "b", "c", ""]),
        ] {
            match self.next() % 5 {
                0 => {}
                1 if key == "aws:tagkeys" => drop(keys.insert(key.into(), Value::Many(vec![]))),
                2 | 3 if key == "aws:tagkeys" => {
                    drop(keys.insert(key.into(), Value::Many(vec![self.pick(values).into(), self.pick(values).into()])));
                }
                _ => drop(keys.insert(key.into(), Value::One(self.pick(values).into()))),
            }
        }
        keys
    }

    fn condition(&mut self) -> Json {
        let family = self.next() % 8;
        let (bases, keys, values): (&[&str], &[&str], &[&str]) = match family {
            0 | 1 => (
                &["StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"],
                &["aws:PrincipalTag/team", "aws:ResourceTag/Team", "aws:TagKeys"],
                &[
                    "red",
                    "r*",
                    "*",
                    "?",
                    "",
                    "${aws:PrincipalTag/Team}",
                    "${aws:principaltag/team, 'red'}",
                    "${*}",
                    "x${aws:TagKeys}",
                    "blue",
                ],
            ),
            2 => (
                &["StringEquals", "StringNotEquals", "StringLike", "StringNotLike"],
                &["aws:TagKeys"],
                &["a", "b", "c", "*", "", "${aws:ResourceTag/team}"],
            ),
            3 => (
                &[
                    "NumericEquals",
                    "NumericNotEquals",
                    "NumericLessThan",
                    "NumericLessThanEquals",
                    "NumericGreaterThan",
                    "NumericGreaterThanEquals",
                ],
                &["s3:max-keys"],
                &["5", "10", "05.00", "many"],
            ),
            4 => (
                &["DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"],
                &["aws:CurrentTime"],
                &["2024-01-01T00:00:00Z", "2024-01-01", "1704067200", "2024-06-01T12:00:00Z", "2024-01-01T01:00:00+01:00"],
            ),
            5 => (&["IpAddress", "NotIpAddress"], &["aws:SourceIp"], &["10.0.0.0/8", "203.0.113.9", "0.0.0.0/0", "bad"]),
            6 => (&["Bool"], &["aws:SecureTransport"], &["true", "false", "True", "maybe"]),
            _ => (
                &["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"],
                &["aws:SourceArn"],
                &["arn:aws:s3:::b", "arn:aws:s3:::b*", "arn:*:s3:::*/x", "arn:aws:s3:::b/${aws:PrincipalTag/team}/x", "*", "b"],
            ),
        };
        if self.rarely(8) {
            return json!({"Null": {self.pick(keys): self.pick(&["true", "false"])}});
        }
        let set = self.pick(&["", "", "ForAllValues:", "ForAnyValue:"]);
        let operator = format!("{set}{}{}", self.pick(bases), self.pick(&["", "", "IfExists"]));
        json!({operator: {self.pick(keys): self.some(values)}})
    }

    fn statement(&mut self, deny: usize, named: bool) -> Json {
        let mut statement = json!({"Effect": if self.rarely(deny) { "Deny" } else { "Allow" }});
        let actions = ["*", "s3:*", "S3:get*", "s3:GetObject", "s3:PutObject", "s3:?utObject", "kms:*", "sts:AssumeRole"];
        statement[if self.rarely(6) { "NotAction" } else { "Action" }] = self.some(&actions);
        let resources = [
            "*",
            "arn:aws:s3:::b/*",
            "arn:aws:s3:::b/red/x",
            "arn:aws:s3:::b/${aws:PrincipalTag/team}/*",
            "arn:aws:s3:::b/${aws:PrincipalTag/team, 'red'}/x",
            "arn:aws:s3:::b/${*}/x",
            "arn:*:s3:::?/*",
            "arn:aws:kms:*:111111111111:key/k",
        ];
        statement[if self.rarely(6) { "NotResource" } else { "Resource" }] = self.some(&resources);
        if named {
            let aws = [
                "*",
                "111111111111",
                "arn:aws:iam::111111111111:root",
                ALICE,
                ROLE,
                "arn:aws:sts::111111111111:assumed-role/R/S",
                "arn:aws:sts::111111111111:federated-user/bob",
                "222222222222",
                "arn:aws:iam::222222222222:role/R",
            ];
            let principal = match self.next() % 6 {
                0 => json!("*"),
                1 => json!({"Service": "sagemaker.amazonaws.com"}),
                2 => json!({"AWS": self.some(&aws), "Service": "sagemaker.amazonaws.com"}),
                _ => json!({"AWS": self.some(&aws)}),
            };
            statement[if self.rarely(6) { "NotPrincipal" } else { "Principal" }] = principal;
        }
        match self.next() % 4 {
            0 | 1 => {}
            2 => statement["Condition"] = self.condition(),
            _ => {
                let (mut all, more) = (self.condition(), self.condition());
                for (operator, block) in more.as_object().unwrap() {
                    all[operator] = block.clone();
                }
                statement["Condition"] = all;
            }
        }
        statement
    }

    fn policy(&mut self, deny: usize, named: bool) -> Json {
        let count = 1 + self.next() % 2;
        let statements: Vec<Json> = (0..count).map(|_| self.statement(deny, named)).collect();
        let old = named && self.rarely(8);
        json!({"Version": if old { "2008-10-17" } else { "2012-10-17" }, "Statement": statements})
    }

    fn open(&mut self, named: bool) -> Json {
        if self.rarely(3) {
            return self.policy(3, named);
        }
        let mut statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
        if named {
            statement["Principal"] = json!("*");
        }
        json!({"Version": "2012-10-17", "Statement": statement})
    }

    fn levels(&mut self, named: bool) -> Vec<Vec<Json>> {
        let count = self.next() % 3;
        let level = |tape: &mut Self| {
            let extra = tape.rarely(4);
            let mut level = vec![tape.open(named)];
            if extra {
                level.push(tape.policy(2, named));
            }
            if tape.rarely(16) { vec![] } else { level }
        };
        (0..count).map(|_| level(self)).collect()
    }

    pub(crate) fn world(&mut self) -> World {
        let identity = (0..self.next() % 3).map(|_| self.policy(6, false)).collect();
        let resource = (!self.rarely(3)).then(|| self.policy(6, true));
        let boundary = self.rarely(4).then(|| self.policy(6, false));
        let session = self.rarely(3).then(|| (0..self.next() % 3).map(|_| self.policy(6, false)).collect());
        let endpoint = self.rarely(4).then(|| self.open(true));
        let (scp, rcp) = (self.levels(false), if self.rarely(3) { vec![vec![self.rcp()]] } else { vec![] });
        World { identity, boundary, session, scp, rcp, resource, must_allow: self.rarely(4), endpoint }
    }

    /// A resource control policy names everyone.
    fn rcp(&mut self) -> Json {
        let mut policy = self.open(false);
        match &mut policy["Statement"] {
            Json::Array(list) => list.iter_mut().for_each(|statement| statement["Principal"] = json!("*")),
            single => single["Principal"] = json!("*"),
        }
        policy
    }
}

//! The vocabulary of the random documents.

pub(super) const ROLE: &str = "arn:aws:iam::111111111111:role/team/R";
pub(super) const ROLE_ID: &str = "AROAR000000000001";
pub(super) const SESSION: &str = "arn:aws:sts::111111111111:assumed-role/R/S";
pub(super) const ALICE: &str = "arn:aws:iam::111111111111:user/eng/alice";
pub(super) const ALICE_ID: &str = "AIDAALICE00000001";
pub(super) const PROVIDER: &str = "arn:aws:iam::111111111111:saml-provider/P";

pub(super) const ASKED_ACTIONS: &[&str] = &[
    "s3:GetObject",
    "s3:GetObject",
    "s3:PutObject",
    "S3:GETOBJECT",
    "kms:Decrypt",
    "sts:AssumeRole",
    "sts:TagSession",
    "sts:GetCallerIdentity",
];

pub(super) const ASKED_RESOURCES: &[&str] = &[
    "arn:aws:s3:::b/red/x",
    "arn:aws:s3:::b/red/x",
    "*",
    "arn:aws:s3:::b/*/x",
    "arn:aws:s3:::b//x",
    "arn:aws:s3:::b/blue/a:b",
    "arn:aws:kms:us-east-1:111111111111:key/k",
    "arn:aws:iam::111111111111:role/team/R",
];

pub(super) const ACTIONS: &[&str] = &[
    "*",
    "*:*",
    "s3:*",
    "S3:get*",
    "s3:GetObject",
    "s3:PutObject",
    "s3:?utObject",
    "s3:GetObject,PutObject",
    "s3:Get Object",
    "s3:",
    "kms:*",
    "sts:AssumeRole",
    "sts:*",
    "iam:PassRole",
];

pub(super) const STS_ACTIONS: &[&str] = &["sts:AssumeRole", "STS:Assume*", "sts:*", "sts:TagSession", "sts:AssumeRoleWithSAML"];

/// What every kind of policy may hold.
pub(super) const RESOURCES: &[&str] = &[
    "*",
    "arn:aws:s3:::b/*",
    "arn:aws:s3:::b/red/x",
    "arn:aws:s3:::b/${aws:PrincipalTag/team}/*",
    "arn:aws:s3:::b/${aws:PrincipalTag/team, 'red'}/x",
    "arn:aws:s3:::b/${ aws:ResourceTag/TEAM ,'blue'}/*",
    "arn:aws:s3:::b/${aws:TagKeys}/*",
    "arn:aws:s3:::b/${*}/x",
    "arn:aws:s3:::b/${aws:PrincipalTag/team, red}/*",
    "arn:aws:s3:::b/${open",
    "arn:*:s3:::?/*",
    "arn:aws:s3:::*:b",
    "arn:aws:kms:*:111111111111:key/k",
    "arn:aws:kms:us-*:*:*",
    "arn:aws:iam::111111111111:role/*",
    "arn:aws:kms:*:${aws:PrincipalAccount}:key/*",
];

/// Where short ARNs are filled up.
pub(super) const SHORT_RESOURCES: &[&str] = &["arn:aws:s3", "arn:aws:s3:*", "arn:aws:kms:us-east-1", "arn:*:kms"];

/// Where they must end in a wildcard to be saved.
pub(super) const TRAILING_RESOURCES: &[&str] = &["arn:aws:s3:*", "arn:aws:kms:us-east-*"];

/// What services that keep resource policies save.
pub(super) const ODD_RESOURCES: &[&str] = &["**", "arn:aws:s3", "arn:aws:s3:*", "arn:*", "b/*", "", "arn", "a*", "arn:aws:s3:::b/é*"];

pub(super) const NAMES: &[&str] = &[
    "*",
    "111111111111",
    "111111111111",
    "arn:aws:iam::111111111111:root",
    ALICE,
    ALICE,
    ROLE,
    ROLE,
    ROLE_ID,
    ALICE_ID,
    SESSION,
    "arn:aws:sts::111111111111:federated-user/bob",
    "222222222222",
    "arn:aws:iam::222222222222:role/R",
    "arn:aws:iam::111111111111:role/R",
];

/// Keys, the values that requests have of them, and whether they are multivalued.
pub(super) const KEYS: &[(&str, &[&str], bool)] = &[
    ("aws:principaltag/team", &["red", "*", "", "RED", "r?d", "blue"], false),
    ("aws:resourcetag/team", &["red", "blue", "", "*", "Red"], false),
    ("s3:max-keys", &["5", "10", "5.0", "-5", "+5.50", "many", ""], false),
    (
        "aws:currenttime",
        &["2024-01-01T00:00:00Z", "1704067200", "2024-06-01T12:00:00.5Z", "2023-12-31T19:00:00-0500", "2024-02-30", "2024", "-1", "soon"],
        false,
    ),
    ("aws:sourceip", &["10.1.2.3", "203.0.113.9", "2001:db8::1", "2001:db8:0:0:0:0:0:1", "::", "10.1.2", "x"], false),
    ("aws:securetransport", &["true", "false", "TRUE", "1", ""], false),
    ("aws:sourcearn", &["arn:aws:s3:::b", "arn:aws:s3:::b/red/x", "arn:aws:s3:::b/*/x", "b", "a:b:c:d:e:f"], false),
    ("aws:tagkeys", &["a", "b", "c", "", "red"], true),
    ("a:bytes", &["AAEC", "AAE=", "AA==", "AB==", "AAECAA==", "x"], false),
    ("aws:principalaccount", &["111111111111", "222222222222"], false),
];

pub(super) struct Family {
    pub(super) operators: &'static [&'static str],
    pub(super) keys: &'static [&'static str],
    pub(super) operands: &'static [&'static str],
}

const STRINGS: &[&str] = &[
    "StringEquals",
    "StringNotEquals",
    "StringLike",
    "StringNotLike",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "stringequals",
    "STRINGNOTLIKE",
];

pub(super) const FAMILIES: &[Family] = &[
    Family {
        operators: STRINGS,
        keys: &["aws:PrincipalTag/team", "aws:ResourceTag/Team", "aws:TagKeys"],
        operands: &[
            "red",
            "r*",
            "*",
            "?",
            "",
            "${aws:PrincipalTag/Team}",
            "${aws:principaltag/team, 'red'}",
            "${aws:PrincipalTag/team}*",
            "${*}",
            "${$}{x}",
            "x${aws:TagKeys}",
            "${missing:key, 'a}b'}",
            "blue",
            "RED",
        ],
    },
    Family {
        operators: STRINGS,
        keys: &["aws:ResourceTag/Team", "aws:resourcetag/TEAM"],
        operands: &["${aws:PrincipalTag/Team}", "${aws:PrincipalTag/Team, ''}"],
    },
    Family { operators: STRINGS, keys: &["aws:TagKeys"], operands: &["a", "b", "c", "*", "", "?", "${aws:ResourceTag/team}"] },
    Family {
        operators: &[
            "NumericEquals",
            "NumericNotEquals",
            "NumericLessThan",
            "NumericLessThanEquals",
            "NumericGreaterThan",
            "NumericGreaterThanEquals",
        ],
        keys: &["s3:max-keys", "missing:number"],
        operands: &["5", "10", "05.00", "-5", "5.5", ".5", "many", "${s3:max-keys}"],
    },
    Family {
        operators: &["DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"],
        keys: &["aws:CurrentTime"],
        operands: &[
            "2024-01-01T00:00:00Z",
            "2024-01-01",
            "2024",
            "1704067200",
            "2024-06-01T12:00:00Z",
            "2024-01-01T01:00:00+01:00",
            "2024-02-29T23:59Z",
            "1969-12-31T23:59:59Z",
        ],
    },
    Family {
        operators: &["IpAddress", "NotIpAddress"],
        keys: &["aws:SourceIp"],
        operands: &[
            "10.0.0.0/8",
            "10.1.2.3",
            "203.0.113.9",
            "203.0.113.8/31",
            "0.0.0.0/0",
            "2001:db8::/32",
            "2001:db8::1",
            "::/0",
            "10.0.0.0/33",
            "bad",
        ],
    },
    Family {
        operators: &["Bool"],
        keys: &["aws:SecureTransport"],
        operands: &["true", "false", "True", "maybe", "${aws:SecureTransport}", "${missing:key, 'true'}"],
    },
    Family { operators: &["BinaryEquals"], keys: &["a:bytes"], operands: &["AAEC", "AAE=", "AA==", "AB==", "AAECAA==", "x", ""] },
    Family {
        operators: &["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"],
        keys: &["aws:SourceArn"],
        operands: &[
            "arn:aws:s3:::b",
            "arn:aws:s3:::b*",
            "arn:*:s3:::*/x",
            "arn:aws:s3:::b/${aws:PrincipalTag/team}/x",
            "${aws:SourceArn}",
            "${missing:key, 'arn:aws:s3:::b'}",
            "*",
            "b",
        ],
    },
];

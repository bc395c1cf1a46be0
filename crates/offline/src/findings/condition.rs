//! `Condition`: operators, keys that no action here has, values of the wrong type.

use std::net::IpAddr;
use std::ops::Range;

use tenantry_facts::{Key, KeyType, global_key, names};
use tenantry_policy::PolicyKind;

use super::document::{Statement, shown};
use super::place::{Step, into_item, into_key, into_value};
use super::reach::expand;
use super::tree::{Member, Node, Value};
use super::variable;
use super::{FindingType, Report};

/// What follows the set operator and precedes `IfExists`.
const OPERATORS: [(&str, KeyType); 27] = [
    ("stringequals", KeyType::String),
    ("stringnotequals", KeyType::String),
    ("stringequalsignorecase", KeyType::String),
    ("stringnotequalsignorecase", KeyType::String),
    ("stringlike", KeyType::String),
    ("stringnotlike", KeyType::String),
    ("numericequals", KeyType::Numeric),
    ("numericnotequals", KeyType::Numeric),
    ("numericlessthan", KeyType::Numeric),
    ("numericlessthanequals", KeyType::Numeric),
    ("numericgreaterthan", KeyType::Numeric),
    ("numericgreaterthanequals", KeyType::Numeric),
    ("dateequals", KeyType::Date),
    ("datenotequals", KeyType::Date),
    ("datelessthan", KeyType::Date),
    ("datelessthanequals", KeyType::Date),
    ("dategreaterthan", KeyType::Date),
    ("dategreaterthanequals", KeyType::Date),
    ("bool", KeyType::Bool),
    ("binaryequals", KeyType::Binary),
    ("ipaddress", KeyType::Ip),
    ("notipaddress", KeyType::Ip),
    ("arnequals", KeyType::Arn),
    ("arnlike", KeyType::Arn),
    ("arnnotequals", KeyType::Arn),
    ("arnnotlike", KeyType::Arn),
    ("null", KeyType::Bool),
];

#[derive(Debug, Clone)]
struct Operator {
    base: &'static str,
    takes: KeyType,
    /// `forallvalues` or `foranyvalue`.
    set: Option<String>,
    if_exists: bool,
}

impl Operator {
    fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let (set, rest) = name.split_once(':').map_or((None, name.as_str()), |(set, rest)| (Some(set.to_owned()), rest));
        if set.as_deref().is_some_and(|set| set != "forallvalues" && set != "foranyvalue") {
            return None;
        }
        let (base, if_exists) = rest.strip_suffix("ifexists").map_or((rest, false), |base| (base, true));
        let (base, takes) = OPERATORS.iter().find(|(known, _)| *known == base)?;
        Some(Self { base, takes: *takes, set, if_exists })
    }
}

pub(super) fn check(report: &mut Report<'_>, statement: &Statement<'_>) {
    let Some(node) = statement.get("Condition") else { return };
    let path = statement.path_to("Condition");
    let Some(operators) = node.members() else {
        return report.error("DATA_TYPE_MISMATCH", &path, &node.span, "a condition is a JSON object");
    };
    if operators.is_empty() {
        report.add(FindingType::Suggestion, "EMPTY_OBJECT_CONDITION", &path, &node.span, "nothing is demanded: leave `Condition` out");
    }
    for member in operators {
        let Some(operator) = Operator::parse(&member.name) else {
            let why = format!("there is no operator `{}`", shown(&member.name));
            report.error("INVALID_CONDITION_OPERATOR", &into_key(&path, &member.name), &member.name_span, why);
            continue;
        };
        let path = into_value(&path, &member.name);
        null(report, &operator, &path, &member.name_span);
        match member.node.members() {
            None => report.error("DATA_TYPE_MISMATCH", &path, &member.node.span, "an operator holds an object of keys and values"),
            Some([]) => {
                report.add(FindingType::Suggestion, "EMPTY_OBJECT_CONDITION", &path, &member.node.span, "the operator compares nothing")
            }
            Some(keys) => keys.iter().for_each(|member| key(report, statement, &operator, &path, member)),
        }
    }
}

fn null(report: &mut Report<'_>, operator: &Operator, path: &[Step], span: &Range<usize>) {
    if operator.base == "null" && operator.if_exists {
        report.error("NULL_WITH_IF_EXISTS", path, span, "`Null` asks whether the key exists: `IfExists` cannot be added");
    }
    if operator.base == "null" && operator.set.is_some() {
        report.add(FindingType::Suggestion, "NULL_WITH_QUALIFIER", path, span, "`Null` needs no set operator");
    }
}

fn key(report: &mut Report<'_>, statement: &Statement<'_>, operator: &Operator, path: &[Step], member: &Member) {
    let (name, at) = (member.name.as_str(), into_key(path, &member.name));
    let Some((prefix, _)) = name.split_once(':').filter(|(prefix, rest)| !prefix.is_empty() && !rest.is_empty()) else {
        return report.error("INVALID_CONDITION_KEY_FORMAT", &at, &member.name_span, format!("`{}` is not `service:key`", shown(name)));
    };
    if variable::unsupported(report, &at, &member.name_span, name, "a condition key") {
        return;
    }
    let known = find(prefix, name);
    match known {
        None => unknown(report, &at, &member.name_span, prefix, name),
        Some(key) => {
            if global_key(name).is_none() {
                supported(report, statement, &at, &member.name_span, name);
            }
            qualifier(report, statement, operator, key, &at, &member.name_span);
            let both = operator.takes == key.kind || operator.base == "null";
            // The current time is written both ways, and an ARN is text too.
            let lenient = (operator.takes, key.kind) == (KeyType::Numeric, KeyType::Date)
                || operator.takes == KeyType::String && key.kind == KeyType::Bool;
            if !both && !lenient {
                let why = format!("`{}` is of the type {:?}: an operator for {:?} does not suit it", shown(name), key.kind, operator.takes);
                report.add(FindingType::Warning, "TYPE_MISMATCH", &at, &member.name_span, why);
            }
        }
    }
    values(report, operator, &into_value(path, name), &member.node);
    if name.eq_ignore_ascii_case("aws:SourceIp") {
        private(report, operator, &into_value(path, name), &member.node);
    }
}

/// Keys of a provider are named after it.
fn find(prefix: &str, name: &str) -> Option<&'static Key> {
    global_key(name).or_else(|| {
        let service = tenantry_facts::service(&prefix.to_ascii_lowercase())?;
        service.key(name)
    })
}

fn unknown(report: &mut Report<'_>, path: &[Step], span: &Range<usize>, prefix: &str, name: &str) {
    let folded = prefix.to_ascii_lowercase();
    let tag =
        ["requesttag", "resourcetag", "principaltag"].iter().any(|tag| name.to_ascii_lowercase().trim_end_matches('/').ends_with(tag));
    if tag && !name.trim_end_matches('/').contains('/') {
        report.error(
            "MISSING_TAG_KEY_IN_CONDITION",
            path,
            span,
            format!("`{}` needs a tag's key: `{}/KEY`", shown(name), shown(name.trim_end_matches('/'))),
        );
    } else if folded == "aws" {
        report.error("INVALID_GLOBAL_CONDITION_KEY", path, span, format!("there is no global key `{}`", shown(name)));
    } else if tenantry_facts::service(&folded).is_some() {
        report.error("INVALID_SERVICE_CONDITION_KEY", path, span, format!("`{folded}` has no condition key `{}`", shown(name)));
    } else if folded.contains('.') || folded == "saml" || folded == "oidc" || report.kind == PolicyKind::Trust {
        // The keys of identity providers are named after their host: nobody can list them.
    } else {
        report.error("INVALID_SERVICE_CONDITION_KEY", path, span, format!("there is no service prefix `{}`", shown(prefix)));
    }
}

/// A service's key that none of the statement's actions knows is always absent.
fn supported(report: &mut Report<'_>, statement: &Statement<'_>, path: &[Step], span: &Range<usize>, name: &str) {
    if statement.get("NotAction").is_some() {
        return;
    }
    let mut any = false;
    for text in statement.texts("Action") {
        let Some((service, actions)) = expand(report, text) else { return };
        any |= actions.is_empty() || actions.iter().any(|action| service.keys_of(action).any(|key| names(key, name)));
    }
    if !any {
        let why = format!("none of the statement's actions sends `{}`: it is always absent", shown(name));
        report.error("UNSUPPORTED_ACTION_FOR_CONDITION_KEY", path, span, why);
    }
}

fn qualifier(report: &mut Report<'_>, statement: &Statement<'_>, operator: &Operator, key: &Key, path: &[Step], span: &Range<usize>) {
    if key.list && operator.set.is_none() && operator.base != "null" {
        let why = format!("`{}` holds a list: put `ForAllValues:` or `ForAnyValue:` before the operator", key.name);
        report.error("MISSING_QUALIFIER", path, span, why);
    }
    if !key.list && operator.set.as_deref() == Some("forallvalues") && statement.allows() {
        let why = format!("`{}` holds one value, and `ForAllValues` is true when it is absent: leave the set operator out", key.name);
        report.add(FindingType::SecurityWarning, "FOR_ALL_VALUES_WITH_SINGLE_VALUED_KEY", path, span, why);
    }
}

fn values(report: &mut Report<'_>, operator: &Operator, path: &[Step], node: &Node) {
    if node.items().is_empty() {
        report.add(FindingType::Suggestion, "EMPTY_ARRAY_CONDITION", path, &node.span, "the key is compared with nothing");
    }
    if matches!(operator.takes, KeyType::Bool) && node.items().len() > 1 {
        report.error("INVALID_CONDITION_MULTIPLE_BOOLEAN", path, &node.span, "one of `true` and `false`, not several");
    }
    for (index, item) in node.items().iter().enumerate() {
        let path = into_item(path, node, index);
        let text = match &item.value {
            Value::Text(text) => text,
            Value::Plain(text) if text != "null" => text,
            _ => {
                report.error("INVALID_CONDITION_DATA_TYPE", &path, &item.span, "a value is a string, a number or a boolean");
                continue;
            }
        };
        variable::check(report, &path, &item.span, text);
        let variable = report.variables && text.contains("${");
        let untyped = |code: &'static str, why: &str| Some((code, format!("`{}` is not {why}", shown(text))));
        let fault = match operator.takes {
            KeyType::Bool if !variable && !["true", "false"].contains(&text.to_ascii_lowercase().as_str()) => {
                untyped("TYPE_MISMATCH_BOOLEAN", "`true` or `false`")
            }
            KeyType::Numeric if text.parse::<f64>().is_err() => untyped("TYPE_MISMATCH_NUMBER", "a number"),
            KeyType::Ip if !network(text) => untyped("TYPE_MISMATCH_IP_RANGE", "an address or a range like `10.0.0.0/8`"),
            KeyType::Date if !date(text) => untyped("INVALID_DATE_VALUE", "a date like `2030-01-01T00:00:00Z`"),
            KeyType::Arn if !variable && super::arn::six(text).is_none_or(|parts| parts[0] != "arn" && parts[0] != "*") => {
                untyped("TYPE_MISMATCH_ARN", "an ARN of six parts: it never matches")
            }
            KeyType::String if !operator.base.ends_with("like") && text.replace("${*}", "").replace("${?}", "").contains(['*', '?']) => {
                Some(("WILDCARD_WITHOUT_LIKE_OPERATOR", "`*` and `?` are plain characters here: use `StringLike`".to_owned()))
            }
            _ => None,
        };
        if let Some((code, why)) = fault {
            report.add(FindingType::Warning, code, &path, &item.span, why);
        }
    }
}

/// A request that comes from a private address comes through an endpoint, and has no `aws:SourceIp`.
fn private(report: &mut Report<'_>, operator: &Operator, path: &[Step], node: &Node) {
    if operator.base != "ipaddress" || node.items().is_empty() {
        return;
    }
    let address = |item: &Node| item.text().and_then(|text| text.split('/').next()?.parse::<std::net::Ipv4Addr>().ok());
    if node.items().iter().all(|item| address(item).is_some_and(|address| address.is_private())) {
        let why = "`aws:SourceIp` is never a private address: use `aws:VpcSourceIp`";
        report.error("PRIVATE_IP_ADDRESS", path, &node.span, why);
    }
}

fn network(text: &str) -> bool {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let bits = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    prefix.is_none_or(|prefix| prefix.parse::<u32>().is_ok_and(|prefix| prefix <= bits))
}

/// Digits, or what begins with a year, and a `T` before hours.
fn date(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(text) {
        return true;
    }
    let (day, time) = text.split_once('T').map_or((text, None), |(day, time)| (day, Some(time)));
    let parts: Vec<&str> = day.split('-').collect();
    let sizes: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let day = parts.iter().all(|part| digits(part)) && matches!(sizes.as_slice(), [4] | [4, 2] | [4, 2, 2]);
    day && time.is_none_or(|time| {
        time.len() >= 5 && time.as_bytes()[2] == b':' && time.bytes().all(|byte| byte.is_ascii_digit() || b":.Z+-".contains(&byte))
    })
}

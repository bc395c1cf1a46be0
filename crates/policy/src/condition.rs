//! The `Condition` block: operators, set operators, missing keys.
//!
//! Operators AND, keys AND, values OR; a negated operator is the exact complement of its positive
//! twin, so an operand that cannot be understood, or a variable without a value, makes the positive
//! one false and the negated one true: a guard written as a Deny fires ("IAM JSON policy elements:
//! Condition operators", "Multivalued context keys", "Policy variables").

use std::cmp::Ordering;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::context::{Context, Held, KeyName, Value};
use crate::glob::{Glob, Syntax, six, split_arn};
use crate::json::Node;
use crate::malformed::Malformed;
use crate::scalar::{Decimal, Instant, Network, boolean};
use crate::statement::Effect;

/// `ForAllValues:`, `ForAnyValue:` or neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Single,
    All,
    Any,
}

/// Which orderings of (request value, operand) satisfy a numeric or date operator.
type Orderings = &'static [Ordering];

/// The comparison behind an operator, without set operator, negation and `IfExists`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Exact,
    Folded,
    Like,
    Number(Orderings),
    Date(Orderings),
    Bool,
    Binary,
    Ip,
    Arn,
    Null,
}

#[derive(Debug, Clone, Copy)]
struct Operator {
    set: Set,
    test: Test,
    negated: bool,
    if_exists: bool,
}

impl Operator {
    /// Operator names compare without regard to case, as AWS's own documents need.
    fn parse(name: &str) -> Option<Self> {
        use Ordering::{Equal, Greater, Less};
        let name = name.to_ascii_lowercase();
        let (set, rest) = match name.split_once(':') {
            None => (Set::Single, name.as_str()),
            Some(("forallvalues", rest)) => (Set::All, rest),
            Some(("foranyvalue", rest)) => (Set::Any, rest),
            Some(_) => return None,
        };
        let (base, if_exists) = match rest.strip_suffix("ifexists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        let (test, negated) = match base {
            "stringequals" => (Test::Exact, false),
            "stringnotequals" => (Test::Exact, true),
            "stringequalsignorecase" => (Test::Folded, false),
            "stringnotequalsignorecase" => (Test::Folded, true),
            "stringlike" => (Test::Like, false),
            "stringnotlike" => (Test::Like, true),
            "numericequals" => (Test::Number(&[Equal]), false),
            "numericnotequals" => (Test::Number(&[Equal]), true),
            "numericlessthan" => (Test::Number(&[Less]), false),
            "numericlessthanequals" => (Test::Number(&[Less, Equal]), false),
            "numericgreaterthan" => (Test::Number(&[Greater]), false),
            "numericgreaterthanequals" => (Test::Number(&[Greater, Equal]), false),
            "dateequals" => (Test::Date(&[Equal]), false),
            "datenotequals" => (Test::Date(&[Equal]), true),
            "datelessthan" => (Test::Date(&[Less]), false),
            "datelessthanequals" => (Test::Date(&[Less, Equal]), false),
            "dategreaterthan" => (Test::Date(&[Greater]), false),
            "dategreaterthanequals" => (Test::Date(&[Greater, Equal]), false),
            "bool" => (Test::Bool, false),
            "binaryequals" => (Test::Binary, false),
            "ipaddress" => (Test::Ip, false),
            "notipaddress" => (Test::Ip, true),
            "arnequals" | "arnlike" => (Test::Arn, false),
            "arnnotequals" | "arnnotlike" => (Test::Arn, true),
            "null" if set == Set::Single && !if_exists => (Test::Null, false),
            _ => return None,
        };
        Some(Self { set, test, negated, if_exists })
    }
}

/// One compiled operand. `None` inside: the text is not of the operator's type and equals nothing.
#[derive(Debug, Clone)]
enum Operand {
    Text(Glob),
    Folded(Glob),
    /// Kept as text: a decimal borrows its digits.
    Number(Orderings, Box<str>),
    Date(Orderings, Option<Instant>),
    Bool(Glob),
    Binary(Option<Vec<u8>>),
    Ip(Option<Network>),
    Arn(Box<[Glob; 6]>),
    /// One variable that is to be a whole ARN.
    WholeArn(Glob),
    /// `true`: the key must be absent.
    Absent(bool),
    Never,
}

impl Operand {
    fn compile(test: Test, text: &str, variables: bool) -> Self {
        match test {
            Test::Exact => Self::Text(Glob::compile(text, Syntax { wild: false, variables })),
            Test::Folded => Self::Folded(Glob::compile(text, Syntax { wild: false, variables })),
            Test::Like => Self::Text(Glob::compile(text, Syntax { wild: true, variables })),
            Test::Bool => Self::Bool(Glob::compile(text, Syntax { wild: false, variables })),
            Test::Number(orderings) => Self::Number(orderings, text.into()),
            Test::Date(orderings) => Self::Date(orderings, Instant::parse(text)),
            Test::Binary => Self::Binary(STANDARD.decode(text).ok()),
            Test::Ip => Self::Ip(Network::parse(text)),
            Test::Null => boolean(text).map_or(Self::Never, Self::Absent),
            Test::Arn => {
                let parts = split_arn(text, variables);
                let syntax = Syntax { wild: true, variables };
                match parts.as_slice() {
                    [_, _, _, _, _, _] => Self::Arn(Box::new(std::array::from_fn(|at| Glob::compile(parts[at], syntax)))),
                    [whole] if variables && whole.starts_with("${") => Self::WholeArn(Glob::compile(whole, syntax)),
                    _ => Self::Never,
                }
            }
        }
    }

    /// Does one value of the request satisfy this operand, negation aside?
    fn accepts(&self, value: &str, context: &Context) -> bool {
        match self {
            Self::Text(glob) => glob.matches(value, context),
            Self::Folded(glob) => glob.matches_folded(value, context),
            Self::Bool(glob) => boolean(value).is_some() && glob.matches_folded(value, context),
            Self::Number(orderings, text) => match (Decimal::parse(value), Decimal::parse(text)) {
                (Some(have), Some(want)) => orderings.contains(&have.compare(&want)),
                _ => false,
            },
            Self::Date(orderings, want) => match (Instant::parse(value), want) {
                (Some(have), Some(want)) => orderings.contains(&have.cmp(want)),
                _ => false,
            },
            Self::Binary(want) => want.as_deref().is_some_and(|want| decodes_to(value, want)),
            Self::Ip(Some(network)) => value.parse::<IpAddr>().is_ok_and(|address| network.holds(address)),
            Self::Arn(globs) => six(value).is_some_and(|parts| globs.iter().zip(parts).all(|(glob, part)| glob.matches(part, context))),
            Self::WholeArn(glob) => six(value).is_some() && glob.matches(value, context),
            Self::Ip(None) | Self::Absent(_) | Self::Never => false,
        }
    }
}

/// Whether base64 `text` holds exactly `want`; four characters at a time, so nothing is allocated.
fn decodes_to(text: &str, want: &[u8]) -> bool {
    let (mut rest, mut buffer) = (want, [0; 3]);
    let whole = text.len() == want.len().div_ceil(3) * 4;
    whole
        && text.as_bytes().chunks(4).all(|four| {
            let decoded = STANDARD.decode_slice(four, &mut buffer).ok().map(|len| &buffer[..len]);
            let next = decoded.and_then(|decoded| rest.strip_prefix(decoded));
            // Only the last group may be short.
            next.inspect(|next| rest = next).is_some_and(|next| next.is_empty() || decoded.is_some_and(|decoded| decoded.len() == 3))
        })
        && rest.is_empty()
}

/// One `operator: { key: values }`.
#[derive(Debug, Clone)]
pub(crate) struct Clause {
    operator: Operator,
    key: KeyName,
    operands: Box<[Operand]>,
    /// As written, for explanations.
    pub operator_text: Box<str>,
    pub key_text: Box<str>,
    pub texts: Box<[Box<str>]>,
}

impl Clause {
    pub(crate) fn holds(&self, context: &Context, effect: Effect) -> bool {
        let held = context.named(&self.key);
        if self.operator.test == Test::Null {
            return self.operands.iter().any(|operand| matches!(operand, Operand::Absent(absent) if *absent == held.is_none()));
        }
        let negated = self.operator.negated;
        // Each request value is held against the whole list first and negated then: "outside the
        // list", never "different from some operand".
        let one = |value: &str| self.operands.iter().any(|operand| operand.accepts(value, context)) != negated;
        match (self.operator.set, held) {
            (_, Some(Held::Unclear(_))) => effect == Effect::Deny,
            (Set::Single, None) => self.operator.if_exists || negated,
            (Set::Single, Some(Held::One(value))) => one(value),
            // A multivalued key needs a set operator. Without one nobody knows what was meant:
            // an Allow grants nothing, a Deny denies.
            (Set::Single, Some(Held::Many(_))) => effect == Effect::Deny,
            (Set::All, None) => true,
            // "A null data set, such as an empty string" satisfies ForAllValues.
            (Set::All, Some(Held::One(value))) => value.is_empty() || one(value),
            (Set::All, Some(Held::Many(values))) => values.iter().all(one),
            (Set::Any, None) => self.operator.if_exists,
            (Set::Any, Some(Held::One(value))) => one(value),
            (Set::Any, Some(Held::Many(values))) => values.iter().any(one),
        }
    }

    /// What the request holds for this clause's key.
    pub(crate) fn actual(&self, context: &Context) -> Option<Value> {
        context.get(self.key.as_str())
    }
}

/// Compiles a `Condition` element.
pub(crate) fn compile(node: &Node, variables: bool) -> Result<Box<[Clause]>, Malformed> {
    let Node::Map(operators) = node else { return Err(Malformed::syntax()) };
    let mut clauses = Vec::new();
    for (name, block) in operators {
        let Node::Map(keys) = block else { return Err(Malformed::syntax()) };
        let Some(operator) = Operator::parse(name) else {
            // AWS stores an unknown operator as long as it has nothing to compare.
            if keys.is_empty() {
                continue;
            }
            return Err(Malformed::syntax());
        };
        for (key, values) in keys {
            let texts = values.scalars().ok_or_else(Malformed::syntax)?;
            if !key.contains(':') {
                return Err(Malformed::new(crate::check::UNPREFACED));
            }
            if matches!(operator.test, Test::Date(_)) && texts.iter().any(|text| Instant::parse(text).is_none()) {
                return Err(Malformed::new(crate::check::LEGACY));
            }
            clauses.push(Clause {
                operator,
                key: KeyName::new(key),
                operands: texts.iter().map(|text| Operand::compile(operator.test, text, variables)).collect(),
                operator_text: name.as_str().into(),
                key_text: key.as_str().into(),
                texts: texts.iter().map(|text| Box::from(*text)).collect(),
            });
        }
    }
    Ok(clauses.into())
}

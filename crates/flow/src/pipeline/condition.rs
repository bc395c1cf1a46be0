//! The conditions of a Condition step ("Condition step" of "Add a step", and the SDK's `conditions`).
//!
//! All conditions of a step must hold. Comparison is strict: a number never equals a text, and ordering
//! different types is an error that fails the step, because a threshold compared with the wrong kind of
//! value must not silently choose a branch.

use super::{
    parameters::text,
    reference::{Reference, shorten, walk},
};
use serde_json::Value;
use std::cmp::Ordering;

/// A condition, its operands unresolved.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// `Equals`, `GreaterThan`, `GreaterThanOrEqualTo`, `LessThan`, `LessThanOrEqualTo`, `NotEquals`.
    Compare {
        /// Which comparison.
        comparison: Comparison,
        /// `LeftValue`
        left: Value,
        /// `RightValue`
        right: Value,
    },
    /// `In`: `QueryValue` is one of `Values`.
    In {
        /// What is looked for.
        value: Value,
        /// Where.
        among: Vec<Value>,
    },
    /// `Not`: `Expression` does not hold.
    Not(Box<Condition>),
    /// `Or`: one of `Conditions` holds.
    Or(Vec<Condition>),
    /// `And`: all of `Conditions` hold.
    And(Vec<Condition>),
}

/// The binary comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `Equals`
    Equals,
    /// `NotEquals`
    NotEquals,
    /// `GreaterThan`
    Greater,
    /// `GreaterThanOrEqualTo`
    GreaterOrEqual,
    /// `LessThan`
    Less,
    /// `LessThanOrEqualTo`
    LessOrEqual,
}

impl Comparison {
    fn from_type(text: &str) -> Option<Self> {
        Some(match text {
            "Equals" => Self::Equals,
            "NotEquals" => Self::NotEquals,
            "GreaterThan" => Self::Greater,
            "GreaterThanOrEqualTo" => Self::GreaterOrEqual,
            "LessThan" => Self::Less,
            "LessThanOrEqualTo" => Self::LessOrEqual,
            _ => return None,
        })
    }

    fn holds(self, left: &Value, right: &Value) -> Result<bool, String> {
        let order = order(left, right);
        match self {
            Self::Equals => return Ok(order == Some(Ordering::Equal)),
            Self::NotEquals => return Ok(order != Some(Ordering::Equal)),
            _ => {}
        }
        let order = order.ok_or_else(|| {
            format!("Cannot compare [{}] with [{}]: they are not of the same type", shorten(&text(left)), shorten(&text(right)))
        })?;
        Ok(match self {
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual | Self::Equals | Self::NotEquals => order.is_le(),
        })
    }
}

/// How two scalars of the same type stand; `None` if their types differ or have no order.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

impl Condition {
    /// Reads one element of `Conditions`.
    ///
    /// # Errors
    /// A sentence without period.
    pub fn parse(value: &Value) -> Result<Self, String> {
        let kind = value.get("Type").and_then(Value::as_str).ok_or("a condition needs a [Type]")?;
        let member = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| value.get(name))
                .cloned()
                .ok_or_else(|| format!("condition [{}] needs [{}]", shorten(kind), names[0]))
        };
        let list = |names: &[&str]| match member(names)? {
            Value::Array(items) => Ok(items),
            _ => Err(format!("[{}] of condition [{}] must be a list", names[0], shorten(kind))),
        };
        let all = |names: &[&str]| list(names)?.iter().map(Self::parse).collect::<Result<Vec<_>, _>>();
        if let Some(comparison) = Comparison::from_type(kind) {
            return Ok(Self::Compare { comparison, left: member(&["LeftValue"])?, right: member(&["RightValue"])? });
        }
        // The published schema and the SDK name the members of In differently.
        match kind {
            "In" => Ok(Self::In { value: member(&["QueryValue", "Value"])?, among: list(&["Values", "In"])? }),
            "NotIn" => Ok(Self::Not(Box::new(Self::In { value: member(&["QueryValue", "Value"])?, among: list(&["Values", "In"])? }))),
            "Not" => Ok(Self::Not(Box::new(Self::parse(&member(&["Expression"])?)?))),
            "Or" => all(&["Conditions"]).map(Self::Or),
            "And" => all(&["Conditions"]).map(Self::And),
            other => Err(format!("condition type [{}] is not supported", shorten(other))),
        }
    }

    /// Calls `found` for every reference and `wrong` for every malformed function of the operands.
    pub fn walk(&self, found: &mut impl FnMut(Reference), wrong: &mut impl FnMut(String)) {
        // Through trait objects, or each level of nesting would be another instance of this function.
        fn inner(condition: &Condition, found: &mut dyn FnMut(Reference), wrong: &mut dyn FnMut(String)) {
            let mut operand = |value: &Value| walk(value, &mut |reference| found(reference), &mut |problem| wrong(problem));
            match condition {
                Condition::Compare { left, right, .. } => [left, right].into_iter().for_each(operand),
                Condition::In { value, among } => std::iter::once(value).chain(among).for_each(&mut operand),
                Condition::Not(condition) => inner(condition, found, wrong),
                Condition::Or(conditions) | Condition::And(conditions) => {
                    conditions.iter().for_each(|condition| inner(condition, found, wrong))
                }
            }
        }
        inner(self, found, wrong);
    }

    /// Whether the condition holds; `resolve` gives an operand's value.
    ///
    /// # Errors
    /// What fails the step: an operand without value, or two that cannot be compared.
    pub fn holds(&self, resolve: &dyn Fn(&Value) -> Result<Value, String>) -> Result<bool, String> {
        match self {
            Self::Compare { comparison, left, right } => comparison.holds(&resolve(left)?, &resolve(right)?),
            Self::In { value, among } => {
                let value = resolve(value)?;
                for candidate in among {
                    if order(&value, &resolve(candidate)?) == Some(Ordering::Equal) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(condition) => condition.holds(resolve).map(|holds| !holds),
            Self::Or(conditions) => {
                for condition in conditions {
                    if condition.holds(resolve)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::And(conditions) => {
                for condition in conditions {
                    if !condition.holds(resolve)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(condition: Value) -> Result<bool, String> {
        Condition::parse(&condition)?.holds(&|value| Ok(value.clone()))
    }

    #[test]
    fn comparisons() {
        for (kind, left, right, wanted) in [
            ("Equals", json!(1), json!(1.0), true),
            ("Equals", json!("1"), json!(1), false),
            ("Equals", json!("a"), json!("a"), true),
            ("Equals", json!(true), json!(true), true),
            ("NotEquals", json!("1"), json!(1), true),
            ("GreaterThan", json!(2), json!(1.5), true),
            ("GreaterThan", json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992_i64), true),
            ("GreaterThanOrEqualTo", json!(2), json!(2), true),
            ("LessThan", json!(2), json!(2), false),
            ("LessThanOrEqualTo", json!(6.0), json!(6.0), true),
            ("LessThanOrEqualTo", json!(6.1), json!(6.0), false),
            ("LessThan", json!("a"), json!("b"), true),
        ] {
            let condition = json!({"Type": kind, "LeftValue": left, "RightValue": right});
            assert_eq!(holds(condition.clone()), Ok(wanted), "{condition}");
        }
        assert!(holds(json!({"Type": "LessThan", "LeftValue": "1", "RightValue": 2})).unwrap_err().contains("not of the same type"));
    }

    #[test]
    fn combinations() {
        let is = |value: i64| json!({"Type": "Equals", "LeftValue": value, "RightValue": 1});
        for (condition, wanted) in [
            (json!({"Type": "In", "QueryValue": "b", "Values": ["a", "b"]}), true),
            (json!({"Type": "In", "Value": 3, "In": [1, 2]}), false),
            (json!({"Type": "NotIn", "Value": 3, "In": [1, 2]}), true),
            (json!({"Type": "Not", "Expression": is(1)}), false),
            (json!({"Type": "Or", "Conditions": [is(0), is(1)]}), true),
            (json!({"Type": "Or", "Conditions": []}), false),
            (json!({"Type": "And", "Conditions": [is(0), is(1)]}), false),
            (json!({"Type": "And", "Conditions": [is(1), {"Type": "Not", "Expression": {"Type": "Or", "Conditions": [is(0)]}}]}), true),
        ] {
            assert_eq!(holds(condition.clone()), Ok(wanted), "{condition}");
        }
    }

    #[test]
    fn malformed_conditions_are_refused() {
        for (condition, wanted) in [
            (json!({}), "needs a [Type]"),
            (json!({"Type": "Like", "LeftValue": 1, "RightValue": 1}), "[Like] is not supported"),
            (json!({"Type": "Equals", "LeftValue": 1}), "needs [RightValue]"),
            (json!({"Type": "In", "QueryValue": 1, "Values": 1}), "must be a list"),
            (json!({"Type": "Not"}), "needs [Expression]"),
        ] {
            let error = holds(condition.clone()).unwrap_err();
            assert!(error.contains(wanted), "{condition}: {error}");
        }
    }
}

//! The condition keys of one request.
//!
//! Names compare without regard to case, tag keys (`aws:PrincipalTag/Team`) included. Absent, an
//! empty list and an empty string are three different things.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a condition key holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A single-valued key: a string, or a boolean, number, date, address or ARN as text.
    One(String),
    /// A multivalued key (`aws:TagKeys`), however many values it holds now.
    Many(Vec<String>),
}

impl Value {
    /// The values as a list; a single value is a list of one.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// Condition keys and their values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Context {
    /// Keyed by the lower-case name, so that a lookup with a compiled key allocates nothing.
    keys: BTreeMap<Box<str>, Value>,
}

impl Context {
    pub(crate) const EMPTY: Self = Self { keys: BTreeMap::new() };

    /// No keys at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a single-valued key, replacing what was there.
    pub fn set(&mut self, key: &str, value: impl Into<String>) -> &mut Self {
        self.keys.insert(fold(key), Value::One(value.into()));
        self
    }

    /// Sets a multivalued key. An empty list is present; leave the key out where AWS has no value.
    pub fn set_list<I>(&mut self, key: &str, values: I) -> &mut Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.keys.insert(fold(key), Value::Many(values.into_iter().map(Into::into).collect()));
        self
    }

    /// Sets a boolean key to `true` or `false`.
    pub fn set_bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.set(key, if value { "true" } else { "false" })
    }

    /// Removes a key: from now on it is absent.
    pub fn remove(&mut self, key: &str) -> &mut Self {
        self.keys.remove(&fold(key));
        self
    }

    /// The value of `key`, whatever the case it is written in.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(&fold(key))
    }

    /// The value of a key that is in lower case already.
    pub(crate) fn folded(&self, key: &str) -> Option<&Value> {
        self.keys.get(key)
    }

    /// All keys, in lower case, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.keys.iter().map(|(key, value)| (&**key, value))
    }
}

pub(crate) fn fold(key: &str) -> Box<str> {
    key.to_lowercase().into()
}

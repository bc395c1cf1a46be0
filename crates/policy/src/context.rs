//! The condition keys of one request.
//!
//! Names compare without regard to case, tag keys (`aws:PrincipalTag/Team`) included. Absent, an
//! empty list and an empty string are three different things.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// In order of the names' hashes: a lookup compares numbers, and then one name.
    keys: Vec<Slot>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    name: KeyName,
    value: Value,
    unclear: bool,
}

/// The name of a condition key, in lower case, and its hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyName {
    hash: u64,
    text: Box<str>,
}

impl KeyName {
    /// Folds letter case away, of tag keys too.
    pub(crate) fn new(name: &str) -> Self {
        let text: Box<str> = name.to_lowercase().into();
        Self { hash: crate::index::hash(&text), text }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl Context {
    pub(crate) const EMPTY: Self = Self { keys: Vec::new() };

    /// No keys at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn place(&self, name: &KeyName) -> Result<usize, usize> {
        self.keys.binary_search_by(|slot| slot.name.cmp(name))
    }

    fn put(&mut self, key: &str, value: Value, unclear: bool) -> &mut Self {
        let slot = Slot { name: KeyName::new(key), value, unclear };
        match self.place(&slot.name) {
            Ok(at) => self.keys[at] = slot,
            Err(at) => self.keys.insert(at, slot),
        }
        self
    }

    /// Sets a single-valued key, replacing what was there.
    pub fn set(&mut self, key: &str, value: impl Into<String>) -> &mut Self {
        self.put(key, Value::One(value.into()), false)
    }

    /// Sets a multivalued key. An empty list is present; leave the key out where AWS has no value.
    pub fn set_list<I>(&mut self, key: &str, values: I) -> &mut Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.put(key, Value::Many(values.into_iter().map(Into::into).collect()), false)
    }

    /// Sets a single-valued key of which there are several and nobody knows which is meant: tags
    /// whose keys differ in letter case only. A comparison with it satisfies no Allow and every
    /// Deny, whatever the operator; that it is present still holds.
    pub fn set_unclear<I>(&mut self, key: &str, values: I) -> &mut Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.put(key, Value::Many(values.into_iter().map(Into::into).collect()), true)
    }

    /// Sets a boolean key to `true` or `false`.
    pub fn set_bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.set(key, if value { "true" } else { "false" })
    }

    /// Removes a key: from now on it is absent.
    pub fn remove(&mut self, key: &str) -> &mut Self {
        if let Ok(at) = self.place(&KeyName::new(key)) {
            self.keys.remove(at);
        }
        self
    }

    /// The value of `key`, whatever the case it is written in.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.named(&KeyName::new(key))
    }

    /// The value of a compiled key: nothing is allocated.
    pub(crate) fn named(&self, name: &KeyName) -> Option<&Value> {
        self.place(name).ok().map(|at| &self.keys[at].value)
    }

    /// Whether a key was set by [`Self::set_unclear`].
    pub(crate) fn is_unclear(&self, name: &KeyName) -> bool {
        self.place(name).is_ok_and(|at| self.keys[at].unclear)
    }

    /// All keys, in lower case, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let mut keys: Vec<(&str, &Value)> = self.keys.iter().map(|slot| (slot.name.as_str(), &slot.value)).collect();
        keys.sort_unstable_by_key(|(name, _)| *name);
        keys.into_iter()
    }
}

impl Serialize for Context {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut context = Self::new();
        for (key, value) in BTreeMap::<String, Value>::deserialize(deserializer)? {
            context.put(&key, value, false);
        }
        Ok(context)
    }
}

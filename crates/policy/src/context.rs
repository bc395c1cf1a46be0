//! The condition keys of one request.
//!
//! Names compare without regard to case, tag keys (`aws:PrincipalTag/Team`) included. Absent, an
//! empty list and an empty string are three different things.
//!
//! Every call makes one and every condition reads it. So names and values lie in one text, one
//! behind the other, and a name is found by its number; what is set again leaves its former value
//! behind unused.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::fold;

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

/// Room for the keys of an ordinary request, made with the first of them.
const TEXT: usize = 1024;
const KEYS: usize = 32;

/// Condition keys and their values.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Names, in lower case, and values.
    text: String,
    /// In the order in which they were first set.
    slots: Vec<Slot>,
    /// The values of multivalued keys, as parts of `text`.
    lists: Vec<Range<usize>>,
    /// Slots by their names' numbers: at the number or, where that is taken, behind it. One more
    /// than the place in `slots`; zero is free. A power of two long and at least half free.
    places: Vec<u32>,
}

#[derive(Debug, Clone)]
struct Slot {
    number: u64,
    /// Of `text`.
    name: Range<usize>,
    value: Stored,
}

#[derive(Debug, Clone)]
enum Stored {
    /// Removed, or not yet set.
    Absent,
    /// Of `text`.
    One(Range<usize>),
    /// Of `lists`.
    Many(Range<usize>),
    Unclear(Range<usize>),
}

/// What a key holds, in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held<'a> {
    One(&'a str),
    Many(Texts<'a>),
    /// Set by [`Context::set_unclear`].
    Unclear(Texts<'a>),
}

impl Held<'_> {
    fn value(self) -> Value {
        match self {
            Self::One(value) => Value::One(value.to_owned()),
            Self::Many(values) | Self::Unclear(values) => Value::Many(values.iter().map(str::to_owned).collect()),
        }
    }
}

/// The values of a multivalued key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Texts<'a> {
    text: &'a str,
    parts: &'a [Range<usize>],
}

impl<'a> Texts<'a> {
    pub(crate) fn iter(self) -> impl Iterator<Item = &'a str> {
        self.parts.iter().map(move |part| &self.text[part.clone()])
    }
}

impl PartialEq for Texts<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Texts<'_> {}

/// The name of a condition key as policies hold it: in lower case, and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyName {
    number: u64,
    text: Box<str>,
}

impl KeyName {
    /// Folds letter case away, of tag keys too.
    pub(crate) fn new(name: &str) -> Self {
        let text: Box<str> = name.to_lowercase().into();
        Self { number: fold::number(&text), text }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl Context {
    pub(crate) const EMPTY: Self = Self { text: String::new(), slots: Vec::new(), lists: Vec::new(), places: Vec::new() };

    /// No keys at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a single-valued key, replacing what was there.
    pub fn set(&mut self, key: &str, value: impl AsRef<str>) -> &mut Self {
        let slot = self.slot(key, "");
        self.slots[slot].value = Stored::One(self.append(value.as_ref()));
        self
    }

    /// Sets a multivalued key. An empty list is present; leave the key out where AWS has no value.
    pub fn set_list<I>(&mut self, key: &str, values: I) -> &mut Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let slot = self.slot(key, "");
        self.slots[slot].value = Stored::Many(self.append_all(values));
        self
    }

    /// Sets a single-valued key of which there are several and nobody knows which is meant: tags
    /// whose keys differ in letter case only. A comparison with it satisfies no Allow and every
    /// Deny, whatever the operator; that it is present still holds.
    pub fn set_unclear<I>(&mut self, key: &str, values: I) -> &mut Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let slot = self.slot(key, "");
        self.slots[slot].value = Stored::Unclear(self.append_all(values));
        self
    }

    /// Sets a boolean key to `true` or `false`.
    pub fn set_bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.set(key, if value { "true" } else { "false" })
    }

    /// Sets a single-valued key; where it holds another value already it becomes unclear, as
    /// [`Self::set_unclear`] has it.
    pub fn add(&mut self, key: &str, value: &str) -> &mut Self {
        self.add_tag(key, "", value)
    }

    /// The same for the key of a tag: its family (`aws:ResourceTag/`) and the tag's own key.
    pub fn add_tag(&mut self, family: &str, tag: &str, value: &str) -> &mut Self {
        let slot = self.slot(family, tag);
        let held = match self.held(slot) {
            None => Vec::new(),
            Some(Held::One(held)) => vec![held],
            Some(Held::Many(held) | Held::Unclear(held)) => held.iter().collect(),
        };
        self.slots[slot].value = if held.iter().all(|held| *held == value) {
            Stored::One(self.append(value))
        } else {
            let values: Vec<String> = held.into_iter().chain([value]).map(str::to_owned).collect();
            Stored::Unclear(self.append_all(values))
        };
        self
    }

    /// Removes a key: from now on it is absent.
    pub fn remove(&mut self, key: &str) -> &mut Self {
        let slot = self.slot(key, "");
        self.slots[slot].value = Stored::Absent;
        self
    }

    /// Removes the key of a tag, as [`Self::add_tag`] sets it.
    pub fn remove_tag(&mut self, family: &str, tag: &str) -> &mut Self {
        let slot = self.slot(family, tag);
        self.slots[slot].value = Stored::Absent;
        self
    }

    /// The value of `key`, whatever the case it is written in.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value> {
        self.named(&KeyName::new(key)).map(Held::value)
    }

    /// All keys that are set, in lower case, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Value)> {
        self.sorted().into_iter().map(|(name, held)| (name, held.value()))
    }

    /// The value of a compiled key: nothing is allocated.
    #[inline]
    pub(crate) fn named(&self, name: &KeyName) -> Option<Held<'_>> {
        self.held(self.find(name.number, &name.text)?)
    }

    #[inline]
    fn held(&self, slot: usize) -> Option<Held<'_>> {
        let texts = |parts: &Range<usize>| Texts { text: &self.text, parts: &self.lists[parts.clone()] };
        match &self.slots[slot].value {
            Stored::Absent => None,
            Stored::One(part) => Some(Held::One(&self.text[part.clone()])),
            Stored::Many(parts) => Some(Held::Many(texts(parts))),
            Stored::Unclear(parts) => Some(Held::Unclear(texts(parts))),
        }
    }

    fn sorted(&self) -> Vec<(&str, Held<'_>)> {
        let all = (0..self.slots.len()).filter_map(|slot| Some((&self.text[self.slots[slot].name.clone()], self.held(slot)?)));
        let mut keys: Vec<_> = all.collect();
        keys.sort_unstable_by_key(|(name, _)| *name);
        keys
    }

    #[inline]
    fn find(&self, number: u64, name: &str) -> Option<usize> {
        let mask = self.places.len().wrapping_sub(1);
        let mut at = number as usize & mask;
        loop {
            let slot = self.places.get(at)?.checked_sub(1)? as usize;
            let held = &self.slots[slot];
            if held.number == number && self.text.as_bytes()[held.name.clone()] == *name.as_bytes() {
                return Some(slot);
            }
            at = (at + 1) & mask;
        }
    }

    /// The slot of a name given in two parts, made where there is none.
    fn slot(&mut self, family: &str, rest: &str) -> usize {
        if self.places.is_empty() {
            self.text.reserve(TEXT);
            self.slots.reserve(KEYS);
            self.places.resize(2 * KEYS, 0);
        }
        let start = self.text.len();
        self.text.push_str(family);
        self.text.push_str(rest);
        if self.text[start..].is_ascii() {
            self.text[start..].make_ascii_lowercase();
        } else {
            let folded = self.text[start..].to_lowercase();
            self.text.truncate(start);
            self.text.push_str(&folded);
        }
        let number = fold::number(&self.text[start..]);
        if let Some(known) = self.find(number, &self.text[start..]) {
            self.text.truncate(start);
            return known;
        }
        self.slots.push(Slot { number, name: start..self.text.len(), value: Stored::Absent });
        if 2 * self.slots.len() > self.places.len() {
            self.places = vec![0; 2 * self.places.len()];
            (0..self.slots.len()).for_each(|slot| self.place(slot));
        } else {
            self.place(self.slots.len() - 1);
        }
        self.slots.len() - 1
    }

    fn place(&mut self, slot: usize) {
        let mask = self.places.len() - 1;
        let mut at = self.slots[slot].number as usize & mask;
        while self.places[at] != 0 {
            at = (at + 1) & mask;
        }
        self.places[at] = slot as u32 + 1;
    }

    fn append(&mut self, value: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(value);
        start..self.text.len()
    }

    fn append_all<I>(&mut self, values: I) -> Range<usize>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let start = self.lists.len();
        for value in values {
            let part = self.append(value.as_ref());
            self.lists.push(part);
        }
        start..self.lists.len()
    }
}

/// The same keys with the same values.
impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        self.sorted() == other.sorted()
    }
}

impl Eq for Context {}

impl Serialize for Context {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut context = Self::new();
        for (key, value) in BTreeMap::<String, Value>::deserialize(deserializer)? {
            match value {
                Value::One(value) => context.set(&key, value),
                Value::Many(values) => context.set_list(&key, values),
            };
        }
        Ok(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_set_replaced_and_removed_whatever_their_case() {
        let mut context = Context::new();
        assert_eq!(context.get("aws:username"), None);
        context.set("aws:UserName", "alice").set_list("aws:TagKeys", ["b", ""]).set_list("a:empty", [""; 0]);
        assert_eq!(context.get("AWS:USERNAME"), Some(Value::One("alice".into())));
        context.set("aws:username", "bob").set("É:É", "x").set("É:É", "y");
        let all: Vec<(&str, Value)> = context.iter().collect();
        let many = |values: &[&str]| Value::Many(values.iter().map(ToString::to_string).collect());
        let want = [
            ("a:empty", many(&[])),
            ("aws:tagkeys", many(&["b", ""])),
            ("aws:username", Value::One("bob".into())),
            ("é:é", Value::One("y".into())),
        ];
        assert_eq!(all, want);
        context.remove("AWS:username").remove("never:set");
        assert_eq!((context.get("aws:username"), context.iter().count()), (None, 3));
        context.set("aws:userName", "carol");
        assert_eq!(context.get("aws:username"), Some(Value::One("carol".into())));
        let json = serde_json::to_string(&context).unwrap();
        assert_eq!(serde_json::from_str::<Context>(&json).unwrap(), context);
    }

    #[test]
    fn many_keys_are_all_found() {
        let mut context = Context::new();
        for count in [KEYS, KEYS + 1, 1000] {
            (0..count).for_each(|at| _ = context.set(&format!("a:Key{at}"), at.to_string()));
            assert_eq!(context.iter().count(), count);
            assert!((0..count).all(|at| context.get(&format!("A:kEY{at}")) == Some(Value::One(at.to_string()))));
            assert_eq!(context.get(&format!("a:key{count}")), None);
        }
    }

    #[test]
    fn names_made_to_share_a_place_are_all_found() {
        let names = (0..).map(|at| format!("aws:requesttag/{at}")).filter(|name| fold::number(name).is_multiple_of(1024));
        let names: Vec<String> = names.take(400).collect();
        let mut context = Context::new();
        names.iter().for_each(|name| _ = context.set(name, name));
        assert!(names.iter().all(|name| context.get(name) == Some(Value::One(name.clone()))));
        assert_eq!((context.iter().count(), context.get("aws:requesttag/none")), (names.len(), None));
    }

    #[test]
    fn names_that_share_a_number_stay_apart() {
        let mut context = Context::new();
        context.set("a:one", "1").set("a:two", "2");
        let name = KeyName { number: KeyName::new("a:one").number, text: "a:two".into() };
        assert_eq!(context.named(&name), None);
    }

    #[test]
    fn tags_that_differ_in_case_only_are_unclear() {
        let mut context = Context::new();
        let held = |context: &Context| matches!(context.named(&KeyName::new("aws:resourcetag/team")), Some(Held::Unclear(_)));
        context.add_tag("aws:ResourceTag/", "Team", "red").add_tag("aws:ResourceTag/", "team", "red");
        assert_eq!((context.get("aws:ResourceTag/Team"), held(&context)), (Some(Value::One("red".into())), false));
        context.add_tag("aws:ResourceTag/", "TEAM", "blue");
        assert_eq!((context.get("aws:ResourceTag/Team"), held(&context)), (Some(Value::Many(vec!["red".into(), "blue".into()])), true));
        assert_ne!(context, *Context::new().set_list("aws:ResourceTag/team", ["red", "blue"]));
        context.remove_tag("aws:ResourceTag/", "tEAM");
        assert_eq!((context.get("aws:ResourceTag/Team"), context == Context::new()), (None, true));
    }
}

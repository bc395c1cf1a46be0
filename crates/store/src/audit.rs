//! The audit chain: each event's hash covers the one before it.
//!
//! `hash = sha256(previous hash, sequence number, milliseconds, canonical JSON)`, the numbers as eight
//! bytes, big end first; the hash before the first is 32 zero bytes.

use serde_json::Value;
use sha2::{Digest, Sha256};
use tenantry_core::Timestamp;

use crate::StoreError;

/// The hash before the first event.
#[cfg(test)]
pub(crate) const GENESIS: [u8; 32] = [0; 32];

/// An audit event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// From 1, without gaps.
    pub seq: u64,
    /// When it happened.
    pub time: Timestamp,
    /// Canonical JSON text: keys in order, no spaces.
    pub text: String,
    /// Its hash in the chain.
    pub hash: [u8; 32],
}

impl Event {
    /// The document.
    ///
    /// # Errors
    /// When the stored text is not JSON.
    pub fn json(&self) -> Result<Value, StoreError> {
        serde_json::from_str(&self.text).map_err(|e| StoreError::Corrupt(format!("audit event {} is not json: {e}", self.seq)))
    }
}

/// What events are found by: a name made of parts, as eight bytes of its hash. Two names may share a key,
/// so whoever looks for one must look at what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventKey(pub(crate) i64);

impl EventKey {
    /// The key of these parts, in this order.
    #[must_use]
    pub fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        Self(i64::from_be_bytes(std::array::from_fn(|at| digest[at])))
    }
}

/// Which events of a key, newest first.
#[derive(Debug, Clone)]
pub struct EventsBy {
    /// Under this key.
    pub key: EventKey,
    /// Not from before this instant.
    pub from: Option<Timestamp>,
    /// Not from after this instant.
    pub until: Option<Timestamp>,
    /// Older than this one (instant and sequence number): the last of the page before.
    pub before: Option<(Timestamp, u64)>,
    /// So many at most.
    pub limit: usize,
}

/// How a checkpoint's document begins. No other event's does: theirs are made by the kernel.
const CHECKPOINT: &str = r#"{"checkpoint":{"hash":""#;

/// The document that says where the chain begins after events were pruned.
pub(crate) fn checkpoint(through: u64, hash: &[u8; 32]) -> String {
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(r#"{CHECKPOINT}{hex}","through":{through}}}}}"#)
}

/// What checking the chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The sequence number of the last event that was pruned; 0 where none was.
    pub pruned: u64,
    /// The sequence number of the last event that is whole: those behind `pruned` up to it are.
    pub intact: u64,
    /// The hash of the last whole one.
    pub head: [u8; 32],
    /// The first sequence number where the chain does not hold, if it does not.
    pub broken: Option<u64>,
}

pub(crate) fn link(previous: &[u8; 32], seq: u64, time: Timestamp, text: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(seq.to_be_bytes());
    hash.update(time.millis().to_be_bytes());
    hash.update(text.as_bytes());
    hash.finalize().into()
}

/// The hash of event `through`, where `events` lead to it from `base` without a break: what is broken is not
/// pruned, or the chain would say no more that it was.
pub(crate) fn whole(base: (u64, [u8; 32]), events: &[Event], through: u64) -> Result<[u8; 32], StoreError> {
    let mut checker = Checker::new(base);
    let _ = events.iter().all(|event| checker.take(event));
    match checker.state.broken {
        None if checker.state.intact == through => Ok(checker.state.head),
        _ => Err(StoreError::Corrupt(format!("the audit chain is broken at event {}: it is not pruned", checker.state.intact + 1))),
    }
}

/// Checks events as they stream by.
pub(crate) struct Checker {
    pub(crate) state: Verified,
    base: (u64, [u8; 32]),
    /// What the last checkpoint says of where the chain begins.
    said: Option<String>,
}

impl Checker {
    /// Begins behind the event `base`, which is the last that was pruned.
    pub(crate) fn new(base: (u64, [u8; 32])) -> Self {
        Self { state: Verified { pruned: base.0, intact: base.0, head: base.1, broken: None }, base, said: None }
    }
    /// Takes the next event; false once the chain is broken.
    pub(crate) fn take(&mut self, event: &Event) -> bool {
        let expected = self.state.intact + 1;
        if event.seq != expected || link(&self.state.head, event.seq, event.time, &event.text) != event.hash {
            self.state.broken = Some(expected);
            return false;
        }
        self.state.intact = expected;
        self.state.head = event.hash;
        if event.text.starts_with(CHECKPOINT) {
            self.said = Some(event.text.clone());
        }
        true
    }
    /// No more events: the last must be the stored head, and the chain must begin where the last checkpoint says.
    pub(crate) fn end(mut self, head: (u64, [u8; 32])) -> Verified {
        if self.state.broken.is_none() && head != (self.state.intact, self.state.head) {
            self.state.broken = Some(self.state.intact + 1);
        }
        let expected = (self.base.0 > 0).then(|| checkpoint(self.base.0, &self.base.1));
        if self.state.broken.is_none() && self.said != expected {
            self.state.broken = Some(self.base.0.max(1));
        }
        self.state
    }
}

/// JSON with the keys of every object in the order of their bytes and no spaces, so that the same
/// document always has the same hash.
#[must_use]
pub fn canonical_json(value: &Value) -> String {
    let mut out = String::with_capacity(1024);
    write_canonical_json(value, &mut out);
    out
}

/// Appends [`canonical_json`] of `value`.
pub fn write_canonical_json(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            if !keys.is_sorted_by(|a, b| a.0 <= b.0) {
                keys.sort_unstable_by(|a, b| a.0.cmp(b.0));
            }
            out.push('{');
            for (at, (key, value)) in keys.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json_text(key, out);
                out.push(':');
                write_canonical_json(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_canonical_json(item, out);
            }
            out.push(']');
        }
        Value::String(text) => write_json_text(text, out),
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&number.to_string()),
    }
}

/// Appends `text` as a JSON string. Nearly none needs an escape.
pub fn write_json_text(text: &str, out: &mut String) {
    // All bytes are looked at, whatever is found: that is done sixteen at a time.
    if text.bytes().fold(false, |found, byte| found | (byte < 0x20) | (byte == b'"') | (byte == b'\\')) {
        out.push_str(&Value::from(text).to_string());
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_at_every_depth() {
        let value: Value = serde_json::from_str(r#"{"b":[{"z":1,"a":"\"\u0000é"}],"a":null,"B":1.5}"#).unwrap();
        assert_eq!(canonical_json(&value), r#"{"B":1.5,"a":null,"b":[{"a":"\"\u0000é","z":1}]}"#);
    }

    #[test]
    fn the_checker_finds_each_kind_of_change() {
        let mut events = Vec::new();
        let mut head = GENESIS;
        for seq in 1..=4 {
            let (time, text) = (Timestamp::from_secs(seq as i64), format!("{{\"n\":{seq}}}"));
            head = link(&head, seq, time, &text);
            events.push(Event { seq, time, text, hash: head });
        }
        let check = |events: &[Event]| {
            let mut checker = Checker::new((0, GENESIS));
            let _ = events.iter().all(|e| checker.take(e));
            checker.end((4, head)).broken
        };
        assert_eq!(check(&events), None);
        let mut text = events.clone();
        text[1].text = "{\"n\":9}".to_owned();
        assert_eq!(check(&text), Some(2));
        let mut time = events.clone();
        time[2].time = Timestamp::from_secs(99);
        assert_eq!(check(&time), Some(3));
        let mut gap = events.clone();
        gap.remove(1);
        assert_eq!(check(&gap), Some(2));
        assert_eq!(check(&events[..3]), Some(4), "the tail was cut off");
        assert_eq!(check(&[]), Some(1));
    }
}

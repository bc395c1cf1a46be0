//! The audit chain: each event's hash covers the one before it.
//!
//! `hash = sha256(previous hash, sequence number, milliseconds, canonical JSON)`, the numbers as eight
//! bytes, big end first; the hash before the first is 32 zero bytes.

use serde_json::Value;
use sha2::{Digest, Sha256};
use tenantry_core::Timestamp;

use crate::StoreError;

/// The hash before the first event.
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

/// What checking the chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many events are whole, from the first on.
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

/// Checks events as they stream by.
pub(crate) struct Checker {
    pub(crate) state: Verified,
}

impl Checker {
    pub(crate) fn new() -> Self {
        Self { state: Verified { intact: 0, head: GENESIS, broken: None } }
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
        true
    }
    /// No more events: the last must be the stored head.
    pub(crate) fn end(mut self, head: (u64, [u8; 32])) -> Verified {
        if self.state.broken.is_none() && head != (self.state.intact, self.state.head) {
            self.state.broken = Some(self.state.intact + 1);
        }
        self.state
    }
}

/// JSON with the keys of every object in the order of their bytes and no spaces, so that the same
/// document always has the same hash.
#[must_use]
pub fn canonical_json(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (at, (key, value)) in keys.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
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
            let mut checker = Checker::new();
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

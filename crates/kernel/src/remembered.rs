//! A bounded memory of what was made before.
//!
//! Bounded by bytes, about: whoever puts something in says what it weighs. Two generations: what was not
//! asked for while a whole generation was filled is forgotten. So a full memory forgets the idle half,
//! never everything at once, and holds at most its limit.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What an entry costs beside what it says it weighs, about.
const ENTRY: usize = 96;

#[derive(Debug)]
pub(crate) struct Remembered<K, V> {
    /// Bytes per generation.
    generation: usize,
    held: Mutex<Held<K, V>>,
}

#[derive(Debug)]
struct Held<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    /// What the young weigh.
    weight: usize,
}

impl<K: Hash + Eq, V: Clone> Remembered<K, V> {
    /// At most `limit` bytes, as the weights have it.
    pub(crate) fn new(limit: usize) -> Self {
        Self { generation: limit / 2, held: Mutex::new(Held { young: HashMap::new(), old: HashMap::new(), weight: 0 }) }
    }

    fn held(&self) -> MutexGuard<'_, Held<K, V>> {
        // Whoever panicked in here left a map that is whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut held = self.held();
        if let Some((value, _)) = held.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, weight)) = held.old.remove_entry(key)?;
        self.insert(&mut held, key, value.clone(), weight);
        Some(value)
    }

    /// Remembers what weighs so many bytes. What is heavier than a generation is not remembered.
    pub(crate) fn put(&self, key: K, value: V, weight: usize) {
        let mut held = self.held();
        held.old.remove(&key);
        self.insert(&mut held, key, value, weight.saturating_add(ENTRY));
    }

    fn insert(&self, held: &mut Held<K, V>, key: K, value: V, weight: usize) {
        if let Some((_, before)) = held.young.remove(&key) {
            held.weight -= before;
        }
        if weight > self.generation {
            return;
        }
        if held.weight + weight > self.generation {
            held.old = std::mem::take(&mut held.young);
            held.weight = 0;
        }
        held.weight += weight;
        held.young.insert(key, (value, weight));
    }

    /// What all that is remembered weighs.
    #[cfg(test)]
    pub(crate) fn weight(&self) -> usize {
        let held = self.held();
        held.young.values().chain(held.old.values()).map(|(_, weight)| weight).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let (limit, each) = (100 * (ENTRY + 4), 4);
        let memory = Remembered::new(limit);
        for at in 0..10_000 {
            memory.put(at, at, each);
            assert_eq!(memory.get(&0), Some(0), "asked for all the time");
            assert!(memory.weight() <= limit, "{}", memory.weight());
        }
        assert_eq!(memory.get(&9_999), Some(9_999));
        assert_eq!(memory.get(&5_000), None);
        memory.put(9_999, 1, each);
        assert_eq!(memory.get(&9_999), Some(1));
        assert!((9_950..9_999).all(|at| memory.get(&at) == Some(at)), "the latest are there");
    }

    #[test]
    fn the_heavy_displace_more_and_what_is_too_heavy_is_not_kept() {
        let generation = 10 * (ENTRY + 100);
        let memory = Remembered::new(2 * generation);
        for at in 0..10 {
            memory.put(at, at, 100);
        }
        memory.put(10, 10, generation - ENTRY);
        assert!((0..10).all(|at| memory.get(&at).is_some() || at > 0), "the older generation is still there");
        memory.put(11, 11, generation - ENTRY + 1);
        assert_eq!(memory.get(&11), None, "heavier than a generation");
        assert!(memory.weight() <= 2 * generation);
        let before = memory.weight();
        memory.put(12, 12, 100);
        memory.put(12, 13, 100);
        assert_eq!(memory.get(&12), Some(13));
        assert!(memory.weight() <= before + 100 + ENTRY, "what is put again weighs once");
    }
}

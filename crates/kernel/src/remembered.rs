//! A bounded memory of what was made before.
//!
//! Two generations: what was not asked for while a whole generation was filled is forgotten. So a
//! full memory forgets the idle half, never everything at once, and holds at most its limit.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

#[derive(Debug)]
pub(crate) struct Remembered<K, V> {
    /// Entries per generation.
    generation: usize,
    held: Mutex<Held<K, V>>,
}

#[derive(Debug)]
struct Held<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq + Clone, V: Clone> Remembered<K, V> {
    /// At most `limit` entries.
    pub(crate) fn new(limit: usize) -> Self {
        Self { generation: (limit / 2).max(1), held: Mutex::new(Held { young: HashMap::new(), old: HashMap::new() }) }
    }

    fn held(&self) -> MutexGuard<'_, Held<K, V>> {
        // Whoever panicked in here left a map that is whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut held = self.held();
        if let Some(value) = held.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = held.old.remove_entry(key)?;
        self.insert(&mut held, key, value.clone());
        Some(value)
    }

    pub(crate) fn put(&self, key: K, value: V) {
        let mut held = self.held();
        held.old.remove(&key);
        self.insert(&mut held, key, value);
    }

    fn insert(&self, held: &mut Held<K, V>, key: K, value: V) {
        if held.young.len() >= self.generation && !held.young.contains_key(&key) {
            held.old = std::mem::take(&mut held.young);
        }
        held.young.insert(key, value);
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let held = self.held();
        held.young.len() + held.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let memory = Remembered::new(100);
        for at in 0..10_000 {
            memory.put(at, at);
            assert_eq!(memory.get(&0), Some(0), "asked for all the time");
            assert!(memory.len() <= 100, "{}", memory.len());
        }
        assert_eq!(memory.get(&9_999), Some(9_999));
        assert_eq!(memory.get(&5_000), None);
        memory.put(9_999, 1);
        assert_eq!(memory.get(&9_999), Some(1));
        assert!((9_950..9_999).all(|at| memory.get(&at) == Some(at)), "the latest are there");
    }
}

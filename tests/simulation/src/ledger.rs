//! What a client knows: what was acknowledged, and what may or may not have happened.

use std::{collections::BTreeMap, fmt::Debug};

use tenantry_core::AwsError;

/// Why a client does not go on.
#[derive(Debug)]
pub enum Halt {
    /// The server could not say; the client tries again later.
    Unavailable,
    /// Something does not hold.
    Broken(String),
}

/// What a client's action comes to.
pub type Turn<T = ()> = Result<T, Halt>;

impl Halt {
    /// An error that an operation answered, where none of the sender's was due.
    #[must_use]
    pub fn of(operation: &str, error: AwsError) -> Self {
        // Asked to slow down, a client does.
        if error.status >= 500 || error.status == 429 { Self::Unavailable } else { Self::Broken(format!("{operation}: {error}")) }
    }
}

/// Something does not hold.
///
/// # Errors
/// Always.
pub fn broken<T>(what: impl Into<String>) -> Turn<T> {
    Err(Halt::Broken(what.into()))
}

/// Things by name. `None` is: it is not there.
#[derive(Debug)]
pub struct Ledger<V> {
    known: BTreeMap<String, V>,
    doubt: BTreeMap<String, (Option<V>, Option<V>)>,
    /// Changes that were acknowledged.
    pub acknowledged: u64,
    /// Changes that were not, and of these those that took effect.
    pub doubted: (u64, u64),
}

impl<V> Default for Ledger<V> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), doubt: BTreeMap::new(), acknowledged: 0, doubted: (0, 0) }
    }
}

impl<V: Clone + PartialEq + Debug> Ledger<V> {
    /// What a thing was when it was last certain.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&V> {
        self.known.get(name)
    }

    /// All things that are there for certain.
    pub fn all(&self) -> impl Iterator<Item = (&String, &V)> {
        self.known.iter()
    }

    /// Names of what is there or may be.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.known.keys().chain(self.doubt.keys()).cloned().collect();
        names.sort();
        names.dedup();
        names
    }

    /// Names of what is not certain.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        self.doubt.keys().cloned().collect()
    }

    /// Before a change is asked for: from now on it is not certain.
    pub fn ask(&mut self, name: &str, after: Option<V>) {
        self.doubt.insert(name.to_owned(), (self.known.get(name).cloned(), after));
    }

    /// How the change was answered: done, refused, or not at all (it stays in doubt).
    ///
    /// # Errors
    /// The answer's.
    pub fn answered<T>(&mut self, name: &str, answer: Turn<T>) -> Turn<T> {
        match answer {
            Ok(value) => {
                if let Some((_, after)) = self.doubt.remove(name) {
                    self.set(name, after);
                }
                self.acknowledged += 1;
                Ok(value)
            }
            Err(halt) => Err(halt),
        }
    }

    /// The change was refused: everything is as before.
    pub fn refused(&mut self, name: &str) {
        self.doubt.remove(name);
    }

    fn set(&mut self, name: &str, value: Option<V>) {
        match value {
            Some(value) => self.known.insert(name.to_owned(), value),
            None => self.known.remove(name),
        };
    }

    /// Holds what there is against what there must be.
    ///
    /// # Errors
    /// [`Halt::Broken`] where an acknowledged change is not there, or one in doubt is neither whole nor absent.
    pub fn hold(&mut self, name: &str, have: Option<V>) -> Turn {
        let Some((before, after)) = self.doubt.remove(name) else {
            let known = self.known.get(name);
            if have.as_ref() == known {
                return Ok(());
            }
            return broken(format!("{name} was acknowledged as {known:?} and is {have:?}"));
        };
        if have != before && have != after {
            return broken(format!("{name} was {before:?}, was to become {after:?}, and is {have:?}"));
        }
        self.doubted.0 += 1;
        self.doubted.1 += u64::from(have == after);
        self.set(name, have);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_must_be_there() {
        let mut ledger = Ledger::default();
        ledger.ask("a", Some(1));
        assert!(ledger.answered("a", Ok(())).is_ok());
        assert!(ledger.hold("a", Some(1)).is_ok());
        assert!(ledger.hold("a", None).is_err() && ledger.hold("a", Some(2)).is_err());
    }

    #[test]
    fn what_was_not_is_whole_or_absent() {
        for (have, holds) in [(Some(1), true), (Some(2), true), (None, false), (Some(3), false)] {
            let mut ledger = Ledger::default();
            ledger.ask("a", Some(1));
            assert!(ledger.answered("a", Ok(())).is_ok());
            ledger.ask("a", Some(2));
            assert!(ledger.answered::<()>("a", Err(Halt::Unavailable)).is_err());
            assert_eq!(ledger.hold("a", have).is_ok(), holds, "{have:?}");
        }
    }
}

//! `Action` and `NotAction`.
//!
//! A statement such as ReadOnlyAccess's names well over a thousand actions; a request looks only at
//! its own name, and at the patterns of its own service. Letter case does not count. There are no
//! variables here.

use crate::context::Context;
use crate::glob::{Glob, Syntax, same_folded};
use crate::index::{ActionKeys, Filing};

/// The action of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ActionName<'a> {
    prefix: &'a str,
    name: &'a str,
    pub keys: ActionKeys,
}

impl<'a> ActionName<'a> {
    pub(crate) fn new(action: &'a str) -> Self {
        // Prefixes are short: quicker by hand than by a searcher.
        let (prefix, name) = match action.bytes().position(|byte| byte == b':') {
            Some(at) => (&action[..at], &action[at + 1..]),
            None => (action, ""),
        };
        Self { prefix, name, keys: ActionKeys::new(prefix, name) }
    }

    fn is_of(&self, prefix: &str) -> bool {
        // Nearly always as it should be written, which is quicker to see.
        prefix == self.prefix || prefix.eq_ignore_ascii_case(self.prefix)
    }

    fn is(&self, prefix: &str, name: &str) -> bool {
        self.is_of(prefix) && (name == self.name || same_folded(self.name, name))
    }
}

/// In order: a key, the prefix in lower case, and what stands behind the colon.
type ByKey<T> = Box<[(u64, Box<str>, T)]>;

/// The patterns of one element.
#[derive(Debug, Clone, Default)]
pub(crate) struct ActionList {
    any: bool,
    /// Without wildcards, by the action's key: the names.
    exact: ByKey<Box<str>>,
    /// With wildcards, by the service's key: the patterns of names.
    wild: ByKey<Box<[Glob]>>,
}

impl ActionList {
    /// Patterns that AWS stores but never matches (a comma, a blank, no name) are left out.
    fn compile(texts: &[&str]) -> Self {
        let mut any = false;
        let mut exact = std::collections::BTreeSet::new();
        let mut wild: std::collections::BTreeMap<(u64, Box<str>), Vec<Glob>> = std::collections::BTreeMap::new();
        for text in texts {
            if matches!(*text, "*" | "*:*") {
                any = true;
                continue;
            }
            let Some((prefix, name)) = text.split_once(':') else { continue };
            if name.is_empty() || name.contains(|c: char| c == ',' || c.is_whitespace()) {
                continue;
            }
            let glob = Glob::compile(name, Syntax { wild: true, variables: false });
            let prefix: Box<str> = prefix.to_ascii_lowercase().into();
            match glob.literal() {
                Some(name) => _ = exact.insert((ActionKeys::new(&prefix, name).exact, prefix, Box::from(name))),
                None => wild.entry((ActionKeys::new(&prefix, "").service, prefix)).or_default().push(glob),
            }
        }
        let wild = wild.into_iter().map(|((key, prefix), globs)| (key, prefix, globs.into())).collect();
        Self { any, exact: exact.into_iter().collect(), wild }
    }

    fn matches(&self, action: ActionName<'_>) -> bool {
        let named = || of(&self.exact, action.keys.exact).any(|(_, prefix, name)| action.is(prefix, name));
        let matched = || {
            let mut own = of(&self.wild, action.keys.service).filter(|(_, prefix, _)| action.is_of(prefix));
            own.any(|(.., globs)| globs.iter().any(|glob| glob.matches_folded(action.name, &NONE)))
        };
        self.any || named() || matched()
    }
}

/// Those of a list in order that have this key.
fn of<T>(sorted: &[(u64, Box<str>, T)], key: u64) -> impl Iterator<Item = &(u64, Box<str>, T)> {
    let start = sorted.partition_point(|(known, ..)| *known < key);
    sorted[start..].iter().take_while(move |(known, ..)| *known == key)
}

/// Patterns of actions hold no variables, so any context will do.
static NONE: Context = Context::EMPTY;

/// The element as a whole.
#[derive(Debug, Clone)]
pub(crate) enum ActionMatch {
    All,
    In(ActionList),
    NotIn(ActionList),
}

impl ActionMatch {
    pub(crate) fn compile(texts: &[&str], negated: bool) -> Self {
        match (ActionList::compile(texts), negated) {
            (list, true) => Self::NotIn(list),
            (ActionList { any: true, .. }, false) => Self::All,
            (list, false) => Self::In(list),
        }
    }

    pub(crate) fn matches(&self, action: ActionName<'_>) -> bool {
        match self {
            Self::All => true,
            Self::In(list) => list.matches(action),
            Self::NotIn(list) => !list.matches(action),
        }
    }

    /// Notes down what this can match.
    pub(crate) fn file(&self, filing: &mut Filing) {
        match self {
            Self::In(list) => {
                list.exact.iter().for_each(|(_, prefix, name)| filing.action(prefix, Some(name)));
                list.wild.iter().for_each(|(_, prefix, _)| filing.action(prefix, None));
            }
            Self::All | Self::NotIn(_) => filing.any = true,
        }
    }
}

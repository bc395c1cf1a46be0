//! `Action` and `NotAction`, grouped by service prefix.
//!
//! A statement such as ReadOnlyAccess's names well over a thousand actions; a request looks only at
//! those of its own service. Letter case does not count. There are no variables here.

use std::cmp::Ordering;

use crate::context::Context;
use crate::glob::{Glob, Syntax};
use crate::index::Filing;

/// The action of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ActionName<'a> {
    pub prefix: &'a str,
    pub name: &'a str,
}

impl<'a> ActionName<'a> {
    pub(crate) fn new(action: &'a str) -> Self {
        let (prefix, name) = action.split_once(':').unwrap_or((action, ""));
        Self { prefix, name }
    }
}

/// A map sorted by service prefix in lower case, looked up with [`find`].
pub(crate) type ByPrefix<T> = Box<[(Box<str>, T)]>;

/// The patterns of one element.
#[derive(Debug, Clone, Default)]
pub(crate) struct ActionList {
    any: bool,
    by_prefix: ByPrefix<Box<[Glob]>>,
}

impl ActionList {
    /// Patterns that AWS stores but never matches (a comma, a blank, no name) are left out.
    pub(crate) fn compile(texts: &[&str]) -> Self {
        let mut any = false;
        let mut groups: std::collections::BTreeMap<String, Vec<Glob>> = std::collections::BTreeMap::new();
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
            groups.entry(prefix.to_ascii_lowercase()).or_default().push(glob);
        }
        let by_prefix = groups.into_iter().map(|(prefix, globs)| (prefix.into(), globs.into())).collect();
        Self { any, by_prefix }
    }

    fn matches(&self, action: ActionName<'_>) -> bool {
        self.any
            || find(&self.by_prefix, action.prefix).is_some_and(|globs| globs.iter().any(|glob| glob.matches_folded(action.name, &NONE)))
    }
}

/// Patterns of actions hold no variables, so any context will do.
static NONE: Context = Context::EMPTY;

/// The element as a whole.
#[derive(Debug, Clone)]
pub(crate) enum ActionMatch {
    In(ActionList),
    NotIn(ActionList),
}

impl ActionMatch {
    pub(crate) fn matches(&self, action: ActionName<'_>) -> bool {
        match self {
            Self::In(list) => list.matches(action),
            Self::NotIn(list) => !list.matches(action),
        }
    }

    /// Notes down what this can match.
    pub(crate) fn file(&self, filing: &mut Filing) {
        match self {
            Self::In(list) if !list.any => {
                let patterns = list.by_prefix.iter().flat_map(|(prefix, globs)| globs.iter().map(move |glob| (prefix, glob)));
                patterns.for_each(|(prefix, glob)| filing.action(prefix, glob.literal()));
            }
            _ => filing.any = true,
        }
    }
}

/// Looks `prefix` up, whatever its case, in a list sorted by lower-case prefix.
pub(crate) fn find<'a, T>(sorted: &'a [(Box<str>, T)], prefix: &str) -> Option<&'a T> {
    let order = |known: &str| -> Ordering { known.bytes().cmp(prefix.bytes().map(|byte| byte.to_ascii_lowercase())) };
    sorted.binary_search_by(|(known, _)| order(known)).ok().map(|at| &sorted[at].1)
}

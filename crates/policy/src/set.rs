//! Many policies as one: what a layer is made of.
//!
//! Gathered once (a principal's identity policies, one level of an organization), judged often. The
//! statements of its policies are filed in one index, but for the large ones that are looked up one by
//! one, so a decision costs what its relevant statements cost, however many policies there are.

use std::sync::Arc;

use crate::action::ActionName;
use crate::index::{ActionKeys, Index, Place};
use crate::layers::Attached;

/// Policies filed in more places than this are large: AWS's own for the most part, which many
/// principals have.
const LARGE: usize = 64;
/// So many large policies are looked up one by one rather than merged: their memory is shared by
/// all who have them.
const APART: usize = 8;

/// Policies that apply together, in order. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {
    /// None for no policies.
    held: Option<Arc<Held>>,
}

#[derive(Debug)]
struct Held {
    policies: Box<[Attached]>,
    /// The policies that are looked up in their own index.
    apart: Box<[u32]>,
    /// All others.
    merged: Index,
}

impl PolicySet {
    /// No policies.
    pub(crate) const EMPTY: &'static Self = &Self { held: None };

    /// How many statements a request of this action on this resource is held against.
    #[must_use]
    pub fn relevant(&self, action: &str, resource: &str) -> usize {
        let mut count = 0;
        self.each(ActionName::new(action).keys, resource, |_| count += 1);
        count
    }

    /// Every statement that could apply.
    pub(crate) fn each(&self, keys: ActionKeys, resource: &str, mut found: impl FnMut(Place)) {
        let Some(held) = &self.held else { return };
        for at in &held.apart {
            held.policies[*at as usize].policy.index.each(keys, resource, |(_, statement)| found((*at, statement)));
        }
        held.merged.each(keys, resource, found);
    }
}

impl From<Vec<Attached>> for PolicySet {
    fn from(policies: Vec<Attached>) -> Self {
        if policies.is_empty() {
            return Self::default();
        }
        let all = 0..policies.len() as u32;
        let index = |at: u32| &policies[at as usize].policy.index;
        let mut apart: Vec<u32> = all.clone().filter(|at| index(*at).len() > LARGE).take(APART).collect();
        if policies.len() == apart.len() + 1 {
            // Alone, and filed already.
            apart = all.clone().collect();
        }
        let merged = all.filter(|at| apart.binary_search(at).is_err());
        let merged = Index::new(merged.map(|at| (at, &*policies[at as usize].policy.statements)));
        Self { held: Some(Arc::new(Held { policies: policies.into(), apart: apart.into(), merged })) }
    }
}

impl<const N: usize> From<[Attached; N]> for PolicySet {
    fn from(policies: [Attached; N]) -> Self {
        Vec::from(policies).into()
    }
}

impl FromIterator<Attached> for PolicySet {
    fn from_iter<I: IntoIterator<Item = Attached>>(policies: I) -> Self {
        policies.into_iter().collect::<Vec<_>>().into()
    }
}

impl std::ops::Deref for PolicySet {
    type Target = [Attached];

    fn deref(&self) -> &[Attached] {
        self.held.as_ref().map_or(&[], |held| &held.policies)
    }
}

impl<'a> IntoIterator for &'a PolicySet {
    type Item = &'a Attached;
    type IntoIter = std::slice::Iter<'a, Attached>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

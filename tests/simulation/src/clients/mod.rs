//! The clients: each changes things of one kind, never two things of one name at a time, and knows what must be there.
//!
//! A client lives through all lives of the server. Wherever its server ends, its future is dropped; what it knows is
//! written down before each change.

mod endpoints;
mod executions;
mod jobs;
mod objects;
mod packages;
mod pipelines;
mod transforms;
mod uploads;

use std::{future::Future, pin::Pin};

use crate::{chance::Chance, ledger::Turn, world::Place};

/// What a client answers.
pub type Doing<'a, T = ()> = Pin<Box<dyn Future<Output = Turn<T>> + Send + 'a>>;

/// A client of one kind.
pub trait Client: Send {
    /// What it works on.
    fn name(&self) -> &'static str;
    /// One action: a change, a look, or the repetition of what was not answered.
    fn step<'a>(&'a mut self, at: &'a Place) -> Doing<'a>;
    /// When nothing fails any more: whether all of it has ended, with everything that does not end by itself told to.
    fn ended<'a>(&'a mut self, at: &'a Place) -> Doing<'a, bool>;
    /// After that: whether everything is as it must be. `calm`: nothing was made to fail.
    fn check<'a>(&'a mut self, at: &'a Place, calm: bool) -> Doing<'a>;
    /// Changes that were acknowledged; those that were not, and of these those that took effect.
    fn count(&self) -> (u64, u64, u64);
}

/// What a client is: account, number, decisions.
pub struct Who {
    /// Index of its account.
    pub account: usize,
    /// Names of its things begin with it.
    pub prefix: String,
    /// What it decides by.
    pub chance: Chance,
    /// Counts its things.
    pub made: u64,
}

impl Who {
    /// A name that was never used.
    pub fn fresh(&mut self) -> String {
        self.made += 1;
        format!("{}-{}", self.prefix, self.made)
    }

    /// One of a few names.
    pub fn among(&mut self, few: u64) -> String {
        format!("{}-{}", self.prefix, self.chance.below(few))
    }
}

type Maker = fn(Who) -> Box<dyn Client>;

/// All kinds, and how often one of each is drawn.
const KINDS: &[(u64, Maker)] = &[
    (2, objects::Objects::boxed),
    (2, uploads::Uploads::boxed),
    (4, jobs::Jobs::boxed),
    (2, transforms::Transforms::boxed),
    (4, endpoints::Endpoints::boxed),
    (5, executions::Executions::boxed),
    (2, packages::Packages::boxed),
    (1, pipelines::Pipelines::boxed),
];

/// One to four clients.
pub fn draw(chance: &mut Chance) -> Vec<Box<dyn Client>> {
    let all: u64 = KINDS.iter().map(|(often, _)| often).sum();
    (0..chance.between(1, 4))
        .map(|number| {
            let mut at = chance.below(all);
            let found = KINDS.iter().find(|(often, _)| {
                let found = at < *often;
                at = at.saturating_sub(*often);
                found
            });
            let who = Who {
                account: usize::try_from(chance.below(2)).unwrap_or(0),
                prefix: format!("c{number}"),
                chance: chance.fork(),
                made: 0,
            };
            found.map_or(KINDS[0].1, |(_, make)| *make)(who)
        })
        .collect()
}

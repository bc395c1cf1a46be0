//! The search for the least that would have to be different.
//!
//! Whatever allows a refused request undoes what decides now. So the search branches on that alone: on the
//! ways to undo what decides, then, where the copy is still refused, on the ways to undo what decides then.
//! Copies are taken up by cost, the cheapest first, so the first that is allowed has cost least.

use serde::{Deserialize, Serialize};

use crate::decision::Outcome;
use crate::layers::{Layers, Request};

use super::scene::Scene;
use super::{Change, deny, grant};

/// Copies that are looked at.
const LOOKED_AT: usize = 48;
/// Ways to undo one thing.
const WAYS: usize = 12;
/// Changes in one remedy: as many as there are layers, and some levels.
const CHANGES: usize = 10;

/// Changes that together allow a refused request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remedy {
    /// How much it takes: the less, the fewer others it concerns.
    pub cost: u32,
    /// The changes, in order. Where two concern one policy, the later document holds both.
    pub changes: Vec<Change>,
}

/// A copy with some changes made.
pub(super) struct Step<'a> {
    pub cost: u32,
    pub changes: Vec<Change>,
    pub scene: Scene<'a>,
}

/// What would have allowed a refused request: the smallest change first, then others. Empty for an allowed one,
/// and where nothing within bounds does it.
#[must_use]
pub fn remedies(request: &Request<'_>, layers: &Layers<'_>, at_most: usize) -> Vec<Remedy> {
    let scene = Scene::new(request, layers);
    if scene.decide().allowed() {
        return Vec::new();
    }
    let mut open = vec![Step { cost: 0, changes: Vec::new(), scene }];
    let mut found: Vec<Remedy> = Vec::new();
    for _ in 0..LOOKED_AT {
        // Of equal cost the one that was found first, which needs fewest changes.
        let Some(next) = (0..open.len()).min_by_key(|at| (open[*at].cost, open[*at].changes.len(), *at)) else { break };
        let step = open.remove(next);
        let decision = step.scene.decide();
        if decision.allowed() {
            found.push(Remedy { cost: step.cost, changes: step.changes });
            if found.len() >= at_most {
                break;
            }
            continue;
        }
        if step.changes.len() >= CHANGES {
            continue;
        }
        let mut ways = match decision.outcome {
            Outcome::ExplicitDeny => deny::ways(&step.scene, &decision),
            _ => grant::ways(&step.scene, decision.cause),
        };
        ways.sort_by_key(|way| way.cost);
        ways.truncate(WAYS);
        open.extend(ways.into_iter().map(|way| Step {
            cost: step.cost + way.cost,
            changes: step.changes.iter().cloned().chain(way.changes).collect(),
            scene: way.scene,
        }));
    }
    found
}

//! A million random (policies, request) pairs: the evaluator and the reference answer alike.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use tenantry_policy::Cause;

use crate::{
    Compiled, Tape, World, answer, noise,
    reference::{self, Answer},
    tape::Question,
};

const WORLDS: u64 = 16_000;
const QUESTIONS: u64 = 64;
const PAIRS: u64 = WORLDS * QUESTIONS;
/// Long enough for the largest world.
const WORLD_TAPE: usize = 900;
const QUESTION_TAPE: usize = 60;

fn world(seed: u64, len: usize) -> World {
    Tape::new(&noise(seed, len)).world()
}

fn question(seed: u64, len: usize) -> Question {
    Tape::new(&noise(seed ^ 0xA5A5_5A5A_0F0F_F0F0, len)).question()
}

/// What the evaluator says and why, and what the reference says.
fn both(world: &World, compiled: &Compiled, question: &Question) -> (Answer, Cause, Answer) {
    let decision = compiled.ask(&question.asked(), tenantry_policy::evaluate);
    (answer(&decision), decision.cause, reference::decide(&question.asked(), world))
}

/// The simplest world and request from the same seeds that still show a difference.
fn report(world_seed: u64, question_seed: u64) -> String {
    let differs = |world: &World, question: &Question| {
        let (ours, _, theirs) = both(world, &Compiled::new(world), question);
        ours != theirs
    };
    let asked = question(question_seed, QUESTION_TAPE);
    let shortest = (0..=WORLD_TAPE).find(|len| differs(&world(world_seed, *len), &asked)).unwrap_or(WORLD_TAPE);
    let world = world(world_seed, shortest);
    let shortest = (0..=QUESTION_TAPE).find(|len| differs(&world, &question(question_seed, *len))).unwrap_or(QUESTION_TAPE);
    let asked = question(question_seed, shortest);
    let (ours, cause, theirs) = both(&world, &Compiled::new(&world), &asked);
    format!("{ours:?} ({cause:?}) and not {theirs:?}: {asked:#?} {world:#?}")
}

type Seen = BTreeMap<(Answer, String), u64>;

fn judge(next: &AtomicU64) -> Seen {
    let mut seen = Seen::new();
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        if at >= WORLDS {
            return seen;
        }
        // Lengths vary, so that there are simple worlds too.
        let world = world(at, (at as usize * 37 % WORLD_TAPE).max(40));
        let compiled = Compiled::new(&world);
        for number in 0..QUESTIONS {
            let question_seed = at * QUESTIONS + number;
            let (ours, cause, theirs) = both(&world, &compiled, &question(question_seed, QUESTION_TAPE));
            assert!(ours == theirs, "{}", report(at, question_seed));
            *seen.entry((ours, format!("{cause:?}"))).or_default() += 1;
        }
    }
}

#[test]
fn a_million_pairs_agree_with_the_reference() {
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let seen = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| judge(&next))).collect();
        workers.into_iter().fold(Seen::new(), |mut all, worker| {
            for (key, count) in worker.join().unwrap() {
                *all.entry(key).or_default() += count;
            }
            all
        })
    });
    let total: u64 = seen.values().sum();
    assert!(total == PAIRS && total >= 1_000_000, "{total}");
    // The worlds are worth judging: every answer for every cause turns up often.
    let causes = ["Identity", "Resource", "Trust", "Boundary", "Session", "Endpoint", "ServiceControl", "ResourceControl"];
    for cause in causes {
        for answer in [Answer::Implicit, Answer::Explicit] {
            assert!(seen.get(&(answer, cause.to_owned())).is_some_and(|count| *count >= PAIRS / 5000), "{answer:?} {cause}: {seen:?}");
        }
    }
    for cause in ["Identity", "Resource", "Trust"] {
        assert!(seen.get(&(Answer::Allow, cause.to_owned())).is_some_and(|count| *count >= PAIRS / 1000), "{cause}: {seen:?}");
    }
}

//! What is fuzzed. Each target says what its inputs look like, and panics where the platform breaks its word.

mod archive;
mod door;
mod federation;
mod http;
mod pipeline;
mod policy;
mod sign;
mod stored;
mod texts;
mod wire;
mod world;

use crate::engine::Target;

/// Every target, in the order in which they run.
#[must_use]
pub fn all() -> Vec<Target> {
    [
        wire::targets(),
        sign::targets(),
        policy::targets(),
        federation::targets(),
        pipeline::targets(),
        archive::targets(),
        texts::targets(),
        door::targets(),
        stored::targets(),
    ]
    .concat()
}

/// Memory that one input of at most 64 KiB may hold at once.
const MEMORY: u64 = 64 << 20;

/// Nothing made by code: the corpus is all there is.
fn no_seeds() -> Vec<Vec<u8>> {
    Vec::new()
}

/// Texts as seeds.
fn seeds(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

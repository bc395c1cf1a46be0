//! The edges that an input passed, counted by code that the compiler put in.
//!
//! LLVM's `sancov-module` pass gives every edge of an instrumented crate a byte in one section of the binary and announces the
//! section when the program starts. Without the pass (`cargo test`) there is no section, and no input is ever new.

#![allow(unsafe_code, reason = "the region of counters is known by two pointers that the compiler's constructor hands over")]

use std::{
    slice,
    sync::{
        OnceLock,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
};

static REGION: OnceLock<&'static [AtomicU8]> = OnceLock::new();

/// Called before `main`, once per instrumented object, always with the whole region.
///
/// # Safety
/// For the compiler's constructors: `start..stop` is the section of counters, which is there for as long as the program.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    let length = (stop as usize).saturating_sub(start as usize);
    // SAFETY: the region is static, and the instrumented code writes single bytes; racing increments lose counts, not validity.
    REGION.get_or_init(|| unsafe { slice::from_raw_parts(start.cast::<AtomicU8>().cast_const(), length) });
}

/// What has been seen of every edge: one bit for each magnitude of its count.
pub struct Seen {
    magnitudes: Vec<u8>,
    /// Edges that were ever passed.
    pub edges: usize,
}

/// 1, 2, 3, 4–7, 8–15, 16–31, 32–127, more.
fn magnitude(count: u8) -> u8 {
    match count {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => 4,
        4..8 => 8,
        8..16 => 16,
        16..32 => 32,
        32..128 => 64,
        128.. => 128,
    }
}

impl Seen {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { magnitudes: vec![0; total()], edges: 0 }
    }

    /// Takes the counts since [`reset`] and answers how many of them were new: edges, or magnitudes of edges.
    pub fn harvest(&mut self) -> usize {
        let mut news = 0;
        nonzero(|at, count| {
            let (seen, bit) = (&mut self.magnitudes[at], magnitude(count));
            if *seen & bit == 0 {
                self.edges += usize::from(*seen == 0);
                *seen |= bit;
                news += 1;
            }
        });
        news
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self::new()
    }
}

/// How many edges the program has.
#[must_use]
pub fn total() -> usize {
    REGION.get().map_or(0, |region| region.len())
}

/// Sets all counts to zero.
pub fn reset() {
    nonzero(|_, _| ());
}

/// Calls back for every count that is not zero, which it then is.
fn nonzero(mut seen: impl FnMut(usize, u8)) {
    let Some(region) = REGION.get() else { return };
    // SAFETY: an atomic of eight bytes may lie over eight atomics of one.
    let (front, middle, back) = unsafe { region.align_to::<AtomicU64>() };
    let mut bytes = |first: usize, cells: &[AtomicU8]| {
        for (at, cell) in cells.iter().enumerate() {
            let count = cell.load(Relaxed);
            if count != 0 {
                cell.store(0, Relaxed);
                seen(first + at, count);
            }
        }
    };
    bytes(0, front);
    for (at, word) in middle.iter().enumerate() {
        if word.load(Relaxed) != 0 {
            let first = front.len() + 8 * at;
            bytes(first, &region[first..first + 8]);
        }
    }
    bytes(region.len() - back.len(), back);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_are_single_bits_and_rise() {
        let all: Vec<u8> = (0..=u8::MAX).map(magnitude).collect();
        assert!(all.iter().all(|bit| bit.count_ones() <= 1) && all.is_sorted());
        assert_eq!((all[0], all[1], all[255]), (0, 1, 128));
    }
}

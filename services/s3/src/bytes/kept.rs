//! Memory for blocks on their way out, used again.
//!
//! Memory of this size goes back to the system when it is given back, and comes from it page by page and zeroed, which takes
//! longer than to decrypt what is read into it. So a few blocks are kept; what they held is overwritten by the next, and never
//! shown: only as much as was read is.

use std::sync::{Mutex, PoisonError};

/// Blocks that are kept for the next reader: some MiB.
const MOST: usize = 16;
/// Smaller ones come from the allocator, which keeps them itself.
const SMALL: usize = 64 * 1024;

static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A block of bytes that is kept when it is dropped.
pub(crate) struct Kept(Vec<u8>);

impl Kept {
    /// A block of so many bytes, whatever they are.
    pub fn take(len: usize) -> Self {
        if len <= SMALL {
            return Self(vec![0; len]);
        }
        let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut block = spare.unwrap_or_default();
        block.resize(len, 0);
        Self(block)
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for Kept {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.0.len() <= SMALL {
            return;
        }
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < MOST {
            spare.push(std::mem::take(&mut self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_as_long_as_was_asked_and_few_are_kept() {
        for len in [0, 1, SMALL, SMALL + 1, 9 * SMALL, 2 * SMALL] {
            assert_eq!(Kept::take(len).as_ref().len(), len);
        }
        let many: Vec<Kept> = (0..2 * MOST).map(|_| Kept::take(2 * SMALL)).collect();
        drop(many);
        assert!(SPARE.lock().unwrap().len() <= MOST);
    }
}

//! Inputs on disk: one file each, named by what is in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where the repository keeps a target's inputs.
#[must_use]
pub fn kept(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The name of an input: FNV-1a of its bytes.
#[must_use]
pub fn name(input: &[u8]) -> String {
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// All inputs of a directory, in the order of their names; none where it is not there.
///
/// # Errors
/// The disk.
pub fn read(dir: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut paths = match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    paths.sort();
    paths.iter().map(fs::read).collect()
}

/// Writes an input, and the directory where it is not there.
///
/// # Errors
/// The disk.
pub fn write(path: &Path, input: &[u8]) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(path, input)
}

/// Inputs of one target that are kept at most, so that the directory can be looked at.
const MOST: usize = 48;

/// The inputs worth keeping within `budget` bytes: those that add most for their length.
#[must_use]
pub fn distil(found: &[(Vec<u8>, usize)], budget: usize) -> Vec<&[u8]> {
    let mut order: Vec<&(Vec<u8>, usize)> = found.iter().collect();
    order.sort_by_key(|(input, news)| std::cmp::Reverse(news * 1000 / (input.len() + 64)));
    let mut left = budget;
    let mut kept = Vec::new();
    for (input, _) in order {
        if input.len() <= left && kept.len() < MOST {
            left -= input.len();
            kept.push(&input[..]);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_kept_by_what_adds_most() {
        let found = [(vec![b'a'; 900], 10), (vec![b'b'; 50], 10), (vec![b'c'; 100], 500), (vec![b'd'; 60], 0)];
        let kept = distil(&found, 220);
        assert_eq!(kept.iter().map(|input| input[0]).collect::<Vec<_>>(), b"cbd");
        assert_ne!(name(b"a"), name(b"b"));
    }
}

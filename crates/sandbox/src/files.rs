//! Directories that a payload can write, handled by the server without stepping into its traps.
//!
//! A payload may leave a link to `/etc/shadow` where the server expects its model, or swap a directory for one
//! while the server walks. Everything here goes from descriptor to descriptor and follows no link.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use crate::{host_uids, sys};

/// No tree is walked deeper.
const MAX_DEPTH: usize = 64;

/// A regular file found by [`walk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Relative to the directory walked.
    pub path: PathBuf,
    /// In bytes, when it was seen.
    pub len: u64,
}

/// Opens a regular file below `dir` for reading: no `..`, no symbolic link anywhere on the way.
///
/// # Errors
/// When there is no such file, something on the way is a link, or it is not a regular file (a FIFO would block its reader).
pub fn open(dir: &Path, path: &Path) -> io::Result<File> {
    let dir = open_dir(dir)?;
    let file = File::from(sys::open_beneath(dir.as_fd(), path, libc::O_RDONLY | libc::O_NONBLOCK)?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{}` is not a regular file", path.display())))
    }
}

/// All regular files below `dir`, sorted by path. Links, devices and sockets are left out.
///
/// # Errors
/// When there are more than `max_files`, or directories deeper than 64.
pub fn walk(dir: &Path, max_files: usize) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    visit(open_dir(dir)?.as_fd(), Path::new(""), 0, &mut |_, path, metadata| {
        if metadata.is_file() {
            if found.len() == max_files {
                return Err(io::Error::other(format!("more than {max_files} files")));
            }
            found.push(Found { path: path.to_owned(), len: metadata.len() });
        }
        Ok(())
    })?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// What an entry of a directory takes at least, in bytes: empty files are not free.
const ENTRY_BYTES: u64 = 1024;

/// The bytes of disk that `dir` and all below it take, while a payload may be writing there. Stops counting above `enough`. What
/// has several names counts with each of them; what was deleted and is still open is not seen.
///
/// # Errors
/// When a directory cannot be read or lies deeper than 64: what a payload hides cannot be counted.
pub fn disk_usage(dir: &Path, enough: u64) -> io::Result<u64> {
    let mut bytes = 0u64;
    let visited = visit(open_dir(dir)?.as_fd(), Path::new(""), 0, &mut |_, _, metadata| {
        bytes = bytes.saturating_add((metadata.blocks() * 512).max(ENTRY_BYTES));
        if bytes > enough { Err(io::Error::from(io::ErrorKind::QuotaExceeded)) } else { Ok(()) }
    });
    match visited {
        Err(error) if bytes <= enough => Err(error),
        _ => Ok(bytes),
    }
}

/// Bytes of the file system that holds `path`: those that may still be filled, and all.
///
/// # Errors
/// When there is no such path.
pub fn space(path: &Path) -> io::Result<(u64, u64)> {
    sys::space(path)
}

/// Gives `dir` and all below it to a payload's user. Does nothing where payloads have the server's own (see [`crate::host_uids`]).
///
/// # Errors
/// When something cannot be changed.
pub fn give_to(dir: &Path, uid: u32, gid: u32) -> io::Result<()> {
    if host_uids().is_none() {
        return Ok(());
    }
    let root = open_dir(dir)?;
    sys::chown_at(root.as_fd(), "".as_ref(), uid, gid)?;
    visit(root.as_fd(), Path::new(""), 0, &mut |parent, path, metadata| {
        if (metadata.uid(), metadata.gid()) == (uid, gid) {
            return Ok(());
        }
        let name: OsString = path.file_name().map(Into::into).unwrap_or_default();
        sys::chown_at(parent, &name, uid, gid)
    })
}

/// The directory itself must not be a link; what leads to it is the caller's.
fn open_dir(dir: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_DIRECTORY).open(dir)
}

type Visitor<'a> = dyn FnMut(BorrowedFd<'_>, &Path, &fs::Metadata) -> io::Result<()> + 'a;

fn visit(dir: BorrowedFd<'_>, prefix: &Path, depth: usize, each: &mut Visitor<'_>) -> io::Result<()> {
    if depth > MAX_DEPTH {
        return Err(io::Error::other(format!("directories deeper than {MAX_DEPTH}")));
    }
    let listing = match fs::read_dir(format!("/proc/self/fd/{}", dir.as_raw_fd())) {
        Ok(listing) => listing,
        // Deleted since it was opened: a payload that keeps doing that must not end the walk.
        Err(error) if error.kind() == io::ErrorKind::NotFound && depth > 0 => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in listing {
        let name = entry?.file_name();
        let path = prefix.join(&name);
        let handle = match sys::open_at(dir, &name, libc::O_PATH) {
            Ok(handle) => File::from(handle),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let metadata = handle.metadata()?;
        each(dir, &path, &metadata)?;
        if metadata.is_dir() {
            visit(handle.as_fd(), &path, depth + 1, each)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_directory_takes() {
        let dir = std::env::temp_dir().join(format!("tenantry-usage-{}", std::process::id()));
        fs::create_dir_all(dir.join("a")).unwrap();
        fs::write(dir.join("a/b"), vec![1; 100_000]).unwrap();
        File::create(dir.join("sparse")).unwrap().set_len(1 << 40).unwrap();
        std::os::unix::fs::symlink("/usr", dir.join("link")).unwrap();
        let used = disk_usage(&dir, u64::MAX).unwrap();
        assert!((100_000..200_000).contains(&used), "{used}");
        assert!(disk_usage(&dir, used).unwrap() <= used && disk_usage(&dir, used - 1).unwrap() >= used);
        for n in 0..100 {
            fs::write(dir.join(format!("empty-{n}")), "").unwrap();
        }
        assert!(disk_usage(&dir, u64::MAX).unwrap() >= used + 100 * ENTRY_BYTES, "empty files are not free");
        let deep = (0..=MAX_DEPTH).fold(dir.join("deep"), |path, _| path.join("d"));
        fs::create_dir_all(deep).unwrap();
        assert!(disk_usage(&dir, u64::MAX).is_err(), "what is hidden cannot be counted");
        let (free, all) = space(&dir).unwrap();
        assert!(free <= all && all > 0);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn links_lead_nowhere() {
        let dir = std::env::temp_dir().join(format!("tenantry-files-{}", std::process::id()));
        fs::create_dir_all(dir.join("a")).unwrap();
        fs::write(dir.join("a/b"), "four").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.join("link")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.join("etc")).unwrap();
        assert_eq!(walk(&dir, 10).unwrap(), [Found { path: "a/b".into(), len: 4 }]);
        assert!(walk(&dir, 0).is_err());
        assert_eq!(io::read_to_string(open(&dir, Path::new("a/b")).unwrap()).unwrap(), "four");
        for trap in ["link", "etc/passwd", "../passwd", "a/../../x", "/etc/passwd", "a"] {
            assert!(open(&dir, Path::new(trap)).is_err(), "{trap}");
        }
        let linked = dir.join("etc");
        assert!(walk(&linked, 1).is_err() && open(&linked, Path::new("passwd")).is_err());
        let before = fs::metadata("/etc/passwd").unwrap().uid();
        give_to(&dir, 1_000_001, 1_000_001).unwrap();
        assert_eq!(give_to(&linked, 1_000_001, 1_000_001).is_err(), host_uids().is_some());
        assert_eq!((fs::metadata("/etc/passwd").unwrap().uid(), fs::metadata("/etc").unwrap().uid()), (before, before));
        if host_uids().is_some() {
            assert_eq!(fs::metadata(dir.join("a/b")).unwrap().uid(), 1_000_001);
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}

//! `model.tar.gz` and its kin: the one place that packs and unpacks archives.
//!
//! Packing walks directories that user code wrote, without following links; what is no regular file is left out.
//! The same files give the same bytes: entries are sorted and carry no owner and no time. Unpacking takes
//! regular files and directories below its target and refuses everything else: a name that leads out, a link, a
//! device, an archive that grows past its limits.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read, Seek},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use tar::{Archive, Builder, EntryType, Header};
use tenantry_compute::files;

/// More files than this are not packed.
pub(crate) const MAX_FILES: usize = 200_000;

/// Packs the files of several directories, of which the first that has a path counts (the hosts of a job). Answers how many. Blocking.
///
/// # Errors
/// The disk; too many files.
pub(crate) fn pack(dirs: &[PathBuf], to: File) -> io::Result<usize> {
    let mut builder = Builder::new(GzEncoder::new(to, Compression::fast()));
    let mut seen = BTreeSet::new();
    for dir in dirs {
        for found in files::walk(dir, MAX_FILES)? {
            if !seen.insert(found.path.clone()) {
                continue;
            }
            let file = files::open(dir, &found.path)?;
            let metadata = file.metadata()?;
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Regular);
            header.set_size(metadata.len());
            header.set_mode(if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 });
            header.set_mtime(0);
            builder.append_data(&mut header, &found.path, file.take(metadata.len()))?;
        }
    }
    builder.into_inner()?.finish()?.sync_all()?;
    Ok(seen.len())
}

/// Headers that lengthen names are read into memory: longer ones are an attack.
const MAX_EXTENSION: u64 = 64 << 10;
/// A file has at most two such headers, one for each way of writing a long name, and its directory.
const MAX_HEADERS: usize = 4 * MAX_FILES;

fn refuse(name: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("archive entry `{}` {why}", name.display()))
}

/// Unpacks a `.tar.gz` into an existing directory of ours, at most `limit` bytes of content. Reads it twice. Blocking.
///
/// # Errors
/// What the module comment refuses, with the entry's name; a broken archive; the disk.
pub fn unpack(mut from: impl Read + Seek, dir: &Path, limit: u64) -> io::Result<()> {
    // To come past an entry is to unpack it: nothing is followed further than it may unpack to.
    let mut left = limit;
    for (index, entry) in Archive::new(MultiGzDecoder::new(&mut from)).entries()?.raw(true).enumerate() {
        let entry = entry?;
        let name = || String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let file = matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse);
        if index >= MAX_HEADERS {
            return Err(refuse(Path::new(&name()), "is one too many"));
        }
        if !file && entry.size() > MAX_EXTENSION {
            return Err(refuse(Path::new(&name()), "has too long a header"));
        }
        if file {
            left = left.checked_sub(entry.size()).ok_or_else(|| refuse(Path::new(&name()), "does not fit into the volume"))?;
        }
    }
    from.rewind()?;
    let mut left = limit;
    let mut archive = Archive::new(MultiGzDecoder::new(from));
    for (index, entry) in archive.entries()?.enumerate() {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        if index >= MAX_FILES {
            return Err(refuse(&name, "is one too many"));
        }
        // The SageMaker SDK calls the root of the archives that it makes `/`.
        if name == Path::new("/") && entry.header().entry_type() == EntryType::Directory {
            continue;
        }
        let place: PathBuf = name.components().filter(|part| !matches!(part, Component::CurDir)).collect();
        if place.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(refuse(&name, "leads out of its directory"));
        }
        let path = dir.join(&place);
        match entry.header().entry_type() {
            EntryType::Directory => fs::create_dir_all(&path)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                left = left.checked_sub(entry.size()).ok_or_else(|| refuse(&name, "does not fit into the volume"))?;
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent)?;
                }
                if path.is_file() {
                    fs::remove_file(&path)?;
                }
                let mode = if entry.header().mode().unwrap_or(0o644) & 0o111 == 0 { 0o644 } else { 0o755 };
                let mut file = File::options().write(true).create_new(true).mode(mode).open(&path)?;
                io::copy(&mut entry, &mut file)?;
            }
            EntryType::XGlobalHeader => {}
            _ => return Err(refuse(&name, "is neither a file nor a directory")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("tenantry-archive-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&dir));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn packed_alike_and_unpacked() {
        let dir = scratch("pack");
        let (one, two, out) = (dir.join("one"), dir.join("two"), dir.join("out"));
        for (at, text) in [(one.join("deep/model"), "first"), (two.join("deep/model"), "second"), (two.join("other"), "x")] {
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, text).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", one.join("trap")).unwrap();
        fs::create_dir(&out).unwrap();
        let dirs = [one, two];
        for name in ["a.tar.gz", "b.tar.gz"] {
            assert_eq!(pack(&dirs, File::create(dir.join(name)).unwrap()).unwrap(), 2);
        }
        assert_eq!(fs::read(dir.join("a.tar.gz")).unwrap(), fs::read(dir.join("b.tar.gz")).unwrap());
        unpack(File::open(dir.join("a.tar.gz")).unwrap(), &out, 100).unwrap();
        assert_eq!(fs::read_to_string(out.join("deep/model")).unwrap(), "first");
        assert!(!out.join("trap").exists());
        assert!(unpack(File::open(dir.join("a.tar.gz")).unwrap(), &out, 3).is_err(), "larger than the limit");
        fs::remove_dir_all(dir).unwrap();
    }

    fn hostile(kind: EntryType, name: &[u8]) -> Vec<u8> {
        let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..4].copy_from_slice(b"/etc");
        header.set_cksum();
        builder.append(&header, io::empty()).unwrap();
        builder.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn an_entry_is_not_followed_past_the_limit() {
        let dir = scratch("long");
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(1 << 40);
        header.set_path("long").unwrap();
        header.set_cksum();
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        std::io::Write::write_all(&mut packed, header.as_bytes()).unwrap();
        let error = unpack(io::Cursor::new(packed.finish().unwrap()), &dir, 1 << 30).unwrap_err();
        assert!(error.to_string().contains("does not fit into the volume"), "{error}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn hostile_entries_are_refused() {
        let dir = scratch("hostile");
        for (kind, name) in [
            (EntryType::Regular, &b"../escaped"[..]),
            (EntryType::Regular, b"/tmp/escaped"),
            (EntryType::Regular, b"a/../../escaped"),
            (EntryType::Symlink, b"link"),
            (EntryType::Link, b"link"),
            (EntryType::Fifo, b"fifo"),
            (EntryType::Block, b"device"),
        ] {
            let error = unpack(io::Cursor::new(hostile(kind, name)), &dir, 100).unwrap_err();
            assert!(error.to_string().contains("archive entry"), "{error}");
        }
        assert!(unpack(io::Cursor::new(b"no archive at all"), &dir, 100).is_err());
        assert!(unpack(io::Cursor::new(hostile(EntryType::Regular, b"/")), &dir, 100).is_err(), "a file cannot be the root");
        unpack(io::Cursor::new(hostile(EntryType::Directory, b"/")), &dir, 100).unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        fs::remove_dir_all(dir).unwrap();
    }
}

//! Model archives: what `model.tar.gz` may hold.
//!
//! Held: nothing appears outside of the directory, nothing but files and directories in it, and no more bytes than allowed.
//! An input is the gzip as it comes, or a tar whose checksums are put right and which is then packed, so that mutations of
//! headers get past both.

use std::{
    fs,
    io::{Cursor, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use tar::{Builder, EntryType, Header};
use tenantry_sagemaker::jobs::archive;

use super::{MEMORY, world::scratch};
use crate::{
    engine::{Run, Target},
    mutate::{Form, Grammar},
};

/// Bytes that an archive may unpack to here.
const LIMIT: u64 = 256 << 10;
const BLOCK: usize = 512;

pub(super) fn targets() -> Vec<Target> {
    vec![Target {
        name: "archive",
        what: "model archives: gzip and tar, unpacked into a directory",
        grammar: Grammar { head: false, form: Form::Bytes, tokens: TOKENS, longest: 64 << 10 },
        memory: MEMORY,
        renew: 0,
        make,
        seeds,
    }]
}

const TOKENS: &[&str] = &[
    "../",
    "/",
    "./",
    "..",
    "a/b/c",
    "ustar\0",
    "ustar  ",
    "00000000000\0",
    "77777777777\0",
    "0000755\0",
    "././@LongLink",
    "30 path=../../escaped\n",
    "25 size=99999999999\n",
    "20 linkpath=/etc\n",
    "GNU.sparse.major=1",
    "GNU.sparse.realsize=1",
    "\u{1f}\u{8b}\u{8}",
    "0",
    "1",
    "2",
    "5",
    "7",
    "L",
    "K",
    "S",
    "x",
    "g",
    "\0",
];

fn entry(builder: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    let name = &name.as_bytes()[..name.len().min(100)];
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_cksum();
    builder.append(&header, content).expect("a vector takes everything");
}

fn seeds() -> Vec<Vec<u8>> {
    let mut plain = Builder::new(Vec::new());
    entry(&mut plain, EntryType::Directory, "code/", b"");
    entry(&mut plain, EntryType::Regular, "code/inference.py", b"def model_fn(d): pass\n");
    entry(&mut plain, EntryType::Regular, "model.bin", &[7; 700]);
    let plain = plain.into_inner().expect("a vector takes everything");
    let mut odd = Builder::new(Vec::new());
    entry(&mut odd, EntryType::XGlobalHeader, "g", b"11 a=b\n");
    entry(&mut odd, EntryType::XHeader, "x", b"16 path=deep/name\n");
    entry(&mut odd, EntryType::Regular, "short", b"x");
    entry(&mut odd, EntryType::GNULongName, "././@LongLink", &[b'n'; 150]);
    entry(&mut odd, EntryType::Regular, "short", b"y");
    entry(&mut odd, EntryType::Symlink, "link", b"");
    let odd = odd.into_inner().expect("a vector takes everything");
    let mut sparse = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(4);
    header.set_path("sparse").expect("the name is short");
    if let Some(gnu) = header.as_gnu_mut() {
        gnu.sparse[0].offset = *b"000000001000";
        gnu.sparse[0].numbytes = *b"000000000004";
        gnu.realsize = *b"000000001004";
    }
    header.set_cksum();
    sparse.append(&header, &b"tail"[..]).expect("a vector takes everything");
    let sparse = sparse.into_inner().expect("a vector takes everything");
    vec![pack(&plain), plain, odd, sparse]
}

fn pack(tar: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(tar).expect("a vector takes everything");
    packer.finish().expect("a vector takes everything")
}

/// The same with the checksums that its headers would have.
fn summed(tar: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (tar.to_vec(), 0);
    while let Some(header) = out.get_mut(at..at + BLOCK) {
        if header.iter().any(|byte| *byte != 0) {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let text = String::from_utf8_lossy(&header[124..136]).trim_matches(['\0', ' ']).to_owned();
        let size = usize::from_str_radix(&text, 8).unwrap_or(0);
        at = at.saturating_add(BLOCK).saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
    }
    out
}

/// A directory beside which nothing may appear. Gone with the target.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        // What is left is in the system's temporary directory.
        let _left = fs::remove_dir_all(&self.0);
    }
}

fn make() -> Run {
    let place = Place(scratch("archive"));
    Box::new(move |input| {
        let dir = place.0.join("in");
        fs::create_dir_all(&dir).expect("the scratch directory is writable");
        let packed = if input.starts_with(&[0x1f, 0x8b]) { input.to_vec() } else { pack(&summed(input)) };
        let unpacked = archive::unpack(Cursor::new(packed), &dir, LIMIT);
        let (files, bytes) = measured(&dir);
        assert!(bytes <= LIMIT, "{bytes} bytes in {files} files");
        let beside: Vec<_> = fs::read_dir(&place.0).expect("the scratch directory is readable").collect();
        assert_eq!(beside.len(), 1, "something appeared outside: {beside:?}");
        if let Err(error) = unpacked {
            assert!(error.to_string().len() < 256 << 10);
        }
        fs::remove_dir_all(&dir).expect("what was unpacked can be removed");
    })
}

/// Files and their bytes; whatever is neither a file nor a directory is a finding.
fn measured(dir: &Path) -> (usize, u64) {
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(dir).expect("what was unpacked can be listed") {
        let entry = entry.expect("what was unpacked can be listed");
        let metadata = entry.metadata().expect("what was unpacked is there");
        if metadata.is_dir() {
            let inner = measured(&entry.path());
            (files, bytes) = (files + inner.0, bytes + inner.1);
        } else {
            assert!(metadata.is_file(), "`{}` is neither a file nor a directory", entry.path().display());
            (files, bytes) = (files + 1, bytes + metadata.len());
        }
    }
    (files, bytes)
}

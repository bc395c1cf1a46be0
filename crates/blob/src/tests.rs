//! Round trips, crashes, damage, and the race between a writer and a sweep.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{BLOCK, BlobError, BlobId, BlobReader, Blobs, Stored, Swept};

struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let path = std::env::temp_dir().join(format!("blob-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An earlier program's directory is one level deeper, here left half moved by a crash.
#[tokio::test]
async fn blobs_of_an_earlier_layout_are_found() {
    let dir = Dir::new();
    let ids: Vec<BlobId> = {
        let blobs = Blobs::open(&dir.0).unwrap();
        let mut ids = Vec::new();
        for n in 0..20 {
            ids.push(put(&blobs, bytes(100 + n)).await.unwrap().id);
        }
        ids
    };
    fs::remove_file(dir.0.join("flat")).unwrap();
    for id in &ids[..15] {
        let name = id.hex();
        let shard = dir.0.join("data").join(&name[..2]);
        fs::create_dir_all(shard.join(&name[2..4])).unwrap();
        fs::rename(shard.join(&name), shard.join(&name[2..4]).join(&name)).unwrap();
    }
    let blobs = Blobs::open(&dir.0).unwrap();
    for id in ids {
        check(&blobs, id).await;
    }
}

/// Bytes that do not repeat within a block.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// A name that stands for the contents.
fn id_of(bytes: &[u8]) -> BlobId {
    BlobId(Sha256::digest(bytes).into())
}

async fn put(blobs: &Blobs, bytes: impl Into<Bytes>) -> Result<Stored, BlobError> {
    let bytes = bytes.into();
    blobs.put(id_of(&bytes), bytes).await
}

/// Whether a blob holds what it is named by.
async fn check(blobs: &Blobs, id: BlobId) {
    assert_eq!(id_of(&blobs.read(id, usize::MAX).await.unwrap()), id);
}

/// All files below a directory, but for the lock.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !["lock", "flat"].iter().any(|name| path.file_name().unwrap() == *name) {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn what_is_written_is_read() {
    let dir = Dir::new();
    let blobs = Blobs::open(&dir.0).unwrap();
    for len in [0, 1, 4096, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7] {
        let source = bytes(len);
        for step in [1000, BLOCK / 2 + 1, BLOCK, 2 * BLOCK + 5] {
            let mut writer = blobs.writer();
            for chunk in source.chunks(step) {
                writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
            }
            assert_eq!(writer.size(), len as u64);
            let stored = writer.finish(id_of(&source)).await.unwrap();
            assert_eq!(stored.size, len as u64);
            assert!(blobs.read(stored.id, len).await.unwrap() == source, "{len} in steps of {step}");
        }
    }
    assert_eq!(files(&dir.0).len(), 7, "equal contents are stored once, nothing is left over");
}

#[tokio::test]
async fn a_name_is_a_place_that_only_the_owner_may_read() {
    let dir = Dir::new();
    let blobs = Blobs::open(&dir.0).unwrap();
    let empty = blobs.writer().finish(BlobId([0xe3; 32])).await.unwrap();
    assert_eq!((empty.id.hex(), empty.size), ("e3".repeat(32), 0));
    let abc = put(&blobs, "abc").await.unwrap();
    assert_eq!(abc.id.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(abc.id.hex().parse(), Ok(abc.id));
    let path = dir.0.join("data/ba").join(abc.id.hex());
    assert_eq!(fs::read(&path).unwrap(), b"abc");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for dir in ["", "data", "data/ba", "tmp"].map(|d| dir.0.join(d)) {
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700, "{dir:?}");
    }
    for bad in ["", "../../etc/passwd", &"A".repeat(64), &"g".repeat(64), &"a".repeat(63), &"é".repeat(32)] {
        assert!(bad.parse::<BlobId>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn ranges_are_exact() {
    let dir = Dir::new();
    let blobs = Blobs::open(&dir.0).unwrap();
    let source = bytes(2 * BLOCK + 100);
    let stored = put(&blobs, source.clone()).await.unwrap();
    let (size, block) = (source.len() as u64, BLOCK as u64);
    for (offset, len) in
        [(0, 0), (0, 1), (5, block), (block - 1, 2), (block, block), (0, size), (size - 1, 9), (size, 1), (size + 9, 1), (3, u64::MAX)]
    {
        let mut reader = blobs.reader(stored.id).await.unwrap().range(offset, len);
        let mut read = Vec::new();
        while let Some(chunk) = reader.chunk().await.unwrap() {
            assert!(!chunk.is_empty() && chunk.len() <= BLOCK);
            read.extend_from_slice(&chunk);
            assert!(read.len() as u64 + reader.left() <= size);
        }
        let start = offset.min(size) as usize;
        let end = offset.saturating_add(len).min(size) as usize;
        assert!(read == source[start..end], "{len} from {offset}");
    }
    let too_large = blobs.read(stored.id, source.len() - 1).await.err();
    assert_eq!(too_large, Some(BlobError::TooLarge { id: stored.id, size }));
}

/// More than is flushed on the way, so that a flush overlaps with writing.
#[tokio::test]
async fn a_large_blob_is_whole_and_reads_ahead() {
    let dir = Dir::new();
    let blobs = Blobs::open(&dir.0).unwrap();
    let source = Bytes::from(bytes(20 * 1024 * 1024 + 3));
    let mut writer = blobs.writer();
    for at in (0..source.len()).step_by(BLOCK + 64) {
        writer.write(source.slice(at..source.len().min(at + BLOCK + 64))).await.unwrap();
    }
    let stored = writer.finish(id_of(&source)).await.unwrap();
    let mut reader = blobs.reader(stored.id).await.unwrap().range(7, u64::MAX);
    let mut at = 7;
    let begin = |reader: &mut BlobReader| reader.begin(vec![0; 1_000_003], |block, len| (len, id_of(&block[..len])));
    let mut next = begin(&mut reader);
    while let Some(reading) = next {
        // The next is begun before this one is waited for.
        next = begin(&mut reader);
        let (len, id) = reading.await.unwrap();
        assert!(id == id_of(&source[at..at + len]), "{len} from {at}");
        at += len;
    }
    assert_eq!((at, reader.left()), (source.len(), 0));
    assert_eq!(files(&dir.0).len(), 1);
}

#[tokio::test]
async fn an_unfinished_blob_leaves_nothing() {
    let dir = Dir::new();
    let blobs = Blobs::open(&dir.0).unwrap();
    let mut writer = blobs.writer();
    writer.write(Bytes::from(bytes(2 * BLOCK))).await.unwrap();
    writer.write(Bytes::from(bytes(2 * BLOCK))).await.unwrap();
    assert_eq!(files(&dir.0).len(), 1);
    // The block that is being written still holds the file; it goes when that is done.
    drop(writer);
    for _ in 0..1000 {
        if files(&dir.0).is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(files(&dir.0).is_empty());
}

#[tokio::test]
async fn a_crash_leaves_nothing_behind_for_the_next_start() {
    let dir = Dir::new();
    let id = put(&Blobs::open(&dir.0).unwrap(), "kept").await.unwrap().id;
    fs::write(dir.0.join("tmp/7"), "half").unwrap();
    let blobs = Blobs::open(&dir.0).unwrap();
    assert!(fs::read_dir(dir.0.join("tmp")).unwrap().next().is_none());
    assert_eq!(blobs.read(id, 9).await.unwrap(), b"kept");
    let second = Blobs::open(&dir.0).err().unwrap();
    assert!(second.to_string().contains("another process"), "{second}");
}

#[tokio::test]
async fn damage_and_absence_are_told_apart() {
    let dir = Dir::new();
    let blobs = Blobs::open(&dir.0).unwrap();
    let id = put(&blobs, bytes(BLOCK + 10)).await.unwrap().id;
    let path = dir.0.join("data").join(&id.hex()[..2]).join(id.hex());
    let mut reader = blobs.reader(id).await.unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(BLOCK as u64 + 9).unwrap();
    reader.chunk().await.unwrap();
    assert_eq!(reader.chunk().await, Err(BlobError::Damaged(id)));
    fs::remove_file(&path).unwrap();
    assert_eq!(blobs.reader(id).await.err(), Some(BlobError::Missing(id)));
    fs::remove_dir_all(dir.0.join("tmp")).unwrap();
    assert!(matches!(put(&blobs, "x").await, Err(BlobError::Io { .. })));
}

#[tokio::test]
async fn a_sweep_takes_what_nobody_wants() {
    let dir = Dir::new();
    let blobs = Blobs::open(&dir.0).unwrap();
    let (dead, live) = (put(&blobs, "dead").await.unwrap().id, put(&blobs, "live").await.unwrap().id);
    let pinned = put(&blobs, "pinned").await.unwrap();
    fs::write(dir.0.join("data/note"), "not ours").unwrap();
    let sweep = blobs.begin_sweep().unwrap();
    assert!(blobs.begin_sweep().is_none(), "one at a time");
    let during = put(&blobs, "during").await.unwrap().id;
    let swept = sweep.remove(move |id| *id == live).await.unwrap();
    assert_eq!(swept, Swept { removed: 1, bytes: 4, kept: 3 });
    assert_eq!(blobs.reader(dead).await.err(), Some(BlobError::Missing(dead)));
    for id in [live, pinned.id, during] {
        check(&blobs, id).await;
    }
    // What was pinned when the sweep began stays, though its writer has let go since: the row may be
    // younger than what the sweep was told is alive.
    let sweep = blobs.begin_sweep().unwrap();
    let id = pinned.id;
    drop(pinned);
    assert_eq!(sweep.remove(move |i| *i == live || *i == during).await.unwrap().removed, 0);
    drop(blobs.begin_sweep().unwrap());
    assert_eq!(blobs.begin_sweep().unwrap().remove(|_| false).await.unwrap().removed, 3);
    assert!(blobs.reader(id).await.is_err());
}

/// Writers put the same few contents over and over, "commit" them, and must always find them, while
/// sweeps remove whatever was not committed when they began.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sweeps_never_take_what_was_committed() {
    let dir = Dir::new();
    let blobs = Blobs::open(&dir.0).unwrap();
    let committed = std::sync::Arc::new(std::sync::Mutex::new(HashSet::new()));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (blobs, committed) = (blobs.clone(), committed.clone());
            tokio::spawn(async move {
                for n in 0..60 {
                    let stored = put(&blobs, format!("content {}", n % 30)).await.unwrap();
                    committed.lock().unwrap().insert(stored.id);
                    let id = stored.id;
                    drop(stored);
                    check(&blobs, id).await;
                }
            })
        })
        .collect();
    let mut sweeps = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) || sweeps == 0 {
        let sweep = blobs.begin_sweep().unwrap();
        let live = committed.lock().unwrap().clone();
        sweep.remove(move |id| live.contains(id)).await.unwrap();
        sweeps += 1;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let ids: Vec<BlobId> = committed.lock().unwrap().iter().copied().collect();
    assert_eq!(ids.len(), 30);
    for id in ids {
        check(&blobs, id).await;
    }
}

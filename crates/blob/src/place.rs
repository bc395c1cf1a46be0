//! The directory: `data/ab/<id>` for what is whole, `tmp/` for what is not, `lock` against a second process.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{BlobError, BlobId};

/// What writers and a sweep must agree on.
#[derive(Default)]
pub(crate) struct Guarded {
    /// Blobs whose writer still waits for its row to be committed.
    pub(crate) pins: HashMap<BlobId, usize>,
    /// While a sweep runs: all that were pinned when it began or since.
    pub(crate) sweeping: Option<HashSet<BlobId>>,
}

pub(crate) struct Place {
    pub(crate) data: PathBuf,
    tmp: PathBuf,
    next: AtomicU64,
    pub(crate) guarded: Mutex<Guarded>,
    /// Directories `ab` whose own names are known to be durable: saves a sync per blob.
    durable: Mutex<HashSet<u8>>,
    /// Held for as long as the directory is open.
    _lock: File,
}

fn refused(what: &str, path: &Path) -> impl FnOnce(io::Error) -> BlobError {
    BlobError::io(format!("{what} `{}`", path.display()))
}

fn make_dir(path: &Path) -> Result<(), BlobError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(refused("make", path))?;
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(refused("protect", path))
}

/// Makes the names in a directory durable.
fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The mark of a directory in which blobs lie as they do now.
const FLAT: &str = "flat";

/// Brings blobs up that an earlier program put one directory deeper (`data/ab/cd/<id>`). What a crash interrupts goes on with the next start.
fn flatten(dir: &Path, data: &Path) -> Result<(), BlobError> {
    let mark = dir.join(FLAT);
    if mark.exists() {
        return Ok(());
    }
    let directories = |path: &Path| -> Result<Vec<PathBuf>, BlobError> {
        let entries: Vec<fs::DirEntry> = fs::read_dir(path).and_then(Iterator::collect).map_err(refused("read", path))?;
        Ok(entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
    };
    for shard in directories(data)? {
        for inner in directories(&shard)? {
            for entry in fs::read_dir(&inner).map_err(refused("read", &inner))? {
                let blob = entry.map_err(refused("read", &inner))?;
                fs::rename(blob.path(), shard.join(blob.file_name())).map_err(refused("move", &blob.path()))?;
            }
            sync_dir(&shard).map_err(refused("sync", &shard))?;
            fs::remove_dir(&inner).map_err(refused("remove", &inner))?;
        }
    }
    File::create(&mark).map(drop).map_err(refused("make", &mark))
}

impl Place {
    pub(crate) fn open(dir: &Path) -> Result<Self, BlobError> {
        make_dir(dir)?;
        let path = dir.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(refused("open", &path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                let why = "another process has it open: stop it first".to_owned();
                BlobError::Io { what: format!("lock `{}`", path.display()), why, full: false }
            }
            TryLockError::Error(error) => refused("lock", &path)(error),
        })?;
        let (data, tmp) = (dir.join("data"), dir.join("tmp"));
        make_dir(&data)?;
        make_dir(&tmp)?;
        for entry in fs::read_dir(&tmp).map_err(refused("read", &tmp))? {
            let path = entry.map_err(refused("read", &tmp))?.path();
            fs::remove_file(&path).map_err(refused("remove", &path))?;
        }
        flatten(dir, &data)?;
        sync_dir(dir).map_err(refused("sync", dir))?;
        Ok(Self { data, tmp, next: AtomicU64::new(0), guarded: Mutex::default(), durable: Mutex::default(), _lock: lock })
    }

    pub(crate) fn path(&self, id: &BlobId) -> PathBuf {
        let name = id.hex();
        self.data.join(&name[..2]).join(name)
    }

    /// A new file for what is not whole yet.
    pub(crate) fn temporary(&self) -> Result<(PathBuf, File), BlobError> {
        let path = self.tmp.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(refused("make", &path))?;
        Ok((path, file))
    }

    /// Moves a file that is synced to where its name says. The caller has pinned the id, so that no
    /// sweep can remove in between what is found here.
    pub(crate) fn keep(&self, temporary: &Path, id: &BlobId) -> Result<(), BlobError> {
        let path = self.path(id);
        let shard = path.parent().expect("the path of a blob has a directory");
        if path.try_exists().map_err(refused("look for", &path))? {
            fs::remove_file(temporary).map_err(refused("remove", temporary))?;
            // Whoever renamed it may not have synced the directory yet.
            return sync_dir(shard).map_err(refused("sync", shard));
        }
        self.make_shard(shard, id)?;
        fs::rename(temporary, &path).map_err(refused("name", &path))?;
        sync_dir(shard).map_err(refused("sync", shard))
    }

    /// Makes `data/ab`. What exists is synced all the same: whoever made it may not have come to that.
    fn make_shard(&self, shard: &Path, id: &BlobId) -> Result<(), BlobError> {
        let durable = || self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable().contains(&id.0[0]) {
            return Ok(());
        }
        match DirBuilder::new().mode(0o700).create(shard) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused("make", shard)(error)),
        }
        sync_dir(&self.data).map_err(refused("sync", &self.data))?;
        durable().insert(id.0[0]);
        Ok(())
    }

    pub(crate) fn pin(&self, id: BlobId) {
        let mut guarded = self.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        *guarded.pins.entry(id).or_default() += 1;
        if let Some(seen) = &mut guarded.sweeping {
            seen.insert(id);
        }
    }

    pub(crate) fn unpin(&self, id: BlobId) {
        let mut guarded = self.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = guarded.pins.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                guarded.pins.remove(&id);
            }
        }
    }
}

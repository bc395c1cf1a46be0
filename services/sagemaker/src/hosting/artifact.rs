//! Model data on this host: downloaded from S3 as the model's role and laid out as a container expects it.
//!
//! Archives are unpacked by the one type that does (`jobs::archive`), within a budget. What lies there belongs
//! to the account's user, and the container sees it read-only.

use std::{
    io,
    path::{Path, PathBuf},
};

use tenantry_compute::{files, uid_of};
use tenantry_core::Scope;
use tokio::fs;

use super::container::Source;
use crate::jobs::{
    archive,
    data::{Budget, Mover, TransferError},
    uri::{S3Uri, relative},
};

/// Bytes of a GiB.
const BYTES_PER_GIB: u64 = 1 << 30;

/// Puts a model's data into `dir`, which is made. `gib` bounds the download, and again what an archive unpacks to.
///
/// # Errors
/// What S3 says to the role; a hostile or broken archive; the disk.
pub(crate) async fn place(mover: &Mover, source: &Source, dir: &Path, gib: u64, scope: &Scope) -> Result<(), TransferError> {
    fs::create_dir_all(dir).await?;
    let budget = Budget::of_gib(gib);
    let uri = || S3Uri::parse(source.uri()).ok_or_else(|| io::Error::other("the model's data has no S3 URI"));
    match source {
        Source::None | Source::Many(_) => {}
        Source::Archive(_) => unpack(mover, &uri()?, dir, gib, &budget).await?,
        Source::Object(_) => {
            let uri = uri()?;
            let name = uri.key.rsplit('/').next().and_then(relative).ok_or_else(|| TransferError::UnsafeKey(uri.key.clone()))?;
            mover.fetch(&uri, &dir.join(name), &budget).await?;
        }
        Source::Prefix(_) => {
            let uri = uri()?;
            let objects = mover.list(&uri).await?;
            if objects.is_empty() {
                return Err(TransferError::Nothing(uri));
            }
            for object in objects {
                let place = uri.place(&object.key).map_err(|error| TransferError::UnsafeKey(error.0.to_owned()))?;
                let from = S3Uri { bucket: uri.bucket.clone(), key: object.key };
                mover.fetch(&from, &dir.join(place), &budget).await?;
            }
        }
    }
    give(dir, scope).await
}

/// Downloads an archive and unpacks it into `dir`.
///
/// # Errors
/// As [`place`].
pub(crate) async fn unpack(mover: &Mover, uri: &S3Uri, dir: &Path, gib: u64, budget: &Budget) -> Result<(), TransferError> {
    let packed = beside(dir);
    let fetched = mover.fetch(uri, &packed, budget).await;
    let unpacked = match fetched {
        Ok(()) => {
            let (packed, dir) = (packed.clone(), dir.to_owned());
            let work = move || archive::unpack(std::fs::File::open(packed)?, &dir, gib.saturating_mul(BYTES_PER_GIB));
            tokio::task::spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done).map_err(TransferError::from)
        }
        Err(error) => Err(error),
    };
    // Nothing is there where the download failed at once.
    drop(fs::remove_file(&packed).await);
    unpacked
}

fn beside(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".tar.gz");
    dir.with_file_name(name)
}

/// Gives a directory to the user that the account's sandboxes run as.
///
/// # Errors
/// The disk.
pub(crate) async fn give(dir: &Path, scope: &Scope) -> Result<(), TransferError> {
    let (dir, uid) = (dir.to_owned(), uid_of(scope));
    tokio::task::spawn_blocking(move || files::give_to(&dir, uid, uid)).await.map_err(io::Error::other)??;
    Ok(())
}

//! The two long parts of a job's life around the user's code: bringing its inputs, taking its outputs.
//!
//! Both can be begun again at any time: inputs go to directories that were made anew, uploads put the same
//! objects again.

use std::{
    collections::HashMap,
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::read::MultiGzDecoder;
use tenantry_compute::files;
use tokio::{sync::Mutex, task::JoinSet};

use super::{
    archive::{self, MAX_FILES},
    data::{Budget, Mover, TransferError},
    home::Home,
    plan::{Archive, Input, Output, Plan},
    uri::{S3Uri, relative},
};

/// Objects of one job that are downloaded at a time.
const PARALLEL: usize = 4;

/// Downloads all inputs to the hosts' directories.
///
/// # Errors
/// The first that failed.
pub(crate) async fn fetch(mover: &Mover, plan: &Plan, homes: &[Home]) -> Result<(), TransferError> {
    let budgets: Vec<_> = homes.iter().map(|_| Arc::new(Budget::of_gib(plan.volume_gib))).collect();
    for input in &plan.inputs {
        let objects = objects(mover, input).await?;
        if objects.is_empty() && !input.optional {
            return Err(TransferError::Nothing(input.uri.clone()));
        }
        let mut running = JoinSet::new();
        for (index, (object, place)) in objects.into_iter().enumerate() {
            if running.len() >= PARALLEL {
                joined(running.join_next().await)?;
            }
            let targets = homes.iter().zip(&budgets).enumerate().filter(|(host, _)| !input.sharded || index % homes.len() == *host);
            let targets: Vec<_> = targets.map(|(_, (home, budget))| (home.path(&input.dir.join(&place)), Arc::clone(budget))).collect();
            running.spawn(fetch_one(mover.clone(), object, targets, input.gzip));
        }
        while !running.is_empty() {
            joined(running.join_next().await)?;
        }
    }
    Ok(())
}

fn joined(ended: Option<Result<Result<(), TransferError>, tokio::task::JoinError>>) -> Result<(), TransferError> {
    match ended {
        None => Ok(()),
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(std::io::Error::other(error).into()),
    }
}

/// The objects of an input and where each belongs below its directory.
async fn objects(mover: &Mover, input: &Input) -> Result<Vec<(S3Uri, PathBuf)>, TransferError> {
    if input.manifest {
        return mover.manifest(&input.uri).await;
    }
    let listed = mover.list(&input.uri).await?;
    let place = |key: String| {
        let place = input.uri.place(&key).map_err(|unsafe_key| TransferError::UnsafeKey(unsafe_key.0.to_owned()))?;
        Ok((S3Uri { bucket: input.uri.bucket.clone(), key }, place))
    };
    listed.into_iter().map(|object| place(object.key)).collect()
}

/// Downloads an object to the first target and copies it to the others.
async fn fetch_one(mover: Mover, object: S3Uri, targets: Vec<(PathBuf, Arc<Budget>)>, gzip: bool) -> Result<(), TransferError> {
    let Some(((first, budget), others)) = targets.split_first() else { return Ok(()) };
    mover.fetch(&object, first, budget).await?;
    let (mut first, others, budget) = (first.clone(), others.to_vec(), Arc::clone(budget));
    let rest = move || {
        if gzip {
            first = decompress(&first, &budget)?;
        }
        let length = fs::metadata(&first)?.len();
        for (target, budget) in others {
            let target = first.file_name().map_or_else(|| target.clone(), |name| target.with_file_name(name));
            budget.take(length)?;
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::copy(&first, target)?;
        }
        Ok(())
    };
    tokio::task::spawn_blocking(rest).await.map_err(std::io::Error::other)?
}

/// Decompresses a file beside itself, without its `.gz`, and removes it.
fn decompress(path: &Path, budget: &Budget) -> Result<PathBuf, TransferError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let plain = name.strip_suffix(".gz").filter(|plain| relative(plain).is_some());
    let aside = path.with_file_name(format!(".{}.part", &name[..name.floor_char_boundary(200)]));
    let mut from = MultiGzDecoder::new(fs::File::open(path)?);
    let mut to = fs::File::options().write(true).create_new(true).open(&aside)?;
    let mut chunk = vec![0; 256 << 10];
    loop {
        let count = from.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        budget.take(count as u64)?;
        std::io::Write::write_all(&mut to, &chunk[..count])?;
    }
    fs::remove_file(path)?;
    let target = plain.map_or_else(|| path.to_owned(), |plain| path.with_file_name(plain));
    fs::rename(aside, &target)?;
    Ok(target)
}

/// What of the continuous outputs was uploaded already: host, output, path to length and time of change.
pub(crate) type Uploaded = Mutex<HashMap<(usize, usize, PathBuf), (u64, i64, i64)>>;

/// Uploads the files of outputs that are new or have changed since the last time; `only_continuous` leaves the others out.
///
/// # Errors
/// The first that failed.
pub(crate) async fn sync(
    mover: &Mover,
    outputs: &[Output],
    homes: &[Home],
    done: &Uploaded,
    only_continuous: bool,
) -> Result<(), TransferError> {
    // Held for the whole of it: no two of one job run at once.
    let mut done = done.lock().await;
    for (number, output) in outputs.iter().enumerate().filter(|(_, output)| output.continuous || !only_continuous) {
        for (host, home) in homes.iter().enumerate() {
            let dir = home.path(&output.dir);
            let walked = dir.clone();
            let found = tokio::task::spawn_blocking(move || files::walk(&walked, MAX_FILES)).await.map_err(std::io::Error::other)?;
            for entry in found? {
                let Some(path) = entry.path.to_str() else { return Err(TransferError::UnsafeKey(entry.path.display().to_string())) };
                // It may vanish while the job runs.
                let Ok(file) = files::open(&dir, &entry.path) else { continue };
                let metadata = file.metadata()?;
                let stamp = (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
                let key = (host, number, entry.path.clone());
                if done.get(&key) == Some(&stamp) {
                    continue;
                }
                mover.put(&output.uri.below(path), file, metadata.len()).await?;
                done.insert(key, stamp);
            }
        }
    }
    Ok(())
}

/// Packs a directory of all hosts and uploads it. `aside` is a directory of ours for the archive.
///
/// # Errors
/// The disk; S3.
pub(crate) async fn store_archive(mover: &Mover, archive: &Archive, homes: &[Home], aside: &Path) -> Result<(), TransferError> {
    let dirs: Vec<_> = homes.iter().map(|home| home.path(&archive.dir)).collect();
    let path = aside.join("upload.tar.gz");
    let packed = path.clone();
    let (file, count) = tokio::task::spawn_blocking(move || {
        let count = archive::pack(&dirs, fs::File::create(&packed)?)?;
        Ok::<_, std::io::Error>((fs::File::open(&packed)?, count))
    })
    .await
    .map_err(std::io::Error::other)??;
    if count > 0 || archive.even_empty {
        let length = file.metadata()?.len();
        mover.put(&archive.uri, file, length).await?;
    }
    fs::remove_file(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn decompressed_beside() {
        let dir = std::env::temp_dir().join(format!("tenantry-gunzip-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let write = |name: &str| {
            let mut encoder = flate2::write::GzEncoder::new(fs::File::create(dir.join(name)).unwrap(), flate2::Compression::fast());
            encoder.write_all(b"1,2,3").unwrap();
            encoder.finish().unwrap();
            dir.join(name)
        };
        let budget = Budget::of_gib(1);
        assert_eq!(decompress(&write("a.csv.gz"), &budget).unwrap(), dir.join("a.csv"));
        assert_eq!(decompress(&write("b"), &budget).unwrap(), dir.join("b"));
        let long = format!("a{}", "é".repeat(124));
        assert_eq!(decompress(&write(&long), &budget).unwrap(), dir.join(&long), "no character ends at the 200th byte");
        assert_eq!((fs::read(dir.join("a.csv")).unwrap(), fs::read(dir.join("b")).unwrap()), (b"1,2,3".to_vec(), b"1,2,3".to_vec()));
        fs::write(dir.join("c.gz"), "no gzip").unwrap();
        assert!(decompress(&dir.join("c.gz"), &budget).is_err());
        assert!(decompress(&write("d.gz"), &Budget::of_gib(0)).is_err(), "a bomb is stopped by the volume");
        fs::remove_dir_all(dir).unwrap();
    }
}

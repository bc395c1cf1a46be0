//! Data between S3 and directories of this host, as the role of a job.
//!
//! Every byte moves by an S3 operation through the kernel, so bucket policies, role policies and the audit
//! log see a job as they see anyone. Nothing is held in memory but a chunk; what a transfer may fill is a
//! [`Budget`]. Downloads go to directories that nobody else writes yet, uploads read files that were opened
//! without following links (`files` of the compute crate).
//!
//! It does not retry: S3 is in this process, an error is an answer.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tenantry_core::{AwsError, Region};
use tenantry_kernel::{Body, Caller, Kernel, channel, collect};
use tokio::io::AsyncWriteExt;

use super::uri::S3Uri;

/// More objects under one prefix than this are refused: their names alone would fill memory.
const MAX_OBJECTS: usize = 200_000;
/// Longer manifests are refused.
const MAX_MANIFEST: usize = 16 << 20;
/// Read from a file at once.
const CHUNK: usize = 256 << 10;
/// A source that gives nothing for so long has failed.
const STALL: Duration = Duration::from_secs(120);
/// Larger files are uploaded in parts: AWS takes no more in one PutObject.
const MAX_PUT: u64 = 5 << 30;
/// Length of such a part.
const PART: u64 = 512 << 20;

/// Moves data as one caller.
#[derive(Clone)]
pub(crate) struct Mover {
    kernel: Kernel,
    caller: Caller,
    region: Region,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its key.
    pub key: String,
    /// In bytes.
    pub size: u64,
}

/// How many bytes may still be written: the volume of an instance.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicU64,
    gib: u64,
}

impl Budget {
    /// Of a volume of so many GiB.
    pub fn of_gib(gib: u64) -> Self {
        Self { left: AtomicU64::new(gib.saturating_mul(1 << 30)), gib }
    }

    /// Takes bytes before they are written.
    ///
    /// # Errors
    /// [`TransferError::Full`].
    pub fn take(&self, bytes: u64) -> Result<(), TransferError> {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(|_| ()).map_err(|_| TransferError::Full { gib: self.gib })
    }
}

/// Why data was not moved. The text goes to the job's owner.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    /// S3's answer.
    #[error("{}: {}", .error.code, .error.message)]
    Refused {
        /// Where.
        at: S3Uri,
        /// What it said.
        error: Box<AwsError>,
    },
    /// Nothing there.
    #[error("no objects under {0}")]
    Nothing(S3Uri),
    /// A key that cannot be a file.
    #[error("object key `{0}` cannot be the name of a file")]
    UnsafeKey(String),
    /// Two objects for one file.
    #[error("cannot download {0}: a previously downloaded file or folder clashes with it")]
    Clash(S3Uri),
    /// The volume.
    #[error("no space left on the volume of {gib} GB: use a larger VolumeSizeInGB")]
    Full {
        /// Its size.
        gib: u64,
    },
    /// The manifest.
    #[error("{0} is not a manifest: {1}")]
    Manifest(S3Uri, String),
    /// This host's disk, or a stream that ended early.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Mover {
    /// As `caller`, in `region`.
    pub fn new(kernel: Kernel, caller: Caller, region: Region) -> Self {
        Self { kernel, caller, region }
    }

    async fn call(&self, at: &S3Uri, operation: &str, input: Value, body: Option<Body>) -> Result<tenantry_kernel::Reply, TransferError> {
        let called = self.kernel.call_with(&self.caller, &self.region, "s3", operation, input, body).await;
        called.map_err(|error| TransferError::Refused { at: at.clone(), error: Box::new(error) })
    }

    /// Every object whose key begins with the URI's, in the order of keys, without folder markers.
    ///
    /// # Errors
    /// What S3 says; when there are too many.
    pub async fn list(&self, at: &S3Uri) -> Result<Vec<Object>, TransferError> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut input = json!({"Bucket": at.bucket, "Prefix": at.key});
            if let Some(token) = &token {
                input["ContinuationToken"] = json!(token);
            }
            let output = self.call(at, "ListObjectsV2", input, None).await?.output;
            for object in output["Contents"].as_array().into_iter().flatten() {
                let (Some(key), size) = (object["Key"].as_str(), object["Size"].as_u64().unwrap_or(0)) else { continue };
                if !key.ends_with('/') {
                    found.push(Object { key: key.to_owned(), size });
                }
            }
            if found.len() > MAX_OBJECTS {
                return Err(io::Error::other(format!("more than {MAX_OBJECTS} objects under {at}: name a longer prefix")).into());
            }
            token = output["NextContinuationToken"].as_str().map(str::to_owned);
            if token.is_none() || output["IsTruncated"] != json!(true) {
                return Ok(found);
            }
        }
    }

    /// An object's bytes.
    ///
    /// # Errors
    /// What S3 says.
    pub async fn open(&self, at: &S3Uri) -> Result<Body, TransferError> {
        let reply = self.call(at, "GetObject", json!({"Bucket": at.bucket, "Key": at.key}), None).await?;
        Ok(reply.body.unwrap_or_else(tenantry_kernel::empty))
    }

    /// A small object, whole.
    ///
    /// # Errors
    /// What S3 says; when it is longer than `limit` bytes.
    pub async fn read(&self, at: &S3Uri, limit: usize) -> Result<Bytes, TransferError> {
        let read = tokio::time::timeout(STALL, collect(self.open(at).await?, limit)).await.map_err(|_| stalled())??;
        read.ok_or_else(|| io::Error::other(format!("{at} is longer than {limit} bytes")).into())
    }

    /// An object as a new file; directories on the way are made.
    ///
    /// # Errors
    /// What S3 says; [`TransferError::Clash`] when there is something of that name; the disk.
    pub async fn fetch(&self, at: &S3Uri, to: &Path, budget: &Budget) -> Result<(), TransferError> {
        let clash = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => TransferError::Clash(at.clone()),
            _ => error.into(),
        };
        if let Some(parent) = to.parent() {
            tokio::fs::create_dir_all(parent).await.map_err(clash)?;
        }
        let mut file = tokio::fs::File::options().write(true).create_new(true).open(to).await.map_err(clash)?;
        let mut body = self.open(at).await?;
        while let Some(frame) = tokio::time::timeout(STALL, body.frame()).await.map_err(|_| stalled())? {
            let Ok(data) = frame?.into_data() else { continue };
            budget.take(data.len() as u64)?;
            file.write_all(&data).await?;
        }
        file.flush().await?;
        Ok(())
    }

    /// A file as an object, read up to `length` bytes from its beginning. The file may grow meanwhile; if it shrinks the upload fails.
    ///
    /// # Errors
    /// What S3 says; the disk.
    pub async fn put(&self, at: &S3Uri, file: File, length: u64) -> Result<(), TransferError> {
        if length > MAX_PUT {
            return self.put_parts(at, file, length, PART).await;
        }
        let input = json!({"Bucket": at.bucket, "Key": at.key, "ContentLength": length});
        self.call(at, "PutObject", input, Some(stream(file, 0, length))).await?;
        Ok(())
    }

    /// The same in parts of so many bytes, by a multipart upload that is taken back when it fails.
    ///
    /// # Errors
    /// What S3 says; the disk.
    pub(super) async fn put_parts(&self, at: &S3Uri, file: File, length: u64, part_length: u64) -> Result<(), TransferError> {
        let named = json!({"Bucket": at.bucket, "Key": at.key});
        let with = |more: Value| {
            let mut input = named.clone();
            input.as_object_mut().into_iter().for_each(|input| input.extend(more.as_object().cloned().unwrap_or_default()));
            input
        };
        let made = self.call(at, "CreateMultipartUpload", named.clone(), None).await?.output;
        let upload = made["UploadId"].clone();
        let parts = async {
            let mut parts = Vec::new();
            for number in 0..length.div_ceil(part_length) {
                let part = part_length.min(length - number * part_length);
                let input = with(json!({"UploadId": upload, "PartNumber": number + 1, "ContentLength": part}));
                let put = self.call(at, "UploadPart", input, Some(stream(file.try_clone()?, number * part_length, part))).await?;
                parts.push(json!({"PartNumber": number + 1, "ETag": put.output["ETag"]}));
            }
            Ok::<_, TransferError>(parts)
        };
        let completed = match parts.await {
            Ok(parts) => self
                .call(at, "CompleteMultipartUpload", with(json!({"UploadId": upload, "MultipartUpload": {"Parts": parts}})), None)
                .await
                .map(drop),
            Err(error) => Err(error),
        };
        if completed.is_err() {
            // The first error is the one to report.
            drop(self.call(at, "AbortMultipartUpload", with(json!({"UploadId": upload})), None).await);
        }
        completed
    }

    /// The objects that a manifest names, and where each belongs below its channel.
    ///
    /// # Errors
    /// What S3 says; [`TransferError::Manifest`].
    pub async fn manifest(&self, at: &S3Uri) -> Result<Vec<(S3Uri, PathBuf)>, TransferError> {
        let text = self.read(at, MAX_MANIFEST).await?;
        read_manifest(&text).map_err(|reason| TransferError::Manifest(at.clone(), reason))
    }
}

fn stalled() -> TransferError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

/// `[{"prefix": "s3://bucket/p/"}, "relative/key", …]`; without a prefix the entries are whole URIs ("S3DataSource", SageMaker API Reference).
fn read_manifest(text: &[u8]) -> Result<Vec<(S3Uri, PathBuf)>, String> {
    let entries: Vec<Value> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let (prefix, entries) = match entries.split_first() {
        Some((Value::Object(first), rest)) => (first.get("prefix").and_then(Value::as_str).ok_or("the first entry has no prefix")?, rest),
        _ => ("", &entries[..]),
    };
    let each = |entry: &Value| {
        let entry = entry.as_str().ok_or("an entry is not text")?;
        let uri = S3Uri::parse(&format!("{prefix}{entry}")).ok_or_else(|| format!("`{prefix}{entry}` is not an s3 uri"))?;
        let path = if prefix.is_empty() { uri.key.as_str() } else { entry };
        let place = super::uri::relative(path).ok_or_else(|| format!("`{entry}` cannot be the name of a file"))?;
        Ok((uri, place))
    };
    entries.iter().map(each).collect()
}

/// A part of a file as a body of known length.
fn stream(file: File, from: u64, length: u64) -> Body {
    let (sender, body) = channel(Some(length));
    tokio::task::spawn_blocking(move || {
        let mut at = from;
        let end = from + length;
        while at < end {
            let mut chunk = vec![0; CHUNK.min(usize::try_from(end - at).unwrap_or(CHUNK))];
            let read = match file.read_at(&mut chunk, at) {
                Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was uploaded")),
                Ok(count) => {
                    chunk.truncate(count);
                    at += count as u64;
                    Ok(Bytes::from(chunk))
                }
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            // A receiver that went away has answered already.
            if sender.blocking_send(read).is_err() || failed {
                return;
            }
        }
    });
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests() {
        let read = |text: &str| read_manifest(text.as_bytes());
        let found = read(r#"[{"prefix": "s3://bucket/p/"}, "a.csv", "b/c.csv"]"#).unwrap();
        assert_eq!(
            found.iter().map(|(uri, path)| format!("{uri} {}", path.display())).collect::<Vec<_>>(),
            ["s3://bucket/p/a.csv a.csv", "s3://bucket/p/b/c.csv b/c.csv"]
        );
        assert_eq!(read(r#"["s3://bucket/p/a.csv"]"#).unwrap()[0].1, Path::new("p/a.csv"));
        for wrong in ["", "{}", r#"[{"x": 1}]"#, "[1]", r#"[{"prefix": "s3://bucket/"}, "../x"]"#, r#"["/etc/passwd"]"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn budgets() {
        let budget = Budget::of_gib(1);
        budget.take(1 << 30).unwrap();
        assert!(matches!(budget.take(1), Err(TransferError::Full { gib: 1 })));
    }

    #[tokio::test]
    async fn files_as_bodies() {
        let path = std::env::temp_dir().join(format!("tenantry-stream-{}", std::process::id()));
        std::fs::write(&path, vec![7; CHUNK + 10]).unwrap();
        let open = || File::open(&path).unwrap();
        let all = collect(stream(open(), 0, (CHUNK + 10) as u64), 1 << 20).await.unwrap().unwrap();
        assert_eq!(all.len(), CHUNK + 10);
        assert_eq!(collect(stream(open(), 5, 3), 10).await.unwrap().unwrap(), &[7, 7, 7][..]);
        assert!(collect(stream(open(), 0, (CHUNK + 11) as u64), 1 << 20).await.is_err(), "a file that is too short");
        std::fs::remove_file(path).unwrap();
    }
}

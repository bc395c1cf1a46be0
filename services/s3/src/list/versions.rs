//! ListObjectVersions: current versions and all others, merged by key and newest first.

use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_core::Result;
use tenantry_kernel::{Checks, Cx, Permit, Reply};

use super::{cursor::Cursor, encoded, page, rolled, wants_url};
use crate::{
    bucket::Bucket,
    error, names,
    object::version::{self, OBJECT, VERSION, Version, object_id},
    operation::operation,
};

operation!(ListObjectVersions: "s3:ListBucketVersions" on ["bucket"] + ["s3:delimiter", "s3:max-keys", "s3:prefix"], Input, resolve, list);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Input {
    bucket: String,
    prefix: Option<String>,
    delimiter: Option<String>,
    max_keys: Option<i64>,
    encoding_type: Option<String>,
    key_marker: Option<String>,
    version_id_marker: Option<String>,
    expected_bucket_owner: Option<String>,
}

async fn resolve(cx: &Cx, input: &Input) -> Result<Checks> {
    let bucket = Bucket::named(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let check = bucket
        .check(cx, "s3:ListBucketVersions", None)
        .key_if("s3:prefix", input.prefix.as_deref())
        .key_if("s3:delimiter", input.delimiter.as_deref())
        .key_if("s3:max-keys", input.max_keys.map(|keys| keys.to_string()));
    Ok(check.into())
}

/// A line of the listing.
enum Entry {
    Version { key: String, version: Box<Version>, latest: bool },
    Prefix(String),
}

/// Two cursors that go through the same keys.
struct Walk<'a> {
    bucket: &'a Bucket,
    current: Cursor<'a>,
    others: Cursor<'a>,
    /// The last key whose latest version was given out or passed.
    last_key: Option<String>,
}

impl<'a> Walk<'a> {
    fn new(cx: &'a Cx, bucket: &'a Bucket, prefix: &str) -> Self {
        let cursor = |kind| Cursor::new(cx.kernel.store(), kind, bucket.scope(), object_id(&bucket.name, prefix));
        Self { bucket, current: cursor(OBJECT), others: cursor(VERSION), last_key: None }
    }

    /// Goes behind a marker: behind all versions of a key, or behind one of them.
    async fn skip(&mut self, cx: &Cx, key: &str, id: Option<&str>) -> Result<()> {
        let row = object_id(&self.bucket.name, key);
        let Some(id) = id else {
            self.current.after(row.clone());
            // All versions of the key lie between NUL and the character behind it.
            self.others.seek(format!("{row}\u{1}"));
            return Ok(());
        };
        self.last_key = Some(key.to_owned());
        let current = version::current(&cx.kernel, self.bucket, key).await?;
        self.current.after(row.clone());
        match version::by_id(&cx.kernel, self.bucket, key, id).await? {
            // Behind the current one come all others of the key.
            Some(found) if found.is_current() => self.others.seek(format!("{row}\0")),
            Some(found) => self.others.after(found.row.id),
            // It is gone meanwhile: its id still says where it was.
            None if id == version::NULL && current.is_none() => self.others.seek(format!("{row}\u{1}")),
            None => self.others.after(format!("{row}\0{id}")),
        }
        Ok(())
    }

    /// The key that comes next, and whether its current version does.
    async fn next(&mut self) -> Result<Option<(String, bool)>> {
        let start = self.bucket.name.len() + 1;
        let key = |id: &str| id.get(start..).unwrap_or_default().split('\0').next().unwrap_or_default().to_owned();
        let current = self.current.peek().await?.map(|row| key(&row.id));
        let other = self.others.peek().await?.map(|row| key(&row.id));
        Ok(match (current, other) {
            (None, None) => None,
            (Some(current), None) => Some((current, true)),
            (None, Some(other)) => Some((other, false)),
            (Some(current), Some(other)) if current <= other => Some((current, true)),
            (Some(_), Some(other)) => Some((other, false)),
        })
    }

    fn take(&mut self, key: String, current: bool) -> Result<Option<Entry>> {
        let row = if current { self.current.take() } else { self.others.take() };
        let Some(row) = row else { return Ok(None) };
        let latest = self.last_key.as_deref() != Some(&key);
        self.last_key = Some(key.clone());
        Ok(Some(Entry::Version { key, version: Box::new(row.body()?), latest }))
    }

    /// Past everything under a common prefix.
    fn jump(&mut self, common: &str) {
        match names::after_all_of(common) {
            Some(next) => {
                self.current.seek(object_id(&self.bucket.name, &next));
                self.others.seek(object_id(&self.bucket.name, &next));
            }
            None => {
                self.current.end();
                self.others.end();
            }
        }
    }
}

async fn list(cx: &Cx, permit: Permit<ListObjectVersions>, input: Input) -> Result<Reply> {
    let bucket = Bucket::permitted(cx, &permit, &input.bucket).await?;
    let most = page(input.max_keys, "max-keys")?;
    let prefix = input.prefix.as_deref().unwrap_or_default();
    let delimiter = input.delimiter.as_deref().filter(|text| !text.is_empty());
    let key_marker = input.key_marker.as_deref().filter(|text| !text.is_empty());
    let id_marker = input.version_id_marker.as_deref().filter(|text| !text.is_empty());
    let mut walk = Walk::new(cx, &bucket, prefix);
    match key_marker {
        Some(key) => match rolled(key, prefix, delimiter).filter(|common| *common == key && key.starts_with(prefix)) {
            Some(common) => walk.jump(common),
            None => walk.skip(cx, key, id_marker).await?,
        },
        None if id_marker.is_some() => {
            return Err(error::argument("A version-id marker cannot be specified without a key marker.", "version-id-marker", ""));
        }
        None => {}
    }
    let (mut entries, mut more) = (Vec::new(), false);
    while let Some((key, current)) = walk.next().await? {
        if entries.len() == most {
            // A page of nothing is a question about nothing.
            more = most > 0;
            break;
        }
        match rolled(&key, prefix, delimiter) {
            Some(common) => {
                let common = common.to_owned();
                walk.jump(&common);
                entries.push(Entry::Prefix(common));
            }
            None => entries.extend(walk.take(key, current)?),
        }
    }
    let url = wants_url(input.encoding_type.as_deref())?;
    let mut output = render(&bucket, &entries, url);
    output["Name"] = bucket.name.as_str().into();
    output["Prefix"] = encoded(prefix, url).into();
    output["KeyMarker"] = encoded(key_marker.unwrap_or_default(), url).into();
    output["VersionIdMarker"] = id_marker.unwrap_or_default().into();
    output["MaxKeys"] = most.into();
    output["IsTruncated"] = more.into();
    if let Some(delimiter) = delimiter {
        output["Delimiter"] = encoded(delimiter, url).into();
    }
    if url {
        output["EncodingType"] = "url".into();
    }
    match entries.last().filter(|_| more) {
        Some(Entry::Prefix(common)) => output["NextKeyMarker"] = encoded(common, url).into(),
        Some(Entry::Version { key, version, .. }) => {
            output["NextKeyMarker"] = encoded(key, url).into();
            output["NextVersionIdMarker"] = version.id.as_str().into();
        }
        None => {}
    }
    Ok(Reply::new(output))
}

fn render(bucket: &Bucket, entries: &[Entry], url: bool) -> Value {
    let (mut versions, mut markers, mut prefixes) = (Vec::new(), Vec::new(), Vec::new());
    let owner = names::owner(&bucket.owner);
    for entry in entries {
        match entry {
            Entry::Prefix(common) => prefixes.push(json!({"Prefix": encoded(common, url)})),
            Entry::Version { key, version, latest } => {
                let mut one = json!({
                    "Key": encoded(key, url),
                    "VersionId": version.id,
                    "IsLatest": latest,
                    "LastModified": version.modified,
                    "Owner": owner,
                });
                if version.marker {
                    markers.push(one);
                    continue;
                }
                one["ETag"] = version.quoted_etag().into();
                one["Size"] = version.size.into();
                one["StorageClass"] = "STANDARD".into();
                if let Some(checksum) = &version.checksum {
                    one["ChecksumAlgorithm"] = json!([checksum.algorithm.name()]);
                    one["ChecksumType"] = checksum.kind().into();
                }
                versions.push(one);
            }
        }
    }
    let mut output = json!({});
    for (member, list) in [("Versions", versions), ("DeleteMarkers", markers), ("CommonPrefixes", prefixes)] {
        if !list.is_empty() {
            output[member] = list.into();
        }
    }
    output
}

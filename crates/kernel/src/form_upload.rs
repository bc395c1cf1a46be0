//! A browser's upload: `POST` of a form to a bucket, whose signature lies under a policy among the fields (AWS pages
//! "Browser-based uploads using POST" and "POST Object").
//!
//! The form becomes the input of `PutObject` and goes the way of every other request from there on: this module reads the
//! fields, has the policy's signature verified and its conditions judged ([`crate::form_policy`]), and words the answer. The
//! file is never held: what follows the fields streams to the handler.

use std::{collections::BTreeMap, io};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tenantry_core::{AwsError, Result};
use tenantry_wire::{Operation as Shape, Service};

use crate::{
    authenticate::Proof,
    body::{self, Body},
    door::{Admitted, Head},
    form_policy,
    kernel::Kernel,
    operation::Reply,
};

/// What the fields before the file may have together.
const MAX_FIELDS: usize = 20 * 1024;
/// What may follow the file and is read for the connection's sake.
const MAX_REST: usize = 64 * 1024;
/// Headers of `PutObject` that are fields by their own names; the others begin with `x-amz-`.
const HEADERS: [&str; 6] = ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"];

/// Fields by their lower-cased names, and the bytes behind them.
struct Form {
    fields: BTreeMap<String, String>,
    file: Reader,
}

impl Form {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

/// Whether a request is such a form, so far as its head says.
pub(crate) fn is_form(head: &Head, bucket: Option<&str>, key: Option<&str>) -> bool {
    let kind = head.header("content-type").unwrap_or_default().trim_start();
    let multipart = kind.get(..19).is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/form-data"));
    head.method == "POST" && bucket.is_some() && key.is_none() && head.query.is_empty() && multipart
}

fn malformed() -> AwsError {
    AwsError::new(400, "MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data.")
}

fn argument(name: &str) -> AwsError {
    let text = format!("Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields.");
    AwsError::new(400, "InvalidArgument", text).with("ArgumentName", name.to_owned())
}

impl Kernel {
    /// Answers such a form.
    pub(crate) async fn upload_form(
        &self,
        head: &Head,
        service: &'static Service,
        bucket: String,
        body: Body,
    ) -> Result<(&'static Shape, Reply)> {
        let unknown = || crate::door::unknown_operation(&service.name, "PutObject");
        let shape = service.operation("PutObject").ok_or_else(unknown)?;
        let row = *self.operation(&service.name, "PutObject").ok_or_else(unknown)?;
        let form = read(head, body).await?;
        let now = self.now();
        let key = form.field("key").filter(|key| !key.is_empty()).ok_or_else(|| argument("key"))?.to_owned();
        let proof = Proof::read(&form.fields)?;
        let (caller, region, signed) = self.authenticate_form(head, service, &row.access(), proof.as_ref(), now).await?;
        // A policy counts only under a signature; without one the bucket's own policy decides about strangers.
        let (least, most) = match &proof {
            Some(proof) => form_policy::judge(proof.policy, &form.fields, &bucket, now)?,
            None => (0, u64::MAX),
        };
        let after = After::read(&form, head, &bucket, &key)?;
        let headers = headers(service, head, &form)?;
        let admitted = Admitted {
            method: "PUT",
            labels: vec![("Bucket".to_owned(), bucket), ("Key".to_owned(), key)],
            query: Vec::new(),
            headers,
            document: Bytes::new(),
            stream: Some(form.file.file(least, most)),
            caller,
            region,
            signed,
            time: now,
        };
        let reply = self.perform_admitted(head, row, shape, admitted).await?;
        Ok((shape, after.word(reply)))
    }
}

/// The fields that are headers of `PutObject`, and of the request's own the length.
fn headers(service: &Service, head: &Head, form: &Form) -> Result<Vec<(String, String)>> {
    const OWN: [&str; 6] =
        ["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-security-token", "x-amz-content-sha256"];
    let mut out: Vec<(String, String)> = Vec::new();
    out.extend(head.header("content-length").map(|length| ("content-length".to_owned(), length.to_owned())));
    for (name, value) in &form.fields {
        let header = match name.as_str() {
            "acl" => "x-amz-acl",
            "tagging" => {
                out.push(("x-amz-tagging".to_owned(), tagging(service, value)?));
                continue;
            }
            name if OWN.contains(&name) => continue,
            name if HEADERS.contains(&name) || name.starts_with("x-amz-") => name,
            _ => continue,
        };
        if value.contains(|c: char| c.is_control() && c != '\t') {
            return Err(AwsError::new(400, "InvalidArgument", format!("The field '{name}' holds a control character.")));
        }
        out.push((header.to_owned(), value.clone()));
    }
    Ok(out)
}

/// The field `tagging` is an XML document; the header has a query.
fn tagging(service: &Service, document: &str) -> Result<String> {
    let invalid =
        || AwsError::new(400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema");
    let shape = service.operation("PutObjectTagging").ok_or_else(invalid)?;
    let labels = ["Bucket", "Key"].map(|name| (name.to_owned(), "x".to_owned()));
    let parts = tenantry_wire::RequestParts { method: "PUT", labels: &labels, query: &[], headers: &[], body: document.as_bytes() };
    let input = tenantry_wire::decode(shape, &parts)?;
    let tags = input.pointer("/Tagging/TagSet").and_then(serde_json::Value::as_array).ok_or_else(invalid)?;
    let pairs: Vec<String> = tags
        .iter()
        .map(|tag| Some(format!("{}={}", encode(tag["Key"].as_str()?), encode(tag["Value"].as_str()?))))
        .collect::<Option<_>>()
        .ok_or_else(invalid)?;
    Ok(pairs.join("&"))
}

/// How the answer is worded once the object is there.
struct After {
    status: u16,
    redirect: Option<String>,
    location: String,
    bucket: String,
    key: String,
}

impl After {
    fn read(form: &Form, head: &Head, bucket: &str, key: &str) -> Result<Self> {
        // A target that is no address of the web is left out, as S3 does.
        let web =
            |url: &&str| (url.starts_with("https://") || url.starts_with("http://")) && !url.contains(|c: char| c.is_control() || c == ' ');
        let redirect = form.field("success_action_redirect").or_else(|| form.field("redirect")).filter(web).map(str::to_owned);
        let status = match form.field("success_action_status") {
            Some("200") => 200,
            Some("201") => 201,
            _ => 204,
        };
        let scheme = if head.arrival.secure { "https" } else { "http" };
        let place = if head.address.bucket.is_some() { String::new() } else { format!("/{bucket}") };
        let location = format!("{scheme}://{}{place}/{}", head.host, encode(key));
        Ok(Self { status, redirect, location, bucket: bucket.to_owned(), key: key.to_owned() })
    }

    fn word(self, mut reply: Reply) -> Reply {
        let etag = reply.output.get("ETag").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        if let Some(to) = self.redirect {
            let mark = if to.contains('?') { '&' } else { '?' };
            let place = format!("{to}{mark}bucket={}&key={}&etag={}", encode(&self.bucket), encode(&self.key), encode(&etag));
            reply.status = 303;
            reply.headers.push(("Location".to_owned(), place));
            return reply;
        }
        reply.status = self.status;
        if self.status == 201 {
            let xml = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>{}</Location><Bucket>{}</Bucket><Key>{}</Key><ETag>{}</ETag></PostResponse>",
                escape(&self.location),
                escape(&self.bucket),
                escape(&self.key),
                escape(&etag)
            );
            reply.headers.push(("Content-Type".to_owned(), "application/xml".to_owned()));
            reply.body = Some(body::full(xml));
        }
        reply.headers.push(("Location".to_owned(), self.location));
        reply
    }
}

/// Percent-encodes all but the unreserved characters.
fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Reads the fields up to the file's first byte.
async fn read(head: &Head, body: Body) -> Result<Form> {
    let boundary = head.header("content-type").and_then(|kind| parameter(kind, "boundary")).unwrap_or_default();
    if boundary.is_empty() || boundary.len() > 70 || !boundary.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Err(malformed());
    }
    let mut reader = Reader { body, held: BytesMut::from(&b"\r\n"[..]), mark: format!("\r\n--{boundary}").into_bytes() };
    let (mut fields, mut left) = (BTreeMap::new(), MAX_FIELDS);
    if !reader.until_mark(&mut left).await?.is_empty() {
        return Err(malformed());
    }
    loop {
        let head = reader.until(b"\r\n\r\n", &mut left).await?;
        let head = std::str::from_utf8(&head).map_err(|_| malformed())?.strip_prefix("\r\n").ok_or_else(|| argument("file"))?;
        let disposition = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"))
            .map(|(_, value)| value)
            .ok_or_else(malformed)?;
        let name = parameter(disposition, "name").ok_or_else(malformed)?.to_ascii_lowercase();
        if name == "file" {
            let filename = parameter(disposition, "filename").unwrap_or_default();
            let filename = filename.rsplit(['/', '\\']).next().unwrap_or_default();
            for value in fields.values_mut() {
                expand(value, filename)?;
            }
            return Ok(Form { fields, file: reader });
        }
        let value = reader.until_mark(&mut left).await?;
        let value = String::from_utf8(value.to_vec()).map_err(|_| malformed())?;
        if fields.contains_key(&name) {
            let text = format!("POST requires exactly one '{}' field per request.", name.chars().take(64).collect::<String>());
            return Err(AwsError::new(400, "InvalidArgument", text));
        }
        fields.insert(name, value);
    }
}

/// `${filename}`, in all fields, before the policy is judged.
fn expand(value: &mut String, filename: &str) -> Result<()> {
    if value.contains("${filename}") {
        *value = value.replace("${filename}", filename);
        if value.len() > MAX_FIELDS {
            return Err(too_much());
        }
    }
    Ok(())
}

fn too_much() -> AwsError {
    let text = "Your POST request fields preceding the upload file were too large.";
    AwsError::new(400, "MaxPostPreDataLengthExceeded", text).with("MaxPostPreDataLengthBytes", MAX_FIELDS.to_string())
}

/// A parameter of a header's value, with or without quotes.
fn parameter(value: &str, name: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (found, after) = rest.split_once('=')?;
        let found = found.trim();
        let (text, next) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let mut text = String::new();
                let mut chars = quoted.char_indices();
                let end = loop {
                    match chars.next()? {
                        (at, '"') => break at,
                        (_, '\\') if quoted.contains("\\\"") => text.push(chars.next()?.1),
                        (_, other) => text.push(other),
                    }
                };
                (text, quoted[end + 1..].split_once(';').map(|(_, next)| next))
            }
            None => match after.split_once(';') {
                Some((text, next)) => (text.trim().to_owned(), Some(next)),
                None => (after.trim().to_owned(), None),
            },
        };
        if found.eq_ignore_ascii_case(name) {
            return Some(text);
        }
        rest = next?;
    }
}

/// The body from where it was read to.
struct Reader {
    body: Body,
    held: BytesMut,
    /// The line break and the boundary's line that end a part.
    mark: Vec<u8>,
}

impl Reader {
    /// Takes one more frame; `false` at the end.
    async fn more(&mut self) -> io::Result<bool> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame?.into_data()
                && !data.is_empty()
            {
                self.held.extend_from_slice(&data);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What comes before `mark`, which is taken too; of all of it not more than `left` bytes.
    async fn until(&mut self, mark: &[u8], left: &mut usize) -> Result<Bytes> {
        let mut seen = 0;
        loop {
            if let Some(at) = find(&self.held, mark, seen) {
                *left = left.checked_sub(at).ok_or_else(too_much)?;
                let value = self.held.split_to(at).freeze();
                let _mark = self.held.split_to(mark.len());
                return Ok(value);
            }
            seen = self.held.len().saturating_sub(mark.len());
            if seen > *left {
                return Err(too_much());
            }
            if !self.more().await.map_err(|_| malformed())? {
                return Err(malformed());
            }
        }
    }

    async fn until_mark(&mut self, left: &mut usize) -> Result<Bytes> {
        let mark = std::mem::take(&mut self.mark);
        let value = self.until(&mark, left).await;
        self.mark = mark;
        value
    }

    /// The file's bytes, which fail at their end unless there are from `least` to `most` of them and the form is whole.
    fn file(mut self, least: u64, most: u64) -> Body {
        let (sender, out) = body::channel(None);
        tokio::spawn(async move {
            let mut size = 0u64;
            loop {
                let found = find(&self.held, &self.mark, 0);
                let ready = found.unwrap_or_else(|| self.held.len().saturating_sub(self.mark.len() - 1));
                size += ready as u64;
                if size > most || (found.is_some() && size < least) {
                    let _gone = sender.send(Err(io::Error::other(form_policy::wrong_size(size, least, most)))).await;
                    return;
                }
                let data = self.held.split_to(ready).freeze();
                if !data.is_empty() && sender.send(Ok(data)).await.is_err() {
                    return;
                }
                if found.is_some() {
                    break;
                }
                match self.more().await {
                    Ok(true) => {}
                    Ok(false) => {
                        let _gone = sender.send(Err(io::Error::other(malformed()))).await;
                        return;
                    }
                    Err(error) => {
                        let _gone = sender.send(Err(error)).await;
                        return;
                    }
                }
            }
            // Fields behind the file count for nothing.
            let mut rest = 0;
            while let Some(Ok(frame)) = self.body.frame().await {
                rest += frame.data_ref().map_or(0, Bytes::len);
                if rest > MAX_REST {
                    return;
                }
            }
        });
        out
    }
}

/// Where `mark` begins, at or behind `from`.
fn find(held: &[u8], mark: &[u8], from: usize) -> Option<usize> {
    held.get(from..)?.windows(mark.len()).position(|window| window == mark).map(|at| at + from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let value = r#" form-data; name="a;b"; filename="C:\x\"y.txt"; other=1"#;
        assert_eq!(parameter(value, "name").as_deref(), Some("a;b"));
        assert_eq!(parameter(value, "other").as_deref(), Some("1"));
        assert_eq!(parameter("multipart/form-data; Boundary=xyz", "boundary").as_deref(), Some("xyz"));
        assert_eq!(parameter("form-data; name=\"open", "name"), None);
        assert_eq!(parameter("form-data", "name"), None);
    }

    async fn file(pieces: &[&'static str], least: u64, most: u64) -> io::Result<String> {
        let (sender, body) = body::channel(None);
        for piece in pieces {
            sender.try_send(Ok(Bytes::from_static(piece.as_bytes()))).unwrap();
        }
        drop(sender);
        let reader = Reader { body, held: BytesMut::new(), mark: b"\r\n--b".to_vec() };
        let mut file = reader.file(least, most);
        let mut out = Vec::new();
        while let Some(frame) = file.frame().await {
            out.extend_from_slice(&frame?.into_data().unwrap());
        }
        Ok(String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn files() {
        assert_eq!(file(&["he\r", "\n-", "-a\r\n", "--b--\r\n"], 0, 100).await.unwrap(), "he\r\n--a");
        assert_eq!(file(&["\r\n--b--"], 0, 0).await.unwrap(), "");
        assert!(file(&["hello"], 0, 100).await.is_err(), "a form without an end");
        assert!(file(&["hello\r\n--b"], 0, 4).await.is_err());
        assert!(file(&["hello\r\n--b"], 6, 100).await.is_err());
    }

    #[tokio::test]
    async fn fields_are_bounded() {
        let mut reader = Reader { body: body::full(vec![b'x'; 4 * MAX_FIELDS]), held: BytesMut::new(), mark: b"\r\n--b".to_vec() };
        let error = reader.until_mark(&mut MAX_FIELDS.clone()).await.unwrap_err();
        assert_eq!(error.code, "MaxPostPreDataLengthExceeded");
    }
}

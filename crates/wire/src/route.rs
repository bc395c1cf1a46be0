//! Which operation a REST or query request means.
//!
//! A request that carries a name which selects some other operation of the service (`?website` on
//! `DELETE /bucket`) matches nothing rather than the plain operation of its path.

use tenantry_core::{AwsError, Result};

use crate::{
    model::{Location, Metadata, Operation, Service},
    percent::percent_decode,
};

/// The one header that tells operations with the same request line apart.
const COPY_SOURCE: &str = "x-amz-copy-source";

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Label(String),
    /// Takes the rest of the path, slashes included.
    Greedy(String),
}

/// A request line in parts.
#[derive(Debug)]
pub(crate) struct Route {
    method: String,
    segments: Vec<Segment>,
    /// Names that the path template fixes, with their values.
    literals: Vec<(String, String)>,
    /// Required members in the query.
    required: Vec<String>,
    /// Every query name that the operation knows.
    known: Vec<String>,
    copy_source: bool,
}

impl Route {
    pub(crate) fn new(operation: &Operation) -> Self {
        let (path, query) = operation.uri.split_once('?').unwrap_or((&operation.uri, ""));
        let segments = path.split('/').filter(|part| !part.is_empty()).map(segment).collect();
        let literals: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut route = Self {
            method: operation.method.clone(),
            segments,
            known: literals.iter().map(|(name, _)| name.clone()).collect(),
            literals,
            required: Vec::new(),
            copy_source: false,
        };
        if let Some(structure) = operation.input().and_then(|shape| shape.structure()) {
            for (at, member) in structure.members.iter().enumerate() {
                let required = structure.required.contains(&at);
                match member.location {
                    Location::QueryString => {
                        route.known.push(member.wire.clone());
                        if required {
                            route.required.push(member.wire.clone());
                        }
                    }
                    Location::Header if member.wire == COPY_SOURCE && required => route.copy_source = true,
                    _ => {}
                }
            }
        }
        route
    }

    /// Larger is tried first: fixed path parts, then fixed query names, then what else must be there.
    pub(crate) fn specificity(&self) -> (usize, usize, usize, usize) {
        let literal = self.segments.iter().filter(|segment| matches!(segment, Segment::Literal(_))).count();
        (literal, self.segments.len(), self.literals.len(), self.required.len() + usize::from(self.copy_source))
    }

    fn path(&self, path: &[&str]) -> Option<Vec<(String, String)>> {
        let mut labels = Vec::new();
        let mut rest = path;
        for segment in &self.segments {
            let (part, after) = rest.split_first()?;
            match segment {
                Segment::Literal(literal) if percent_decode(part)? == *literal => {}
                Segment::Literal(_) => return None,
                Segment::Label(name) if !part.is_empty() => labels.push((name.clone(), percent_decode(part)?)),
                Segment::Label(_) => return None,
                Segment::Greedy(_) if matches!(rest, [""]) => return None,
                Segment::Greedy(name) => {
                    labels.push((name.clone(), percent_decode(&rest.join("/"))?));
                    return Some(labels);
                }
            }
            rest = after;
        }
        // `/functions/` and `/functions` are one.
        matches!(rest, [] | [""]).then_some(labels)
    }

    /// Whether the route has exactly these labels' form: S3's service, bucket or object level.
    fn level(&self, bucket: Option<&str>, key: Option<&str>) -> bool {
        match (bucket, key) {
            (None, Some(_)) => false,
            (None, None) => self.segments.is_empty(),
            (Some(_), None) => matches!(&self.segments[..], [Segment::Label(_)]),
            (Some(_), Some(_)) => matches!(&self.segments[..], [Segment::Label(_), Segment::Greedy(_)]),
        }
    }

    fn query(&self, service: &Metadata, query: &[(String, String)], copies: bool) -> bool {
        let given = |name: &str| query.iter().any(|(key, _)| key == name);
        self.literals.iter().all(|(name, value)| query.iter().any(|(k, v)| k == name && (value.is_empty() || v == value)))
            && (!service.is_s3() || self.required.iter().all(|name| given(name)))
            && (!self.copy_source || copies)
            && service.discriminators.iter().all(|name| !given(name) || self.known.contains(name))
    }
}

fn segment(part: &str) -> Segment {
    match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
        None => Segment::Literal(part.to_owned()),
        Some(label) => match label.strip_suffix('+') {
            Some(label) => Segment::Greedy(label.to_owned()),
            None => Segment::Label(label.to_owned()),
        },
    }
}

/// A REST operation and the decoded labels of its path; the most specific wins. `path` is as received, still
/// percent-encoded, without the query; `query` is decoded. `None` when no served operation has this request line.
#[must_use]
pub fn match_rest<'s>(
    service: &'s Service,
    method: &str,
    path: &str,
    query: &[(String, String)],
) -> Option<(&'s Operation, Vec<(String, String)>)> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let parts: Vec<&str> = if path.is_empty() { Vec::new() } else { path.split('/').collect() };
    service.routes.iter().filter(|(route, _)| route.method == method && route.query(service, query, false)).find_map(|(route, name)| {
        let labels = route.path(&parts)?;
        Some((service.operation(name)?, labels))
    })
}

/// An S3 operation, from the bucket and key that path or host named (decoded; an empty one is none). Header
/// names are compared without case.
#[must_use]
pub fn match_s3(
    service: &'static Service,
    method: &str,
    bucket: Option<&str>,
    key: Option<&str>,
    query: &[(String, String)],
    headers: &[(String, String)],
) -> Option<(&'static Operation, Vec<(String, String)>)> {
    let (bucket, key) = (bucket.filter(|bucket| !bucket.is_empty()), key.filter(|key| !key.is_empty()));
    let copies = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(COPY_SOURCE));
    let (_, name) = service
        .routes
        .iter()
        .find(|(route, _)| route.method == method && route.level(bucket, key) && route.query(service, query, copies))?;
    let labels = [("Bucket", bucket), ("Key", key)];
    let labels = labels.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned()))).collect();
    Some((service.operation(name)?, labels))
}

/// The operation that query parameters name by `Action`, from the body's or the path's pairs.
///
/// # Errors
/// `MissingAction` without `Action`; `InvalidAction` for an unknown one or another `Version` than the model's.
pub fn operation_from_params<'s>(service: &'s Service, params: &[(String, String)]) -> Result<&'s Operation> {
    let find = |name: &str| params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let Some(action) = find("Action") else {
        return Err(AwsError::new(400, "MissingAction", "Missing Action"));
    };
    let version = find("Version").unwrap_or_default();
    let known = service.operation(action).filter(|_| version.is_empty() || version == service.api_version);
    known.ok_or_else(|| {
        let shown: String = action.chars().take(128).collect();
        let version: String = version.chars().take(32).collect();
        AwsError::new(400, "InvalidAction", format!("Could not find operation {shown} for version {version}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{load::load, parse_query, service};

    fn s3(method: &str, bucket: Option<&str>, key: Option<&str>, query: &str, headers: &[(&str, &str)]) -> String {
        let headers: Vec<(String, String)> = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let found = match_s3(service("s3").unwrap(), method, bucket, key, &parse_query(query).unwrap(), &headers);
        found.map_or_else(|| "-".to_owned(), |(operation, _)| operation.name.clone())
    }

    #[test]
    fn s3_operations() {
        let copy: &[(&str, &str)] = &[("X-Amz-Copy-Source", "/b/k")];
        for (method, bucket, key, query, headers, expected) in [
            ("GET", None, None, "x-id=ListBuckets", &[][..], "ListBuckets"),
            ("GET", Some(""), Some(""), "", &[], "ListBuckets"),
            ("GET", None, Some("k"), "", &[], "-"),
            ("GET", Some("b"), None, "", &[], "ListObjects"),
            ("GET", Some("b"), Some(""), "prefix=a", &[], "ListObjects"),
            ("GET", Some("b"), None, "list-type=2&prefix=", &[], "ListObjectsV2"),
            ("GET", Some("b"), None, "list-type=3", &[], "-"),
            ("GET", Some("b"), None, "versions", &[], "ListObjectVersions"),
            ("GET", Some("b"), None, "uploads", &[], "ListMultipartUploads"),
            ("GET", Some("b"), None, "location=", &[], "GetBucketLocation"),
            ("HEAD", Some("b"), None, "", &[], "HeadBucket"),
            ("PUT", Some("b"), None, "", &[], "CreateBucket"),
            ("PUT", Some("b"), None, "tagging", &[], "PutBucketTagging"),
            ("DELETE", Some("b"), None, "", &[], "DeleteBucket"),
            ("DELETE", Some("b"), None, "policy", &[], "DeleteBucketPolicy"),
            ("POST", Some("b"), None, "delete", &[], "DeleteObjects"),
            ("POST", Some("b"), None, "", &[], "-"),
            ("GET", Some("b"), Some("k"), "versionId=1", &[], "GetObject"),
            ("GET", Some("b"), Some("k"), "partNumber=1", &[], "GetObject"),
            ("GET", Some("b"), Some("k"), "uploadId=1", &[], "ListParts"),
            ("GET", Some("b"), Some("k"), "attributes", &[], "GetObjectAttributes"),
            ("GET", Some("b"), Some("k"), "tagging", &[], "GetObjectTagging"),
            ("PUT", Some("b"), Some("k"), "x-id=PutObject", &[], "PutObject"),
            ("PUT", Some("b"), Some("k"), "", copy, "CopyObject"),
            ("PUT", Some("b"), Some("k"), "partNumber=1&uploadId=u", &[], "UploadPart"),
            ("PUT", Some("b"), Some("k"), "partNumber=1&uploadId=u", copy, "UploadPartCopy"),
            ("PUT", Some("b"), Some("k"), "acl", copy, "PutObjectAcl"),
            ("POST", Some("b"), Some("k"), "uploads", &[], "CreateMultipartUpload"),
            ("POST", Some("b"), Some("k"), "uploadId=u", &[], "CompleteMultipartUpload"),
            ("DELETE", Some("b"), Some("k"), "uploadId=u", &[], "AbortMultipartUpload"),
            ("DELETE", Some("b"), Some("k"), "", &[], "DeleteObject"),
        ] {
            assert_eq!(s3(method, bucket, key, query, headers), expected, "{method} {bucket:?} {key:?} {query}");
        }
    }

    #[test]
    fn s3_never_falls_back_to_another_meaning() {
        for (method, key, query) in [
            ("DELETE", None, "website"),
            ("DELETE", None, "replication"),
            ("PUT", None, "replication"),
            ("GET", None, "analytics"),
            ("DELETE", None, "tagging&policy"),
            ("GET", Some("k"), "torrent"),
            ("PUT", Some("k"), "uploadId=u"),
            ("PUT", Some("k"), "partNumber=1"),
            ("POST", Some("k"), "select&select-type=2"),
            ("DELETE", Some("k"), "uploads"),
        ] {
            assert_eq!(s3(method, Some("b"), key, query, &[]), "-", "{method} {query}");
        }
    }

    #[test]
    fn paths() {
        let service = load(
            r#"{"service":"t","metadata":{"protocol":"rest-json","endpointPrefix":"t"},"shapes":{},"operations":{
            "List":{"method":"GET","uri":"/2015/functions/"},"Get":{"method":"GET","uri":"/2015/functions/{Name}"},
            "Policy":{"method":"GET","uri":"/2015/functions/{Name}/policy"},"Mine":{"method":"GET","uri":"/2015/functions/mine"},
            "Deep":{"method":"GET","uri":"/tags/{Arn+}"},"Fixed":{"method":"GET","uri":"/2015/functions?find=ByX"}}}"#,
        );
        let find = |path: &str, query: &str| {
            match_rest(&service, "GET", path, &parse_query(query).unwrap())
                .map(|(operation, labels)| format!("{} {}", operation.name, labels.iter().map(|(_, v)| v.as_str()).collect::<String>()))
                .unwrap_or_default()
        };
        assert_eq!(find("/2015/functions", ""), "List ");
        assert_eq!(find("/2015/functions/", ""), "List ");
        assert_eq!(find("/2015/functions", "find=ByX"), "Fixed ");
        assert_eq!(find("/2015/functions/a%2Fb+", ""), "Get a/b+");
        assert_eq!(find("/2015/functions/mine", ""), "Mine ");
        assert_eq!(find("/2015/functions/x/policy", ""), "Policy x");
        assert_eq!(find("/tags/a/b%3A/", ""), "Deep a/b:/");
        for path in ["", "/", "/2015", "/2015/functions/x/y", "/2015/functions//policy", "/2015/functions/%ff", "/tags", "/tags/"] {
            assert_eq!(find(path, ""), "", "{path}");
        }
        assert!(match_rest(&service, "POST", "/2015/functions", &[]).is_none());
    }

    #[test]
    fn actions() {
        let iam = service("iam").unwrap();
        let find = |text: &str| operation_from_params(iam, &parse_query(text).unwrap()).map(|op| op.name.clone()).map_err(|e| e.code);
        assert_eq!(find("Version=2010-05-08&Action=GetRole").unwrap(), "GetRole");
        assert_eq!(find("Version=2010-05-08").unwrap_err(), "MissingAction");
        assert_eq!(find("Action=Nothing&Version=2010-05-08").unwrap_err(), "InvalidAction");
        assert_eq!(find("Action=GetRole&Version=1999-01-01").unwrap_err(), "InvalidAction");
    }
}

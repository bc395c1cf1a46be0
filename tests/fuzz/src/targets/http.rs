//! Requests as text, read as leniently as possible: a line, headers, an empty line, a body. Not a parser of HTTP's: that is
//! hyper's, which the target `connection` goes through.

use hyper::Request;
use tenantry_kernel::Body;

/// A request as it is written in an input.
#[derive(Debug, Clone, Default)]
pub struct Plain {
    /// `GET`, …
    pub method: String,
    /// Percent-encoded; begins with a slash.
    pub path: String,
    /// Without `?`.
    pub query: String,
    /// Lower-cased names.
    pub headers: Vec<(String, String)>,
    /// The rest.
    pub body: Vec<u8>,
}

impl Plain {
    /// Reads an input; what is no request line is a `GET` of it.
    pub fn read(input: &[u8]) -> Self {
        let end = |mark: &[u8]| input.windows(mark.len()).position(|window| window == mark).map(|at| (at, at + mark.len()));
        let (head, body) = match (end(b"\r\n\r\n"), end(b"\n\n")) {
            (Some(one), Some(other)) if other.0 < one.0 => other,
            (Some(one), _) | (None, Some(one)) => one,
            (None, None) => (input.len(), input.len()),
        };
        let text = String::from_utf8_lossy(&input[..head]);
        let mut lines = text.lines();
        let mut words = lines.next().unwrap_or_default().split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or("/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let header = |line: &str| line.split_once(':').map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Self { method, path, query: query.to_owned(), headers: lines.filter_map(header).collect(), body: input[body..].to_vec() }
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Borrowed as SigV4 wants it.
    pub fn with_parts<T>(&self, then: impl FnOnce(&tenantry_sigv4::Parts<'_>) -> T) -> T {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        then(&tenantry_sigv4::Parts { method: &self.method, path: &self.path, query: &self.query, headers: &headers })
    }

    /// As the listener would hand it to the kernel; `None` where no listener would.
    pub fn request(&self) -> Option<Request<Body>> {
        let uri = if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) };
        let mut request = Request::builder().method(self.method.as_str()).uri(uri);
        for (name, value) in &self.headers {
            request = request.header(name.as_str(), value.as_str());
        }
        request.body(tenantry_kernel::full(self.body.clone())).ok()
    }
}

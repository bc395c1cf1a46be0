//! Pages for people, on host names that are no API's.
//!
//! A site is asked after the door has taken a request's head apart and before a service is looked for. It gets
//! no credentials, and no body: a page shows, and whatever changes state because of it does so under what the
//! site itself makes of the address (a token that is used up). Every page goes out with headers that let a browser
//! run nothing, keep nothing and tell nobody where it came from.
//!
//! What this does not do: WebSockets, cookies, forms. A site that needs them needs operations.

use std::{future::Future, net::IpAddr, pin::Pin};

use hyper::{
    Response, StatusCode,
    header::{HeaderName, HeaderValue},
};

use crate::{
    body::{self, Body},
    door::Head,
    kernel::Kernel,
};

/// What a browser asked for.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The host, in lower case, without a port.
    pub host: String,
    /// The path as it was sent.
    pub path: String,
    /// Decoded query parameters in order.
    pub query: Vec<(String, String)>,
    /// Who asked, where it came over the network.
    pub peer: Option<IpAddr>,
}

/// What it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// A whole document. What is not the site's own must be escaped.
    pub html: String,
}

/// The future of a page.
pub type PageFuture<'a> = Pin<Box<dyn Future<Output = Page> + Send + 'a>>;

/// Pages of one kind of host.
pub trait Site: Send + Sync {
    /// Whether a host (in lower case, without a port) is this site's.
    fn owns(&self, host: &str) -> bool;
    /// Answers `GET`.
    fn page<'a>(&'a self, kernel: &'a Kernel, visit: Visit) -> PageFuture<'a>;
}

/// Headers of every page.
const HEADERS: [(&str, &str); 6] = [
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];

impl Kernel {
    /// The page of the site that owns `host`; `None` where no site does.
    pub(crate) async fn page(&self, head: &Head) -> Option<Response<Body>> {
        let host = match head.host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => &head.host,
        }
        .trim_end_matches('.')
        .to_ascii_lowercase();
        let site = self.inner().sites.iter().find(|site| site.owns(&host))?;
        let page = match head.method.as_str() {
            "GET" => {
                let (path, query, peer) = (head.path.clone(), head.query.clone(), head.arrival.peer);
                site.page(self, Visit { host, path, query, peer }).await
            }
            _ => Page { status: 405, html: "<!doctype html><title>405</title><p>Only GET is served here.".to_owned() },
        };
        let mut response = Response::new(body::full(page.html));
        *response.status_mut() = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in HEADERS {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Some(response)
    }
}

//! The page behind a domain's address: it uses up the token of a link and says who is signed in.
//!
//! The application that a user would be brought to does not exist here yet, so the page says that too. Where
//! one runs, the seam is [`Studio::page`]: what is a page there becomes the beginning of a session of
//! [`super::session_of`].

use tenantry_core::Region;
use tenantry_kernel::{Kernel, Page, PageFuture, Site, Visit, is_region};

use super::token::{self, Grant};

/// What AWS's page says where a token does not let in, whatever the reason.
const REFUSED: &str = "Auth token containing insufficient permissions";

/// The site of `<domain>.studio.<region>.sagemaker.aws`.
pub struct Studio;

/// The domain and the region of a host.
fn read(host: &str) -> Option<(&str, Region)> {
    let (domain, rest) = host.split_once(".studio.")?;
    let region = rest.strip_suffix(".sagemaker.aws")?;
    let own = domain.starts_with("d-") && !domain.contains('.') && is_region(region);
    own.then(|| (domain, Region::from(region)))
}

impl Site for Studio {
    fn owns(&self, host: &str) -> bool {
        read(host).is_some()
    }

    fn page<'a>(&'a self, kernel: &'a Kernel, visit: Visit) -> PageFuture<'a> {
        Box::pin(async move {
            let Some((domain, region)) = read(&visit.host) else { return document(404, "Not found", &[]) };
            if visit.path != "/auth" {
                return document(403, "Not signed in", &["Open this domain by a link of CreatePresignedDomainUrl."]);
            }
            // Two tokens are none: which of them would it be?
            let mut tokens = visit.query.iter().filter(|(name, _)| name == "token").map(|(_, value)| value.as_str());
            let token = tokens.next().filter(|_| tokens.next().is_none()).unwrap_or_default();
            match token::redeem(kernel, &region, domain, token, visit.peer).await {
                Ok(Some(grant)) => signed_in(&grant),
                Ok(None) => document(403, REFUSED, &[]),
                Err(error) => {
                    tracing::error!(%error, "a token cannot be looked up");
                    document(500, "Internal error", &["The token could not be looked up. Ask for another link."])
                }
            }
        })
    }
}

fn signed_in(grant: &Grant) -> Page {
    let profile = format!("User profile: {}", grant.profile);
    let domain = format!("Domain: {}", grant.domain);
    let space = grant.space.as_ref().map(|space| format!("Space: {space}"));
    let mut lines = vec![profile.as_str(), &domain];
    lines.extend(space.as_deref());
    lines.push("No application runs on this instance yet, so there is nothing more to open. The link is used up.");
    document(200, "Signed in", &lines)
}

/// A page of a title and lines of text.
fn document(status: u16, title: &str, lines: &[&str]) -> Page {
    let title = escaped(title);
    let lines: String = lines.iter().map(|line| format!("<p>{}</p>\n", escaped(line))).collect();
    Page {
        status,
        html: format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n{lines}</html>\n"
        ),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert!(Studio.owns("d-abc123.studio.us-east-1.sagemaker.aws"));
        for host in [
            "d-abc123.studio.nowhere-1.sagemaker.aws",
            "x.studio.us-east-1.sagemaker.aws",
            "a.d-x.studio.us-east-1.sagemaker.aws",
            "d-a.b.studio.us-east-1.sagemaker.aws",
            "d-abc123.studio.us-east-1.sagemaker.aws.example.com",
            "api.sagemaker.us-east-1.amazonaws.com",
            "127.0.0.1",
        ] {
            assert!(!Studio.owns(host), "{host}");
        }
    }

    #[test]
    fn what_is_shown_is_escaped() {
        let page = document(200, "<b>", &["\"&\""]);
        assert!(page.html.contains("<h1>&lt;b&gt;</h1>") && page.html.contains("<p>&quot;&amp;&quot;</p>"), "{}", page.html);
    }
}

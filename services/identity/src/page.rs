//! Pages of lists that are held in memory: identities of one account are few by quota.
//!
//! The token names the last item of the page before, so that items which come or go in between
//! neither repeat nor hide others. It is opaque to clients and validated.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Part of a list.
pub(crate) struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<String>,
}

/// The token is not one of ours.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadToken;

/// The first `max` items behind `token`, in the order of their keys (which are unique).
pub(crate) fn page<T>(mut items: Vec<(String, T)>, token: Option<&str>, max: usize) -> Result<Page<T>, BadToken> {
    items.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(token) = token {
        let after = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(BadToken)?;
        items.retain(|(key, _)| *key > after);
    }
    let next = (items.len() > max && max > 0).then(|| URL_SAFE_NO_PAD.encode(&items[max - 1].0));
    items.truncate(max);
    Ok(Page { items: items.into_iter().map(|(_, item)| item).collect(), next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_the_list_once() {
        let items = || (0..7).map(|n| (format!("k{n}"), n)).collect::<Vec<_>>();
        let (mut seen, mut token) = (Vec::new(), None);
        loop {
            let part = page(items(), token.as_deref(), 3).unwrap();
            seen.extend(part.items);
            token = part.next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
        assert!(page(items(), None, 7).unwrap().next.is_none());
        assert!(page(items(), Some("%%"), 3).is_err());
    }
}

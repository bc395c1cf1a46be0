//! Pages of lists that are in memory or short: a token is the key of the last item of a page.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tenantry_core::{AwsError, Result};
use tenantry_kernel::Reply;

/// Items of a page where the request does not say.
const ITEMS: usize = 100;

/// A page of `items`, which are in the order of `key`s that are unique; `member` is what the list is called.
///
/// # Errors
/// `InvalidPaginationTokenException`.
pub(crate) fn page<T>(input: &Value, member: &str, items: &[T], key: impl Fn(&T) -> &str, shown: impl Fn(&T) -> Value) -> Result<Reply> {
    let begin = match input["NextToken"].as_str().filter(|token| !token.is_empty()) {
        None => 0,
        Some(token) => {
            let last = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let at = last.and_then(|last| items.iter().position(|item| key(item) == last));
            at.ok_or_else(|| AwsError::new(400, "InvalidPaginationTokenException", "Invalid token was used."))? + 1
        }
    };
    let count = input["MaxResults"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(ITEMS).clamp(1, ITEMS);
    let rest = items.get(begin..).unwrap_or_default();
    let page = rest.get(..count).unwrap_or(rest);
    let mut output = json!({});
    output[member] = page.iter().map(shown).collect();
    if let Some(last) = page.last().filter(|_| rest.len() > page.len()) {
        output["NextToken"] = json!(STANDARD.encode(key(last)));
    }
    Ok(Reply::new(output))
}

//! Base64 as XML has it: with line breaks.

use base64::{Engine, engine::general_purpose::STANDARD};

/// Decodes text in which whitespace may stand anywhere.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let dense: String = text.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r')).collect();
    STANDARD.decode(dense).ok()
}

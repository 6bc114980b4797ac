//! The error of everything that reads a short text: a path, a hash, a key, a narinfo.
//!
//! There is one thing a caller can do with any of them, which is to refuse the text and show why, so there is one type.
//! The streaming formats (`.drv`, nar, pack) have errors of their own, which say where.

use std::fmt;

/// How much of a refused text is kept to be shown, in bytes.
const SHOWN_BYTES: usize = 200;

/// A text that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    what: &'static str,
    text: String,
    why: &'static str,
}

impl ParseError {
    /// `text` is not `what` (with its article: "a store path"), because of `why`.
    pub(crate) fn new(what: &'static str, text: impl AsRef<[u8]>, why: &'static str) -> Self {
        let bytes = text.as_ref();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]).into_owned();
        Self { what, text, why }
    }

    /// What the text should have been.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// The rule that it breaks.
    pub fn why(&self) -> &'static str {
        self.why
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not {}: {}", self.text, self.what, self.why)
    }
}

impl std::error::Error for ParseError {}

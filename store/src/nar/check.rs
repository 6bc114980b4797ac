//! A nar that passes by is checked, hashed, and its end found, without being kept.

use super::{NarError, NarFault, NarParser, NarSink, NarSummary};
use crate::Sha256Hasher;

/// Checks a nar that is pushed into it.
#[derive(Debug, Default)]
pub struct NarCheck {
    parser: NarParser,
    hasher: Sha256Hasher,
}

struct Ignore;

impl NarSink for Ignore {}

impl NarCheck {
    /// At the beginning of a nar.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks these bytes, and says how many of them belong to the nar: fewer than all if it ends among them.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, NarError> {
        let taken = self.parser.feed(bytes, &mut Ignore)?;
        self.hasher.update(&bytes[..taken]);
        Ok(taken)
    }

    /// Whether the nar is complete.
    pub fn is_done(&self) -> bool {
        self.parser.is_done()
    }

    /// How many bytes may surely be read without reading beyond the nar.
    pub fn wanted(&self) -> u64 {
        self.parser.wanted()
    }

    /// Its hash and size; an error if it is not complete.
    pub fn finish(self) -> Result<NarSummary, NarError> {
        let size = self.parser.position();
        if !self.parser.is_done() {
            return Err(NarError { at: size, fault: NarFault::Truncated });
        }
        Ok(NarSummary { sha256: self.hasher.finish(), size })
    }
}

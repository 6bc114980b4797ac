//! What a narinfo says of a nar: its hash and its size, taken while it passes through.

use std::io::{self, Write};

use crate::{Sha256, Sha256Hasher};

/// The hash and size of some bytes, mostly a nar's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NarSummary {
    /// Of all bytes.
    pub sha256: Sha256,
    /// In bytes.
    pub size: u64,
}

/// Passes on what is written to it, hashed and counted.
#[derive(Debug)]
pub struct HashingWriter<W> {
    inner: W,
    hasher: Sha256Hasher,
    size: u64,
}

impl<W: Write> HashingWriter<W> {
    /// Passes on to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256Hasher::new(), size: 0 }
    }

    /// What was written so far, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where the bytes went.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// Where the bytes went, and what they were.
    pub fn finish(self) -> (W, NarSummary) {
        (self.inner, NarSummary { sha256: self.hasher.finish(), size: self.size })
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

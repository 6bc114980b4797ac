//! The log of one build: told live while it grows, and sealed into the bucket when it is finished.
//!
//! Live, it goes out in chunks; a build that says nothing costs nothing. It does not know where chunks go.

use std::io::{self, Write};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use zstd::stream::write::Encoder;

/// A chunk waits no longer than this for more text.
const FLUSH_EVERY: Duration = Duration::from_millis(250);
/// Nor for more than this, in bytes.
const FLUSH_BYTES: usize = 16 << 10;
/// Up to here a log is compressed in one go when it is sealed, in bytes.
const SMALL_BYTES: usize = 128 << 10;
/// Of zstd.
const LEVEL: i32 = 3;

/// A log that is being written.
pub struct BuildLog {
    max_bytes: u64,
    inner: Mutex<Inner>,
    /// There is text to tell.
    text: Notify,
    /// It has grown too large.
    overflow: Notify,
}

/// Takes a chunk.
type Tell = Box<dyn FnMut(&[u8]) + Send>;

struct Inner {
    tell: Tell,
    untold: Vec<u8>,
    kept: Kept,
    bytes: u64,
    too_large: bool,
}

/// The whole log.
enum Kept {
    Small(Vec<u8>),
    Large(Encoder<'static, Vec<u8>>),
}

/// A finished log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Compressed by zstd.
    pub compressed: Bytes,
    /// Bytes of text.
    pub bytes: u64,
}

impl BuildLog {
    /// Nothing said yet. `tell` gets every chunk and must not block. At most `max_bytes` are kept.
    pub fn new(max_bytes: u64, tell: impl FnMut(&[u8]) + Send + 'static) -> Self {
        let kept = Kept::Small(Vec::new());
        let inner = Inner { tell: Box::new(tell), untold: Vec::new(), kept, bytes: 0, too_large: false };
        Self { max_bytes, inner: Mutex::new(inner), text: Notify::new(), overflow: Notify::new() }
    }

    /// Adds a line, given without its end.
    pub fn line(&self, line: &str) {
        let mut inner = self.inner();
        if inner.bytes + line.len() as u64 + 1 > self.max_bytes {
            inner.too_large = true;
            self.overflow.notify_one();
            return;
        }
        let first = inner.untold.is_empty();
        inner.add(line.as_bytes());
        inner.add(b"\n");
        if inner.untold.len() >= FLUSH_BYTES {
            inner.flush();
        } else if first {
            self.text.notify_one();
        }
    }

    /// Tells what is there, again and again. Ends never; the first timer starts with the first line.
    pub async fn follow(&self) {
        loop {
            self.text.notified().await;
            tokio::time::sleep(FLUSH_EVERY).await;
            self.inner().flush();
        }
    }

    /// Ends when the log is too large.
    pub async fn overflows(&self) {
        self.overflow.notified().await;
    }

    /// Tells the rest, and gives the whole. `None` where nothing was said.
    pub fn finish(self) -> io::Result<Option<Finished>> {
        let mut inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        if inner.too_large {
            let note = format!("[drover: the log is larger than {} bytes; the build was stopped]\n", self.max_bytes);
            inner.add(note.as_bytes());
        }
        inner.flush();
        if inner.bytes == 0 {
            return Ok(None);
        }
        let compressed = match inner.kept {
            Kept::Small(text) => zstd::bulk::compress(&text, LEVEL)?,
            Kept::Large(encoder) => encoder.finish()?,
        };
        Ok(Some(Finished { compressed: compressed.into(), bytes: inner.bytes }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, text: &[u8]) {
        self.bytes += text.len() as u64;
        self.untold.extend_from_slice(text);
        // Memory takes whatever is written to it.
        if let Err(error) = self.kept.add(text) {
            tracing::error!(%error, "a log cannot be compressed");
        }
    }

    fn flush(&mut self) {
        if !self.untold.is_empty() {
            (self.tell)(&mem::take(&mut self.untold));
        }
    }
}

impl Kept {
    fn add(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Small(all) if all.len() + text.len() <= SMALL_BYTES => all.extend_from_slice(text),
            Self::Small(all) => {
                let mut encoder = Encoder::new(Vec::new(), LEVEL)?;
                encoder.write_all(all)?;
                encoder.write_all(text)?;
                *self = Self::Large(encoder);
            }
            Self::Large(encoder) => encoder.write_all(text)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    type Told = Arc<Mutex<Vec<Vec<u8>>>>;

    fn log(max_bytes: u64) -> (BuildLog, Told) {
        let told = Told::default();
        let teller = told.clone();
        (BuildLog::new(max_bytes, move |chunk| teller.lock().unwrap().push(chunk.to_vec())), told)
    }

    fn text(finished: &Finished) -> Vec<u8> {
        zstd::decode_all(&finished.compressed[..]).unwrap()
    }

    #[test]
    fn a_build_that_says_nothing_has_no_log() {
        let (log, told) = log(100);
        assert_eq!(log.finish().unwrap(), None);
        assert!(told.lock().unwrap().is_empty());
    }

    #[test]
    fn everything_is_told_once_and_sealed_whole() {
        let (log, told) = log(1 << 20);
        let line = "x".repeat(999);
        for _ in 0..300 {
            log.line(&line);
        }
        let finished = log.finish().unwrap().unwrap();
        let told = told.lock().unwrap();
        assert_eq!(finished.bytes, 300_000);
        assert_eq!(text(&finished), told.concat());
        assert!(told.len() > 10 && told.iter().all(|chunk| chunk.len() < FLUSH_BYTES + 1000));
    }

    #[tokio::test(start_paused = true)]
    async fn text_is_told_a_moment_after_it_came() {
        let (log, told) = log(100);
        log.line("hello");
        let moment = FLUSH_EVERY + Duration::from_millis(1);
        tokio::time::timeout(moment, log.follow()).await.unwrap_err();
        assert_eq!(told.lock().unwrap().concat(), b"hello\n");
    }

    #[tokio::test]
    async fn a_log_that_grows_too_large_is_cut_and_says_so() {
        let (log, _) = log(10);
        log.line("12345678");
        log.line("9");
        log.overflows().await;
        let finished = log.finish().unwrap().unwrap();
        assert!(text(&finished).starts_with(b"12345678\n[drover: the log is larger than 10 bytes"));
    }
}

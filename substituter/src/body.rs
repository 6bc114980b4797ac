//! From the network, which is waited for without a thread, to those who unpack and hash, who need one.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use drover_store::{Sha256, Sha256Hasher};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::transport::Body;

/// Pieces that wait for the thread that reads them.
const QUEUED_PIECES: usize = 8;

/// The two ends of a pipe between them.
pub(crate) fn pipe() -> (mpsc::Sender<io::Result<Bytes>>, Pieces) {
    let (sender, receiver) = mpsc::channel(QUEUED_PIECES);
    (sender, Pieces { receiver, current: Bytes::new() })
}

/// Sends a body through the pipe, until nobody reads any more. Returns how it broke off, if it did.
pub(crate) async fn pump(mut body: Body, pipe: mpsc::Sender<io::Result<Bytes>>) -> Option<String> {
    loop {
        let piece = tokio::select! {
            piece = body.next() => piece?,
            () = pipe.closed() => return None,
        };
        let broken = piece.as_ref().err().map(ToString::to_string);
        if pipe.send(piece).await.is_err() || broken.is_some() {
            return broken;
        }
    }
}

/// The reader's end. It ends early when the other is dropped.
pub(crate) struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let taken = self.current.len().min(out.len());
        self.current.copy_to_slice(&mut out[..taken]);
        Ok(taken)
    }
}

/// Passes on as many bytes as were promised, and not one more: Guix's own server does not end what is not packed.
pub(crate) struct Promised<R> {
    inner: R,
    left: u64,
    hasher: Sha256Hasher,
    fault: Option<String>,
}

impl<R: Read> Promised<R> {
    pub(crate) fn new(inner: R, size: u64) -> Self {
        Self { inner, left: size, hasher: Sha256Hasher::new(), fault: None }
    }

    /// Whether all came, and was what was promised; an error is in words. What was not read is read now.
    pub(crate) fn finish(mut self, promised: Sha256) -> Result<(), String> {
        let read = io::copy(&mut self, &mut io::sink());
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        read.map_err(|error| error.to_string())?;
        if self.left > 0 {
            return Err(format!("it ends {} bytes too early", self.left));
        }
        let found = self.hasher.finish();
        if found != promised {
            return Err(format!("its nar is {found}, not {promised}"));
        }
        Ok(())
    }

    /// Why no more could be read.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}

impl<R: Read> Read for Promised<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.inner.read(&mut out[..wanted]).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.fault = Some(error.to_string());
            }
        })?;
        self.hasher.update(&out[..read]);
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], size: u64, promised: &[u8]) -> Result<(), String> {
        Promised::new(bytes, size).finish(Sha256::of(promised))
    }

    #[test]
    fn what_comes_beyond_the_promised_size_is_not_read() {
        assert_eq!(read(b"nar and more", 3, b"nar"), Ok(()));
    }

    #[test]
    fn less_than_was_promised_and_other_bytes_are_errors() {
        assert!(read(b"na", 3, b"nar").unwrap_err().contains("1 bytes too early"));
        assert!(read(b"raw", 3, b"nar").unwrap_err().contains(", not sha256:"));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_breaks_the_reader_off() {
        let pieces = [Ok(Bytes::from_static(b"one ")), Err(io::Error::other("reset")), Ok(Bytes::from_static(b"two"))];
        let (sender, mut reader) = pipe();
        let reading = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            (reader.read_to_string(&mut text).is_err(), text)
        });
        assert_eq!(pump(futures::stream::iter(pieces).boxed(), sender).await.as_deref(), Some("reset"));
        assert_eq!(reading.await.unwrap(), (true, "one ".to_owned()));
    }
}

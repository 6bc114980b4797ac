//! Framed streams: bytes of unknown length, sent as chunks that each begin with their length.
//!
//! The chunk of length zero ends the stream, whether it was sent whole or not, so a sender that gives
//! up keeps the connection in step.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use super::WRITE_BUFFER_BYTES;
use crate::DaemonError;

/// What is asked of the source when the buffer is all but full.
const SMALLEST_READ_BYTES: usize = 4 << 10;

/// How sending a stream ended.
#[derive(Debug)]
pub(crate) enum Sent {
    /// All of it, or as much as the daemon wanted.
    Done,
    /// The source failed; the daemon saw the stream end early.
    SourceFailed(io::Error),
}

/// Sends `head`, then `source` as a framed stream, in writes of about [`WRITE_BUFFER_BYTES`], and
/// smaller ones while the source has nothing ready. Ends early when `answered` is notified: the daemon
/// has decided and wants no more.
pub(crate) async fn send_framed(
    head: Vec<u8>,
    source: &mut (impl AsyncRead + Unpin),
    out: &mut (impl AsyncWrite + Unpin),
    answered: &Notify,
) -> Result<Sent, DaemonError> {
    let mut pending = head;
    let mut outcome = Sent::Done;
    loop {
        let length = match next_chunk(source, &mut pending, answered).await {
            Ok(length) => length,
            Err(error) => {
                outcome = Sent::SourceFailed(error);
                Some(0)
            }
        };
        if length.is_none_or(|length| length == 0) || pending.len() >= WRITE_BUFFER_BYTES {
            out.write_all(&pending).await.map_err(DaemonError::Lost)?;
            pending.clear();
        }
        if length == Some(0) {
            return Ok(outcome);
        }
    }
}

/// Appends the next chunk to `pending` and gives its length, 0 at the end; `None` when it would have to
/// wait while something is pending that could be sent.
async fn next_chunk(
    source: &mut (impl AsyncRead + Unpin),
    pending: &mut Vec<u8>,
    answered: &Notify,
) -> io::Result<Option<usize>> {
    let start = pending.len();
    pending.extend_from_slice(&[0; 8]);
    let read = tokio::select! {
        biased;
        () = answered.notified() => Ok(Some(0)),
        read = read_some(source, pending) => read.map(Some),
        () = std::future::ready(()), if start > 0 => Ok(None),
    };
    match read {
        Ok(None) => pending.truncate(start),
        Ok(Some(length)) => pending[start..start + 8].copy_from_slice(&(length as u64).to_le_bytes()),
        Err(_) => pending.truncate(start + 8),
    }
    read
}

/// Reads what is ready, to the end of `pending`. Nothing is lost when it is dropped while it waits.
async fn read_some(source: &mut (impl AsyncRead + Unpin), pending: &mut Vec<u8>) -> io::Result<usize> {
    let room = WRITE_BUFFER_BYTES.saturating_sub(pending.len()).max(SMALLEST_READ_BYTES);
    pending.reserve(room);
    source.take(room as u64).read_buf(pending).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_short_stream_leaves_with_its_request_in_one_buffer() {
        let mut out = Vec::new();
        let sent = send_framed(b"headhead".to_vec(), &mut &b"abc"[..], &mut out, &Notify::new()).await;
        assert!(matches!(sent, Ok(Sent::Done)));
        assert_eq!(out, b"headhead\x03\0\0\0\0\0\0\0abc\0\0\0\0\0\0\0\0");
    }

    #[tokio::test]
    async fn a_long_stream_arrives_whole_in_chunks() {
        let data: Vec<u8> = (0..1_000_003u32).map(|n| n as u8).collect();
        let mut out = Vec::new();
        send_framed(Vec::new(), &mut &data[..], &mut out, &Notify::new()).await.unwrap();
        assert!(unframe(&out) == data);
    }

    #[tokio::test]
    async fn a_source_that_is_slow_does_not_hold_back_what_is_there() {
        let (mut pen, mut source) = tokio::io::duplex(64);
        let (mut out, mut daemon) = tokio::io::duplex(64);
        pen.write_all(b"abc").await.unwrap();
        let answered = Notify::new();
        let sending = send_framed(b"headhead".to_vec(), &mut source, &mut out, &answered);
        let mut heard = [0; 19];
        tokio::select! {
            ended = sending => panic!("the source has not ended: {ended:?}"),
            read = daemon.read_exact(&mut heard) => drop(read.unwrap()),
        }
        assert_eq!(&heard, b"headhead\x03\0\0\0\0\0\0\0abc");
    }

    #[tokio::test]
    async fn the_stream_ends_early_when_the_daemon_has_answered() {
        let answered = Notify::new();
        answered.notify_one();
        let mut out = Vec::new();
        send_framed(Vec::new(), &mut tokio::io::repeat(1), &mut out, &answered).await.unwrap();
        assert_eq!(out, [0; 8]);
    }

    #[tokio::test]
    async fn a_source_that_fails_still_ends_the_stream() {
        let mut source = two_bytes_then_an_error();
        let mut out = Vec::new();
        let sent = send_framed(Vec::new(), &mut source, &mut out, &Notify::new()).await.unwrap();
        assert!(matches!(sent, Sent::SourceFailed(_)), "{sent:?}");
        assert_eq!(unframe(&out), b"ab");
    }

    fn two_bytes_then_an_error() -> impl AsyncRead + Unpin {
        struct Fails;
        impl AsyncRead for Fails {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                _: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<io::Result<()>> {
                std::task::Poll::Ready(Err(io::Error::other("disk gone")))
            }
        }
        (&b"ab"[..]).chain(Fails)
    }

    fn unframe(mut wire: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        loop {
            let (length, rest) = wire.split_first_chunk().expect("a length");
            let length = u64::from_le_bytes(*length) as usize;
            data.extend_from_slice(&rest[..length]);
            wire = &rest[length..];
            if length == 0 {
                assert!(wire.is_empty());
                return data;
            }
        }
    }
}

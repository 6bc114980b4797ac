//! Reading numbers, strings and lists, each within a bound.

use std::fmt;
use std::io;
use std::str::FromStr;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::{MAX_LIST_ITEMS, MAX_SKIPPED_BYTES, READ_BUFFER_BYTES};
use crate::DaemonError;

/// The daemon's side of a connection.
#[derive(Debug)]
pub struct Reader<R>(BufReader<R>);

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads from `stream` through a buffer of its own.
    pub fn new(stream: R) -> Self {
        Self(BufReader::with_capacity(READ_BUFFER_BYTES, stream))
    }

    /// A number.
    pub async fn number(&mut self) -> Result<u64, DaemonError> {
        self.0.read_u64_le().await.map_err(DaemonError::Lost)
    }

    /// A truth value. Nix writes 0 or 1 and takes anything but 0 as true; so do we.
    pub async fn flag(&mut self) -> Result<bool, DaemonError> {
        Ok(self.number().await? != 0)
    }

    /// A string of at most `limit` bytes.
    pub async fn bytes(&mut self, limit: u64) -> Result<Vec<u8>, DaemonError> {
        let length = self.number().await?;
        if length > limit {
            return Err(DaemonError::protocol(format!("a string of {length} bytes where at most {limit} are accepted")));
        }
        let mut value = vec![0; length as usize];
        self.fill(&mut value).await?;
        self.padding(length).await?;
        Ok(value)
    }

    /// A string of at most `limit` bytes that must be UTF-8.
    pub async fn text(&mut self, limit: u64) -> Result<String, DaemonError> {
        let bytes = self.bytes(limit).await?;
        String::from_utf8(bytes).map_err(|_| DaemonError::protocol("a string that is not UTF-8"))
    }

    /// A string of at most `limit` bytes that must be what it is parsed as.
    pub async fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, limit: u64) -> Result<T, DaemonError> {
        self.text(limit).await?.parse().map_err(|error: T::Err| DaemonError::protocol(error.to_string()))
    }

    /// The first `limit` bytes of a string meant for people; the rest is skipped.
    pub async fn clipped(&mut self, limit: u64) -> Result<Vec<u8>, DaemonError> {
        let length = self.number().await?;
        if length > MAX_SKIPPED_BYTES {
            return Err(DaemonError::protocol(format!("a message of {length} bytes")));
        }
        let mut kept = vec![0; length.min(limit) as usize];
        self.fill(&mut kept).await?;
        self.copy(length - kept.len() as u64, &mut tokio::io::sink()).await?;
        self.padding(length).await?;
        Ok(kept)
    }

    /// As [`Reader::clipped`], where what is not UTF-8 is replaced.
    pub async fn clipped_text(&mut self, limit: u64) -> Result<String, DaemonError> {
        Ok(match String::from_utf8(self.clipped(limit).await?) {
            Ok(text) => text,
            Err(odd) => String::from_utf8_lossy(odd.as_bytes()).into_owned(),
        })
    }

    /// How many items of a list follow, at most `limit`.
    pub async fn count(&mut self, limit: u64) -> Result<u64, DaemonError> {
        let count = self.number().await?;
        if count > limit {
            return Err(DaemonError::protocol(format!("a list of {count} items where at most {limit} are accepted")));
        }
        Ok(count)
    }

    /// A list of strings of at most `limit` bytes each.
    pub async fn texts(&mut self, limit: u64) -> Result<Vec<String>, DaemonError> {
        let mut items = Vec::new();
        for _ in 0..self.count(MAX_LIST_ITEMS).await? {
            items.push(self.text(limit).await?);
        }
        Ok(items)
    }

    /// Moves `length` bytes, which are no string and have no padding, into `out`.
    pub async fn copy(&mut self, mut length: u64, out: &mut (impl AsyncWrite + Unpin)) -> Result<(), DaemonError> {
        while length > 0 {
            let ready = self.0.fill_buf().await.map_err(DaemonError::Lost)?;
            if ready.is_empty() {
                return Err(DaemonError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            let taken = length.min(ready.len() as u64) as usize;
            out.write_all(&ready[..taken]).await.map_err(DaemonError::Stream)?;
            self.0.consume(taken);
            length -= taken as u64;
        }
        Ok(())
    }

    async fn fill(&mut self, buffer: &mut [u8]) -> Result<(), DaemonError> {
        self.0.read_exact(buffer).await.map(drop).map_err(DaemonError::Lost)
    }

    /// The zeros after a string. Anything else means that we are out of step.
    async fn padding(&mut self, length: u64) -> Result<(), DaemonError> {
        let mut zeros = [0; 8];
        let padding = (length.next_multiple_of(8) - length) as usize;
        self.fill(&mut zeros[..padding]).await?;
        if zeros == [0; 8] { Ok(()) } else { Err(DaemonError::protocol("the padding of a string is not zero")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Request;

    fn string(value: &[u8]) -> Vec<u8> {
        Request::bare().bytes(value).as_bytes().to_vec()
    }

    #[tokio::test]
    async fn a_string_longer_than_allowed_is_refused_before_it_is_read() {
        let huge = u64::MAX.to_le_bytes();
        let error = Reader::new(&huge[..]).bytes(100).await.unwrap_err();
        assert!(matches!(error, DaemonError::Protocol(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_list_longer_than_allowed_is_refused_before_it_is_read() {
        let huge = (MAX_LIST_ITEMS + 1).to_le_bytes();
        let error = Reader::new(&huge[..]).texts(100).await.unwrap_err();
        assert!(matches!(error, DaemonError::Protocol(_)), "{error:?}");
    }

    #[tokio::test]
    async fn padding_that_is_not_zero_is_refused() {
        let mut wire = string(b"abc");
        wire[15] = 1;
        let error = Reader::new(&wire[..]).bytes(100).await.unwrap_err();
        assert!(matches!(error, DaemonError::Protocol(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_long_message_is_clipped_and_the_stream_stays_in_step() {
        let mut wire = string(&[b'x'; 1001]);
        wire.extend(7u64.to_le_bytes());
        let mut reader = Reader::new(&wire[..]);
        assert_eq!(reader.clipped_text(10).await.unwrap(), "xxxxxxxxxx");
        assert_eq!(reader.number().await.unwrap(), 7);
    }

    #[tokio::test]
    async fn bytes_that_are_not_utf8_are_replaced_in_messages_and_refused_elsewhere() {
        let wire = string(b"a\xff");
        assert_eq!(Reader::new(&wire[..]).clipped_text(10).await.unwrap(), "a\u{fffd}");
        assert!(matches!(Reader::new(&wire[..]).text(10).await, Err(DaemonError::Protocol(_))));
    }

    #[tokio::test]
    async fn a_stream_that_ends_early_is_a_lost_connection() {
        let wire = string(b"abcdefghijk");
        for end in 0..wire.len() {
            let error = Reader::new(&wire[..end]).bytes(100).await.unwrap_err();
            assert!(matches!(error, DaemonError::Lost(_)), "cut at {end}: {error:?}");
        }
    }
}

//! An object that was found, and the reading of it.

use std::io::Seek;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use object_store::{GetResult, GetResultPayload};
use tokio_util::io::ReaderStream;

use crate::BucketError;
use crate::bucket::bounded;

/// How long a reader waits for the next bytes, in seconds.
pub const IDLE_TIMEOUT_SECS: u64 = 60;
/// How much is read from a file at once, in bytes.
const FILE_CHUNK_BYTES: usize = 256 * 1024;

/// An object, or a part of one, whose bytes are still to be read.
pub struct Object {
    name: String,
    result: GetResult,
}

impl Object {
    pub(crate) fn new(name: String, result: GetResult) -> Self {
        Self { name, result }
    }

    /// Bytes of the whole object.
    pub fn size(&self) -> u64 {
        self.result.meta.size
    }

    /// Which bytes of it will be read.
    pub fn range(&self) -> std::ops::Range<u64> {
        self.result.range.clone()
    }

    /// All of them at once. More than `max_bytes` is an error, and is not read.
    pub async fn bytes(self, max_bytes: u64) -> Result<Bytes, BucketError> {
        let size = self.result.range.end - self.result.range.start;
        if size > max_bytes {
            return Err(BucketError::TooLarge { key: self.name, size, max_bytes });
        }
        bounded(&self.name, self.result.bytes()).await
    }

    /// Piece by piece. A piece that does not come in time is an error, after which there are none.
    pub fn stream(self) -> impl Stream<Item = Result<Bytes, BucketError>> + Send + Unpin + 'static {
        let pieces = self.result.range.end - self.result.range.start;
        let payload = match self.result.payload {
            GetResultPayload::File(file, _) => from_file(file, self.result.range.start, pieces),
            GetResultPayload::Stream(stream) => stream,
        };
        with_timeout(self.name, payload)
    }
}

/// The store's own stream of a file reads 8 KiB at a time, each a trip to another thread.
fn from_file(mut file: std::fs::File, start: u64, length: u64) -> BoxStream<'static, object_store::Result<Bytes>> {
    let failed = |error: std::io::Error| object_store::Error::Generic { store: "file", source: error.into() };
    if let Err(error) = file.seek(std::io::SeekFrom::Start(start)) {
        return futures::stream::once(async move { Err(failed(error)) }).boxed();
    }
    let mut file = tokio::fs::File::from_std(file);
    file.set_max_buf_size(FILE_CHUNK_BYTES);
    let part = tokio::io::AsyncReadExt::take(file, length);
    ReaderStream::with_capacity(part, FILE_CHUNK_BYTES).map(move |piece| piece.map_err(failed)).boxed()
}

fn with_timeout(
    name: String,
    pieces: BoxStream<'static, object_store::Result<Bytes>>,
) -> BoxStream<'static, Result<Bytes, BucketError>> {
    futures::stream::unfold(Some((name, pieces)), |state| async move {
        let (name, mut pieces) = state?;
        match tokio::time::timeout(Duration::from_secs(IDLE_TIMEOUT_SECS), pieces.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some((name, pieces)))),
            Ok(Some(Err(error))) => Some((Err(BucketError::of(&name, error)), None)),
            Ok(None) => None,
            Err(_) => Some((Err(BucketError::Timeout { key: name, secs: IDLE_TIMEOUT_SECS }), None)),
        }
    })
    .boxed()
}

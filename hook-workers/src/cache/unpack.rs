//! Objects that are unpacked while they are sent, on a thread, as far ahead as the client reads.

use std::io::{self, Read};

use bytes::Bytes;
use drover_bucket::Object;
use drover_substituter::Compression;
use futures::{Stream, TryStreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::spawn_blocking;
use tokio_util::io::{StreamReader, SyncIoBridge};

/// Pieces that wait for the client.
const QUEUED_PIECES: usize = 4;
/// Bytes of one.
pub const PIECE_BYTES: usize = 64 << 10;

/// The thread's end of an answer.
pub struct Out(mpsc::Sender<io::Result<Bytes>>);

impl Out {
    /// Sends a piece. An error if the client is gone.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Runs `work` on a thread, over the unpacked bytes of an object, and gives what it sends. An error of it cuts the answer off.
pub fn unpacked(
    object: Object,
    way: Compression,
    permit: OwnedSemaphorePermit,
    work: impl FnOnce(&mut dyn Read, &Out) -> io::Result<()> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (out, pieces) = mpsc::channel(QUEUED_PIECES);
    let packed = SyncIoBridge::new(StreamReader::new(object.stream().map_err(io::Error::other)));
    spawn_blocking(move || {
        let out = Out(out);
        let worked = way.reader(packed).and_then(|mut reader| work(&mut *reader, &out));
        if let Err(error) = worked {
            // It is no trouble if the client has gone.
            let _ = out.0.blocking_send(Err(error));
        }
    });
    stream::unfold((pieces, permit), |(mut pieces, permit)| async move { Some((pieces.recv().await?, (pieces, permit))) })
}

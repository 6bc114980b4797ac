//! A nar that is unpacked, verified and packed anew in one pass, on a thread of its own: compressing well takes long.
//! Pieces come to it and go from it through queues that are bounded, so that a nar of any size takes the same memory.

use std::io::{self, Write};
use std::panic::resume_unwind;
use std::sync::LazyLock;

use bytes::Bytes;
use drover_bucket::{Bucket, BucketError, Compression, Key, Object, Upload};
use drover_messages::publish::Publish;
use futures::StreamExt;
use futures::future::join_all;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;

use super::carry::uploaded;
use super::packing::{Packed, Packer};
use super::stop::Stop;
use super::verify::{Verification, Verified};
use super::{PublishError, Refusal};

/// Pieces that wait in a queue. Those that come have up to 256 KiB, those that go 64 KiB.
const QUEUED_PIECES: usize = 4;
/// Nars that are packed at once: no more than there are processors to do it.
static AT_ONCE: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get)));

/// Packs a nar in all these ways. As Zstandard it stays as it was uploaded.
pub(super) async fn repack(
    bucket: &Bucket,
    request: &Publish,
    object: Object,
    ways: &[Compression],
) -> Result<(Verified, Vec<Packed>), Stop> {
    // It is never closed.
    let _permit = AT_ONCE.acquire().await.ok();
    let store = &request.store_dir;
    let copy = ways.contains(&Compression::Zstd).then(|| bucket.upload(&uploaded(request).key(store)));
    let (mut packers, mut uploads) = (Vec::new(), Vec::new());
    for way in ways.iter().filter(|way| **way != Compression::Zstd) {
        let (out, pieces) = mpsc::channel(QUEUED_PIECES);
        packers.push(Packer::new(*way, Queue(out)).map_err(PublishError::from)?);
        uploads.push(collect(pieces, bucket.upload(&Key::NarInfo(store.clone(), (&request.path).into()))));
    }
    let (into, pieces) = mpsc::channel(QUEUED_PIECES);
    let thread = spawn_blocking({
        let request = request.clone();
        move || work(&request, pieces, packers)
    });
    let (copied, uploads, worked) = tokio::join!(feed(object, into, copy), join_all(uploads), thread);
    // The bucket's errors first: of bytes that did not come nothing true can be said.
    let copied = copied?;
    let uploads = uploads.into_iter().collect::<Result<Vec<_>, _>>()?;
    let (verified, mut packed) = worked.unwrap_or_else(|error| resume_unwind(error.into_panic()))?;
    for (upload, packed) in uploads.into_iter().zip(&packed) {
        upload.finish_at(&packed.key(store)).await?;
    }
    if let Some(copied) = copied {
        copied.finish().await?;
        packed.push(uploaded(request));
    }
    packed.sort_by_key(|packed| ways.iter().position(|way| *way == packed.compression));
    Ok((verified, packed))
}

/// Gives an object to the thread, and to an upload, until the thread has enough.
async fn feed(object: Object, into: mpsc::Sender<Bytes>, mut copy: Option<Upload>) -> Result<Option<Upload>, BucketError> {
    let mut pieces = object.stream();
    while let Some(bytes) = pieces.next().await.transpose()? {
        if let Some(copy) = &mut copy {
            copy.write(bytes.clone()).await?;
        }
        if into.send(bytes).await.is_err() {
            break;
        }
    }
    Ok(copy)
}

/// Uploads what comes. Not to be finished before the thread has said that it was right.
async fn collect(mut pieces: mpsc::Receiver<Bytes>, mut upload: Upload) -> Result<Upload, BucketError> {
    while let Some(bytes) = pieces.recv().await {
        upload.write(bytes).await?;
    }
    Ok(upload)
}

/// Why the thread ends early.
enum Ended {
    Refused(Refusal),
    Packing(io::Error),
}

impl From<Ended> for Stop {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Refused(refusal) => refusal.into(),
            Ended::Packing(error) => PublishError::from(error).into(),
        }
    }
}

fn work(
    request: &Publish,
    mut pieces: mpsc::Receiver<Bytes>,
    mut packers: Vec<Packer<Queue>>,
) -> Result<(Verified, Vec<Packed>), Ended> {
    let mut verification = Verification::new(request).map_err(Ended::Refused)?;
    while let Some(bytes) = pieces.blocking_recv() {
        let mut packing = Ok(());
        let pack = |nar: &[u8]| {
            if packing.is_ok() {
                packing = packers.iter_mut().try_for_each(|packer| packer.write(nar));
            }
        };
        verification.feed(&bytes, pack).map_err(Ended::Refused)?;
        packing.map_err(Ended::Packing)?;
    }
    let verified = verification.finish().map_err(Ended::Refused)?;
    let packed = packers.into_iter().map(|packer| Ok(packer.finish()?.1)).collect::<io::Result<_>>().map_err(Ended::Packing)?;
    Ok((verified, packed))
}

/// The thread's end of the queue to an upload.
struct Queue(mpsc::Sender<Bytes>);

impl Write for Queue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.blocking_send(Bytes::copy_from_slice(bytes)) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! One store item as a compressed nar in the bucket: dumped, hashed, compressed and hashed again in one pass.
//!
//! Small ones are done at once and in memory; larger ones stream through a thread of their own, with a bounded number of
//! pieces on their way, and large ones are compressed by further threads while that one reads and hashes. This does not
//! know whose item it is.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use bytes::Bytes;
use drover_bucket::{Bucket, BucketError, Key, Put};
use drover_store::Sha256;
use drover_store::nar::{HashingWriter, NarSummary, dump};
use tokio::sync::mpsc;
use zstd::stream::write::Encoder;
use zstd::zstd_safe::CParameter;

/// Up to this size, in bytes, a nar is worth no thread.
const SMALL_NAR_BYTES: u64 = 256 << 10;
/// Size of the pieces between the thread and the bucket, in bytes.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces on their way.
const PIECES: usize = 4;
/// Of zstd: higher ones cost more time than they save.
const LEVEL: i32 = 3;
/// Threads that compress a large nar.
const COMPRESSING_THREADS: u32 = 2;
/// What one of them takes at a time, in bytes. A nar of no more has none; with one that has, some 30 MB are on their way.
const SHARE_BYTES: u32 = 2 << 20;

/// What a dump gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dumped {
    /// The nar, uncompressed.
    pub nar: NarSummary,
    /// The object, as compressed.
    pub file: NarSummary,
}

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The item cannot be read.
    #[error("the item cannot be dumped")]
    Item(#[source] io::Error),
    /// What stands in the store is not what the daemon knows: `0` is what was dumped.
    #[error("the item has another hash than the store daemon says: {} with {} bytes", .0.sha256, .0.size)]
    Differs(NarSummary),
    /// The bucket did not take it.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

/// Dumps `path`, whose nar must be as `expected` where that is known, to `key`, if nothing is there.
pub async fn dump_to(bucket: &Bucket, key: &Key, path: &Path, expected: Option<NarSummary>) -> Result<(Dumped, Put), DumpError> {
    match expected {
        Some(expected) if expected.size <= SMALL_NAR_BYTES => small(bucket, key, path, expected).await,
        _ => large(bucket, key, path, expected).await,
    }
}

async fn small(bucket: &Bucket, key: &Key, path: &Path, expected: NarSummary) -> Result<(Dumped, Put), DumpError> {
    let mut nar = Bounded { bytes: Vec::with_capacity(expected.size as usize), max: expected.size as usize };
    dump(path, &mut nar).map_err(DumpError::Item)?;
    let summary = NarSummary { sha256: Sha256::of(&nar.bytes), size: nar.bytes.len() as u64 };
    let compressed = zstd::bulk::compress(&nar.bytes, LEVEL).map_err(DumpError::Item)?;
    let file = NarSummary { sha256: Sha256::of(&compressed), size: compressed.len() as u64 };
    let dumped = Dumped { nar: summary, file }.expect(Some(expected))?;
    Ok((dumped, bucket.put_once(key, compressed.into()).await?))
}

async fn large(bucket: &Bucket, key: &Key, path: &Path, expected: Option<NarSummary>) -> Result<(Dumped, Put), DumpError> {
    let (sender, mut pieces) = mpsc::channel(PIECES);
    let path = path.to_owned();
    // When this future is dropped the channel closes, and the thread ends at its next piece.
    let thread = tokio::task::spawn_blocking(move || stream(&path, expected, sender));
    let mut upload = bucket.upload(key);
    while let Some(piece) = pieces.recv().await {
        upload.write(piece).await?;
    }
    let dumped = thread.await.map_err(|panic| DumpError::Item(panic.into()))?.map_err(DumpError::Item)?.expect(expected)?;
    Ok((dumped, upload.finish().await?))
}

fn stream(path: &Path, expected: Option<NarSummary>, pieces: mpsc::Sender<Bytes>) -> io::Result<Dumped> {
    let file = HashingWriter::new(Pieces { pieces, piece: Vec::with_capacity(PIECE_BYTES) });
    let mut nar = BufWriter::with_capacity(64 << 10, HashingWriter::new(encoder(file, expected.map(|nar| nar.size))?));
    dump(path, &mut nar)?;
    let (encoder, nar) = nar.into_inner().map_err(io::IntoInnerError::into_error)?.finish();
    let (mut pieces, file) = encoder.finish()?.finish();
    pieces.send()?;
    Ok(Dumped { nar, file })
}

fn encoder<W: Write>(file: W, size: Option<u64>) -> io::Result<Encoder<'static, W>> {
    let mut encoder = Encoder::new(file, LEVEL)?;
    encoder.set_pledged_src_size(size)?;
    if size.is_none_or(|size| size > SHARE_BYTES.into()) {
        encoder.multithread(COMPRESSING_THREADS)?;
        encoder.set_parameter(CParameter::JobSize(SHARE_BYTES))?;
    }
    Ok(encoder)
}

impl Dumped {
    fn expect(self, expected: Option<NarSummary>) -> Result<Self, DumpError> {
        if expected.is_none_or(|expected| self.nar == expected) { Ok(self) } else { Err(DumpError::Differs(self.nar)) }
    }
}

/// Memory for a nar that may not be larger than it was said to be.
struct Bounded {
    bytes: Vec<u8>,
    max: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.max {
            return Err(io::Error::other("it is larger than the store daemon says"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Cuts a stream into pieces, and hands them to a task.
struct Pieces {
    pieces: mpsc::Sender<Bytes>,
    piece: Vec<u8>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.pieces.blocking_send(piece.into()).map_err(|_| io::Error::other("the upload was given up"))
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE_BYTES {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use drover_messages::{AgentId, AttemptId};
    use drover_store::StorePath;

    use std::path::PathBuf;

    use super::*;

    fn key() -> Key {
        let item: StorePath = "0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-x".parse().unwrap();
        Key::OutputIncoming { agent: AgentId::new(), attempt: AttemptId::new(), upload: 0, item: (&item).into() }
    }

    /// A file of `size` bytes that do not compress well, and its nar.
    fn item(size: usize) -> (tempfile::TempDir, PathBuf, Vec<u8>, NarSummary) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("item");
        let mut seed = 1u32;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        })
        .take(size)
        .collect();
        std::fs::write(&path, bytes).unwrap();
        let mut nar = Vec::new();
        dump(&path, &mut nar).unwrap();
        let summary = NarSummary { sha256: Sha256::of(&nar), size: nar.len() as u64 };
        (dir, path, nar, summary)
    }

    #[tokio::test]
    async fn small_and_large_items_arrive_as_they_were_and_are_described_truly() {
        for size in [0, 1000, 1 << 20, 20 << 20] {
            let (_dir, path, nar, expected) = item(size);
            let (bucket, key) = (Bucket::open("memory://").unwrap(), key());
            let (dumped, put) = dump_to(&bucket, &key, &path, Some(expected)).await.unwrap();
            assert_eq!((dumped.nar, put), (expected, Put::Created));
            let object = bucket.get(&key, 64 << 20).await.unwrap();
            assert_eq!(dumped.file, NarSummary { sha256: Sha256::of(&object), size: object.len() as u64 });
            assert!(zstd::decode_all(&object[..]).unwrap() == nar);
        }
    }

    #[tokio::test]
    async fn an_item_of_which_nothing_is_known_is_described_as_it_is() {
        let (_dir, path, _, truth) = item(1000);
        let bucket = Bucket::open("memory://").unwrap();
        assert_eq!(dump_to(&bucket, &key(), &path, None).await.unwrap().0.nar, truth);
    }

    #[tokio::test]
    async fn an_item_that_is_not_what_the_daemon_says_never_reaches_the_bucket() {
        for size in [1000, 1 << 20] {
            let (_dir, path, _, mut expected) = item(size);
            expected.sha256 = Sha256::of(b"something else");
            let (bucket, key) = (Bucket::open("memory://").unwrap(), key());
            assert!(matches!(dump_to(&bucket, &key, &path, Some(expected)).await, Err(DumpError::Differs(_))));
            assert!(!bucket.exists(&key).await.unwrap());
        }
    }

    #[tokio::test]
    async fn what_is_there_already_stays() {
        let (_dir, path, _, expected) = item(10);
        let (bucket, key) = (Bucket::open("memory://").unwrap(), key());
        dump_to(&bucket, &key, &path, Some(expected)).await.unwrap();
        assert_eq!(dump_to(&bucket, &key, &path, Some(expected)).await.unwrap().1, Put::Existed);
    }

    #[tokio::test]
    async fn an_item_that_is_gone_is_told_from_a_bucket_that_fails() {
        let (dir, path, _, expected) = item(10);
        drop(dir);
        let bucket = Bucket::open("memory://").unwrap();
        assert!(matches!(dump_to(&bucket, &key(), &path, Some(expected)).await, Err(DumpError::Item(_))));
    }
}

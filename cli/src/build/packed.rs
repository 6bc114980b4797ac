//! A source as the compressed nar that is uploaded, hashed in all the ways that its name may follow from.

use std::io::{self, Seek, Write};
use std::path::Path;

use drover_store::nar::{HashingWriter, NarSummary, dump};
use drover_store::{Sha256, Sha256Hasher};
use tempfile::SpooledTempFile;

use super::address::Content;

/// zstd's level for nars: ten times faster than what compresses a fifth better.
const ZSTD_LEVEL: i32 = 3;
/// A compressed nar larger than this waits for its upload in a file.
const MAX_IN_MEMORY_BYTES: usize = 16 << 20;

/// A compressed nar on its way.
pub(crate) struct Packed {
    /// Of the nar.
    pub(crate) nar: NarSummary,
    /// Of what it is compressed.
    pub(crate) file: NarSummary,
    flat: Option<Sha256>,
    /// What it is compressed, from its beginning.
    pub(crate) bytes: SpooledTempFile,
}

impl Packed {
    /// Of what lies there.
    pub(crate) fn of(on_disk: &Path) -> io::Result<Self> {
        let compressed = HashingWriter::new(tempfile::spooled_tempfile(MAX_IN_MEMORY_BYTES));
        let mut nar = HashingWriter::new(zstd::Encoder::new(compressed, ZSTD_LEVEL)?);
        dump(on_disk, &mut nar)?;
        let (encoder, nar) = nar.finish();
        let (mut bytes, file) = encoder.finish()?.finish();
        bytes.rewind()?;
        Ok(Self { nar, file, flat: flat_hash(on_disk)?, bytes })
    }

    /// What its name may follow from.
    pub(crate) fn content(&self) -> Content {
        Content { nar_hash: self.nar.sha256, flat_hash: self.flat }
    }
}

/// The hash of a plain file's bytes.
fn flat_hash(path: &Path) -> io::Result<Option<Sha256>> {
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Ok(None);
    }
    struct Hash(Sha256Hasher);
    impl Write for Hash {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hash = Hash(Sha256Hasher::new());
    io::copy(&mut std::fs::File::open(path)?, &mut hash)?;
    Ok(Some(hash.0.finish()))
}

//! How a nar is packed on its way.

use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;
use lzma_rust2::{LzipReader, XzReader};
use zstd::stream::read::Decoder as ZstdReader;

/// The largest window of a Zstandard frame, as a power of two in bytes: 128 MiB, what its own tool allows unasked.
const ZSTD_MAX_WINDOW_LOG: u32 = 27;
/// What unpacking xz may take, in KiB. (The format of lzip itself bounds it to 512 MiB.)
const XZ_MAX_KIB: u32 = 128 << 10;
/// What is asked of the network at once, in bytes.
const INPUT_BYTES: usize = 64 << 10;

/// A packing that can be undone here. Better ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// Zstandard.
    Zstd,
    /// Lzip.
    Lzip,
    /// XZ.
    Xz,
    /// Gzip.
    Gzip,
    /// Not packed at all.
    None,
}

impl Compression {
    /// By its name in a narinfo.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "zstd" => Some(Self::Zstd),
            "lzip" => Some(Self::Lzip),
            "xz" => Some(Self::Xz),
            "gzip" => Some(Self::Gzip),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    /// Unpacks.
    pub fn reader<'a>(self, packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        let packed = BufReader::with_capacity(INPUT_BYTES, packed);
        Ok(match self {
            Self::None => Box::new(packed),
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Lzip => Box::new(LzipReader::new(packed)),
            Self::Xz => Box::new(XzReader::new_mem_limit(packed, true, XZ_MAX_KIB)),
            Self::Zstd => {
                let mut reader = ZstdReader::with_buffer(packed)?;
                reader.window_log_max(ZSTD_MAX_WINDOW_LOG)?;
                Box::new(reader)
            }
        })
    }
}

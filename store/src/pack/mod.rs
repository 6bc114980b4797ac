//! A pack: many `.drv` in one object that is named by its SHA-256, so that a submission of thousands travels as a few puts.
//!
//! The whole object is a valid zstd file (`zstd -dc PACK` prints all derivations), made of
//!
//! 1. a skippable frame of 8 bytes, the magic `drvpack1`, whose last character is the version;
//! 2. frames, each of some derivations one behind the other, at most [`FRAME_SOFT_BYTES`] uncompressed unless a single one is
//!    larger, so that one can be read without the rest; ordered by name, then hash, since those of like name are alike;
//! 3. a skippable frame that holds the index, compressed, and a footer to find it by: the index' length compressed, its length,
//!    the magic.
//!
//! The index is a count of frames, for each its length compressed and its length; and a count of derivations, for each its
//! length, then a byte that is the length of its name, and its name. All numbers but that byte are 32 bits, little endian.
//! Where a derivation stands follows from the lengths before it, so that an index cannot say two things.
//!
//! What a pack contains is not verified here: see [`verify()`](crate::verify()).

mod error;
mod index;
mod read;
mod write;

pub use error::PackError;
pub use read::Pack;
pub use write::PackWriter;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ParseError, Sha256, hex};

/// When a pack is full: its writer should be finished at this size, in bytes uncompressed.
pub const PACK_SOFT_BYTES: usize = 8 << 20;

/// The most that a pack may contain, in bytes uncompressed.
pub const MAX_PACK_RAW_BYTES: usize = 32 << 20;

/// The most derivations in a pack.
pub const MAX_PACK_ENTRIES: usize = 1 << 16;

/// When a frame is full, in bytes uncompressed.
pub const FRAME_SOFT_BYTES: usize = 256 << 10;

const MAGIC: &[u8; 8] = b"drvpack1";
const HEADER_FRAME: u32 = 0x184D_2A50;
const INDEX_FRAME: u32 = 0x184D_2A51;
const HEADER_BYTES: usize = 4 + 4 + MAGIC.len();
const FOOTER_BYTES: usize = 4 + 4 + MAGIC.len();

/// The SHA-256 of a pack's bytes, and so its name in the bucket. Shown in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PackId(pub Sha256);

impl PackId {
    /// The name of a pack of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::of(bytes))
    }
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}

impl FromStr for PackId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bytes = hex::decode(text).and_then(|bytes| bytes.try_into().ok());
        let bytes = bytes.ok_or_else(|| ParseError::new("the name of a pack", text, "it is not 64 hexadecimal digits"))?;
        Ok(Self(Sha256::from_bytes(bytes)))
    }
}

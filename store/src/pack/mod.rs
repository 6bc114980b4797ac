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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::DrvPath;

    fn drv(n: usize) -> (DrvPath, Bytes) {
        let path = format!("{:032}-pkg-{}.drv", n, n % 7).parse().unwrap();
        (path, format!("derivation {n} ").repeat(400 + n % 50).into())
    }

    fn packed(drvs: impl Iterator<Item = usize>) -> Bytes {
        let mut writer = PackWriter::new();
        for (path, aterm) in drvs.map(drv) {
            writer.push(&path, aterm).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn each_derivation_is_found_by_its_name() {
        let pack = Pack::open(packed(0..300)).unwrap();
        assert_eq!(pack.names().len(), 300);
        for (path, aterm) in (0..300).map(drv) {
            assert_eq!(pack.get(&path).unwrap(), aterm);
        }
        assert!(matches!(pack.get(&drv(300).0), Err(PackError::Absent(_))));
        assert_eq!(pack.iter().map(Result::unwrap).count(), 300);
    }

    #[test]
    fn the_order_of_coming_does_not_matter() {
        let (one, other) = (packed(0..300), packed((0..300).rev()));
        assert_eq!(PackId::of(&one), PackId::of(&other));
    }

    #[test]
    fn a_pack_is_a_zstd_file_of_its_derivations() {
        let bytes = packed(0..300);
        let all: usize = (0..300).map(|n| drv(n).1.len()).sum();
        assert_eq!(zstd::decode_all(&bytes[..]).unwrap().len(), all);
    }

    #[test]
    fn an_empty_pack_is_a_pack() {
        assert_eq!(Pack::open(packed(0..0)).unwrap().names().len(), 0);
    }

    #[test]
    fn the_same_name_with_other_contents_is_refused() {
        let (mut writer, (path, aterm)) = (PackWriter::new(), drv(0));
        writer.push(&path, aterm.clone()).unwrap();
        writer.push(&path, aterm).unwrap();
        assert!(matches!(writer.push(&path, &b"other"[..]), Err(PackError::Differs(_))));
    }

    #[test]
    fn what_says_that_it_is_huge_is_refused_before_it_is_uncompressed() {
        let frames = (0..40).map(|_| index::Frame { packed: 1, raw: 1 << 20 }).collect();
        let index = index::Index { frames, entries: Vec::new() };
        assert!(matches!(index::Index::read(&index.write()), Err(PackError::TooLarge)));
    }

    #[test]
    fn a_frame_that_is_larger_than_its_index_says_is_refused() {
        let bomb = zstd::bulk::compress(&vec![0; 1 << 20], 3).unwrap();
        assert!(read::decompress(&bomb, 100).is_err());
    }

    #[test]
    fn a_cut_pack_is_refused() {
        let bytes = packed(0..3);
        for len in 0..bytes.len() {
            assert!(Pack::open(bytes.slice(..len)).is_err(), "{len} bytes of it were read");
        }
    }
}

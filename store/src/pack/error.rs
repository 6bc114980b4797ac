//! Why a pack was refused.

use std::io;

use super::{MAX_PACK_ENTRIES, MAX_PACK_RAW_BYTES};
use crate::{DrvPath, ParseError};

/// A pack that cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The bytes are no pack, or a broken one.
    #[error("not a pack: {0}")]
    Malformed(&'static str),
    /// A name in it is no derivation's.
    #[error("the pack's index: {0}")]
    Name(#[from] ParseError),
    /// It holds, or says that it holds, more than is allowed.
    #[error("the pack holds more than {MAX_PACK_RAW_BYTES} bytes or {MAX_PACK_ENTRIES} derivations")]
    TooLarge,
    /// What was asked for is not in it.
    #[error("{0} is not in the pack")]
    Absent(DrvPath),
    /// The same name was pushed with other bytes.
    #[error("{0} was pushed twice with different contents")]
    Differs(DrvPath),
    /// zstd refused to compress or to decompress.
    #[error("zstd: {0}")]
    Zstd(#[from] io::Error),
}

//! Where and why the bytes of a `.drv` were refused.

use crate::ParseError;

/// A `.drv` that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {fault}")]
pub struct DrvParseError {
    /// The byte where it broke, from the beginning of the file.
    pub at: usize,
    /// What is wrong there.
    pub fault: DrvFault,
}

/// What is wrong with a `.drv`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrvFault {
    /// The bytes are no derivation.
    #[error("expected {0}")]
    Expected(&'static str),
    /// It can be understood, but no writer would have written it so.
    #[error("not canonical: {0}")]
    NotCanonical(&'static str),
    /// A path, a name or a hash is wrong.
    #[error(transparent)]
    Value(#[from] ParseError),
    /// Real, but nothing that Drover can build.
    #[error("unsupported: {0}")]
    Unsupported(&'static str),
    /// More than [`MAX_DRV_BYTES`](crate::MAX_DRV_BYTES).
    #[error("the derivation is larger than {} bytes", crate::MAX_DRV_BYTES)]
    TooLarge,
}

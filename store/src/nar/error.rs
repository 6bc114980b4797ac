//! Where and why a nar was refused.

use std::io;

use super::MAX_DEPTH;

/// A nar that is refused.
#[derive(Debug, thiserror::Error)]
#[error("byte {at} of the nar: {fault}")]
pub struct NarError {
    /// Behind the word that is wrong, from the beginning of the nar.
    pub at: u64,
    /// What is wrong.
    pub fault: NarFault,
}

/// What is wrong with a nar, or with the place that it is unpacked to.
#[derive(Debug, thiserror::Error)]
pub enum NarFault {
    /// The bytes are no nar.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A word is longer than it may be there, in bytes.
    #[error("a word of {0} bytes where {1} are allowed")]
    TooLong(u64, usize),
    /// Padding that is not zero.
    #[error("padding is not zero")]
    Padding,
    /// A name that a directory cannot have, or that would lead out of it.
    #[error("{0:?} cannot be the name of an entry")]
    BadName(String),
    /// A name that is not greater than the one before.
    #[error("the entry {0:?} is out of order")]
    Order(String),
    /// Directories nested too deeply.
    #[error("directories are more than {MAX_DEPTH} deep")]
    TooDeep,
    /// The bytes ended before the nar did.
    #[error("it ends too early")]
    Truncated,
    /// The sink failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

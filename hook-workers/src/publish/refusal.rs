//! Why bytes are not what somebody said they were.

use std::fmt;

use drover_bucket::KeyError;
use drover_store::nar::NarError;
use drover_store::{Sha256, StorePath};

/// The most store paths that one refusal names.
const MAX_NAMED: usize = 10;

/// A claim that is false. The words go to whoever made it.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The nar lies where its maker may not put anything.
    #[error("the nar lies elsewhere than its maker may put it: {0}")]
    Place(#[from] KeyError),
    /// More than this farm takes.
    #[error("the nar is claimed to have {nar_size} bytes, {file_size} compressed; this farm takes {max_bytes}")]
    TooLarge {
        /// Bytes of the nar, as claimed.
        nar_size: u64,
        /// Bytes of the object, as claimed.
        file_size: u64,
        /// The limit on each.
        max_bytes: u64,
    },
    /// The object is shorter or longer.
    #[error("the uploaded file has {found} bytes, not {claimed}")]
    FileSize {
        /// In bytes.
        claimed: u64,
        /// In bytes; where it is too long, what was read of it.
        found: u64,
    },
    /// The object is another.
    #[error("the uploaded file has the hash {found}, not {claimed}")]
    FileHash {
        /// By the uploader.
        claimed: Sha256,
        /// By us.
        found: Sha256,
    },
    /// The object cannot be decompressed.
    #[error("the uploaded file is not readable as zstd: {0}")]
    NotZstd(String),
    /// The nar is shorter or longer.
    #[error("the nar has {found} bytes, not {claimed}")]
    NarSize {
        /// In bytes.
        claimed: u64,
        /// In bytes; where it is too long, what was read of it.
        found: u64,
    },
    /// The nar is another.
    #[error("the nar has the hash {found}, not {claimed}")]
    NarHash {
        /// By the uploader.
        claimed: Sha256,
        /// By us.
        found: Sha256,
    },
    /// It is no nar.
    #[error("the nar is malformed: {0}")]
    Nar(#[from] NarError),
    /// It refers to what it was not said to refer to.
    #[error("the nar refers to {} without saying so", Names(.0))]
    UndeclaredReferences(Vec<StorePath>),
    /// It does not refer to what it was said to refer to.
    #[error("the nar does not refer to {}, though it is said to", Names(.0))]
    AbsentReferences(Vec<StorePath>),
    /// A file's hash was promised, and there is no plain file.
    #[error("its content should be one file that is not executable, and is not")]
    NotOneFile,
    /// Its content is another than its address says.
    #[error("its content has the hash {found}, not {promised}")]
    Content {
        /// By its derivation, or by whoever brought it.
        promised: String,
        /// By us.
        found: String,
    },
    /// Its path does not follow from its content.
    #[error("its content and its references give another store path")]
    Path,
    /// The cache has something else of this path.
    #[error("the cache has it with the nar hash {there}, this one has {here}")]
    Differs {
        /// What is served.
        there: Sha256,
        /// What was brought.
        here: Sha256,
    },
    /// The cache has the same bytes of this path, under other references.
    #[error("the cache has the very same bytes, but with other references")]
    OtherReferences,
}

impl Refusal {
    pub(super) fn not_zstd(error: std::io::Error) -> Self {
        Self::NotZstd(error.to_string())
    }
}

/// Some paths, by name.
struct Names<'a>(&'a [StorePath]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, path) in self.0.iter().take(MAX_NAMED).enumerate() {
            write!(f, "{}{path}", if n == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(MAX_NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

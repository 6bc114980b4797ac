//! What can go wrong between us and a server, by what the caller can do about it.

use std::io;

use drover_store::StoreDir;

/// Why a server did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum SubstituterError {
    /// It does not have that: ask another.
    #[error("{url}: not there")]
    Absent {
        /// Of what.
        url: String,
    },
    /// It serves another store: never ask it about this one.
    #[error("{url} serves {theirs}, not {ours}")]
    OtherStore {
        /// Of the server.
        url: String,
        /// The store directory of its items.
        theirs: StoreDir,
        /// The one that was asked about.
        ours: StoreDir,
    },
    /// What it gave is not what it should be, or it refuses: asking again does not mend that.
    #[error("{url}: {why}")]
    Broken {
        /// Of what.
        url: String,
        /// In words.
        why: String,
    },
    /// It could not be reached, or broke off, more than once: ask later.
    #[error("{url}: {why}")]
    Unreachable {
        /// Of what.
        url: String,
        /// In words.
        why: String,
    },
    /// What came could not be kept on this machine.
    #[error("{url} cannot be kept: {source}")]
    Local {
        /// Of what.
        url: String,
        /// This machine's words.
        source: io::Error,
    },
}

impl SubstituterError {
    /// Whether the same question may be answered later without anybody's help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    pub(crate) fn broken(url: &str, why: impl ToString) -> Self {
        Self::Broken { url: url.into(), why: why.to_string() }
    }

    pub(crate) fn unreachable(url: &str, why: impl ToString) -> Self {
        Self::Unreachable { url: url.into(), why: why.to_string() }
    }
}

//! What can go wrong, by what the caller can do about it.

/// Why the bucket did not do as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// There is no such object.
    #[error("{key}: not in the bucket")]
    NotFound {
        /// Which.
        key: String,
    },
    /// The object is larger than the caller is ready for.
    #[error("{key}: {size} bytes, the limit is {max_bytes}")]
    TooLarge {
        /// Which.
        key: String,
        /// What it has, in bytes.
        size: u64,
        /// What was allowed, in bytes.
        max_bytes: u64,
    },
    /// The store may do it later: try again.
    #[error("{key}: {source}")]
    Transient {
        /// Which.
        key: String,
        /// The store's own words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It did not answer in time: try again.
    #[error("{key}: the bucket did not answer within {secs} s")]
    Timeout {
        /// Which.
        key: String,
        /// How long it was waited for.
        secs: u64,
    },
    /// Nothing will help but another URL, other credentials, or another kind of store.
    #[error("{what}: {source}")]
    Config {
        /// The URL or the key.
        what: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl BucketError {
    /// Whether the same call may succeed later without anybody's help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. } | Self::Timeout { .. })
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    pub(crate) fn config(what: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Config { what: what.into(), source: source.into() }
    }

    pub(crate) fn of(key: &str, error: object_store::Error) -> Self {
        use object_store::Error::*;
        match error {
            NotFound { .. } => Self::NotFound { key: key.into() },
            // What has no name of its own is mostly the network or the disk.
            error @ (Generic { .. } | JoinError { .. } | Precondition { .. } | AlreadyExists { .. }) => {
                Self::Transient { key: key.into(), source: error.into() }
            }
            error => Self::Config { what: key.into(), source: error.into() },
        }
    }
}

//! Why a publication ends before its end: with a word on it, or without one because of the farm.

use std::io;

use drover_bucket::BucketError;
use drover_messages::publish::PublishVerdict;

use super::{NoKey, Refusal};

/// The farm's fault, never the request's, which is to be tried again.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The bucket fails.
    #[error("the bucket: {0}")]
    Bucket(#[from] BucketError),
    /// Nobody would believe what is signed here.
    #[error(transparent)]
    NoKey(#[from] NoKey),
    /// It cannot be compressed.
    #[error("compressing: {0}")]
    Packing(#[from] io::Error),
}

/// Both.
pub(super) enum Stop {
    Verdict(PublishVerdict),
    Error(PublishError),
}

impl<E: Into<PublishError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Verdict(PublishVerdict::Refused { why: refusal.to_string() })
    }
}

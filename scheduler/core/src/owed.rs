//! A publication that the scheduler owes: it asks until it is told that it is done.

use drover_messages::publish::Origin;
use drover_messages::request::Nar;
use drover_messages::{AttemptId, BuildId, PublicationId, SubmissionId};
use drover_store::{StoreDir, StorePath};
use serde::{Deserialize, Serialize};

/// What has more bytes in the bucket takes a worker long enough to be counted, and asked for, by itself.
pub const LARGE_NAR_BYTES: u64 = 1 << 20;

/// A publication that is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Its id.
    pub id: PublicationId,
    /// The store directory of all paths.
    pub store_dir: StoreDir,
    /// What is to become available.
    pub path: StorePath,
    /// What must be available before.
    pub references: Vec<StorePath>,
    /// The unverified bytes.
    pub nar: Nar,
    /// Who made it. What an output could refer to is not in it: its build's recipe says that when it is asked for.
    pub origin: Origin,
}

impl Publication {
    /// Whether it takes a worker long.
    pub fn is_large(&self) -> bool {
        is_large(&self.nar)
    }

    /// The attempt whose output it is, and its build.
    pub fn attempt(&self) -> Option<(BuildId, AttemptId)> {
        match &self.origin {
            Origin::Output { build, attempt, .. } => Some((*build, *attempt)),
            Origin::Source { .. } => None,
        }
    }

    /// The submission that brought it, if it is a source.
    pub fn submission(&self) -> Option<SubmissionId> {
        match &self.origin {
            Origin::Source { submission, .. } => Some(*submission),
            Origin::Output { .. } => None,
        }
    }
}

/// Whether a nar takes a worker long.
pub fn is_large(nar: &Nar) -> bool {
    nar.file_size > LARGE_NAR_BYTES
}

//! A submission: one request from a user.

use std::collections::BTreeMap;

use drover_messages::request::Terms;
use drover_messages::{BuildId, ClientId, SubmissionId, Timestamp};
use drover_store::StoreDir;
use serde::{Deserialize, Serialize};

/// One request from a user. It is remembered for ever: its id decides whether it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Its id.
    pub id: SubmissionId,
    /// Whose.
    pub client: ClientId,
    /// The store directory of everything in it.
    pub store_dir: StoreDir,
    /// The builds that the user named.
    pub roots: Vec<BuildId>,
    /// The priority of all its builds.
    pub priority: i32,
    /// The user's own words.
    pub tags: BTreeMap<String, String>,
    /// Whether what its builds lack gets builds of its own.
    #[serde(default = "yes")]
    pub input_builds: bool,
    /// Where its roots may be built, and how sure they are to be.
    #[serde(default)]
    pub terms: Terms,
    /// When the user asked.
    pub submitted_at: Timestamp,
    /// How it is.
    pub state: SubmissionState,
}

fn yes() -> bool {
    true
}

/// How a submission is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubmissionState {
    /// Its builds are entered bit by bit and do nothing yet.
    Planning,
    /// It lives.
    Live {
        /// Builds that were made for it.
        builds: u64,
    },
    /// Its user does not want it any more.
    Cancelled {
        /// Builds that were made for it.
        builds: u64,
    },
    /// It cannot be taken up.
    Rejected {
        /// In words.
        why: String,
    },
}

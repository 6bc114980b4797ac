//! What a farm has built, with what each build needed and how long it took: enough to play it again under another policy
//! or on another fleet. Asked for on `rpc.query.records`.

use std::collections::BTreeSet;

use drover_store::{DrvPath, StoreDir, StorePath};
use serde::{Deserialize, Serialize};

use crate::query::AskBuilds;
use crate::report::Times;
use crate::{AgentId, BuildId, ClientId, Message, SubmissionId, Timestamp};

/// The most bytes that the paths of one page take together. A build with more of them is left out.
pub const MAX_RECORDS_BYTES: usize = 512 << 10;

/// Builds that succeeded, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskRecords {
    /// Which of them. What it says of a state is not looked at.
    pub which: AskBuilds,
}

impl Message for AskRecords {
    const KIND: &'static str = "ask-records";
}

/// A page of what was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// The rows. There may be none, although more follow.
    pub records: Vec<Record>,
    /// After which build to ask again, where more may follow.
    pub next: Option<BuildId>,
}

impl Message for Records {
    const KIND: &'static str = "records";
}

/// One build that succeeded, by the attempt that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which.
    pub build: BuildId,
    /// For whose sake.
    pub submission: SubmissionId,
    /// Who submitted that; nobody, where it is not known any more.
    pub client: Option<ClientId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its own priority.
    pub priority: i32,
    /// What was built.
    pub drv: DrvPath,
    /// Its store directory.
    pub store_dir: StoreDir,
    /// For what.
    pub system: String,
    /// What it required of an agent.
    pub features: BTreeSet<String>,
    /// What it made.
    pub outputs: BTreeSet<StorePath>,
    /// What it needed.
    pub inputs: BTreeSet<StorePath>,
    /// Where.
    pub agent: AgentId,
    /// Where the time went, by that agent's clock.
    pub times: Times,
}

//! What happened, for whoever listens: hook pools, `drover build --wait`, people. On the stream EVENTS.

use std::fmt;

use drover_store::{DrvPath, Sha256, StoreDir, StorePath};
use serde::{Deserialize, Serialize};

use crate::placement::Placement;
use crate::{AgentId, AttemptId, BuildId, Cause, ClientId, Epoch, Message, SubmissionId, Timestamp, WishId};

/// One thing that happened, told once it is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The event's id: told twice, it is the same.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

impl Message for Event {
    const KIND: &'static str = "event";
}

/// A record's number, and the place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId {
    /// The scheduler's generation that committed the record: an older state restored numbers its records anew.
    pub generation: u64,
    /// The number of the committed record.
    pub record: u64,
    /// Its place among the record's events.
    pub index: u32,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.generation, self.record, self.index)
    }
}

/// What happened. The subject says of whom: `ev.<noun>.<id>.<verb>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A submission lives: its builds are planned.
    SubmissionAccepted {
        /// Which.
        submission: SubmissionId,
        /// Whose.
        client: ClientId,
        /// How many builds were made for it.
        builds: u64,
    },
    /// A submission cannot be taken up.
    SubmissionRejected {
        /// Which.
        submission: SubmissionId,
        /// Whose.
        client: ClientId,
        /// In words.
        why: String,
    },
    /// A build was given to an agent.
    BuildLeased {
        /// Which.
        build: BuildId,
        /// In which attempt.
        attempt: AttemptId,
        /// To whom.
        agent: AgentId,
        /// Under which lease.
        epoch: Epoch,
    },
    /// Builds were given to agents: told as one where one commit gave many.
    BuildsLeased {
        /// Which, and to whom.
        leases: Vec<Leased>,
    },
    /// Why a build was given to this agent and to no other. Not told of each: under load of some.
    BuildPlaced {
        /// Which.
        build: BuildId,
        /// In which attempt.
        attempt: AttemptId,
        /// Who got it, and who could have had it.
        placement: Placement,
    },
    /// A build is done.
    BuildSucceeded {
        /// Which.
        build: BuildId,
        /// By which attempt.
        attempt: AttemptId,
        /// Of whom.
        agent: AgentId,
        /// What was built.
        drv: DrvPath,
        /// Of the daemon's work, in milliseconds.
        build_millis: u64,
        /// Nothing was built: the agent's store had it.
        already_valid: bool,
    },
    /// A derivation was built again, and came out the same. What came out differently is a failure.
    BuildChecked {
        /// Which.
        build: BuildId,
        /// By which attempt.
        attempt: AttemptId,
        /// Of whom.
        agent: AgentId,
        /// What was checked.
        drv: DrvPath,
        /// Of the daemon's work, in milliseconds.
        build_millis: u64,
    },
    /// An attempt ended for a reason that is not the derivation's; the build is tried again.
    AttemptVoid {
        /// Which build.
        build: BuildId,
        /// Which attempt.
        attempt: AttemptId,
        /// Of whom.
        agent: AgentId,
        /// Why.
        cause: Cause,
        /// The agent's or the daemon's words.
        message: String,
    },
    /// A build failed, by its derivation's own fault.
    BuildFailed {
        /// Which.
        build: BuildId,
        /// By which attempt.
        attempt: AttemptId,
        /// Of whom.
        agent: AgentId,
        /// What was built.
        drv: DrvPath,
        /// Why.
        cause: Cause,
        /// The daemon's words.
        message: String,
    },
    /// A build cannot go on while another is failed.
    BuildBlocked {
        /// Which.
        build: BuildId,
        /// The failed one.
        by: BuildId,
    },
    /// A build that was done is wanted again, for what it made was lost.
    BuildReopened {
        /// Which.
        build: BuildId,
        /// What was lost.
        item: StorePath,
    },
    /// An item can be fetched by everybody.
    ItemAvailable {
        /// Its store directory.
        store_dir: StoreDir,
        /// Its path.
        path: StorePath,
    },
    /// Items can be fetched by everybody: told as one where one commit made many available.
    ItemsAvailable {
        /// Their store directory.
        store_dir: StoreDir,
        /// Their paths.
        paths: Vec<StorePath>,
    },
    /// An item that could be fetched cannot be any more.
    ItemLost {
        /// Its store directory.
        store_dir: StoreDir,
        /// Its path.
        path: StorePath,
    },
    /// Bytes that were offered for an item were not what they should be. Nothing of them entered the cache.
    PublicationRefused {
        /// The item's store directory.
        store_dir: StoreDir,
        /// The item.
        path: StorePath,
        /// In words.
        why: String,
    },
    /// Two builds of one derivation came out differently. The cache keeps what it had.
    BuildDiffers {
        /// Which build made the other.
        build: BuildId,
        /// In which attempt.
        attempt: AttemptId,
        /// Which output.
        path: StorePath,
        /// The hash of the nar that the cache has.
        there: Sha256,
        /// The hash of the nar that this build made.
        here: Sha256,
    },
    /// An item was lost again and again: it is not made again before somebody wants that.
    ItemGivenUp {
        /// Its store directory.
        store_dir: StoreDir,
        /// Which.
        path: StorePath,
        /// How often it was lost.
        losses: u32,
    },
    /// An agent fails where others do not, or fails again and again: it gets no builds for a while, then one to try.
    AgentQuarantined {
        /// Which.
        agent: AgentId,
        /// Why.
        why: String,
    },
    /// An agent is trusted again.
    AgentReleased {
        /// Which.
        agent: AgentId,
    },
    /// A build is not wanted any more.
    BuildCancelled {
        /// Which.
        build: BuildId,
    },
    /// A build that had failed, was cancelled or waited for another try is tried again, for a user wants it.
    BuildRetried {
        /// Which.
        build: BuildId,
    },
    /// A user's wish is fulfilled.
    WishFulfilled {
        /// Which.
        wish: WishId,
        /// Whose.
        client: ClientId,
        /// How many builds it changed.
        builds: u64,
    },
    /// A user's wish is not fulfilled.
    WishRefused {
        /// Which.
        wish: WishId,
        /// Whose.
        client: ClientId,
        /// Why not.
        why: String,
    },
    /// An agent said hello.
    AgentJoined {
        /// Which.
        agent: AgentId,
        /// What it calls itself.
        name: String,
    },
    /// An agent was not heard of for longer than a lease.
    AgentLost {
        /// Which.
        agent: AgentId,
    },
}

/// One of the builds that were given to agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leased {
    /// Which.
    pub build: BuildId,
    /// In which attempt.
    pub attempt: AttemptId,
    /// To whom.
    pub agent: AgentId,
    /// Under which lease.
    pub epoch: Epoch,
}

//! What agents and the scheduler say to each other by core request: hello, beat, abort.

use std::collections::{BTreeMap, BTreeSet};

use drover_store::{DrvPath, StoreDir};
use serde::{Deserialize, Serialize};

use crate::holdings::{Fingerprint, Holdings, read_gained};
use crate::{AgentId, AttemptId, BuildId, Epoch, Generation, Message, StoreId};

/// The most builds that one agent runs at once.
pub const MAX_SLOTS: u32 = 1024;
/// The most systems, or features, of one agent.
pub const MAX_SYSTEMS: usize = 64;
/// The most substitute servers of one agent, and of a farm.
pub const MAX_SERVERS: usize = 16;

/// An agent introduces itself: at its start, after each reconnect, and when a beat's answer asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// For people.
    pub name: String,
    /// Its program's version.
    pub version: String,
    /// Where its daemon builds.
    pub store_dir: StoreDir,
    /// Which store that is; agents of one store share what either has built.
    pub store: StoreId,
    /// Systems it builds for.
    pub systems: Vec<String>,
    /// Features it offers.
    pub features: Vec<String>,
    /// Those of them without which it takes no build.
    #[serde(default)]
    pub mandatory_features: BTreeSet<String>,
    /// What its builds share, such as `mem` → 64: a build that requires the feature `mem:16` takes 16 of it.
    #[serde(default)]
    pub resources: BTreeMap<String, u64>,
    /// What an operator says of it, for users to choose by.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Builds it runs at once. At most [`MAX_SLOTS`].
    pub max_parallel_builds: u32,
    /// Substitute servers beyond the farm's own that its daemon reaches and trusts, by their URLs without a slash at the
    /// end. At most [`MAX_SERVERS`].
    #[serde(default)]
    pub servers: BTreeSet<String>,
    /// How it does now.
    pub beat: Beat,
}

impl Message for Hello {
    const KIND: &'static str = "hello";
}

/// An agent is alive, and says what it holds. Renews its leases.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The highest generation it has heard of.
    pub generation: Generation,
    /// Load average over a minute, in hundredths.
    pub load_percent: u32,
    /// Free room where the store is, in bytes.
    pub store_free_bytes: u64,
    /// Why it takes no builds, if so.
    pub not_ready: Option<String>,
    /// Every attempt that is not settled yet.
    pub held: Vec<Held>,
    /// Memory that is free or can be had, in MiB; `None` where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_free_mib: Option<u64>,
    /// What its store holds, in place of all that was told before. It is told again until it was answered; hello has it
    /// as soon as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Holdings>,
    /// What its store holds beyond that, told again until it was answered. At most
    /// [`MAX_GAINED`](crate::holdings::MAX_GAINED).
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "read_gained")]
    pub gained: Vec<Fingerprint>,
}

impl Message for Beat {
    const KIND: &'static str = "beat";
}

/// An attempt in an agent's hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which.
    pub attempt: AttemptId,
    /// Of which build.
    pub build: BuildId,
    /// What it builds: a scheduler with an older state can adopt it by this.
    pub drv: DrvPath,
    /// Its lease.
    pub epoch: Epoch,
    /// How far it is.
    pub phase: Phase,
}

/// How far an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Inputs are fetched, or it waits for a slot.
    Accepted,
    /// The daemon builds.
    Building,
    /// Built, and reported so; the upload runs.
    Built,
    /// Uploaded, and reported so.
    Uploaded,
    /// Built again with the same result, and reported so.
    Checked,
    /// Failed, and reported so.
    Failed,
}

/// The scheduler's answer to hello and beat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeatAnswer {
    /// Who answers.
    pub generation: Generation,
    /// The scheduler does not know this agent: say hello.
    pub hello: bool,
    /// One for each attempt that needs something; all others go on.
    pub verdicts: Vec<Verdict>,
    /// When to beat again, in milliseconds.
    pub beat_every_millis: u64,
}

impl Message for BeatAnswer {
    const KIND: &'static str = "beat-answer";
}

/// What is to become of a held attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which attempt.
    pub attempt: AttemptId,
    /// What to do.
    pub order: Order,
}

/// What is to become of a held attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The scheduler has not seen its newest report: send it again.
    ReportAgain,
    /// Its nars in the bucket are gone or spoilt: upload again under a new try, and report.
    UploadAgain,
    /// Nothing more is wanted of it: forget it, let its outputs go.
    Settled,
    /// It is not wanted: stop it, and forget it.
    Abort,
}

/// An agent is to take no more builds, or builds again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Which: their ids, or patterns of their names with `*` and `?`.
    pub agents: Vec<String>,
    /// Whether they are to take none.
    pub drained: bool,
    /// What they have then is stopped, and built elsewhere; seconds from now.
    pub deadline_secs: Option<u64>,
}

impl Message for Drain {
    const KIND: &'static str = "drain";
}

/// The answer to [`Drain`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Those that are meant.
    pub agents: BTreeSet<AgentId>,
}

impl Message for Drained {
    const KIND: &'static str = "drained";
}

/// The scheduler wants an attempt stopped, sent at once and not only in the answer to a beat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abort {
    /// Who orders it.
    pub generation: Generation,
    /// What to stop.
    pub attempt: AttemptId,
}

impl Message for Abort {
    const KIND: &'static str = "abort";
}

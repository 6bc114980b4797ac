//! Questions to the scheduler, by core request on `rpc.query.<what>`, and its answers from committed state.

use std::collections::{BTreeMap, BTreeSet};

use drover_store::{DrvPath, OutputName, StoreDir, StorePath};
use serde::{Deserialize, Serialize};

use crate::report::{Kept, SealedLog, Times};
use crate::request::Mode;
use crate::{AgentId, AttemptId, BuildId, Cause, ClientId, Epoch, Message, SubmissionId, Timestamp};

/// The most rows of one page, and the most paths of one question.
pub const MAX_PAGE: usize = 500;

/// What of a submission the farm lacks. At most [`MAX_PAGE`] paths in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskMissing {
    /// The store directory of all paths.
    pub store_dir: StoreDir,
    /// Derivations.
    pub drvs: BTreeSet<DrvPath>,
    /// Sources.
    pub sources: BTreeSet<StorePath>,
}

impl Message for AskMissing {
    const KIND: &'static str = "ask-missing";
}

/// The answer to [`AskMissing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Derivations that the scheduler has never read.
    pub drvs: BTreeSet<DrvPath>,
    /// Sources that are not available.
    pub sources: BTreeSet<StorePath>,
}

impl Message for Missing {
    const KIND: &'static str = "missing";
}

/// How a submission does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskSubmission {
    /// Which.
    pub submission: SubmissionId,
}

impl Message for AskSubmission {
    const KIND: &'static str = "ask-submission";
}

/// The answer to [`AskSubmission`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubmissionAnswer {
    /// Never heard of: queued still, or lost with the broker's storage. Publish it again.
    Unknown,
    /// Taken up, not alive yet.
    Planning,
    /// It cannot be taken up.
    Rejected {
        /// In words.
        why: String,
    },
    /// It lives.
    Live(SubmissionStatus),
}

impl Message for SubmissionAnswer {
    const KIND: &'static str = "submission-answer";
}

/// A living submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmissionStatus {
    /// Which.
    pub submission: SubmissionId,
    /// Whose.
    pub client: ClientId,
    /// When it was asked for.
    pub submitted_at: Timestamp,
    /// Whether its user does not want it any more.
    #[serde(default)]
    pub cancelled: bool,
    /// How many of its builds are in which state.
    pub counts: BTreeMap<StateName, u64>,
    /// Of its succeeded builds, those with outputs that are not available yet.
    pub unpublished: u64,
    /// Of its deferred builds, those that are tried again only when somebody says so.
    #[serde(default)]
    pub given_up: u64,
    /// Its roots.
    pub roots: Vec<BuildSummary>,
    /// Its builds that failed, and then those that were given up, at most [`MAX_PAGE`] of each.
    pub failed: Vec<BuildSummary>,
    /// Its blocked builds, at most [`MAX_PAGE`].
    pub blocked: Vec<BuildSummary>,
}

/// The names of a build's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// For inputs.
    Waiting,
    /// For a slot.
    Ready,
    /// To an agent.
    Leased,
    /// Done.
    Succeeded,
    /// By its derivation's fault.
    Failed,
    /// Behind a failed one.
    Blocked,
    /// Until a time.
    Deferred,
    /// By the user.
    Cancelled,
}

impl StateName {
    /// As it stands on the wire and on the screen.
    pub fn as_str(self) -> &'static str {
        use StateName::*;
        match self {
            Waiting => "waiting",
            Ready => "ready",
            Leased => "leased",
            Succeeded => "succeeded",
            Failed => "failed",
            Blocked => "blocked",
            Deferred => "deferred",
            Cancelled => "cancelled",
        }
    }
}

/// A build in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSummary {
    /// Which.
    pub build: BuildId,
    /// For whose sake.
    pub submission: SubmissionId,
    /// What.
    pub drv: DrvPath,
    /// Its store directory.
    pub store_dir: StoreDir,
    /// Whether it is built or checked.
    #[serde(default)]
    pub mode: Mode,
    /// How it is.
    pub state: StateName,
    /// What keeps it, in words; empty where nothing does.
    pub reason: String,
    /// The failed build that blocks it.
    pub blocked_by: Option<BuildId>,
    /// The agent that has it, or that had its last attempt.
    pub agent: Option<AgentId>,
    /// The priority in force: its own, or the highest of those that need it.
    pub priority: i32,
    /// When it was made.
    pub created_at: Timestamp,
    /// Of the daemon's work in its last attempt, in milliseconds.
    pub build_millis: Option<u64>,
    /// Whether all its outputs can be fetched.
    pub available: bool,
}

/// Builds, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AskBuilds {
    /// Only of this submission.
    pub submission: Option<SubmissionId>,
    /// Only in this state.
    pub state: Option<StateName>,
    /// Only with all these tags.
    pub tags: BTreeMap<String, String>,
    /// Only for this system.
    pub system: Option<String>,
    /// Only what this client has submitted.
    pub client: Option<ClientId>,
    /// Only of derivations with such a name, without its hash and `.drv`: `*` stands for any text, `?` for one character.
    pub name: Option<String>,
    /// Only of this derivation.
    pub drv: Option<DrvPath>,
    /// Only what makes this.
    pub output: Option<StorePath>,
    /// Only what was made then or later.
    pub from: Option<Timestamp>,
    /// Only what was made before.
    pub to: Option<Timestamp>,
    /// Only what comes after this one in the order of the list: [`Builds::next`] of the page before.
    pub after: Option<BuildId>,
    /// At most so many rows; at most [`MAX_PAGE`].
    pub limit: u32,
}

impl Message for AskBuilds {
    const KIND: &'static str = "ask-builds";
}

/// A page of builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Builds {
    /// The rows. There may be fewer than were asked for, even none, although more follow.
    pub builds: Vec<BuildSummary>,
    /// Whether more may follow.
    pub more: bool,
    /// After which to ask again, where more may follow.
    #[serde(default)]
    pub next: Option<BuildId>,
}

impl Message for Builds {
    const KIND: &'static str = "builds";
}

/// One build in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskBuild {
    /// Which.
    pub build: BuildId,
}

impl Message for AskBuild {
    const KIND: &'static str = "ask-build";
}

/// The answer to [`AskBuild`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildAnswer {
    /// Never heard of.
    Unknown,
    /// This is it.
    Known(Box<BuildDetail>),
}

impl Message for BuildAnswer {
    const KIND: &'static str = "build-answer";
}

/// One build in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildDetail {
    /// What a list shows.
    pub summary: BuildSummary,
    /// Its submission's tags.
    pub tags: BTreeMap<String, String>,
    /// For what it is built.
    pub system: String,
    /// Each output, and its item's state in words.
    pub outputs: BTreeMap<OutputName, (StorePath, String)>,
    /// Inputs that are not available, each with its item's state in words. At most [`MAX_PAGE`].
    pub missing_inputs: Vec<(StorePath, String)>,
    /// What was tried, oldest first.
    pub attempts: Vec<AttemptDetail>,
    /// Where it failed, if it was not tried for having failed elsewhere.
    #[serde(default)]
    pub evidence: Option<Evidence>,
}

/// The failure of another build of the same derivation: it has the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Which build.
    pub build: BuildId,
    /// In which attempt.
    pub attempt: AttemptId,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptDetail {
    /// Which.
    pub attempt: AttemptId,
    /// On which agent.
    pub agent: AgentId,
    /// Under which lease.
    pub epoch: Epoch,
    /// How it is, in a word.
    pub state: String,
    /// Why it made nothing.
    pub cause: Option<Cause>,
    /// The agent's or the daemon's words.
    pub message: String,
    /// Where the time went.
    pub times: Option<Times>,
    /// Its log.
    pub log: Option<SealedLog>,
    /// The store had the outputs already: nothing was built.
    #[serde(default)]
    pub already_valid: bool,
    /// Outputs that came out differently in a check.
    #[serde(default)]
    pub kept: Vec<Kept>,
}

/// Agents that are here, and those that were and are remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskAgents {
    /// Those behind this one; all, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<AgentId>,
}

impl Message for AskAgents {
    const KIND: &'static str = "ask-agents";
}

/// The answer to [`AskAgents`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agents {
    /// In order of their ids, at most [`MAX_PAGE`].
    pub agents: Vec<AgentRow>,
    /// Whether there are more behind them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

impl Message for Agents {
    const KIND: &'static str = "agents";
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRow {
    /// Which.
    pub agent: AgentId,
    /// What it calls itself.
    pub name: String,
    /// Whether its beats are heard.
    pub alive: bool,
    /// Why it takes no builds, if so.
    pub not_ready: Option<String>,
    /// Where its daemon builds.
    pub store_dir: Option<StoreDir>,
    /// Systems it builds for.
    pub systems: Vec<String>,
    /// Features it offers.
    pub features: Vec<String>,
    /// Those of them without which it takes no build.
    #[serde(default)]
    pub mandatory_features: BTreeSet<String>,
    /// What its builds share, such as `mem` → 64.
    #[serde(default)]
    pub resources: BTreeMap<String, u64>,
    /// Builds it runs at once.
    pub max_parallel_builds: u32,
    /// Substitute servers beyond the farm's own that it reaches and trusts.
    #[serde(default)]
    pub servers: BTreeSet<String>,
    /// What an operator says of it.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Whether it takes no builds because an administrator said so.
    #[serde(default)]
    pub drained: bool,
    /// Why it is not trusted with builds, if so.
    #[serde(default)]
    pub quarantine: Option<String>,
    /// Leases it holds.
    pub leases: u32,
    /// Milliseconds since its last beat, by the scheduler's hearing; nothing, of one that is not here.
    pub silent_millis: Option<u64>,
    /// When one that is not here was heard last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Timestamp>,
}

/// A question that cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl Message for Problem {
    const KIND: &'static str = "problem";
}

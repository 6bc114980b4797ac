//! Why an attempt ended without success: a closed set, and who is to blame.

use drover_store::StorePath;
use serde::{Deserialize, Serialize};

use crate::BuildId;

/// The end of an attempt that made nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The builder ended with an error, or made no output.
    BuilderFailed,
    /// It ran longer than it may.
    TimedOut,
    /// It wrote nothing to its log for longer than it may.
    Silent,
    /// Its log or its output is larger than it may be.
    TooLarge,
    /// A fixed output has another hash than its derivation says.
    HashMismatch,
    /// A second build gave something else.
    NotDeterministic,
    /// The daemon would not build such a thing.
    Rejected,
    /// Another build of the same derivation failed not long ago.
    KnownFailure {
        /// Which: it has the log.
        build: BuildId,
    },

    /// A fixed-output builder failed: its server did not give what it should.
    DownloadFailed,
    /// The agent was not heard of for longer than its lease.
    AgentLost,
    /// No room on the agent.
    DiskFull,
    /// Inputs that should be available could not be had. A suspicion until the bucket confirms it.
    InputsUnavailable {
        /// Those that were missing.
        missing: Vec<StorePath>,
    },
    /// The outputs could not be brought to the bucket.
    UploadFailed,
    /// What was uploaded is not what was reported, or differs from what the cache has.
    PublicationRefused,
    /// The store daemon went away or broke its protocol.
    DaemonGone,
    /// Something killed the builder from outside.
    Killed,
    /// The scheduler, or the agent's operator, asked for it.
    Aborted,
    /// The agent would not, or could not, take the offer.
    Refused,
}

/// Whose failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The derivation's: it fails, and what needs it is blocked.
    Derivation,
    /// The farm's: it is tried again, and never told as a failure of the derivation.
    Farm,
}

impl Cause {
    /// Whose failure this is.
    pub fn blame(&self) -> Blame {
        use Cause::*;
        match self {
            BuilderFailed | TimedOut | Silent | TooLarge | HashMismatch | NotDeterministic | Rejected | KnownFailure { .. } => {
                Blame::Derivation
            }
            DownloadFailed
            | AgentLost
            | DiskFull
            | InputsUnavailable { .. }
            | UploadFailed
            | PublicationRefused
            | DaemonGone
            | Killed
            | Aborted
            | Refused => Blame::Farm,
        }
    }

    /// The cause in words, for people.
    pub fn words(&self) -> &'static str {
        use Cause::*;
        match self {
            BuilderFailed => "the builder failed",
            TimedOut => "it ran out of time",
            Silent => "it was silent for too long",
            TooLarge => "its log or output grew too large",
            HashMismatch => "a fixed output has the wrong hash",
            NotDeterministic => "a second build gave something else",
            Rejected => "the store daemon rejected it",
            KnownFailure { .. } => "another build of it failed not long ago",
            DownloadFailed => "a download failed",
            AgentLost => "the agent was lost",
            DiskFull => "the agent's disk is full",
            InputsUnavailable { .. } => "inputs could not be had",
            UploadFailed => "the outputs could not be uploaded",
            PublicationRefused => "what was uploaded was refused",
            DaemonGone => "the store daemon went away",
            Killed => "the builder was killed",
            Aborted => "it was aborted",
            Refused => "the agent refused it",
        }
    }
}

//! What agents report of their attempts, on the stream RES. Which agent reports is said by the subject.

use std::collections::BTreeMap;

use drover_store::{OutputName, StorePath};
use serde::{Deserialize, Serialize};

use crate::request::Nar;
use crate::{AttemptId, BuildId, Cause, Epoch, Message, ReportId, Timestamp};

/// The longest message of a failure, in bytes. The log has the rest.
pub const MAX_FAILURE_MESSAGE_BYTES: usize = 4096;

/// News of one attempt. It stays in the agent's spool until the scheduler has settled the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The report's own id, which it keeps when it is sent again.
    pub report: ReportId,
    /// What it speaks of.
    pub attempt: AttemptId,
    /// The build that was tried.
    pub build: BuildId,
    /// The lease under which it was tried.
    pub epoch: Epoch,
    /// What happened.
    pub outcome: Outcome,
}

impl Message for Report {
    const KIND: &'static str = "report";
    /// 2: the outcome of a check.
    const VERSION: u16 = 2;
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The outputs are in the agent's store.
    Built(Built),
    /// The outputs are in the bucket, below `incoming/<agent>/<attempt>/`.
    Uploaded(Uploaded),
    /// It was built again, and came out the same.
    Checked(Checked),
    /// It made nothing.
    Failed(Failed),
}

/// A check that found nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Where the time went.
    pub times: Times,
    /// The finished log, if it said anything.
    pub log: Option<SealedLog>,
}

/// A success, before its bytes have travelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// The store path of each output.
    pub outputs: BTreeMap<OutputName, StorePath>,
    /// The store had them already: nothing was built.
    pub already_valid: bool,
    /// Where the time went.
    pub times: Times,
    /// The finished log, if it said anything.
    pub log: Option<SealedLog>,
}

/// Where the time of an attempt went, and what memory it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// When the daemon was asked to build.
    pub started_at: Timestamp,
    /// When it was done.
    pub stopped_at: Timestamp,
    /// From the offer until all inputs were there, in microseconds.
    pub inputs_micros: u64,
    /// From then until a slot was free, in microseconds.
    pub waited_micros: u64,
    /// Of the daemon's work, in microseconds.
    pub build_micros: u64,
    /// The most memory that the builder's processes were seen to have, in MiB. A page that several share counts for each, and
    /// a short peak may go unseen. `None` for a build that was over before somebody looked, and where nobody can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_mib: Option<u64>,
}

/// A finished log in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedLog {
    /// `logs/<build>/<attempt>.zst`.
    pub key: String,
    /// Bytes of text, uncompressed.
    pub bytes: u64,
}

/// All outputs are in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// One for each output.
    pub outputs: Vec<UploadedOutput>,
    /// From `built` until the last byte was there, in microseconds.
    pub upload_micros: u64,
}

/// One output in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedOutput {
    /// Which one.
    pub name: OutputName,
    /// Its store path.
    pub path: StorePath,
    /// What it refers to, itself included where it does.
    pub references: Vec<StorePath>,
    /// The uploaded bytes.
    pub nar: Nar,
}

/// The attempt made nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Why, as far as it decides what is done about it.
    pub cause: Cause,
    /// The daemon's own words, bounded by [`MAX_FAILURE_MESSAGE_BYTES`].
    pub message: String,
    /// Where the time went.
    pub times: Times,
    /// The finished log, if it said anything.
    pub log: Option<SealedLog>,
    /// Outputs that came out differently in a check.
    #[serde(default)]
    pub kept: Vec<Kept>,
}

/// An output that came out differently, kept for whoever compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Which one.
    pub name: OutputName,
    /// The path that it should have been the same as.
    pub path: StorePath,
    /// Its bytes, at `checks/<build>/<attempt>/<hash part>.nar.zst`.
    pub nar: Nar,
}

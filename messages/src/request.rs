//! What users ask for, on the stream REQ. Who asks is said by the subject.

use std::collections::BTreeMap;

use drover_store::{ContentAddress, DrvPath, PackId, Sha256, StoreDir, StorePath};
use serde::{Deserialize, Serialize};

use crate::{BuildId, Message, SubmissionId, Timestamp};

/// The most roots of one submission.
pub const MAX_ROOTS: usize = 4096;
/// The most tags of one submission.
pub const MAX_TAGS: usize = 32;
/// The longest tag key or value, in bytes.
pub const MAX_TAG_BYTES: usize = 128;
/// The most packs of one submission.
pub const MAX_PACKS: usize = 1024;

/// Roots to build, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// Its id; the same submission sent again is the same.
    pub submission: SubmissionId,
    /// The store directory of everything in it.
    pub store_dir: StoreDir,
    /// What the user wants.
    pub roots: Vec<Root>,
    /// Packs in the bucket with the .drv files the scheduler may lack.
    pub packs: Vec<PackId>,
    /// Key in the bucket of the [`SourceManifest`], if sources came along.
    pub sources: Option<String>,
    /// Higher is sooner; 0 is usual.
    pub priority: i32,
    /// The user's own words about it.
    pub tags: BTreeMap<String, String>,
    /// Whether missing inputs get builds of their own.
    pub input_builds: bool,
    /// When the user asked.
    pub submitted_at: Timestamp,
}

impl Message for Submit {
    const KIND: &'static str = "submit";
}

/// One derivation that the user named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The id of its build, which the user already knows.
    pub build: BuildId,
    /// What to build.
    pub drv: DrvPath,
}

/// The sources that came with a submission: an object in the bucket, for there may be thousands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceManifest {
    /// In no particular order.
    pub sources: Vec<SourceNar>,
}

impl Message for SourceManifest {
    const KIND: &'static str = "source-manifest";
}

/// A source as its owner uploaded it. Nothing of this is believed before `publish` has looked at the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceNar {
    /// Its store path.
    pub path: StorePath,
    /// What gives it its name.
    pub ca: ContentAddress,
    /// What it refers to, itself included.
    pub references: Vec<StorePath>,
    /// The uploaded bytes.
    pub nar: Nar,
}

/// A compressed nar in the bucket, as somebody claims it to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nar {
    /// Where it lies, below `incoming/`.
    pub key: String,
    /// SHA-256 of the nar, uncompressed.
    pub nar_hash: Sha256,
    /// Bytes of the nar, uncompressed.
    pub nar_size: u64,
    /// SHA-256 of the object, as compressed.
    pub file_hash: Sha256,
    /// Bytes of the object.
    pub file_size: u64,
}

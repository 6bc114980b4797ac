//! What users ask for, on the stream REQ. Who asks is said by the subject.

use std::collections::BTreeMap;

use drover_store::{ContentAddress, DrvPath, PackId, Sha256, StoreDir, StorePath};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{BuildId, Message, SubmissionId, Timestamp};

/// The most roots of one submission.
pub const MAX_ROOTS: usize = 4096;
/// The most tags of one submission.
pub const MAX_TAGS: usize = 32;
/// The longest tag key or value, in bytes.
pub const MAX_TAG_BYTES: usize = 128;
/// The most packs of one submission.
pub const MAX_PACKS: usize = 1024;
/// The most lists of sources of one submission.
pub const MAX_MANIFESTS: usize = 256;
/// The most sources of one list, so that it stays below the limit of a message.
pub const MAX_SOURCES_OF_MANIFEST: usize = 1000;

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
    /// Keys in the bucket of each [`SourceManifest`], if sources came along. At most [`MAX_MANIFESTS`].
    #[serde(deserialize_with = "one_or_several")]
    pub sources: Vec<String>,
    /// Higher is sooner; 0 is usual.
    pub priority: i32,
    /// The user's own words about it.
    pub tags: BTreeMap<String, String>,
    /// Whether missing inputs get builds of their own.
    pub input_builds: bool,
    /// What is done with the roots. Inputs that are missing are built.
    #[serde(default)]
    pub mode: Mode,
    /// Where the roots may be built, and how sure one wants to be of them.
    #[serde(default)]
    pub terms: Terms,
    /// When the user asked.
    pub submitted_at: Timestamp,
}

impl Message for Submit {
    const KIND: &'static str = "submit";
    /// 2: it may ask for checks, which a scheduler that does not know of them must not take for builds; and its sources
    /// may fill several lists.
    const VERSION: u16 = 2;
}

/// What a user asks of how the roots are built, and of how sure a failure must be, theirs or of what they need.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// Only on agents with all of these tags.
    pub on: BTreeMap<String, String>,
    /// On no agent with one of these tags.
    pub not_on: BTreeMap<String, String>,
    /// On no agent that has built the same derivation before.
    pub apart: bool,
    /// A builder's failure counts when another agent has met it as well.
    pub confirm: bool,
    /// Inputs that are known to fail are tried all the same.
    pub known_failures: bool,
}

impl Terms {
    /// Nothing in particular.
    pub const NONE: Self =
        Self { on: BTreeMap::new(), not_on: BTreeMap::new(), apart: false, confirm: false, known_failures: false };

    /// What of it holds for the inputs of the roots.
    pub fn of_inputs(&self) -> Self {
        Self { confirm: self.confirm, ..Self::NONE }
    }
}

/// What is to be done with a derivation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Build it, unless it is built.
    #[default]
    Build,
    /// Build it again, and compare with its outputs, which must be had first.
    Check,
}

/// One derivation that the user named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The id of its build, which the user already knows.
    pub build: BuildId,
    /// What to build.
    pub drv: DrvPath,
}

/// Version 1 named one list, or none.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Keys {
        Several(Vec<String>),
        One(Option<String>),
    }
    Ok(match Keys::deserialize(deserializer)? {
        Keys::Several(keys) => keys,
        Keys::One(key) => key.into_iter().collect(),
    })
}

/// Some of the sources that came with a submission: an object in the bucket, for there may be thousands. At most
/// [`MAX_SOURCES_OF_MANIFEST`].
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_list_of_sources_that_version_1_names_is_read() {
        let submit = |sources: serde_json::Value| {
            let body = serde_json::json!({
                "submission": "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", "store_dir": "/nix/store", "roots": [], "packs": [],
                "sources": sources, "priority": 0, "tags": {}, "input_builds": true, "submitted_at": 0,
            });
            serde_json::from_value::<Submit>(body).unwrap()
        };
        assert_eq!(submit("a".into()).sources, ["a"]);
        assert_eq!(submit(serde_json::Value::Null).sources, [""; 0]);
        assert_eq!(submit(vec!["a", "b"].into()).sources, ["a", "b"]);
        assert_eq!(submit("a".into()).mode, Mode::Build);
    }
}

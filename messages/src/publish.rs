//! The publication that the scheduler owes for each item, and the pool's word on it.

use drover_store::{ContentAddress, PackId, Sha256, StoreDir, StorePath};
use serde::{Deserialize, Serialize};

use crate::request::Nar;
use crate::{AgentId, AttemptId, BuildId, ClientId, Generation, Message, PublicationId, SubmissionId};

/// Please verify these bytes and make them a substitute. All references are available, here or elsewhere, when this is
/// sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// Its id; asked twice it is done once.
    pub publication: PublicationId,
    /// The scheduler that asks. A pool refuses one lower than it has seen.
    pub generation: Generation,
    /// The store directory of all paths.
    pub store_dir: StoreDir,
    /// What is to become available.
    pub path: StorePath,
    /// What it refers to.
    pub references: Vec<StorePath>,
    /// Those of them that the cache need not have: whoever fetches this gets them from another server.
    #[serde(default)]
    pub elsewhere: Vec<StorePath>,
    /// The unverified bytes.
    pub nar: Nar,
    /// Who made it.
    pub origin: Origin,
    /// The packs that hold the derivation that made it and everything that stands on, for a pool that serves those too.
    #[serde(default)]
    pub closure: Vec<PackId>,
}

impl Message for Publish {
    const KIND: &'static str = "publish";
}

/// Who made an item, which says how its claim is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// An attempt built it: it is believed because the lease is the agent's, and the path is in its derivation.
    Output {
        /// Who built.
        agent: AgentId,
        /// For which build.
        build: BuildId,
        /// In which attempt; the nar must lie in its corner.
        attempt: AttemptId,
        /// What was built.
        deriver: StorePath,
        /// For which system.
        system: String,
        /// What it could refer to: the build's direct inputs and its outputs.
        candidates: Vec<StorePath>,
        /// The derivation fixes the content: the hash is checked as well.
        ca: Option<ContentAddress>,
        /// Key in the bucket of what the builder said, if it said anything.
        #[serde(default)]
        log: Option<String>,
    },
    /// A user brought it: its path is computed from its content.
    Source {
        /// Who brought it.
        client: ClientId,
        /// With which submission; the nar must lie in its corner.
        submission: SubmissionId,
        /// What gives it its name.
        ca: ContentAddress,
    },
}

/// The pool's word on a publication, on `done.publish.<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Which.
    pub publication: PublicationId,
    /// What came of it.
    pub verdict: PublishVerdict,
}

impl Message for Done {
    const KIND: &'static str = "done";
}

/// What came of a publication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishVerdict {
    /// The cache serves it: nar first, then the signed narinfo.
    Published,
    /// The cache had the very same already.
    AlreadyThere,
    /// The cache has something else of this path, which stays: two builds of one derivation came out differently.
    Differs {
        /// The hash of the nar that the cache has.
        there: Sha256,
        /// What was brought, verified, and kept at `checks/<build>/<attempt>/<hash part>.nar.zst`.
        kept: Nar,
    },
    /// The claim is false. Nothing of it entered the cache.
    Refused {
        /// In words.
        why: String,
    },
    /// The uploaded nar is not there.
    NarMissing,
    /// References that should be available are not in the cache. A suspicion.
    ReferencesMissing {
        /// Those.
        missing: Vec<StorePath>,
    },
}

//! An offer of work, by core request on the agent's own subject, and its answer.

use drover_store::{DrvPath, PackId, StoreDir, StorePath};
use serde::{Deserialize, Serialize};

use crate::request::Mode;
use crate::{AttemptId, BuildId, Epoch, Generation, Message};

/// A lease, offered. Offered twice it is answered the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The scheduler that offers. An agent refuses one lower than it has seen; the epoch may be older.
    pub generation: Generation,
    /// The lease's number.
    pub epoch: Epoch,
    /// The attempt it is for.
    pub attempt: AttemptId,
    /// The build it tries.
    pub build: BuildId,
    /// The store directory of all paths.
    pub store_dir: StoreDir,
    /// What to build.
    pub drv: DrvPath,
    /// The pack that holds it.
    pub pack: PackId,
    /// The packs that hold it and everything it stands on, for a daemon that wants all of that in its store. At most
    /// [`MAX_PACKS`](crate::request::MAX_PACKS).
    #[serde(default)]
    pub closure: Vec<PackId>,
    /// What must be in the store first: sources, the wanted outputs of input derivations, and sources further below that
    /// were not available when it was planned; to check it, its own outputs as well.
    pub inputs: Vec<Input>,
    /// What is to be done.
    #[serde(default)]
    pub mode: Mode,
}

impl Message for Offer {
    const KIND: &'static str = "offer";
    /// 2: it may ask for a check, which an agent that does not know of it must not take for a build.
    const VERSION: u16 = 2;
}

/// One input of an offered build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Its store path.
    pub path: StorePath,
    /// Whether a server that the agent reaches has it. If not, the agent's own store does.
    pub available: bool,
}

/// An agent's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferAnswer {
    /// It holds the lease (and may have held it before, or have finished it already).
    Accepted,
    /// It does not.
    Refused(Refusal),
}

impl Message for OfferAnswer {
    const KIND: &'static str = "offer-answer";
}

/// Why an agent takes no offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It has seen a scheduler of this higher generation.
    Superseded(Generation),
    /// All slots and the place beyond them are taken.
    Full,
    /// It is about to stop.
    Draining,
    /// It has not said hello to this scheduler yet, or cannot build now, for this reason.
    NotReady(String),
}

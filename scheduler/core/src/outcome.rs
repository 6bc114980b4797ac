//! What a step comes to.

use drover_messages::agent::{Abort, Verdict};
use drover_messages::event::What;
use drover_messages::offer::Offer;
use drover_messages::publish::Publish;
use drover_messages::{AgentId, AttemptId, BuildId, Epoch, Generation};
use drover_store::{StoreDir, StorePath};

use crate::change::Change;

/// What a step comes to. The changes are applied already; the rest is for the shell, in this order: record the changes
/// and events, carry out the effects, acknowledge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What changed.
    pub changes: Vec<Change>,
    /// What is to be told.
    pub events: Vec<What>,
    /// What is to be done.
    pub effects: Vec<Effect>,
    /// The answer to a hello or a beat.
    pub verdicts: Vec<Verdict>,
    /// Changes that the tables refused. None of them was applied. A bug, to be logged.
    pub illegal: Vec<crate::Illegal>,
    /// The agent that beat is not known: it must say hello.
    pub hello: bool,
}

/// Something to do outside, after the commit. Each is safe to lose: it is decided again, or found later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Offer a lease.
    Offer {
        /// To whom.
        agent: AgentId,
        /// What.
        offer: Box<Offer>,
    },
    /// Order an attempt to stop.
    Abort {
        /// Who holds it.
        agent: AgentId,
        /// The order.
        abort: Abort,
    },
    /// Ask the pool `publish`.
    Ask {
        /// Higher is sooner.
        urgency: i32,
        /// For what.
        publish: Box<Publish>,
    },
    /// Look in the bucket whether the cache has these.
    Confirm {
        /// Their store directory.
        store_dir: StoreDir,
        /// Those.
        paths: Vec<StorePath>,
        /// The agent that missed them, and the number of its attempt, where that says something of it.
        missed_by: Option<(AgentId, Epoch)>,
    },
    /// Plan what a build lacks: inputs that nothing makes any more.
    Replan {
        /// Which.
        build: BuildId,
    },
    /// Throw away what an attempt uploaded: all of it is in the cache.
    Discard {
        /// Whose.
        agent: AgentId,
        /// Which.
        attempt: AttemptId,
    },
    /// Somebody has seen this higher generation: give up the reign.
    Abdicate(Generation),
}

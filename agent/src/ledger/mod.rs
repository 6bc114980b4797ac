//! Which attempts the agent holds, and how far each is: a pure state machine.
//!
//! Events go in, effects come out; nothing here waits, reads a clock or touches a disk. The shell carries the effects
//! out in their order. The ledger does not know how a thing is built, only what may follow what.

mod attempt;
mod stage;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use drover_messages::agent::{Held, Order};
use drover_messages::offer::{Offer, OfferAnswer, Refusal};
use drover_messages::{AttemptId, Generation};
use drover_store::StoreDir;

pub use attempt::{Attempt, report};
pub use stage::{Event, Stage};

/// Offers accepted beyond the slots, so that a free slot never waits for the scheduler.
pub const OFFERS_BEYOND_SLOTS: usize = 1;

/// The most attempts held, settled ones not counted. It bounds the spool and the size of a beat, which must stay below
/// a message's limit: one that is held takes about 250 bytes of it.
pub const MAX_HELD: usize = 2048;

/// What the shell has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Remember this generation on disk.
    Remember(Generation),
    /// Write the attempt to the spool.
    Save(AttemptId),
    /// Get the inputs, wait for a slot, build.
    Start(AttemptId),
    /// Dump and upload the outputs.
    Upload(AttemptId),
    /// Send its newest report.
    Report(AttemptId),
    /// Send everything that was reported of it again, oldest first.
    ReportAgain(AttemptId),
    /// Stop whatever runs for it. A build that is stopped ends with an event of its own.
    Stop(AttemptId),
    /// Take it out of the spool and let its outputs go.
    Forget(AttemptId),
}

/// The attempts in the agent's hands.
#[derive(Debug)]
pub struct Ledger {
    store_dir: StoreDir,
    slots: usize,
    generation: Generation,
    not_ready: Option<String>,
    attempts: BTreeMap<AttemptId, Attempt>,
}

impl Ledger {
    /// Nothing held yet. `slots` are the builds that run at once.
    pub fn new(store_dir: StoreDir, slots: usize, generation: Generation) -> Self {
        Self { store_dir, slots, generation, not_ready: None, attempts: BTreeMap::new() }
    }

    /// Takes back what was in the spool when the process before this one ended.
    pub fn recover(&mut self, attempts: Vec<Attempt>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for mut attempt in attempts {
            let id = attempt.offer.attempt;
            attempt.stage = attempt.stage.recovered();
            effects.extend(match attempt.stage {
                Stage::Accepted | Stage::Building => vec![Effect::Start(id)],
                Stage::Built { .. } => vec![Effect::ReportAgain(id), Effect::Upload(id)],
                Stage::Uploaded { .. } | Stage::Checked { .. } | Stage::Failed { .. } => vec![Effect::ReportAgain(id)],
            });
            self.attempts.insert(id, attempt);
        }
        effects
    }

    /// A scheduler of this generation was heard.
    ///
    /// # Errors
    /// With the highest generation heard, if this one is lower: it must not be obeyed.
    pub fn hear(&mut self, generation: Generation) -> Result<Vec<Effect>, Generation> {
        if generation < self.generation {
            return Err(self.generation);
        }
        if generation == self.generation {
            return Ok(Vec::new());
        }
        self.generation = generation;
        Ok(vec![Effect::Remember(generation)])
    }

    /// Answers an offer. The same attempt gets the same answer for as long as it is held.
    pub fn offer(&mut self, offer: Offer) -> (OfferAnswer, Vec<Effect>) {
        let mut effects = match self.hear(offer.generation) {
            Ok(effects) => effects,
            Err(higher) => return (OfferAnswer::Refused(Refusal::Superseded(higher)), Vec::new()),
        };
        if self.attempts.contains_key(&offer.attempt) {
            return (OfferAnswer::Accepted, effects);
        }
        if let Some(refusal) = self.refusal(&offer) {
            return (OfferAnswer::Refused(refusal), effects);
        }
        let id = offer.attempt;
        self.attempts.insert(id, Attempt { offer: Arc::new(offer), stage: Stage::Accepted });
        effects.extend([Effect::Save(id), Effect::Start(id)]);
        (OfferAnswer::Accepted, effects)
    }

    /// News of an attempt. News of one that is not held, or that cannot follow what was before, changes nothing.
    pub fn note(&mut self, id: AttemptId, event: Event) -> Vec<Effect> {
        let Some(attempt) = self.attempts.get_mut(&id) else { return Vec::new() };
        match attempt.next(event) {
            Some(effects) => effects,
            None => {
                self.attempts.remove(&id);
                vec![Effect::Stop(id), Effect::Forget(id)]
            }
        }
    }

    /// The scheduler's word on an attempt.
    pub fn order(&mut self, id: AttemptId, order: Order) -> Vec<Effect> {
        self.note(id, Event::Ordered(order))
    }

    /// Says why no build may be taken, or that builds may. True if that is news.
    pub fn set_ready(&mut self, not_ready: Option<String>) -> bool {
        let news = self.not_ready != not_ready;
        self.not_ready = not_ready;
        news
    }

    /// Why no build is taken, if so.
    pub fn not_ready(&self) -> Option<&str> {
        self.not_ready.as_deref()
    }

    /// The highest generation heard.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// One attempt.
    pub fn get(&self, id: AttemptId) -> Option<&Attempt> {
        self.attempts.get(&id)
    }

    /// All attempts, as a beat tells them.
    pub fn held(&self) -> Vec<Held> {
        self.attempts.values().map(Attempt::held).collect()
    }

    fn refusal(&self, offer: &Offer) -> Option<Refusal> {
        if offer.store_dir != self.store_dir {
            return Some(Refusal::NotReady(format!("this agent builds in {}", self.store_dir)));
        }
        if let Some(why) = &self.not_ready {
            return Some(Refusal::NotReady(why.clone()));
        }
        let unbuilt = self.attempts.values().filter(|attempt| attempt.stage.takes_a_slot()).count();
        (unbuilt >= self.slots + OFFERS_BEYOND_SLOTS || self.attempts.len() >= MAX_HELD).then_some(Refusal::Full)
    }
}

//! An agent of the simulation: it takes what it is offered, builds in its slots for as long as that takes, and keeps every
//! attempt until the scheduler has settled it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use drover_messages::agent::{Beat, Held, Hello, Order, Phase, Verdict};
use drover_messages::offer::{Offer, OfferAnswer, Refusal};
use drover_messages::{AttemptId, Generation, StoreId};
use drover_store::StoreDir;

use super::fleet::Group;

/// One agent.
pub(super) struct Machine {
    /// What it is like.
    pub(super) kind: Group,
    beyond_slots: u32,
    held: BTreeMap<AttemptId, Held>,
    slots: Vec<Option<AttemptId>>,
    waiting: VecDeque<AttemptId>,
}

impl Machine {
    /// An idle one.
    pub(super) fn new(kind: Group, beyond_slots: u32) -> Self {
        let slots = vec![None; kind.slots as usize];
        Self { kind, beyond_slots, held: BTreeMap::new(), slots, waiting: VecDeque::new() }
    }

    /// How it introduces itself.
    pub(super) fn hello(&self, name: &str, store_dir: &StoreDir) -> Hello {
        let kind = &self.kind;
        Hello {
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store_dir: store_dir.clone(),
            store: StoreId::from(name),
            systems: kind.systems.clone(),
            features: kind.features.clone(),
            mandatory_features: kind.mandatory_features.clone(),
            resources: kind.resources.clone(),
            tags: kind.tags.clone(),
            max_parallel_builds: kind.slots,
            servers: BTreeSet::new(),
            beat: self.beat(),
        }
    }

    /// What it says of itself.
    pub(super) fn beat(&self) -> Beat {
        let held = self.held.values().cloned().collect();
        Beat { generation: Generation(1), load_percent: 0, store_free_bytes: 1 << 40, not_ready: None, held, ..Beat::default() }
    }

    /// Takes an offer, if there is a place.
    pub(super) fn consider(&mut self, offer: &Offer) -> OfferAnswer {
        if self.held.contains_key(&offer.attempt) {
            return OfferAnswer::Accepted;
        }
        let taken = self.slots.iter().flatten().count() + self.waiting.len();
        if taken >= self.slots.len() + self.beyond_slots as usize {
            return OfferAnswer::Refused(Refusal::Full);
        }
        let Offer { attempt, build, epoch, .. } = *offer;
        self.held.insert(attempt, Held { attempt, build, drv: offer.drv.clone(), epoch, phase: Phase::Accepted });
        self.waiting.push_back(attempt);
        OfferAnswer::Accepted
    }

    /// What begins now and in which slot, since one is free and something waits.
    pub(super) fn begin(&mut self) -> Option<(usize, Held)> {
        let slot = self.slots.iter().position(Option::is_none)?;
        let attempt = self.waiting.pop_front()?;
        let held = self.held.get_mut(&attempt)?;
        held.phase = Phase::Building;
        self.slots[slot] = Some(attempt);
        Some((slot, held.clone()))
    }

    /// An attempt came to its end; nothing, if it was stopped before.
    pub(super) fn end(&mut self, attempt: AttemptId, phase: Phase) -> Option<Held> {
        let held = self.held.get_mut(&attempt)?;
        held.phase = phase;
        let held = held.clone();
        self.free_slot(attempt);
        Some(held)
    }

    /// Does what the scheduler says about attempts.
    pub(super) fn obey(&mut self, verdicts: &[Verdict]) {
        for verdict in verdicts {
            match verdict.order {
                Order::Settled | Order::Abort => self.drop(verdict.attempt),
                // No message is lost here, so that none is asked for again.
                Order::ReportAgain | Order::UploadAgain => {}
            }
        }
    }

    /// Lets go of an attempt.
    pub(super) fn drop(&mut self, attempt: AttemptId) {
        self.held.remove(&attempt);
        self.waiting.retain(|waiting| *waiting != attempt);
        self.free_slot(attempt);
    }

    fn free_slot(&mut self, attempt: AttemptId) {
        self.slots.iter_mut().filter(|slot| **slot == Some(attempt)).for_each(|slot| *slot = None);
    }
}

//! What a simulated agent has in hand: attempts that it accepted, and slots that wait for the next offer.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use drover_messages::agent::{Beat, BeatAnswer, Held, Order, Phase};
use drover_messages::offer::Offer;
use drover_messages::{AttemptId, Generation};

use crate::children::Tally;
use crate::percent::Latency;

/// The bench of one agent.
#[derive(Default)]
pub struct Bench {
    generation: Generation,
    held: BTreeMap<AttemptId, (Held, Offer)>,
    /// Attempts that are not built yet, oldest first.
    pub waiting: VecDeque<Offer>,
    /// When slots were ready that have had no offer since, oldest first.
    pub ready: VecDeque<SystemTime>,
    /// What was done so far.
    pub tally: Tally,
}

impl Bench {
    /// Takes an attempt on; `false` when it has it already.
    pub fn take(&mut self, offer: &Offer) -> bool {
        self.generation = self.generation.max(offer.generation);
        let Offer { attempt, build, epoch, .. } = *offer;
        let held = Held { attempt, build, drv: offer.drv.clone(), epoch, phase: Phase::Building };
        if self.held.contains_key(&attempt) {
            return false;
        }
        self.held.insert(attempt, (held, offer.clone()));
        self.tally.accepted += 1;
        if let Some(ready) = self.ready.pop_front() {
            let micros = |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default().as_micros() as u64;
            let took_micros = micros(ready, SystemTime::now());
            self.tally.latencies.push(Latency { at_micros: micros(SystemTime::UNIX_EPOCH, ready), took_micros });
        }
        true
    }

    /// The oldest build ends, as was `due`; its slot is ready, unless a build waits for it.
    pub fn end_one(&mut self, slots: usize, due: SystemTime) -> Option<Offer> {
        let offer = self.waiting.pop_front()?;
        if self.waiting.len() < slots {
            self.ready.push_back(due);
        }
        Some(offer)
    }

    /// An attempt is as far as that.
    pub fn advance(&mut self, attempt: AttemptId, phase: Phase) {
        self.held.entry(attempt).and_modify(|(held, _)| held.phase = phase);
    }

    /// It is not to be gone on with.
    pub fn stop(&mut self, attempt: AttemptId) {
        self.waiting.retain(|offer| offer.attempt != attempt);
        self.tally.aborted += u64::from(self.held.remove(&attempt).is_some());
    }

    /// How it does.
    pub fn beat(&self) -> Beat {
        let held = self.held.values().map(|(held, _)| held.clone()).collect();
        Beat { generation: self.generation, store_free_bytes: 1 << 40, held, ..Beat::default() }
    }

    /// Does what it is to do, and gives what is to be reported again.
    pub fn obey(&mut self, answer: &BeatAnswer) -> Vec<Offer> {
        let mut again = Vec::new();
        self.generation = self.generation.max(answer.generation);
        for verdict in &answer.verdicts {
            match verdict.order {
                Order::Settled => drop(self.held.remove(&verdict.attempt)),
                Order::Abort => self.stop(verdict.attempt),
                Order::ReportAgain | Order::UploadAgain => {
                    again.extend(self.held.get(&verdict.attempt).map(|(_, offer)| offer.clone()));
                }
            }
        }
        again
    }

    /// Attempts that are not settled.
    pub fn unsettled(&self) -> usize {
        self.held.len()
    }
}

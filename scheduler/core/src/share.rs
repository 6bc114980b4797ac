//! How much of the farm each client has used lately, so that those who used less go first among what is as urgent.

use std::collections::BTreeMap;

use drover_messages::ClientId;
use serde::{Deserialize, Serialize};

use crate::time::Heard;

/// After this time half of what was used is forgotten, in milliseconds.
const HALF_LIFE_MILLIS: u64 = 6 * 60 * 60 * 1000;

/// What one client has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Slots times milliseconds, decayed.
    pub slot_millis: u64,
    /// As of then.
    pub at: Heard,
}

impl Used {
    /// As it counts at a later time: halved with each half-life, in a straight line between.
    pub fn decayed(self, now: Heard) -> Self {
        let passed = now.millis_since(self.at);
        let halvings = (passed / HALF_LIFE_MILLIS).min(63);
        let rest = passed % HALF_LIFE_MILLIS;
        let halved = self.slot_millis >> halvings;
        // What fits into one word is divided much faster.
        let line = match halved.checked_mul(rest) {
            Some(product) => product / (2 * HALF_LIFE_MILLIS),
            None => (u128::from(halved) * u128::from(rest) / u128::from(2 * HALF_LIFE_MILLIS)) as u64,
        };
        Self { slot_millis: halved - line, at: now }
    }

    fn plus(self, slot_millis: u64, now: Heard) -> Self {
        let decayed = self.decayed(now);
        Self { slot_millis: decayed.slot_millis.saturating_add(slot_millis), at: now }
    }
}

/// What all clients have used.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    used: BTreeMap<ClientId, Used>,
    running: BTreeMap<ClientId, Running>,
}

/// What one client has under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Running {
    leases: u32,
    expected_millis: u64,
}

impl Shares {
    /// A client used so much more.
    pub(crate) fn charge(&mut self, client: ClientId, slot_millis: u64, now: Heard) {
        let used = self.used.entry(client).or_default();
        *used = used.plus(slot_millis, now);
    }

    /// Takes back what was recorded.
    pub(crate) fn remember(&mut self, client: ClientId, used: Used) {
        self.used.insert(client, used);
    }

    /// A client's build is leased.
    pub(crate) fn begin(&mut self, client: ClientId, expected_millis: u64) {
        let running = self.running.entry(client).or_default();
        running.leases += 1;
        running.expected_millis += expected_millis;
    }

    /// A lease is over, of which this was expected.
    pub(crate) fn end(&mut self, client: ClientId, expected_millis: u64) {
        let Some(running) = self.running.get_mut(&client) else { return };
        running.leases = running.leases.saturating_sub(1);
        running.expected_millis = running.expected_millis.saturating_sub(expected_millis);
        if running.leases == 0 {
            self.running.remove(&client);
        }
    }

    /// As it counts now, with what is under way: less goes first.
    pub(crate) fn of(&self, client: ClientId, now: Heard) -> u64 {
        let used = self.used.get(&client).map_or(0, |used| used.decayed(now).slot_millis);
        used.saturating_add(self.running.get(&client).map_or(0, |running| running.expected_millis))
    }

    /// How many leases a client has.
    pub(crate) fn leases(&self, client: ClientId) -> u32 {
        self.running.get(&client).map_or(0, |running| running.leases)
    }

    /// What each client has under way.
    pub(crate) fn running(&self) -> &BTreeMap<ClientId, Running> {
        &self.running
    }

    /// What each client has used.
    pub(crate) fn all_used(&self) -> &BTreeMap<ClientId, Used> {
        &self.used
    }

    /// As it is to be recorded.
    pub(crate) fn recorded(&self, client: ClientId) -> Option<Used> {
        self.used.get(&client).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_it_is_forgotten_after_a_half_life() {
        let used = Used { slot_millis: 1000, at: Heard(0) };
        assert_eq!(used.decayed(Heard(HALF_LIFE_MILLIS)).slot_millis, 500);
        assert_eq!(used.decayed(Heard(HALF_LIFE_MILLIS / 2)).slot_millis, 750);
        assert_eq!(used.decayed(Heard(3 * HALF_LIFE_MILLIS)).slot_millis, 125);
        assert_eq!(used.decayed(Heard(1000 * HALF_LIFE_MILLIS)).slot_millis, 0);
        assert_eq!(used.decayed(Heard(0)).slot_millis, 1000);
    }
}

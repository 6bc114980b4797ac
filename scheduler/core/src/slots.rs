//! When the slots of an agent are free, as far as that can be guessed from what its builds are expected to take.

use crate::agent::{Agent, Held};
use crate::time::Heard;

/// A build that takes longer than expected is taken to need this part of that once more.
const OVERDUE_PART: u64 = 4;
/// A slot is soon free if it is so within this time, in milliseconds.
const SOON_MILLIS: u64 = 2_000;

/// For each slot, the milliseconds until it is free.
#[derive(Debug, Clone)]
pub(crate) struct Slots(Vec<u64>);

impl Slots {
    /// Those of an idle agent.
    fn idle(slots: u32) -> Self {
        Self(vec![0; slots.max(1) as usize])
    }

    /// Those of an agent, with what it has.
    pub(crate) fn of(agent: &Agent, now: Heard) -> Self {
        let mut slots = Self::idle(agent.hello.max_parallel_builds);
        let mut left: Vec<u64> = agent.leases.values().map(|held| held.left_millis(agent, now)).collect();
        // The shorter are mostly those that have begun.
        left.sort_unstable();
        left.into_iter().for_each(|millis| slots.begin(millis));
        slots
    }

    /// The milliseconds until the first is free.
    pub(crate) fn free_in_millis(&self) -> u64 {
        self.0.iter().copied().min().unwrap_or(0)
    }

    /// The first that is free takes a build that takes so long.
    pub(crate) fn begin(&mut self, takes_millis: u64) {
        if let Some(first) = self.0.iter_mut().min() {
            *first = first.saturating_add(takes_millis);
        }
    }
}

impl Held {
    /// What is left of it, in milliseconds, by what it was expected to take.
    pub(crate) fn left_millis(&self, agent: &Agent, now: Heard) -> u64 {
        let takes = agent.pace.takes(self.expected_millis);
        let passed = self.since.map_or(takes / 2, |since| now.millis_since(since));
        takes.saturating_sub(passed).max(takes / OVERDUE_PART)
    }

    /// One of which nothing is known may be over any time, until it has taken longer than such builds are taken to.
    fn is_soon_over(&self, agent: &Agent, now: Heard) -> bool {
        let Some(since) = self.since else { return true };
        match self.known {
            true => self.left_millis(agent, now) <= SOON_MILLIS,
            false => now.millis_since(since) <= self.expected_millis,
        }
    }
}

impl Agent {
    /// Whether something may as well wait there as anywhere: a slot is free, or soon will be.
    pub(crate) fn is_soon_free(&self, now: Heard) -> bool {
        let taken = self.leases.len() + self.stopping.len();
        taken < self.hello.max_parallel_builds as usize
            || !self.stopping.is_empty()
            || self.leases.values().any(|held| held.is_soon_over(self, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_takes_the_slot_that_is_free_first() {
        let mut slots = Slots::idle(2);
        assert_eq!(slots.free_in_millis(), 0);
        slots.begin(10);
        assert_eq!(slots.free_in_millis(), 0);
        slots.begin(3);
        assert_eq!(slots.free_in_millis(), 3);
        slots.begin(20);
        assert_eq!(slots.free_in_millis(), 10);
    }
}

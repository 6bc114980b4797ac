//! When the slots of an agent are free, as far as that can be guessed from what its builds are expected to take.

use crate::agent::{Agent, Held};
use crate::state::State;
use crate::time::Heard;

/// A build that takes longer than expected is taken to need this part of that once more.
const OVERDUE_PART: u64 = 4;

/// For each slot, the milliseconds until it is free.
#[derive(Debug, Clone)]
pub(crate) struct Slots(Vec<u64>);

impl Slots {
    /// Those of an idle agent.
    fn idle(slots: u32) -> Self {
        Self(vec![0; slots.max(1) as usize])
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

impl State {
    /// Those of an agent, with what it has.
    pub(crate) fn slots(&self, agent: &Agent, now: Heard) -> Slots {
        let mut slots = Slots::idle(agent.hello.max_parallel_builds);
        let mut left: Vec<u64> = agent.leases.values().filter_map(|held| self.left_millis(agent, held, now)).collect();
        // The shorter are mostly those that have begun.
        left.sort_unstable();
        left.into_iter().for_each(|millis| slots.begin(millis));
        slots
    }

    fn left_millis(&self, agent: &Agent, held: &Held, now: Heard) -> Option<u64> {
        let takes = agent.pace.takes(self.builds.get(&held.build)?.expected_millis);
        let passed = held.since.map_or(takes / 2, |since| now.millis_since(since));
        Some(takes.saturating_sub(passed).max(takes / OVERDUE_PART))
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

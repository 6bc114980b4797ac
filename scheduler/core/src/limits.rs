//! Every bound and delay of the core, with its unit.

/// Attempts that a build remembers; the oldest settled ones go first.
pub(crate) const ATTEMPTS_REMEMBERED: usize = 32;

/// A build that has waited for so long counts as one more urgent, and so again with each such time: nothing starves.
pub(crate) const AGE_STEP_MILLIS: u64 = 60 * 60 * 1000;
/// So much more urgent a build gets at most.
pub(crate) const AGE_BONUS_MAX: i32 = 1_000_000;

/// How often it is looked how urgent the publications are that wait to be asked for: there may be very many.
pub(crate) const DEBTS_WEIGHED_EVERY_MILLIS: u64 = 10_000;

/// Wishes that are known when they come again; those of earlier processes are recorded.
pub(crate) const WISHES_REMEMBERED: usize = 10_000;

/// In which order ready builds get slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// By priority, then the longest path that hangs on them, then fair share, then age.
    #[default]
    Full,
    /// By age alone, to compare with.
    FirstComeFirst,
}

/// What an operator may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// An agent that was not heard for so long has lost its leases.
    pub lease_millis: u64,
    /// How often agents beat.
    pub beat_every_millis: u64,
    /// Offers beyond the slots of an agent.
    pub offers_beyond_slots: u32,
    /// An offer without an answer is sent again after so long.
    pub offer_again_millis: u64,
    /// Publications that may be asked for at once.
    pub asked_at_once: usize,
    /// Of these, large ones.
    pub large_asked_at_once: usize,
    /// A publication without a word is asked for again after so long.
    pub ask_again_millis: u64,
    /// After so many failures of the farm in a row a build is tried again only when somebody says so.
    pub tries: u32,
    /// The first delay after a failure of the farm; it doubles each time.
    pub retry_first_millis: u64,
    /// The longest such delay.
    pub retry_longest_millis: u64,
    /// An agent that has not let go of what it was told to stop after so long gets no more.
    pub abort_millis: u64,
    /// An item that was lost so often is not made again by itself.
    pub losses: u32,
    /// Unfinished builds of one client.
    pub builds_per_client: u64,
    /// Leases of one client at once.
    pub slots_per_client: u32,
    /// An agent saves up for a build that takes more of what it shares than is free, after the build has waited for so long.
    pub save_up_after_millis: u64,
    /// So many failed downloads end a build as a failed download.
    pub downloads: u32,
    /// In which order ready builds get slots.
    pub order: Order,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lease_millis: 60_000,
            beat_every_millis: 10_000,
            offers_beyond_slots: 1,
            offer_again_millis: 5_000,
            asked_at_once: 512,
            large_asked_at_once: 64,
            ask_again_millis: 60_000,
            tries: 50,
            retry_first_millis: 1_000,
            retry_longest_millis: 300_000,
            abort_millis: 300_000,
            losses: 5,
            builds_per_client: u64::MAX,
            slots_per_client: u32::MAX,
            save_up_after_millis: 60_000,
            downloads: 4,
            order: Order::Full,
        }
    }
}

impl Limits {
    /// So long after its start a scheduler that is not the first of its farm gives no leases: by then every agent has said
    /// what it holds. A state that is older than a lease would give its build away a second time.
    pub fn hear_first_millis(&self) -> u64 {
        self.beat_every_millis + 1_000
    }

    /// An agent that was not heard for so long may be gone: it keeps what it has, and gets nothing more.
    pub fn suspect_millis(&self) -> u64 {
        self.lease_millis / 2
    }

    /// The delay after the `nth` failure of the farm in a row, counted from one.
    pub fn retry_delay_millis(&self, nth: u32) -> u64 {
        let doubled = self.retry_first_millis.saturating_mul(1 << nth.saturating_sub(1).min(20));
        doubled.min(self.retry_longest_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_bound() {
        let limits = Limits::default();
        let delays: Vec<u64> = [1, 2, 3, 40].map(|n| limits.retry_delay_millis(n)).into();
        assert_eq!(delays, [1_000, 2_000, 4_000, 300_000]);
    }
}

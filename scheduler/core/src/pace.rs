//! How fast an agent builds, against what the farm expects: learned from each of its builds, and recorded with the agent.

use serde::{Deserialize, Serialize};

/// As fast as expected, in thousandths of the time.
const USUAL: u64 = 1_000;
/// The part of what was known that the first build replaces; that of each later one is smaller, down to the last.
const LEARNED_PARTS: (u64, u64) = (4, 16);
/// Shorter builds say nothing, in milliseconds.
const LEAST_MILLIS: u64 = 1_000;
/// No build makes an agent look faster or slower than by this factor.
const FACTOR_MAX: u64 = 8;
/// Whoever takes longer by no more than this is about as fast, in percent: builds of one package differ, and so does what is
/// learned from them.
const ALIKE_PERCENT: u64 = 25;

/// The time that an agent takes, in thousandths of what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pace {
    thousandths: u64,
    /// How many builds it was learned from, as far as that matters.
    builds: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { thousandths: USUAL, builds: 0 }
    }
}

impl Pace {
    /// A build took so long, and was expected to take so long.
    pub(crate) fn learn(&mut self, took_millis: u64, expected_millis: u64) {
        if took_millis.min(expected_millis) < LEAST_MILLIS {
            return;
        }
        let told = (took_millis.saturating_mul(USUAL) / expected_millis).clamp(USUAL / FACTOR_MAX, USUAL * FACTOR_MAX);
        let (first, last) = LEARNED_PARTS;
        let part = (first + self.builds).min(last);
        self.thousandths = (self.thousandths * (part - 1) + told) / part;
        self.builds = part - first + 1;
    }

    /// As it is after that.
    pub(crate) fn after(mut self, took_millis: u64, expected_millis: u64) -> Self {
        self.learn(took_millis, expected_millis);
        self
    }

    /// What it takes for a build that is expected to take so long, in milliseconds.
    pub(crate) fn takes(self, expected_millis: u64) -> u64 {
        scaled(expected_millis, self.thousandths, USUAL)
    }

    /// What a build would have taken elsewhere that took so long here, in milliseconds.
    pub(crate) fn usual(self, took_millis: u64) -> u64 {
        scaled(took_millis, USUAL, self.thousandths.max(1))
    }

    /// What that is longer than expected.
    pub(crate) fn beyond(self, expected_millis: u64) -> i64 {
        i64::try_from(self.takes(expected_millis)).unwrap_or(i64::MAX).saturating_sub_unsigned(expected_millis)
    }

    /// The same for those that are about as fast, less for a faster one: quarters of the usual time.
    pub(crate) fn quarters(self) -> u64 {
        (self.thousandths * 4 + USUAL / 2) / USUAL
    }

    /// Whether it takes notably longer than another.
    pub(crate) fn is_slower_than(self, other: Self) -> bool {
        self.thousandths * 100 > other.thousandths * (100 + ALIKE_PERCENT)
    }
}

fn scaled(millis: u64, by: u64, over: u64) -> u64 {
    u64::try_from(u128::from(millis) * u128::from(by) / u128::from(over)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(builds: usize, took_millis: u64) -> Pace {
        let mut pace = Pace::default();
        (0..builds).for_each(|_| pace.learn(took_millis, 10_000));
        pace
    }

    #[test]
    fn an_agent_that_takes_twice_as_long_is_found_out_by_and_by() {
        let [new, first, known] = [0, 1, 80].map(|builds| after(builds, 20_000).beyond(60_000));
        assert_eq!((new, first), (0, 15_000));
        assert!((58_000..=60_000).contains(&known), "{known}");
    }

    #[test]
    fn one_odd_build_and_short_ones_say_little() {
        let mut pace = Pace::default();
        pace.learn(500, 60_000);
        assert_eq!(pace, Pace::default());
        pace.learn(100_000_000, 10_000);
        assert!(pace.beyond(1_000) <= 2_000);
        let mut known = after(80, 10_000);
        known.learn(100_000_000, 10_000);
        assert!(known.beyond(1_000) <= 500);
    }

    #[test]
    fn a_faster_agent_costs_less_than_nothing() {
        assert!(after(80, 5_000).beyond(10_000) < -4_500);
    }

    #[test]
    fn what_a_slow_agent_took_is_less_elsewhere() {
        let slow = after(80, 20_000);
        assert!((9_500..=10_500).contains(&slow.usual(20_000)), "{}", slow.usual(20_000));
        assert!(slow.is_slower_than(Pace::default()) && !Pace::default().is_slower_than(slow));
        assert!(!after(80, 11_000).is_slower_than(Pace::default()));
    }
}

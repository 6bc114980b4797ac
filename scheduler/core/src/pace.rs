//! How fast an agent builds, against what the farm expects: learned from each of its builds, and forgotten with it.

/// As fast as expected, in thousandths of the time.
const USUAL: u64 = 1_000;
/// The part of what was known that one more build replaces.
const LEARNED_PART: u64 = 8;
/// Shorter builds say nothing, in milliseconds.
const LEAST_MILLIS: u64 = 1_000;
/// No build makes an agent look faster or slower than by this factor.
const FACTOR_MAX: u64 = 8;

/// The time that an agent takes, in thousandths of what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace(u64);

impl Default for Pace {
    fn default() -> Self {
        Self(USUAL)
    }
}

impl Pace {
    /// A build took so long, and was expected to take so long.
    pub(crate) fn learn(&mut self, took_millis: u64, expected_millis: u64) {
        if took_millis.min(expected_millis) < LEAST_MILLIS {
            return;
        }
        let told = (took_millis.saturating_mul(USUAL) / expected_millis).clamp(USUAL / FACTOR_MAX, USUAL * FACTOR_MAX);
        self.0 = (self.0 * (LEARNED_PART - 1) + told) / LEARNED_PART;
    }

    /// What it takes for a build that is expected to take so long, in milliseconds.
    pub(crate) fn takes(self, expected_millis: u64) -> u64 {
        let takes = u128::from(expected_millis) * u128::from(self.0) / u128::from(USUAL);
        u64::try_from(takes).unwrap_or(u64::MAX)
    }

    /// What that is longer than expected.
    pub(crate) fn beyond(self, expected_millis: u64) -> i64 {
        i64::try_from(self.takes(expected_millis)).unwrap_or(i64::MAX).saturating_sub_unsigned(expected_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_takes_twice_as_long_is_found_out_by_and_by() {
        let mut pace = Pace::default();
        assert_eq!(pace.beyond(60_000), 0);
        pace.learn(20_000, 10_000);
        let at_first = pace.beyond(60_000);
        (0..40).for_each(|_| pace.learn(20_000, 10_000));
        assert!(0 < at_first && at_first < 10_000, "{at_first}");
        assert!((58_000..=60_000).contains(&pace.beyond(60_000)), "{}", pace.beyond(60_000));
    }

    #[test]
    fn one_odd_build_and_short_ones_say_little() {
        let mut pace = Pace::default();
        pace.learn(500, 60_000);
        assert_eq!(pace, Pace::default());
        pace.learn(100_000_000, 10_000);
        assert!(pace.beyond(1_000) <= 1_000);
    }

    #[test]
    fn a_faster_agent_costs_less_than_nothing() {
        let mut pace = Pace::default();
        (0..40).for_each(|_| pace.learn(5_000, 10_000));
        assert!(pace.beyond(10_000) < -4_500);
    }
}

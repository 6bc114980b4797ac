//! Whether an agent is trusted. One whose builds fail again and again, or fail where others succeed, gets none for a while;
//! then one to try, and that one alone decides whether it is trusted again: what was under way before says nothing new.

use drover_messages::Epoch;
use serde::{Deserialize, Serialize};

use crate::time::Heard;

/// So many faults in a row open the breaker.
const FAULTS: u32 = 5;
/// The first time without builds, in milliseconds; it doubles each time.
const FIRST_MILLIS: u64 = 5 * 60 * 1000;
/// The longest such time, in milliseconds.
const LONGEST_MILLIS: u64 = 6 * 60 * 60 * 1000;

/// How much an agent is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Faults since its last success.
    faults: u32,
    /// Times that it was opened since it was last trusted.
    opened: u32,
    /// Whether it is open, and how.
    open: Option<Open>,
    /// Of the last fault, in words.
    why: String,
}

/// An agent gets no builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    /// Until then; afterwards one to try.
    until: Heard,
    /// That has such a number, or a higher one: what was leased before it was opened has a lower one.
    tries: Epoch,
}

impl Breaker {
    /// An attempt of this number went wrong, and says something of the agent. True if it is not trusted from now on, and was
    /// before. `next` is the number of the next lease.
    pub(crate) fn fault(&mut self, why: String, attempt: Epoch, next: Epoch, now: Heard) -> bool {
        if !self.counts(attempt) {
            return false;
        }
        self.faults += 1;
        self.why = why;
        let was_open = self.open.is_some();
        // What was to try has failed, or it was one too many.
        if was_open || self.faults >= FAULTS {
            let millis = FIRST_MILLIS.saturating_mul(1 << self.opened.min(20)).min(LONGEST_MILLIS);
            self.opened += 1;
            self.open = Some(Open { until: now.plus_millis(millis), tries: next });
        }
        !was_open && self.open.is_some()
    }

    /// An attempt of this number succeeded. True if the agent is trusted again, and was not.
    pub(crate) fn success(&mut self, attempt: Epoch) -> bool {
        self.counts(attempt) && self.trust()
    }

    /// It is trusted from now on. True if it was not.
    pub(crate) fn trust(&mut self) -> bool {
        let was_open = self.open.is_some();
        *self = Self::default();
        was_open
    }

    /// Whether an attempt of this number says anything: of one that is not trusted, only what it got to try.
    fn counts(&self, attempt: Epoch) -> bool {
        self.open.is_none_or(|open| attempt >= open.tries)
    }

    /// How many builds it may have at once; no bound, if it is trusted.
    pub(crate) fn at_most(&self, now: Heard) -> Option<u32> {
        self.open.map(|open| u32::from(now >= open.until))
    }

    /// Whether it is trusted.
    pub(crate) fn is_closed(&self) -> bool {
        self.open.is_none()
    }

    /// Why it is not trusted and when that is tried, in words; nothing, if it is.
    pub fn why(&self, now: Heard) -> Option<String> {
        let left = self.open?.until.millis_since(now).div_ceil(1000);
        Some(match left {
            0 => format!("{}; it gets one build to try", self.why),
            secs => format!("{}; it gets one build to try in {secs} s", self.why),
        })
    }
}

#[cfg(test)]
mod tests {
    use drover_messages::Generation;

    use super::*;

    fn epoch(n: u64) -> Epoch {
        Epoch { generation: Generation(1), n }
    }

    /// An attempt of this number fails, when so many leases were given.
    fn fail(breaker: &mut Breaker, attempt: u64, given: u64, now: u64) -> bool {
        breaker.fault("its disk is full".into(), epoch(attempt), epoch(given), Heard(now))
    }

    /// One that was opened at the start of time, when ten leases were given.
    fn open() -> Breaker {
        let mut breaker = Breaker::default();
        assert_eq!((0..FAULTS).filter(|_| fail(&mut breaker, 9, 10, 0)).count(), 1);
        breaker
    }

    #[test]
    fn it_opens_after_some_faults_in_a_row_and_says_why_and_for_how_long() {
        let mut breaker = Breaker::default();
        assert!((1..FAULTS).all(|_| !fail(&mut breaker, 9, 10, 0)));
        assert_eq!((breaker.at_most(Heard(0)), breaker.why(Heard(0))), (None, None));
        assert!(fail(&mut breaker, 9, 10, 0));
        assert_eq!(breaker.at_most(Heard(0)), Some(0));
        assert_eq!(breaker.why(Heard(1_001)).unwrap(), "its disk is full; it gets one build to try in 299 s");
        assert_eq!(breaker.why(Heard(FIRST_MILLIS)).unwrap(), "its disk is full; it gets one build to try");
    }

    #[test]
    fn a_success_between_faults_starts_the_count_anew() {
        let mut breaker = Breaker::default();
        (1..FAULTS).for_each(|_| assert!(!fail(&mut breaker, 9, 10, 0)));
        assert!(!breaker.success(epoch(9)));
        assert!((1..FAULTS).all(|_| !fail(&mut breaker, 9, 10, 0)));
    }

    #[test]
    fn after_a_while_one_build_is_tried_and_decides() {
        let mut breaker = open();
        assert_eq!(breaker.at_most(Heard(FIRST_MILLIS)), Some(1));
        assert!(!fail(&mut breaker, 10, 11, FIRST_MILLIS), "it was not trusted before");
        assert_eq!(breaker.at_most(Heard(2 * FIRST_MILLIS)), Some(0), "longer than the first time");
        assert_eq!(breaker.at_most(Heard(3 * FIRST_MILLIS)), Some(1));
        assert!(breaker.success(epoch(11)));
        assert_eq!(breaker.at_most(Heard(3 * FIRST_MILLIS)), None);
    }

    #[test]
    fn what_was_under_way_when_it_opened_changes_nothing() {
        let mut breaker = open();
        for ends in [1, FIRST_MILLIS + 1] {
            assert!(!fail(&mut breaker, 9, 12, ends) && !breaker.success(epoch(9)));
        }
        assert_eq!(breaker, open());
    }

    #[test]
    fn who_is_told_to_trust_it_does() {
        let mut breaker = open();
        assert!(breaker.trust() && !breaker.trust());
        assert_eq!(breaker, Breaker::default());
    }
}

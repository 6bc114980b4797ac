//! Whether an agent is trusted. One whose builds fail again and again, or fail where others succeed, gets none for a while;
//! then one to try, and if that goes well it is trusted again.

use crate::time::Heard;

/// So many faults in a row open the breaker.
const FAULTS: u32 = 5;
/// The first time without builds, in milliseconds; it doubles each time.
const FIRST_MILLIS: u64 = 5 * 60 * 1000;
/// The longest such time, in milliseconds.
const LONGEST_MILLIS: u64 = 6 * 60 * 60 * 1000;

/// How much an agent is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breaker {
    /// Faults since its last success.
    faults: u32,
    /// Times that it was opened since it was last trusted.
    opened: u32,
    /// No builds until then; afterwards one to try.
    until: Option<Heard>,
    /// Of the last fault, in words.
    why: String,
}

impl Breaker {
    /// Something went wrong that says something of the agent. True if it is not trusted from now on, and was before.
    pub(crate) fn fault(&mut self, why: String, now: Heard) -> bool {
        self.faults += 1;
        self.why = why;
        let was_open = self.until.is_some();
        // What was to try has failed, or it was one too many.
        if was_open || self.faults >= FAULTS {
            let millis = FIRST_MILLIS.saturating_mul(1 << self.opened.min(20)).min(LONGEST_MILLIS);
            self.opened += 1;
            self.until = Some(now.plus_millis(millis));
        }
        !was_open && self.until.is_some()
    }

    /// A build succeeded there. True if it is trusted again, and was not.
    pub(crate) fn success(&mut self) -> bool {
        let was_open = self.until.is_some();
        *self = Self::default();
        was_open
    }

    /// How many builds it may have at once; no bound, if it is trusted.
    pub(crate) fn at_most(&self, now: Heard) -> Option<u32> {
        self.until.map(|until| u32::from(now >= until))
    }

    /// Why it is not trusted, if so.
    pub fn why(&self) -> Option<&str> {
        self.until.map(|_| self.why.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &mut Breaker, now: u64) -> bool {
        breaker.fault("its disk is full".into(), Heard(now))
    }

    #[test]
    fn it_opens_after_some_faults_in_a_row_and_says_why() {
        let mut breaker = Breaker::default();
        assert!((1..FAULTS).all(|_| !fail(&mut breaker, 0)));
        assert_eq!(breaker.at_most(Heard(0)), None);
        assert!(fail(&mut breaker, 0));
        assert_eq!(breaker.at_most(Heard(0)), Some(0));
        assert_eq!(breaker.why(), Some("its disk is full"));
    }

    #[test]
    fn a_success_between_faults_starts_the_count_anew() {
        let mut breaker = Breaker::default();
        (1..FAULTS).for_each(|_| assert!(!fail(&mut breaker, 0)));
        assert!(!breaker.success());
        assert!((1..FAULTS).all(|_| !fail(&mut breaker, 0)));
    }

    #[test]
    fn after_a_while_one_build_is_tried_and_decides() {
        let mut breaker = Breaker::default();
        assert_eq!((0..FAULTS).filter(|_| fail(&mut breaker, 0)).count(), 1);
        assert_eq!(breaker.at_most(Heard(FIRST_MILLIS)), Some(1));
        assert!(!fail(&mut breaker, FIRST_MILLIS), "it was not trusted before");
        assert_eq!(breaker.at_most(Heard(2 * FIRST_MILLIS)), Some(0), "longer than the first time");
        assert_eq!(breaker.at_most(Heard(3 * FIRST_MILLIS)), Some(1));
        assert!(breaker.success());
        assert_eq!(breaker.at_most(Heard(3 * FIRST_MILLIS)), None);
    }
}

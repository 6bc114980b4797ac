//! The hearing clock: it goes only while the broker can be reached, and never back.

use std::time::{Duration, Instant};

use drover_messages::Timestamp;
use drover_nats::Link;
use drover_scheduler_core::{Heard, Now};
use tokio::sync::watch;

/// The longest step between two looks at the clock. A process that was stopped, or starved, did not hear for longer.
const LONGEST_STEP: Duration = Duration::from_secs(2);

pub(crate) struct Clock {
    heard: Heard,
    looked: Instant,
    link: watch::Receiver<Link>,
    was: Link,
}

impl Clock {
    /// Goes on from what the last reign had heard.
    pub(crate) fn new(heard: Heard, link: watch::Receiver<Link>) -> Self {
        let was = *link.borrow();
        Self { heard, looked: Instant::now(), link, was }
    }

    /// As it stood at the last look.
    pub(crate) fn heard(&self) -> Heard {
        self.heard
    }

    pub(crate) fn now(&mut self) -> Now {
        let (is, looked) = (*self.link.borrow(), Instant::now());
        if is.is_up() && is == self.was {
            let step = looked.duration_since(self.looked).min(LONGEST_STEP);
            self.heard = self.heard.plus_millis(step.as_millis() as u64);
            // What is less than a millisecond is left for the next look.
            self.looked += Duration::from_millis(step.as_millis() as u64);
            if looked.duration_since(self.looked) > LONGEST_STEP {
                self.looked = looked;
            }
        } else {
            self.looked = looked;
        }
        self.was = is;
        Now { heard: self.heard, wall: Timestamp::now() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_the_broker_was_away_does_not_count() {
        let (sender, receiver) = watch::channel(Link::Down);
        let mut clock = Clock::new(Heard(5), receiver);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(clock.now().heard, Heard(5));
        sender.send(Link::Up { times: 1 }).unwrap();
        assert_eq!(clock.now().heard, Heard(5));
        std::thread::sleep(Duration::from_millis(5));
        assert!(clock.now().heard > Heard(5));
    }
}

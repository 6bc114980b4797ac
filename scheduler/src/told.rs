//! How far events were told, and to which stream: another of the same name has none of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use drover_nats::Declared;
use serde::{Deserialize, Serialize};

/// What was told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Up to this record.
    pub(crate) record: u64,
    /// To the stream that was made then, in nanoseconds of the broker's clock; 0 where an older program told it.
    pub(crate) stream: u64,
}

/// What was told so far, by a process in which others tell more.
#[derive(Debug, Default)]
pub(crate) struct Cursor(Mutex<Told>);

impl Cursor {
    pub(crate) fn new(told: Told) -> Self {
        Self(Mutex::new(told))
    }

    pub(crate) fn get(&self) -> Told {
        *self.told()
    }

    /// More was told, unless another stream is told from the beginning meanwhile.
    pub(crate) fn advance(&self, from: Told, record: u64) {
        let mut told = self.told();
        if *told == from {
            told.record = record;
        }
    }

    /// From now on this stream is told: all that is remembered, if it is not the one that was told before.
    pub(crate) fn turn_to(&self, stream: &Declared) {
        let mut told = self.told();
        let is_known = told.stream == stream.made_nanos || (told.stream == 0 && !stream.created);
        *told = Told { record: if is_known { told.record } else { 0 }, stream: stream.made_nanos };
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(made_nanos: u64, created: bool) -> Declared {
        Declared { stream: drover_nats::streams::EVENTS, created, made_nanos }
    }

    #[test]
    fn another_stream_is_told_from_the_beginning_whoever_made_it() {
        for created in [true, false] {
            let cursor = Cursor::new(Told { record: 7, stream: 1 });
            cursor.turn_to(&stream(1, false));
            assert_eq!(cursor.get(), Told { record: 7, stream: 1 });
            cursor.turn_to(&stream(2, created));
            assert_eq!(cursor.get(), Told { record: 0, stream: 2 });
        }
    }

    #[test]
    fn a_stream_that_an_older_program_told_goes_on_where_it_is() {
        let older = Told { record: 7, stream: 0 };
        for (created, record) in [(false, 7), (true, 0)] {
            let cursor = Cursor::new(older);
            cursor.turn_to(&stream(2, created));
            assert_eq!(cursor.get(), Told { record, stream: 2 });
        }
    }

    #[test]
    fn what_was_told_to_a_stream_that_is_gone_counts_for_nothing() {
        let cursor = Cursor::new(Told { record: 7, stream: 1 });
        let before = cursor.get();
        cursor.turn_to(&stream(2, true));
        cursor.advance(before, 9);
        assert_eq!(cursor.get(), Told { record: 0, stream: 2 });
        cursor.advance(cursor.get(), 9);
        assert_eq!(cursor.get(), Told { record: 9, stream: 2 });
    }
}

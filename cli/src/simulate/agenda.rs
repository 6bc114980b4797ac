//! What will happen when, in virtual time.

use std::collections::BTreeMap;

use drover_messages::agent::Held;
use drover_messages::{BuildId, PublicationId};

use super::ledger::Span;

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Event {
    /// A submission comes.
    Arrives {
        /// Which, by its place in the graph.
        arrival: usize,
    },
    /// An agent says how it does.
    Beat {
        /// Which.
        agent: usize,
    },
    /// A build comes to its end.
    Ends {
        /// Where and when.
        span: Span,
        /// The attempt.
        held: Held,
    },
    /// The outputs of a build are in the bucket.
    Uploaded {
        /// By which agent.
        agent: usize,
        /// In which attempt.
        held: Held,
    },
    /// One output can be fetched.
    Published {
        /// Which publication.
        publication: PublicationId,
        /// Whose output it is.
        build: BuildId,
    },
}

/// What will happen, by time, and at one time in the order in which it was foreseen.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    events: BTreeMap<(u64, u64), Event>,
    foreseen: u64,
}

impl Agenda {
    /// Foresees something.
    pub(super) fn add(&mut self, at_millis: u64, event: Event) {
        self.events.insert((at_millis, self.foreseen), event);
        self.foreseen += 1;
    }

    /// When something happens next.
    pub(super) fn next_millis(&self) -> Option<u64> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next of what happens at this time or before.
    pub(super) fn next_until(&mut self, millis: u64) -> Option<Event> {
        let first = self.events.first_entry().filter(|first| first.key().0 <= millis)?;
        Some(first.remove())
    }
}

//! A scheduler: the core and its database, taking what came in as the shell does.

use std::collections::BTreeSet;

use drover_messages::event::What;
use drover_messages::report::Outcome as Told;
use drover_messages::{AgentId, BuildId, Generation, Timestamp};
use drover_scheduler_core::{BuildState, Change, Core, Effect, Heard, Input, Limits, Now, Outcome};

use super::book::{Book, Touched};

/// Something that came in, and who waits for an answer to it.
#[derive(Clone)]
pub struct Letter {
    pub input: Input,
    pub from: Option<AgentId>,
}

impl From<Input> for Letter {
    fn from(input: Input) -> Self {
        Self { input, from: None }
    }
}

pub struct Reign {
    pub core: Core,
    pub book: Book,
    pub generation: Generation,
    /// The clock that decides.
    pub heard: Heard,
    pub inbox: Vec<Letter>,
    /// It has read what was queued before its start.
    pub caught_up: bool,
    /// What it was asked to plan since its start.
    pub replanned: BTreeSet<BuildId>,
    /// It has given up.
    pub over: bool,
}

/// What a batch came to, before and after its commit.
#[derive(Default)]
pub struct Batch {
    changes: Vec<Change>,
    touched: Touched,
    pub events: Vec<What>,
    pub effects: Vec<Effect>,
    pub answers: Vec<(AgentId, Outcome)>,
}

impl Reign {
    /// Begins on what is recorded.
    pub fn begin(book: Book, generation: Generation, limits: Limits) -> Self {
        let core = Core::new(book.state(generation, &limits), limits);
        let heard = book.heard;
        let inbox = Vec::new();
        Self { core, book, generation, heard, inbox, caught_up: false, replanned: BTreeSet::new(), over: false }
    }

    /// Decides on each, and at the end hands out what it can. Nothing of it is recorded yet.
    pub fn decide(&mut self, letters: Vec<Letter>, wall: Timestamp) -> Batch {
        let mut batch = Batch::default();
        for letter in letters.into_iter().chain([Input::Dispatch.into()]) {
            self.caught_up |= matches!(letter.input, Input::CaughtUp);
            if matches!(&letter.input, Input::Wish(wanted) if self.book.has_heard(wanted.wish)) {
                continue;
            }
            let now = Now { heard: self.heard, wall };
            let recall = self.book.recall_for(&letter.input, self.core.state());
            batch.touched.recalled(&recall);
            self.core.advance(now, recall);
            let expected = self.must_succeed(&letter.input);
            let mut outcome = self.core.advance(now, letter.input);
            assert!(outcome.illegal.is_empty(), "asked for transitions that the tables do not have: {:?}", outcome.illegal);
            if let Some(build) = expected {
                let state = self.core.state().build(build).map(|build| &build.state);
                assert!(matches!(state, Some(BuildState::Succeeded { .. })), "a success of {build} was thrown away: {state:?}");
            }
            self.trace(&outcome);
            batch.changes.extend(outcome.changes.drain(..).filter(Change::is_recorded));
            batch.events.append(&mut outcome.events);
            batch.effects.append(&mut outcome.effects);
            batch.answers.extend(letter.from.map(|agent| (agent, outcome)));
        }
        batch
    }

    /// The build that a report makes succeed: one that is unfinished, of which it tells the success of any known attempt.
    fn must_succeed(&self, input: &Input) -> Option<BuildId> {
        let Input::Report { agent, report } = input else { return None };
        let build = self.core.state().build(report.build)?;
        let attempt = build.attempt(report.attempt)?;
        let success = !matches!(report.outcome, Told::Failed(_));
        let counts = success && attempt.agent == *agent && !attempt.state.is_refused() && !build.state.is_over();
        // What is built already and was lost since is not made by telling of it again, nor what could not be uploaded.
        let news = !matches!(attempt.state.word(), "built" | "uploaded" | "published" | "checked" | "superseded");
        let told_late = matches!(report.outcome, Told::Built(_)) && attempt.state.is_told_to_have_failed();
        (counts && news && !told_late).then_some(build.id)
    }

    /// Prints what changes, where `DROVER_SIM_TRACE` is some of its words.
    fn trace(&self, outcome: &Outcome) {
        let Ok(words) = std::env::var("DROVER_SIM_TRACE") else { return };
        let recorded = outcome.changes.iter().filter(|change| change.is_recorded()).map(|change| format!("{change:?}"));
        for change in recorded.filter(|change| change.contains(&words)) {
            eprintln!("{} of generation {}: {change}", self.heard.0, self.generation);
        }
    }

    /// Records what was decided, if anything was, and lets go of what is finished.
    pub fn commit(&mut self, batch: &mut Batch) -> bool {
        let something = !batch.changes.is_empty() || !batch.events.is_empty();
        self.book.record(&batch.changes, self.heard, self.core.state(), &mut batch.touched);
        Book::forget(std::mem::take(&mut batch.touched), self.core.state_mut());
        something
    }
}

//! The thread that holds the state. Take what came in, decide, commit, carry out, acknowledge: in that order, here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use drover_messages::agent::Held;
use drover_messages::event::What;
use drover_messages::{BuildId, Generation, SubmissionId};
use drover_scheduler_core::{
    Build, Change, Core, Effect, Heard, Input, Item, Limits, Outcome, State, Submission, SubmissionState, WholeBuild,
};
use drover_store::StorePath;
use tokio::sync::mpsc;

use crate::book::{Book, BookError, Memory, Page, Record};
use crate::clock::Clock;
use crate::fresh::{Fresh, News};
use crate::work::{Question, Then, Work};

/// Work that one commit takes, in pieces.
const BATCH: usize = 512;

/// The state, in the hands of the one thread that may change it.
pub(crate) struct Reign {
    generation: Generation,
    core: Core,
    book: Book,
    clock: Clock,
    told: Arc<AtomicU64>,
    fresh: Arc<Fresh>,
    effects: mpsc::UnboundedSender<Vec<Effect>>,
    /// Whether something was committed since the last tick.
    is_busy: bool,
}

/// What the thread shares with those who carry things away.
pub(crate) struct Outlets {
    /// The number of the last record that was told to the broker.
    pub(crate) told: Arc<AtomicU64>,
    /// What was committed just now, to be told.
    pub(crate) fresh: Arc<Fresh>,
    /// What is to be done. Its length is bounded by slots, agents and questions asked at once.
    pub(crate) effects: mpsc::UnboundedSender<Vec<Effect>>,
}

/// What one batch came to.
#[derive(Default)]
struct Batch {
    changes: Vec<Change>,
    events: Vec<What>,
    effects: Vec<Effect>,
    thens: Vec<(Then, Outcome)>,
    questions: Vec<Question>,
    /// Finished builds and idle items that were taken back into memory for this batch.
    recalled: Page,
    /// Whether time has passed.
    ticked: bool,
}

impl Reign {
    pub(crate) fn begin(
        generation: Generation,
        limits: Limits,
        book: Book,
        memory: Memory,
        clock: Clock,
        outlets: Outlets,
    ) -> Result<Self, BookError> {
        let Outlets { told, fresh, effects } = outlets;
        let mut state = State::new(generation);
        state.remember_drained(memory.drained);
        state.remember_usage(memory.took, memory.used);
        memory.builds.each(|builds| state.remember(memory.submissions, memory.paths, builds, memory.owed))?;
        state.remember_cancelled(memory.cancelled_ahead);
        state.begin_reign(memory.heard, &limits);
        Ok(Self { generation, core: Core::new(state, limits), book, clock, told, fresh, effects, is_busy: false })
    }

    /// Reigns until nobody brings anything any more, or the book cannot be written.
    pub(crate) fn run(mut self, mut inbox: mpsc::Receiver<Work>) -> Result<(), BookError> {
        let mut works = Vec::with_capacity(BATCH);
        while inbox.blocking_recv_many(&mut works, BATCH) > 0 {
            let mut batch = Batch::default();
            for work in works.drain(..) {
                self.take(work, &mut batch)?;
            }
            self.decide(Input::Dispatch, None, &mut batch)?;
            self.commit(&mut batch)?;
            let recalled = std::mem::take(&mut batch.recalled);
            self.core.state_mut().forget_finished(recalled.submissions, recalled.builds, recalled.items);
            if !batch.effects.is_empty() {
                let _ = self.effects.send(batch.effects);
            }
            for (then, outcome) in batch.thens {
                then(&outcome);
            }
            for question in batch.questions {
                question(&self);
            }
        }
        Ok(())
    }

    fn take(&mut self, work: Work, batch: &mut Batch) -> Result<(), BookError> {
        match work {
            Work::Decide(piece) => self.decide(piece.input, piece.then, batch),
            Work::DecideAll(pieces) => pieces.into_iter().try_for_each(|piece| self.decide(piece.input, piece.then, batch)),
            Work::Ask(question) => {
                batch.questions.push(question);
                Ok(())
            }
        }
    }

    fn decide(&mut self, input: Input, then: Option<Then>, batch: &mut Batch) -> Result<(), BookError> {
        let now = self.clock.now();
        batch.ticked |= matches!(input, Input::Tick);
        if let Some(recall) = self.recall_for(&input)? {
            if let Input::Recall { submissions, builds, items } = &recall {
                batch.recalled.submissions.extend(submissions.iter().map(|submission| submission.id));
                batch.recalled.builds.extend(builds.iter().map(|whole| whole.build.id));
                batch.recalled.items.extend(items.iter().map(|(path, _)| path.clone()));
            }
            self.core.advance(now, recall);
        }
        let mut outcome = self.core.advance(now, input);
        for illegal in outcome.illegal.drain(..) {
            tracing::error!(%illegal, "a change was refused by the tables: this is a bug");
        }
        batch.changes.extend(outcome.changes.drain(..).filter(Change::is_recorded));
        batch.events.append(&mut outcome.events);
        batch.effects.append(&mut outcome.effects);
        batch.thens.extend(then.map(|then| (then, outcome)));
        Ok(())
    }

    /// What an input speaks of that is finished, and so not in memory.
    fn recall_for(&self, input: &Input) -> Result<Option<Input>, BookError> {
        let mut submissions: BTreeSet<SubmissionId> = BTreeSet::new();
        let mut builds: BTreeSet<BuildId> = BTreeSet::new();
        let mut paths: BTreeSet<StorePath> = BTreeSet::new();
        match input {
            Input::Report { report, .. } => drop(builds.insert(report.build)),
            Input::Hello { hello, .. } => builds.extend(self.unsettled(&hello.beat.held)?),
            Input::Beat { beat, .. } => builds.extend(self.unsettled(&beat.held)?),
            Input::Confirmed { items, .. } => {
                for (path, _) in items {
                    builds.extend(self.book.makers(path)?);
                    paths.insert(path.clone());
                }
            }
            Input::Wish(wanted) => {
                submissions.extend(&wanted.submissions);
                builds.extend(&wanted.builds);
            }
            Input::Found { found, .. } => paths.extend(found.iter().map(|(path, _)| path.clone())),
            Input::AddSources { sources, .. } => paths.extend(sources.iter().map(|source| source.path.clone())),
            Input::AddBuilds { submission, builds: planned } => {
                let state = self.core.state().submission(*submission).map(|submission| &submission.state);
                // Of what is planned once more, some may be over.
                if state.is_none_or(|state| *state != SubmissionState::Planning) {
                    builds.extend(planned.iter().map(|planned| planned.id));
                }
                let spoken_of = planned.iter().flat_map(|planned| {
                    let outputs = planned.recipe.outputs.values().map(|product| &product.path);
                    planned.inputs.iter().chain(outputs)
                });
                // Most are inputs of many: what is in memory is not even listed.
                paths.extend(spoken_of.filter(|path| self.core.state().item(path).is_none()).cloned());
            }
            _ => return Ok(None),
        }
        let state = self.core.state();
        builds.retain(|id| state.build(*id).is_none());
        if builds.is_empty() && submissions.is_empty() && paths.is_empty() {
            return Ok(None);
        }
        let recalled: Vec<WholeBuild> = self.book.builds(builds)?;
        submissions.extend(recalled.iter().map(|whole| whole.build.submission));
        let mut of_old = Vec::new();
        for id in submissions.into_iter().filter(|id| state.submission(*id).is_none()) {
            of_old.extend(self.book.submission(id)?);
        }
        paths.extend(recalled.iter().flat_map(WholeBuild::paths).cloned());
        let items = self.book.items(paths.iter().filter(|path| state.item(path).is_none()))?;
        Ok(Some(Input::Recall { submissions: of_old, builds: recalled, items }))
    }

    /// Those finished builds of what an agent holds that the core has to look at: of an attempt that is settled, it says so
    /// without its build.
    fn unsettled(&self, held: &[Held]) -> Result<Vec<BuildId>, BookError> {
        let state = self.core.state();
        let finished = held.iter().filter(|held| state.build(held.build).is_none());
        self.book.unsettled(finished.map(|held| (held.build, held.attempt)))
    }

    /// Records what changed and what is to be told, then lets go of what is finished.
    fn commit(&mut self, batch: &mut Batch) -> Result<(), BookError> {
        if batch.changes.is_empty() && batch.events.is_empty() {
            return self.rest(batch.ticked);
        }
        self.is_busy = true;
        let now = self.clock.now();
        let mut page = Page::of(&batch.changes);
        // What was taken back may have got something to do.
        let state = self.core.state();
        let stays = |id: &&BuildId| state.build(**id).is_some_and(|build| !state.is_finished(build));
        page.builds.extend(batch.recalled.builds.iter().filter(stays));
        let events = std::mem::take(&mut batch.events);
        let record = Record { generation: self.generation, heard: now.heard, wall: now.wall, events };
        let told = self.told.load(Ordering::Relaxed);
        let number = self.book.commit(&record, &batch.changes, &page, self.core.state(), told)?;
        let Record { generation, wall, events, .. } = record;
        self.fresh.put(News { number, generation, wall, events });
        self.core.state_mut().forget_finished(page.submissions, page.builds, page.items);
        Ok(())
    }

    /// From one tick to the next with nothing to commit, there is time to tidy up.
    fn rest(&mut self, ticked: bool) -> Result<(), BookError> {
        match ticked && !std::mem::replace(&mut self.is_busy, false) {
            true => self.book.tidy(),
            false => Ok(()),
        }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    pub(crate) fn book(&self) -> &Book {
        &self.book
    }

    /// How much had been heard at the last commit or tick.
    pub(crate) fn heard(&self) -> Heard {
        self.clock.heard()
    }

    /// The build, wherever it is.
    pub(crate) fn build(&self, id: BuildId) -> Result<Option<Build>, BookError> {
        match self.core.state().build(id) {
            Some(build) => Ok(Some(build.clone())),
            None => self.book.build(id),
        }
    }

    /// The submission, wherever it is.
    pub(crate) fn submission(&self, id: SubmissionId) -> Result<Option<Submission>, BookError> {
        match self.core.state().submission(id) {
            Some(submission) => Ok(Some(submission.clone())),
            None => self.book.submission(id),
        }
    }

    /// Those of the paths that everybody can fetch.
    pub(crate) fn available(&self, paths: BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>, BookError> {
        let state = self.core.state();
        let recorded: BTreeMap<StorePath, Item> = self.book.items(paths.iter().filter(|path| state.item(path).is_none()))?;
        let is_available = |path: &StorePath| {
            let known = state.item(path).or_else(|| recorded.get(path).map(|item| &item.state));
            known.is_some_and(|state| state.is_available())
        };
        Ok(paths.into_iter().filter(is_available).collect())
    }
}

#[cfg(test)]
mod tests {
    use drover_nats::Link;
    use drover_store::StoreDir;
    use tokio::sync::watch;

    use super::*;
    use crate::work::Desk;

    #[tokio::test]
    async fn a_farm_at_rest_brings_what_it_committed_to_the_tables() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let ((desk, inbox), (effects, _effects)) = (Desk::new(), mpsc::unbounded_channel());
        let (_link, link) = watch::channel(Link::Up { times: 1 });
        let outlets = Outlets { told: Arc::default(), fresh: Arc::default(), effects };
        let memory = book.remember().unwrap();
        let reign =
            Reign::begin(Generation(1), Limits::default(), book.clone(), memory, Clock::new(Heard(0), link), outlets).unwrap();
        let reign = std::thread::spawn(move || reign.run(inbox));

        let path = StorePath::from_parts(&[7; 20], "item").unwrap();
        let found = vec![(path, BTreeSet::from(["https://elsewhere.example".to_owned()]))];
        desk.settle(Input::Found { store_dir: StoreDir::nix(), found }).await;
        desk.settle(Input::Tick).await;
        assert!(!book.is_tidy(), "a tick right behind a commit does not mean that there is time");
        for _ in 0..2 {
            desk.settle(Input::Tick).await;
        }
        assert!(book.is_tidy());
        drop(desk);
        reign.join().unwrap().unwrap();
    }
}

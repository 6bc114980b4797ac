//! The thread that holds the state. Take what came in, decide, commit, carry out, acknowledge: in that order, here. While a
//! long batch is committed, the next is decided about; nothing of it goes out, and nothing is answered, before it is committed.

mod later;
mod recall;

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::event::What;
use drover_messages::{BuildId, Generation, SubmissionId};
use drover_scheduler_core::{Build, Change, Core, Effect, Heard, Input, Item, Limits, Outcome, State, Submission};
use drover_store::StorePath;
use futures::executor::block_on;
use tokio::sync::mpsc;

use crate::book::{Book, BookError, Memory, Page, Record, Sheet};
use crate::clock::Clock;
use crate::scribe::Scribe;
use crate::together::together;
use crate::work::{Question, Then, Work};
use later::Later;

/// Work that one commit takes, in pieces.
const BATCH: usize = 512;

/// What says so much takes long to write: meanwhile there is time to decide about what comes next.
const LONG: usize = 1000;

/// Room for so many changes is kept from one batch to the next.
const CHANGES_KEPT: usize = 16 << 10;

/// The state, in the hands of the one thread that may change it.
pub(crate) struct Reign {
    generation: Generation,
    core: Core,
    book: Book,
    clock: Clock,
    scribe: Scribe,
    /// What is being written.
    writing: Option<Batch>,
    effects: mpsc::UnboundedSender<Vec<Effect>>,
    later: Later,
    /// Room for what the next batch changes, from one that is put down.
    room: Vec<Change>,
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
    /// What it touches, once it is written down.
    page: Page,
    /// How much work went into it.
    works: usize,
    /// Whether it has what was in no hurry.
    enters: bool,
}

impl Batch {
    fn says_something(&self) -> bool {
        !self.changes.is_empty() || !self.events.is_empty()
    }
}

/// What the thread does next.
enum Next {
    /// What is to be decided.
    Works,
    /// What was being written is committed.
    Written,
    /// Nobody brings anything any more.
    End,
}

impl Reign {
    pub(crate) fn begin(
        generation: Generation,
        limits: Limits,
        book: Book,
        memory: Memory,
        clock: Clock,
        scribe: Scribe,
        effects: mpsc::UnboundedSender<Vec<Effect>>,
    ) -> Result<Self, BookError> {
        let mut state = State::new(generation);
        state.remember_drained(memory.drained);
        state.remember_agents(memory.agents, memory.ended);
        state.remember_usage(memory.took, memory.used);
        memory.builds.each(|builds| state.remember(memory.submissions, memory.paths, builds, memory.owed))?;
        state.remember_cancelled(memory.cancelled_ahead);
        state.begin_reign(memory.heard, &limits);
        let (core, room) = (Core::new(state, limits), Vec::new());
        Ok(Self { generation, core, book, clock, scribe, writing: None, effects, later: Later::default(), room })
    }

    /// Reigns until nobody brings anything any more, or the book cannot be written.
    pub(crate) fn run(mut self, mut inbox: mpsc::Receiver<Work>) -> Result<(), BookError> {
        let (mut works, mut deciding) = (Vec::with_capacity(BATCH), Batch::default());
        loop {
            match block_on(self.next(&mut inbox, &mut works, &deciding))? {
                Next::Works => self.work(works.drain(..), &mut deciding)?,
                Next::Written => self.written(&mut deciding)?,
                Next::End => return Ok(()),
            }
        }
    }

    /// Decides about what came in, and has it written unless something is.
    fn work(&mut self, works: impl Iterator<Item = Work>, deciding: &mut Batch) -> Result<(), BookError> {
        for work in works {
            self.take(work, deciding)?;
        }
        if deciding.works > 0 {
            self.decide(Input::Dispatch, None, deciding)?;
            if self.writing.is_none() {
                self.put_down(deciding)?;
            }
        }
        self.enter(deciding)
    }

    /// Lets out what is committed, and has the next written.
    fn written(&mut self, deciding: &mut Batch) -> Result<(), BookError> {
        let Some(mut written) = self.writing.take() else { return Ok(()) };
        self.carry_out(&mut written);
        if self.is_kept_waiting(deciding) {
            self.enter_next(deciding)?;
        }
        // What the next one says is taken from the state before anything is forgotten: it may speak of that.
        if deciding.works > 0 {
            self.put_down(deciding)?;
        }
        self.forget(written);
        self.enter(deciding)
    }

    async fn next(
        &mut self,
        inbox: &mut mpsc::Receiver<Work>,
        works: &mut Vec<Work>,
        deciding: &Batch,
    ) -> Result<Next, BookError> {
        // What is asked is answered from what is committed: nothing more is decided before that.
        let is_asked = self.writing.iter().chain([deciding]).any(|batch| !batch.questions.is_empty());
        let (is_writing, room) = (self.writing.is_some(), BATCH - deciding.works);
        tokio::select! {
            biased;
            written = self.scribe.written(), if is_writing => written.map(|()| Next::Written),
            taken = inbox.recv_many(works, room), if !is_asked && room > 0 => match taken {
                0 if is_writing => self.scribe.written().await.map(|()| Next::Written),
                0 => Ok(Next::End),
                _ => Ok(Next::Works),
            },
        }
    }

    /// Has a batch written, here if it says little: then it is sooner done than handed over. Of one that says nothing, nothing is.
    fn put_down(&mut self, deciding: &mut Batch) -> Result<(), BookError> {
        let next = Batch { changes: std::mem::take(&mut self.room), ..Batch::default() };
        let mut batch = std::mem::replace(deciding, next);
        if !batch.says_something() {
            self.carry_out(&mut batch);
            self.forget(batch);
            return Ok(());
        }
        let now = self.clock.now();
        batch.page = Page::of(&batch.changes);
        // What was taken back may have got something to do.
        let state = self.core.state();
        let stays = |id: &&BuildId| state.build(**id).is_some_and(|build| !state.is_finished(build));
        batch.page.builds.extend(batch.recalled.builds.iter().filter(stays));
        let events = together(std::mem::take(&mut batch.events));
        let record = Record { generation: self.generation, heard: now.heard, wall: now.wall, events };
        let sheet = Sheet::of(record, batch.changes.drain(..), &batch.page, state)?;
        self.room = std::mem::take(&mut batch.changes);
        self.room.shrink_to(CHANGES_KEPT);
        if sheet.says() >= LONG {
            self.scribe.write(sheet);
            self.later.went_before(&batch);
            self.writing = Some(batch);
            return Ok(());
        }
        self.scribe.write_now(sheet)?;
        self.carry_out(&mut batch);
        self.forget(batch);
        Ok(())
    }

    /// Lets out what is committed.
    fn carry_out(&self, batch: &mut Batch) {
        if !batch.effects.is_empty() {
            let _ = self.effects.send(std::mem::take(&mut batch.effects));
        }
        for (then, outcome) in batch.thens.drain(..) {
            then(&outcome);
        }
    }

    /// Lets go of what is finished and committed, and answers.
    fn forget(&mut self, batch: Batch) {
        let Batch { page, recalled, questions, .. } = batch;
        let state = self.core.state_mut();
        state.forget_finished(page.submissions, page.builds, page.items);
        state.forget_finished(recalled.submissions, recalled.builds, recalled.items);
        for question in questions {
            question(self);
        }
    }

    fn take(&mut self, work: Work, batch: &mut Batch) -> Result<(), BookError> {
        batch.works += usize::from(!matches!(work, Work::Enter(_)));
        match work {
            Work::Decide(piece) => self.decide(piece.input, piece.then, batch),
            Work::DecideAll(pieces) => pieces.into_iter().try_for_each(|piece| self.decide(piece.input, piece.then, batch)),
            Work::Enter(piece) => {
                self.later.put(piece);
                Ok(())
            }
            Work::Ask(question) => {
                batch.questions.push(question);
                Ok(())
            }
        }
    }

    fn decide(&mut self, input: Input, then: Option<Then>, batch: &mut Batch) -> Result<(), BookError> {
        let now = self.clock.now();
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
        // What is kept of the outcome until it is committed is small: the room of the rest is free for the next.
        batch.changes.extend(std::mem::take(&mut outcome.changes).into_iter().filter(Change::is_recorded));
        batch.events.extend(std::mem::take(&mut outcome.events));
        batch.effects.extend(std::mem::take(&mut outcome.effects));
        batch.thens.extend(then.map(|then| (then, outcome)));
        Ok(())
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
impl Reign {
    /// One over what a book says, whose effects nobody carries out.
    pub(crate) fn over(book: &Book) -> Self {
        Self::within(book, Limits::default())
    }

    /// The same, with other limits.
    pub(crate) fn within(book: &Book, limits: Limits) -> Self {
        let (effects, _) = mpsc::unbounded_channel();
        let (_, link) = tokio::sync::watch::channel(drover_nats::Link::Up { times: 1 });
        let scribe = Scribe::start(book.clone(), Default::default(), Default::default()).unwrap();
        let memory = book.remember().unwrap();
        let clock = Clock::new(memory.heard, link);
        Self::begin(Generation(1), limits, book.clone(), memory, clock, scribe, effects).unwrap()
    }
}

#[cfg(test)]
#[path = "reign_tests.rs"]
mod tests;

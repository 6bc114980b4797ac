//! Decisions: what an input means, given the state and the time. One kind of input a file.

mod agents;
mod dispatch;
mod finding;
mod matching;
mod publications;
mod reports;
mod submissions;
mod tick;
mod trust;
mod wishes;

use drover_messages::event::What;
use drover_messages::{AttemptId, BuildId, Cause};
use drover_store::StorePath;

use crate::attempt::AttemptEvent;
use crate::build::{Build, BuildEvent, BuildState, Inputs};
use crate::change::Change;
use crate::input::Input;
use crate::item::ItemEvent;
use crate::limits::Limits;
use crate::outcome::{Effect, Outcome};
use crate::state::State;
use crate::time::{Heard, Now};

/// The scheduler's mind.
#[derive(Debug)]
pub struct Core {
    state: State,
    limits: Limits,
}

impl Core {
    /// A mind with this memory.
    pub fn new(mut state: State, limits: Limits) -> Self {
        if state.order != limits.order {
            state.keep_order(limits.order);
        }
        Self { state, limits }
    }

    /// What it knows.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Its memory, for the shell to fill at start-up and to relieve of what is finished.
    pub fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// The bounds it keeps.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Decides, and applies what it decided.
    pub fn advance(&mut self, now: Now, input: Input) -> Outcome {
        let mut outcome = step(&self.state, &self.limits, now, input);
        let Outcome { changes, events, illegal, .. } = &mut outcome;
        changes.retain(|change| match self.state.apply(change) {
            Ok(turns) => {
                let blocked = turns.into_iter().filter_map(|turn| Some((turn.build, turn.blocked_by?)));
                events.extend(blocked.map(|(build, by)| What::BuildBlocked { build, by }));
                true
            }
            Err(refused) => {
                illegal.push(refused);
                false
            }
        });
        outcome
    }
}

/// Decides, and does nothing else.
pub fn step(state: &State, limits: &Limits, now: Now, input: Input) -> Outcome {
    let mut step = Step { state, limits, now, out: Outcome::default() };
    match input {
        Input::Recall { submissions, builds, items } => step.change(Change::Recalled { submissions, builds, items }),
        Input::Learn { packed, drvs } => step.learn(packed, drvs),
        Input::Enter(submission) => step.enter(submission),
        Input::Found { store_dir, found } => step.found(&store_dir, found),
        Input::AddSources { submission, sources } => step.add_sources(submission, sources),
        Input::AddBuilds { submission, builds } => step.add_builds(submission, builds),
        Input::GoLive { submission } => step.go_live(submission),
        Input::Drain { agents, drained, deadline_millis } => step.drain(agents, drained, deadline_millis),
        Input::Wish(wanted) => step.wish(*wanted),
        Input::Reject { submission, why } => step.reject(submission, why),
        Input::Hello { agent, hello } => step.hello(agent, *hello),
        Input::Beat { agent, beat } => step.beat(agent, *beat),
        Input::Report { agent, report } => step.report(agent, *report),
        Input::Answered { agent, build, attempt, answer } => step.answered(agent, build, attempt, answer),
        Input::Published(done) => step.published(done),
        Input::Confirmed { store_dir, items, missed_by } => step.confirmed(&store_dir, items, missed_by),
        Input::NotAsked(publication) => step.change(Change::Asked { publication, heard: None }),
        Input::QuestionsLost => step.questions_lost(),
        Input::CaughtUp => step.caught_up(),
        Input::Tick => step.tick(),
        Input::Dispatch => step.dispatch(),
    }
    step.out
}

/// A decision in the making.
struct Step<'a> {
    state: &'a State,
    limits: &'a Limits,
    now: Now,
    out: Outcome,
}

impl Step<'_> {
    fn change(&mut self, change: Change) {
        self.out.changes.push(change);
    }

    fn event(&mut self, what: What) {
        self.out.events.push(what);
    }

    fn effect(&mut self, effect: Effect) {
        self.out.effects.push(effect);
    }

    fn build_event(&mut self, build: BuildId, event: BuildEvent) {
        self.change(Change::Build { build, event });
    }

    fn attempt_event(&mut self, build: BuildId, attempt: AttemptId, event: AttemptEvent) {
        self.change(Change::Attempt { build, attempt, event });
    }

    fn item_event(&mut self, build: &Build, path: &StorePath, event: ItemEvent) {
        self.change(Change::Item { store_dir: build.recipe.store_dir.clone(), path: path.clone(), event });
    }

    /// What its inputs make of a build, as far as this step has not changed them.
    fn inputs_of(&self, build: &Build) -> Inputs {
        match build.state {
            BuildState::Succeeded { .. } => self.state.inputs_if_reopened(build),
            _ => self.state.inputs_of(build.id),
        }
    }

    /// An attempt came to nothing by the farm's fault. If it held the lease, the build is tried again later.
    fn void(&mut self, build: &Build, attempt: AttemptId, cause: Cause, message: String) {
        let event = self.deferral(build, cause.clone());
        self.end(build, attempt, (cause, message), event);
    }

    /// An agent did not take what it was offered. Nothing was tried, so that another may get it at once.
    fn turn_down(&mut self, build: &Build, attempt: AttemptId, message: String) {
        self.end(build, attempt, (Cause::Refused, message), BuildEvent::Void(self.inputs_of(build)));
    }

    /// Ends an attempt, and the lease if that was its.
    fn end(&mut self, build: &Build, attempt: AttemptId, (cause, message): (Cause, String), event: BuildEvent) {
        let Some(known) = build.attempt(attempt) else { return };
        self.attempt_event(build.id, attempt, AttemptEvent::End(cause.clone(), message.clone()));
        let agent = known.agent;
        self.event(What::AttemptVoid { build: build.id, attempt, agent, cause, message });
        if build.state.lease().is_some_and(|lease| lease.attempt == attempt) {
            self.build_event(build.id, event);
        }
    }

    /// A later try, after a delay that grows with each failure of the farm; after too many of them, when somebody says so.
    fn deferral(&self, build: &Build, cause: Cause) -> BuildEvent {
        let failures = build.farm_failures + 1;
        let until = match failures < self.limits.tries {
            true => self.now.heard.plus_millis(self.limits.retry_delay_millis(failures)),
            false => Heard::NEVER,
        };
        BuildEvent::Defer(until, cause)
    }
}

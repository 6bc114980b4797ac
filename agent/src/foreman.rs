//! Carries out what the ledger decides: the one place where an event is stepped, saved, and then acted on.
//!
//! It spawns the work and hands the outcome back to the ledger. It does not know how anything is built, nor how an
//! offer or an order reached the agent.

use std::collections::HashMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drover_messages::agent::{Held, Order};
use drover_messages::offer::{Offer, OfferAnswer};
use drover_messages::report::{Built, Failed, Outcome, Report, Times};
use drover_messages::{AgentId, AttemptId, Cause, Generation, ReportId};
use drover_store::StorePath;
use futures::FutureExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::AgentError;
use crate::ledger::{Attempt, Effect, Event, Ledger, Stage, report};
use crate::outbox::Outbox;
use crate::output_roots::OutputRoots;
use crate::spool::Spool;
use crate::state_dir::StateDir;
use crate::stock::Stock;
use crate::workshop::Workshop;

/// The attempts in hand, and what runs for them.
pub struct Foreman {
    agent: AgentId,
    state: StateDir,
    spool: Spool,
    roots: Arc<OutputRoots>,
    workshop: Arc<Workshop>,
    stock: Arc<Stock>,
    /// Reports on their way.
    pub outbox: Outbox,
    /// Whether builds are taken has changed.
    pub readiness: Notify,
    /// A build failed in a way that says something of this machine.
    pub suspicion: Notify,
    desk: Mutex<Desk>,
}

/// What changes together.
#[derive(Debug)]
struct Desk {
    ledger: Ledger,
    running: HashMap<AttemptId, CancellationToken>,
}

impl Foreman {
    /// Goes on with what is in the spool. No offer is taken before the foreman is told that the agent is ready.
    pub fn recover(
        agent: AgentId,
        state: StateDir,
        roots: Arc<OutputRoots>,
        workshop: Arc<Workshop>,
        stock: Arc<Stock>,
        ledger: Ledger,
    ) -> Result<Arc<Self>, AgentError> {
        let unusable = |error: io::Error| AgentError::state_dir(&state.spool())(error);
        let (spool, attempts) = Spool::open(&state.spool()).map_err(unusable)?;
        roots.recover(&outputs(&attempts)).map_err(unusable)?;
        if !attempts.is_empty() {
            tracing::info!(attempts = attempts.len(), "going on with what was not settled");
        }
        let desk = Mutex::new(Desk { ledger, running: HashMap::new() });
        let (outbox, readiness, suspicion) = Default::default();
        let foreman = Arc::new(Self { agent, state, spool, roots, workshop, stock, outbox, readiness, suspicion, desk });
        let mut desk = foreman.desk();
        let effects = desk.ledger.recover(attempts);
        foreman.carry_out(&mut desk, effects);
        drop(desk);
        Ok(foreman)
    }

    /// Answers an offer.
    pub fn offer(self: &Arc<Self>, offer: Offer) -> OfferAnswer {
        let mut desk = self.desk();
        let (answer, effects) = desk.ledger.offer(offer);
        self.carry_out(&mut desk, effects);
        answer
    }

    /// Obeys the scheduler of this generation, if it is the newest.
    pub fn obey(self: &Arc<Self>, generation: Generation, orders: impl IntoIterator<Item = (AttemptId, Order)>) {
        let mut desk = self.desk();
        match desk.ledger.hear(generation) {
            Ok(effects) => self.carry_out(&mut desk, effects),
            Err(newest) => {
                tracing::warn!(%generation, %newest, "a scheduler that is superseded is not obeyed");
                return;
            }
        }
        for (attempt, order) in orders {
            tracing::debug!(%attempt, ?order, "the scheduler orders");
            let effects = desk.ledger.order(attempt, order);
            self.carry_out(&mut desk, effects);
        }
    }

    /// Says why no builds are taken, or that they are.
    pub fn set_ready(&self, not_ready: Option<String>) {
        if self.desk().ledger.set_ready(not_ready.clone()) {
            match not_ready {
                Some(why) => tracing::warn!(why, "taking no builds"),
                None => tracing::info!("ready to build"),
            }
            self.readiness.notify_one();
        }
    }

    /// The highest generation heard, why no builds are taken, and what is in hand.
    pub fn status(&self) -> (Generation, Option<String>, Vec<Held>) {
        let desk = self.desk();
        (desk.ledger.generation(), desk.ledger.not_ready().map(str::to_owned), desk.ledger.held())
    }

    fn note(self: &Arc<Self>, attempt: AttemptId, event: Event) {
        let mut desk = self.desk();
        let effects = desk.ledger.note(attempt, event);
        self.carry_out(&mut desk, effects);
    }

    fn carry_out(self: &Arc<Self>, desk: &mut Desk, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Remember(generation) => told(self.state.set_generation(generation), "a generation"),
                Effect::Save(id) => told(desk.ledger.get(id).map_or(Ok(()), |attempt| self.spool.save(attempt)), "an attempt"),
                Effect::Start(id) => self.start(desk, id),
                Effect::Upload(id) => self.upload(desk, id),
                Effect::Report(id) => reports(&desk.ledger, id).last().into_iter().for_each(|report| self.outbox.push(report)),
                Effect::ReportAgain(id) => reports(&desk.ledger, id).into_iter().for_each(|report| self.outbox.push(report)),
                Effect::Stop(id) => {
                    if let Some(running) = desk.running.remove(&id) {
                        running.cancel();
                    }
                }
                Effect::Forget(id) => self.forget(id),
            }
        }
    }

    fn start(self: &Arc<Self>, desk: &mut Desk, id: AttemptId) {
        let Some(offer) = desk.ledger.get(id).map(|attempt| attempt.offer.clone()) else { return };
        let stop = CancellationToken::new();
        desk.running.insert(id, stop.clone());
        let (foreman, workshop, span) = (self.clone(), self.workshop.clone(), self.span(&offer));
        let work = async move {
            let on_slot = || foreman.note(id, Event::SlotTaken);
            let outcome = AssertUnwindSafe(workshop.build(&offer, &stop, on_slot)).catch_unwind().await;
            foreman.conclude(&offer, outcome.unwrap_or_else(|_| defect()));
        };
        tokio::spawn(work.instrument(span));
    }

    fn upload(self: &Arc<Self>, desk: &mut Desk, id: AttemptId) {
        let Some((offer, built, upload_try)) = desk.ledger.get(id).and_then(|attempt| match &attempt.stage {
            Stage::Built { built, upload_try } => Some((attempt.offer.clone(), built_of(built)?.clone(), *upload_try)),
            _ => None,
        }) else {
            return;
        };
        let stop = CancellationToken::new();
        desk.running.insert(id, stop.clone());
        let (foreman, workshop, span) = (self.clone(), self.workshop.clone(), self.span(&offer));
        let work = async move {
            let outcome = AssertUnwindSafe(workshop.upload(&offer, &built, upload_try, &stop)).catch_unwind().await;
            if let Some(outcome) = outcome.unwrap_or_else(|_| Some(defect())) {
                foreman.conclude(&offer, outcome);
            }
        };
        tokio::spawn(work.instrument(span));
    }

    fn conclude(self: &Arc<Self>, offer: &Offer, outcome: Outcome) {
        tell(&outcome);
        if let Outcome::Built(built) = &outcome {
            let inputs = offer.inputs.iter().map(|input| &input.path);
            self.stock.hear_of(inputs.chain(built.outputs.values()));
        }
        if let Outcome::Failed(Failed { cause: Cause::DaemonGone | Cause::DiskFull | Cause::InputsUnavailable { .. }, .. }) =
            &outcome
        {
            self.suspicion.notify_one();
        }
        let event = match &outcome {
            Outcome::Built(_) => Event::Built,
            Outcome::Uploaded(_) => Event::Uploaded,
            Outcome::Checked(_) => Event::Checked,
            Outcome::Failed(_) => Event::Failed,
        };
        self.note(offer.attempt, event(report(offer, ReportId::new(), outcome)));
    }

    fn forget(&self, id: AttemptId) {
        self.outbox.withdraw(id);
        told(self.spool.forget(id), "that an attempt is settled");
        self.roots.release(id);
    }

    /// What every line about an attempt says of it.
    fn span(&self, offer: &Offer) -> tracing::Span {
        tracing::info_span!(parent: None, "attempt", build = %offer.build, attempt = %offer.attempt, agent = %self.agent)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What each attempt has built.
fn outputs(attempts: &[Attempt]) -> Vec<(AttemptId, StorePath)> {
    let built =
        attempts.iter().flat_map(|attempt| attempt.stage.reports()).filter_map(|report| Some((report, built_of(report)?)));
    built.flat_map(|(report, built)| built.outputs.values().map(|path| (report.attempt, path.clone()))).collect()
}

fn reports(ledger: &Ledger, id: AttemptId) -> Vec<&Report> {
    ledger.get(id).map(|attempt| attempt.stage.reports()).unwrap_or_default()
}

fn built_of(report: &Report) -> Option<&Built> {
    match &report.outcome {
        Outcome::Built(built) => Some(built),
        _ => None,
    }
}

/// A disk that does not take it is no reason to stop building: only the death of this process would make it matter.
fn told(written: io::Result<()>, what: &str) {
    if let Err(error) = written {
        tracing::error!(%error, "the state directory does not take {what}");
    }
}

fn tell(outcome: &Outcome) {
    match outcome {
        Outcome::Built(built) => tracing::info!(millis = built.times.build_micros / 1000, "built"),
        Outcome::Uploaded(uploaded) => tracing::info!(millis = uploaded.upload_micros / 1000, "uploaded"),
        Outcome::Checked(checked) => tracing::info!(millis = checked.times.build_micros / 1000, "came out the same"),
        Outcome::Failed(failed) => tracing::warn!(cause = failed.cause.words(), message = failed.message, "failed"),
    }
}

/// A panic must not leave an attempt that nobody ends.
fn defect() -> Outcome {
    let message = "the agent has a defect: see its log".into();
    Outcome::Failed(Failed { cause: Cause::Refused, message, times: Times::default(), log: None, kept: Vec::new() })
}

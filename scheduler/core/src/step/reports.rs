//! Reports of agents. A success is never thrown away; a failure counts only from the lease in force.

use std::sync::Arc;

use drover_messages::agent::Abort;
use drover_messages::cause::Blame;
use drover_messages::event::What;
use drover_messages::publish::Origin;
use drover_messages::report::{Built, Checked, Failed, Outcome, Report, Times, Uploaded, UploadedOutput};
use drover_messages::request::Mode;
use drover_messages::{AgentId, Cause, PublicationId, StoreId};
use drover_store::StorePath;

use super::Step;
use super::trust::has_failed_so;
use crate::attempt::{Attempt, AttemptEvent, AttemptState};
use crate::build::{Build, BuildEvent};
use crate::change::Change;
use crate::item::ItemEvent;
use crate::outcome::Effect;
use crate::owed::Publication;
use crate::package::Package;
use crate::policy::Policy;

/// About as many changes follow from a report.
const CHANGES_OF_A_REPORT: usize = 12;

impl Step<'_> {
    pub(super) fn report(&mut self, agent: AgentId, report: Report) {
        let Some(build) = self.state.build(report.build) else { return };
        self.out.changes.reserve(CHANGES_OF_A_REPORT);
        let adopted;
        let attempt = match build.attempt(report.attempt) {
            Some(attempt) if attempt.agent == agent => attempt,
            Some(_) => return,
            None => match self.adopt_from(agent, build, &report) {
                Some(attempt) => {
                    adopted = attempt;
                    &adopted
                }
                None => return,
            },
        };
        if attempt.state.is_refused() {
            return;
        }
        match (report.outcome, build.mode) {
            (Outcome::Built(built), Mode::Build) => self.built(build, attempt, built),
            (Outcome::Uploaded(uploaded), Mode::Build) => self.uploaded(build, attempt, uploaded),
            (Outcome::Checked(checked), Mode::Check) => self.checked(build, attempt, checked),
            (Outcome::Failed(failed), _) => self.failed(build, attempt, failed),
            (Outcome::Built(_) | Outcome::Uploaded(_), Mode::Check) | (Outcome::Checked(_), Mode::Build) => {
                let message = "it reported a build where a check was asked for, or the other way round".into();
                self.void(build, attempt.id, Cause::PublicationRefused, message);
            }
        }
    }

    /// A check found nothing. It makes nothing either, so that there is nothing to wait for.
    fn checked(&mut self, build: &Build, attempt: &Attempt, checked: Checked) {
        if !matches!(attempt.state, AttemptState::Running | AttemptState::Ended { .. }) {
            return;
        }
        if build.state.is_over() {
            return self.attempt_event(build.id, attempt.id, AttemptEvent::Supersede);
        }
        let Checked { times, log } = checked;
        let (id, kept) = (build.id, Vec::new());
        self.change(Change::Told { build: id, attempt: attempt.id, times, log, already_valid: false, kept });
        self.attempt_event(build.id, attempt.id, AttemptEvent::Check);
        self.build_event(build.id, BuildEvent::Succeed(attempt.id));
        self.account(build, attempt.agent, times, true);
        self.supersede_others(build, attempt);
        self.event(What::BuildChecked {
            build: build.id,
            attempt: attempt.id,
            agent: attempt.agent,
            drv: build.recipe.drv.clone(),
            build_millis: times.build_micros / 1000,
        });
    }

    /// Outputs that an attempt of an earlier reign brought to the bucket, which is not recorded because the state is older
    /// than it. Its agent may have forgotten it, so this report is all that is left of it.
    fn adopt_from(&mut self, agent: AgentId, build: &Build, report: &Report) -> Option<Attempt> {
        let earlier = report.epoch.generation < self.state.generation;
        if !earlier || build.state.is_over() || !matches!(report.outcome, Outcome::Uploaded(_)) {
            return None;
        }
        let known = self.state.agents.get(&agent).map(|known| known.hello.store.clone());
        // No store has this name: nobody is sent there for its inputs.
        let store = known.unwrap_or_else(|| StoreId::from(format!("unknown, of {agent}")));
        let attempt = Attempt::begin(report.attempt, agent, store, report.epoch);
        self.change(Change::AttemptStarted { build: build.id, attempt: Box::new(attempt.clone()) });
        Some(attempt)
    }

    fn built(&mut self, build: &Build, attempt: &Attempt, built: Built) {
        if !built.outputs.iter().eq(build.recipe.outputs.iter().map(|(name, product)| (name, &product.path))) {
            let message = "it reported outputs that are not those of the derivation".into();
            return self.void(build, attempt.id, Cause::PublicationRefused, message);
        }
        // What was built and could not be uploaded may be told of again, by an agent or by the stream: that is no news.
        let is_news = matches!(attempt.state, AttemptState::Running | AttemptState::Ended { .. });
        if !is_news || attempt.state.is_told_to_have_failed() {
            return;
        }
        if self.succeed(build, attempt, built.times, built.already_valid) {
            let (known, build, agent, attempt) = (build, build.id, attempt.agent, attempt.id);
            let Built { times, log, already_valid, .. } = built;
            self.account(known, agent, times, !already_valid);
            if !already_valid {
                self.pace(known, agent, times);
            }
            self.change(Change::Told { build, attempt, times, log, already_valid, kept: Vec::new() });
        }
    }

    /// What an attempt used, and what it says of builds like it.
    fn account(&mut self, build: &Build, agent: AgentId, times: Times, succeeded: bool) {
        let millis = times.build_micros / 1000;
        let client = self.state.client_of(build.submission);
        self.change(Change::Used { client, slot_millis: millis, heard: self.now.heard });
        if succeeded {
            // What the farm expects hangs on no agent.
            let millis = self.state.agents.get(&agent).map_or(millis, |agent| agent.pace.usual(millis));
            let known = self.state.builds.get(&build.id).and_then(|node| self.state.durations.at(node.package));
            let package = known.map_or_else(|| Arc::new(Package::of(&build.recipe)), |known| known.package.clone());
            self.change(Change::Took { package, millis, memory_mib: times.peak_memory_mib });
        }
    }

    /// Where the farm knew what to expect, the build says how fast its agent is. That is recorded when it is notably another.
    fn pace(&mut self, build: &Build, agent: AgentId, times: Times) {
        let Some(node) = self.state.builds.get(&build.id).filter(|node| self.state.durations.is_built(node.package)) else {
            return;
        };
        let (took_millis, expected_millis) = (times.build_micros / 1000, node.expected_millis);
        self.change(Change::Paced { agent, took_millis, expected_millis });
        let Some(here) = self.state.agents.get(&agent) else { return };
        let pace = here.pace.after(took_millis, expected_millis);
        if pace.quarters() != here.pace.quarters() {
            self.note_pace(agent, pace);
        }
    }

    /// The attempt made the outputs: it wins, if no other has won before.
    fn succeed(&mut self, build: &Build, attempt: &Attempt, times: Times, already_valid: bool) -> bool {
        if build.state.is_over() {
            self.attempt_event(build.id, attempt.id, AttemptEvent::Supersede);
            return false;
        }
        self.attempt_event(build.id, attempt.id, AttemptEvent::Build);
        self.build_event(build.id, BuildEvent::Succeed(attempt.id));
        self.sound(build, attempt);
        for path in build.products() {
            self.item_event(build, path, ItemEvent::Build(attempt.store.clone()));
        }
        self.supersede_others(build, attempt);
        self.event(What::BuildSucceeded {
            build: build.id,
            attempt: attempt.id,
            agent: attempt.agent,
            drv: build.recipe.drv.clone(),
            build_millis: times.build_micros / 1000,
            already_valid,
        });
        true
    }

    /// What still runs of a build that is done is not needed.
    fn supersede_others(&mut self, build: &Build, winner: &Attempt) {
        for other in build.attempts.iter().filter(|a| a.id != winner.id && a.state == AttemptState::Running) {
            self.attempt_event(build.id, other.id, AttemptEvent::Supersede);
            let abort = Abort { generation: self.state.generation, attempt: other.id };
            self.effect(Effect::Abort { agent: other.agent, abort });
        }
    }

    fn uploaded(&mut self, build: &Build, attempt: &Attempt, uploaded: Uploaded) {
        let is_made = |output: &UploadedOutput| build.products().any(|path| *path == output.path);
        let is_there = |path: &StorePath| uploaded.outputs.iter().any(|output| output.path == *path);
        if !uploaded.outputs.iter().all(is_made) || !build.products().all(is_there) {
            let message = "it uploaded outputs that are not those of the derivation".into();
            return self.void(build, attempt.id, Cause::PublicationRefused, message);
        }
        let wins = match attempt.state {
            AttemptState::Built | AttemptState::Unloaded => true,
            AttemptState::Running | AttemptState::Ended { .. } => self.succeed(build, attempt, Times::default(), false),
            AttemptState::Uploaded | AttemptState::Published | AttemptState::Checked | AttemptState::Superseded => false,
        };
        if !wins {
            return;
        }
        self.attempt_event(build.id, attempt.id, AttemptEvent::Upload);
        for output in uploaded.outputs {
            let ca = build.recipe.outputs.get(&output.name).and_then(|product| product.ca.as_deref().copied());
            self.item_event(build, &output.path, ItemEvent::Upload(Some(attempt.store.clone())));
            self.change(Change::Owed(Arc::new(Publication {
                id: PublicationId::of_output(attempt.id, &output.path),
                store_dir: build.recipe.store_dir.clone(),
                path: output.path,
                references: output.references,
                nar: output.nar,
                origin: Origin::Output {
                    agent: attempt.agent,
                    build: build.id,
                    attempt: attempt.id,
                    deriver: StorePath::from(build.recipe.drv.clone()),
                    system: build.recipe.system.clone(),
                    // The recipe has them, for as long as this is owed.
                    candidates: Vec::new(),
                    ca,
                    log: attempt.log.as_ref().map(|log| log.key.clone()),
                },
            })));
        }
    }

    fn failed(&mut self, build: &Build, attempt: &Attempt, failed: Failed) {
        match attempt.state {
            AttemptState::Running => {}
            AttemptState::Built | AttemptState::Unloaded => return self.not_brought(build, attempt, failed),
            _ => return,
        }
        let in_force = build.state.lease().is_some_and(|lease| lease.attempt == attempt.id);
        let (times, log, kept) = (failed.times, failed.log.clone(), failed.kept.clone());
        self.change(Change::Told { build: build.id, attempt: attempt.id, times, log, already_valid: false, kept });
        self.account(build, attempt.agent, times, false);
        if !in_force {
            return self.attempt_event(build.id, attempt.id, AttemptEvent::End(failed.cause, failed.message));
        }
        match Policy::of(&failed.cause) {
            Policy::Fail if !self.wants_another_opinion(build, attempt) => return self.fail(build, attempt, failed),
            Policy::FailAtLast if build.failed_downloads + 1 >= self.limits.downloads => {
                return self.fail(build, attempt, failed);
            }
            Policy::DoubtAgent => self.doubt(build, attempt, &failed.cause),
            Policy::SuspectInputs => self.suspect(build, attempt, &failed.cause),
            Policy::Fail | Policy::FailAtLast | Policy::TryAgain => {}
        }
        self.void(build, attempt.id, failed.cause, failed.message);
    }

    /// What was built cannot be uploaded, and is tried again later.
    fn not_brought(&mut self, build: &Build, attempt: &Attempt, failed: Failed) {
        let Failed { cause, message, .. } = failed;
        if Policy::of(&cause) == Policy::DoubtAgent {
            self.doubt(build, attempt, &cause);
        }
        let (id, agent) = (attempt.id, attempt.agent);
        self.event(What::AttemptVoid { build: build.id, attempt: id, agent, cause: cause.clone(), message: message.clone() });
        if self.give_up_outputs(build, attempt, cause.clone(), message) {
            self.build_event(build.id, self.deferral(build, cause));
        }
    }

    /// What an agent misses may be gone: the bucket is asked.
    fn suspect(&mut self, build: &Build, attempt: &Attempt, cause: &Cause) {
        if let Cause::InputsUnavailable { missing } = cause {
            let (store_dir, paths) = (build.recipe.store_dir.clone(), missing.clone());
            let missed_by = (!has_failed_so(build, cause)).then_some((attempt.agent, attempt.epoch));
            self.effect(Effect::Confirm { store_dir, paths, missed_by });
        }
    }

    fn fail(&mut self, build: &Build, attempt: &Attempt, failed: Failed) {
        let Failed { cause, message, .. } = failed;
        self.attempt_event(build.id, attempt.id, AttemptEvent::End(cause.clone(), message.clone()));
        self.build_event(build.id, BuildEvent::Fail(attempt.id, cause.clone()));
        self.abort_running(build, Some(attempt.id), "another attempt of it failed");
        let (id, agent, drv) = (build.id, attempt.agent, build.recipe.drv.clone());
        self.event(What::BuildFailed { build: id, attempt: attempt.id, agent, drv, cause, message });
    }

    /// Whether a failure counts only when another agent has met it as well, and one could.
    fn wants_another_opinion(&self, build: &Build, attempt: &Attempt) -> bool {
        let of_derivation =
            |other: &&Attempt| matches!(&other.state, AttemptState::Ended { cause, .. } if cause.blame() == Blame::Derivation);
        let first = !build.attempts.iter().filter(of_derivation).any(|other| other.agent != attempt.agent);
        let others = self.state.agents.keys().filter(|id| **id != attempt.agent);
        build.terms.confirm && first && others.into_iter().any(|id| self.state.could_try(build, *id, self.now.heard, self.limits))
    }
}

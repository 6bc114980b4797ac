//! Agents: how they are heard, what they hold, and what becomes of it.

use std::collections::BTreeSet;

use drover_messages::agent::{Abort, Beat, Held, Hello, Order, Phase, Verdict};
use drover_messages::event::What;
use drover_messages::offer::{OfferAnswer, Refusal};
use drover_messages::{AgentId, AttemptId, BuildId, Cause, StoreId, Timestamp};

use super::Step;
use crate::agent::KnownAgent;
use crate::attempt::{Attempt, AttemptEvent, AttemptState};
use crate::build::{Build, BuildEvent, BuildState, Lease};
use crate::change::Change;
use crate::input::Answer;
use crate::item::ItemEvent;
use crate::outcome::Effect;
use crate::time::Heard;

impl<'a> Step<'a> {
    pub(super) fn hello(&mut self, id: AgentId, hello: Hello) {
        if self.state.agents.get(&id).is_none_or(|known| !known.alive) {
            self.event(What::AgentJoined { agent: id, name: hello.name.clone() });
        }
        let (beat, store) = (hello.beat.clone(), hello.store.clone());
        let before = self.known(id);
        let (breaker, pace) = before.map(|known| (known.breaker, known.pace)).unwrap_or_default();
        let known = KnownAgent::here(&hello, breaker, pace);
        self.change(Change::AgentHello { agent: id, hello: Box::new(hello), heard: self.now.heard });
        self.know(id, known);
        for (build, attempt) in self.kept_by(id) {
            if !beat.held.iter().any(|held| held.attempt == attempt.id) {
                self.lose_outputs(build, attempt, "the agent came back without what it had built");
            }
        }
        self.heard(id, beat, &store);
    }

    pub(super) fn beat(&mut self, id: AgentId, beat: Beat) {
        let Some(agent) = self.state.agents.get(&id) else {
            self.out.hello = true;
            return;
        };
        // A report that was late may be of what the agent had before it lost everything.
        let listed = |attempt: &Attempt| beat.held.iter().any(|held| held.attempt == attempt.id);
        for (build, attempt) in self.kept_by(id) {
            if agent.unlisted.contains(&attempt.id) && !listed(attempt) {
                self.lose_outputs(build, attempt, "the agent has nothing of it any more");
            }
        }
        self.heard(id, beat, &agent.hello.store);
    }

    fn heard(&mut self, id: AgentId, beat: Beat, store: &StoreId) {
        if beat.generation > self.state.generation {
            return self.effect(Effect::Abdicate(beat.generation));
        }
        for held in &beat.held {
            if let Some(order) = self.order(id, held, store) {
                self.out.verdicts.push(Verdict { attempt: held.attempt, order });
            }
        }
        let leases = self.state.agents.get(&id).into_iter().flat_map(|agent| &agent.leases);
        let dropped = leases.filter(|(attempt, lease)| lease.missed && !beat.held.iter().any(|h| h.attempt == **attempt));
        for (attempt, lease) in dropped {
            if let Some(build) = self.state.build(lease.build) {
                self.void(build, *attempt, Cause::AgentLost, "the agent does not hold it any more".into());
            }
        }
        self.change(Change::AgentBeat { agent: id, beat: Box::new(beat), heard: self.now.heard });
    }

    /// What is to become of an attempt that an agent holds; nothing, if all is as it should be.
    fn order(&mut self, agent: AgentId, held: &Held, store: &StoreId) -> Option<Order> {
        let stop = if held.phase < Phase::Built { Order::Abort } else { Order::Settled };
        let Some(build) = self.state.build(held.build) else {
            return self.state.caught_up.then_some(stop);
        };
        let Some(attempt) = build.attempt(held.attempt) else {
            return match self.adopt(agent, held, store, build) {
                false => Some(stop),
                true => (held.phase >= Phase::Built).then_some(Order::ReportAgain),
            };
        };
        if attempt.agent != agent {
            return Some(stop);
        }
        match (&attempt.state, held.phase) {
            (AttemptState::Running, Phase::Accepted | Phase::Building) => None,
            (AttemptState::Running, _) | (AttemptState::Built, Phase::Uploaded) => Some(Order::ReportAgain),
            (AttemptState::Unloaded, Phase::Uploaded) => Some(Order::UploadAgain),
            (AttemptState::Built | AttemptState::Unloaded, Phase::Failed) => Some(Order::ReportAgain),
            (AttemptState::Built | AttemptState::Uploaded | AttemptState::Unloaded, _) => None,
            (AttemptState::Published | AttemptState::Checked | AttemptState::Superseded, _) => Some(stop),
            (AttemptState::Ended { cause: Cause::PublicationRefused, .. }, _) | (AttemptState::Ended { .. }, Phase::Failed) => {
                Some(stop)
            }
            (AttemptState::Ended { .. }, _) if build.state.is_over() => Some(stop),
            (AttemptState::Ended { .. }, Phase::Built | Phase::Uploaded | Phase::Checked) => Some(Order::ReportAgain),
            (AttemptState::Ended { cause: Cause::Aborted, .. }, _) => Some(stop),
            (AttemptState::Ended { .. }, _) => {
                self.attempt_event(build.id, attempt.id, AttemptEvent::Resume);
                self.lease_again(build, attempt.clone());
                None
            }
        }
    }

    /// An attempt of an earlier reign that is not recorded, because the state is older than it: take it on as it is.
    fn adopt(&mut self, agent: AgentId, held: &Held, store: &StoreId, build: &Build) -> bool {
        let earlier = held.epoch.generation < self.state.generation;
        if !earlier || build.state.is_over() || held.phase == Phase::Failed || held.drv != build.recipe.drv {
            return false;
        }
        let attempt = Attempt::begin(held.attempt, agent, store.clone(), held.epoch);
        self.change(Change::AttemptStarted { build: build.id, attempt: Box::new(attempt.clone()) });
        self.lease_again(build, attempt);
        true
    }

    /// Gives the lease to an attempt that is under way, unless another has it: then both go on, and the first wins.
    fn lease_again(&mut self, build: &Build, attempt: Attempt) {
        // An agent may hold two of one build, by the word of two schedulers.
        let gets_one =
            |change: &Change| matches!(change, Change::Build { build: id, event: BuildEvent::Lease(_) } if *id == build.id);
        if build.state.lease().is_none() && !self.out.changes.iter().any(gets_one) {
            let until = self.now.heard.plus_millis(self.limits.lease_millis);
            let lease = Lease { attempt: attempt.id, agent: attempt.agent, epoch: attempt.epoch, until };
            self.build_event(build.id, BuildEvent::Lease(lease));
        }
    }

    pub(super) fn answered(&mut self, agent: AgentId, build: BuildId, attempt: AttemptId, answer: Answer) {
        let why = match answer {
            Answer::Said(OfferAnswer::Accepted) => return self.change(Change::Accepted { agent, attempt }),
            Answer::Silence => return,
            Answer::Said(OfferAnswer::Refused(Refusal::Superseded(generation))) => {
                return self.effect(Effect::Abdicate(generation));
            }
            Answer::Said(OfferAnswer::Refused(Refusal::Full)) => "it has no room".into(),
            Answer::Said(OfferAnswer::Refused(Refusal::Draining)) => "it is about to stop".into(),
            Answer::Said(OfferAnswer::Refused(Refusal::NotReady(why))) => why,
            // It may have it from before, and has lost its connection: it keeps it until its lease is over.
            Answer::NobodyThere if self.may_hold(agent, attempt) => return self.change(Change::AgentAway { agent }),
            Answer::NobodyThere => "nobody answers on its subject".into(),
        };
        self.change(Change::AgentAway { agent });
        let Some(build) = self.state.build(build) else { return };
        if build.attempt(attempt).is_some_and(|known| known.state == AttemptState::Running) {
            self.turn_down(build, attempt, why);
        }
    }

    /// Whether an agent may have taken an offer, by what was heard of it.
    fn may_hold(&self, agent: AgentId, attempt: AttemptId) -> bool {
        let held = self.state.agents.get(&agent).and_then(|agent| agent.leases.get(&attempt));
        held.is_some_and(|held| held.unanswered_since.is_none() || held.again)
    }

    /// Agents are to take no more builds, or build again: then they are trusted as well, whatever went wrong there.
    pub(super) fn drain(&mut self, agents: BTreeSet<AgentId>, drained: bool, deadline_millis: Option<u64>) {
        let deadline = deadline_millis.map(|millis| self.now.heard.plus_millis(millis));
        for agent in agents {
            self.change(Change::Drain { agent, drained, deadline });
            if !drained {
                self.release(agent);
            }
        }
    }

    /// What drained agents still have when their time is over is stopped, and built elsewhere.
    pub(super) fn end_drains(&mut self) {
        let due = |deadline: &Option<Heard>| deadline.is_some_and(|deadline| deadline <= self.now.heard);
        let late: Vec<AgentId> = self.state.drained.iter().filter(|(_, deadline)| due(deadline)).map(|(id, _)| *id).collect();
        for id in late {
            // One that is lost at the same time loses its leases by that.
            let agent = self.state.agents.get(&id).filter(|agent| !self.is_silent(agent.heard));
            for (attempt, held) in agent.into_iter().flat_map(|agent| &agent.leases) {
                let Some(build) = self.state.build(held.build) else { continue };
                self.void(build, *attempt, Cause::Aborted, "its agent is drained, and the time for that is over".into());
                self.stop(id, *attempt);
            }
        }
    }

    /// Stops what runs of a build, but for one attempt; the slots are free when the agents say that they have let go.
    pub(super) fn abort_running(&mut self, build: &Build, but: Option<AttemptId>, why: &str) {
        let runs = |attempt: &&Attempt| attempt.state == AttemptState::Running && Some(attempt.id) != but;
        for attempt in build.attempts.iter().filter(runs) {
            self.attempt_event(build.id, attempt.id, AttemptEvent::End(Cause::Aborted, why.into()));
            self.stop(attempt.agent, attempt.id);
        }
    }

    /// Tells an agent to stop an attempt. Its slot is free when it has let go.
    pub(super) fn stop(&mut self, agent: AgentId, attempt: AttemptId) {
        self.effect(Effect::Abort { agent, abort: Abort { generation: self.state.generation, attempt } });
        self.change(Change::Stopping { agent, attempt, heard: self.now.heard });
    }

    /// An agent was silent for too long: its leases are void, and what only its store has is lost.
    pub(super) fn lose_agent(&mut self, id: AgentId) {
        let running = self.state.tried_by(id).filter_map(|build| Some((build, build.state.lease()?)));
        for (build, lease) in running.filter(|(_, lease)| lease.agent == id) {
            self.void(build, lease.attempt, Cause::AgentLost, "it was not heard for longer than a lease".into());
        }
        for (build, attempt) in self.kept_by(id) {
            self.lose_outputs(build, attempt, "the agent was lost before it had uploaded them");
        }
        self.change(Change::AgentLost { agent: id });
        if let Some(here) = self.state.agents.get(&id) {
            let silent_millis = self.now.heard.millis_since(here.heard);
            let seen = Some(Timestamp(self.now.wall.0.saturating_sub(silent_millis)));
            self.know(id, KnownAgent { seen, ..here.known() });
        }
        self.event(What::AgentLost { agent: id });
    }

    /// Attempts whose outputs only this agent can bring.
    fn kept_by(&self, id: AgentId) -> Vec<(&'a Build, &'a Attempt)> {
        self.state.kept_by(id).collect()
    }

    pub(super) fn lose_outputs(&mut self, build: &Build, attempt: &Attempt, why: &str) {
        if self.give_up_outputs(build, attempt, Cause::AgentLost, why.into()) {
            self.reopen(build);
        }
    }

    /// Nobody brings what an attempt has built. True if its build has come to nothing by that.
    pub(super) fn give_up_outputs(&mut self, build: &Build, attempt: &Attempt, cause: Cause, why: String) -> bool {
        self.attempt_event(build.id, attempt.id, AttemptEvent::End(cause, why));
        let mut lost = false;
        for path in build.products() {
            lost |= self
                .state
                .item(path)
                .is_some_and(|state| state.stores().is_some_and(|at| at.iter().all(|s| *s == attempt.store)));
            self.item_event(build, path, ItemEvent::Forget(attempt.store.clone()));
        }
        lost && matches!(build.state, BuildState::Succeeded { attempt: by } if by == attempt.id)
    }

    /// A build that was done is wanted again. Several of its outputs may be lost at once.
    pub(super) fn reopen(&mut self, build: &Build) {
        let reopens =
            |change: &Change| matches!(change, Change::Build { build: id, event: BuildEvent::Reopen(_) } if *id == build.id);
        if self.out.changes.iter().any(reopens) {
            return;
        }
        let item = build.products().next().cloned();
        self.build_event(build.id, BuildEvent::Reopen(self.inputs_of(build)));
        if let Some(item) = item {
            self.event(What::BuildReopened { build: build.id, item });
        }
    }
}

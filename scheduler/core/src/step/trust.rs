//! What is known of agents, here or not: how far they are trusted, and what says so.

use std::mem::discriminant;

use drover_messages::cause::Blame;
use drover_messages::event::What;
use drover_messages::{AgentId, Cause, Epoch};

use super::Step;
use crate::agent::{Agent, KnownAgent, REMEMBERED};
use crate::attempt::{Attempt, AttemptState};
use crate::breaker::Breaker;
use crate::build::Build;
use crate::change::Change;
use crate::pace::Pace;

impl Step<'_> {
    /// An agent failed a build.
    pub(super) fn doubt(&mut self, build: &Build, attempt: &Attempt, cause: &Cause) {
        if !has_failed_so(build, cause) {
            self.fault(attempt.agent, attempt.epoch, format!("the newest of its failures: {}", cause.words()));
        }
    }

    /// An attempt of this number went wrong, and says something of its agent.
    pub(super) fn fault(&mut self, agent: AgentId, attempt: Epoch, why: String) {
        let next = Epoch { generation: self.state.generation, n: self.state.next_epoch };
        let heard = self.now.heard;
        if self.trust(agent, |breaker| breaker.fault(why.clone(), attempt, next, heard)) {
            self.event(What::AgentQuarantined { agent, why });
        }
    }

    /// An attempt made the outputs. Agents that failed the build by the derivation's fault are doubted, for each such attempt.
    pub(super) fn sound(&mut self, build: &Build, attempt: &Attempt) {
        let agent = attempt.agent;
        if self.trust(agent, |breaker| breaker.success(attempt.epoch)) {
            self.event(What::AgentReleased { agent });
        }
        let blamed =
            |other: &&Attempt| matches!(&other.state, AttemptState::Ended { cause, .. } if cause.blame() == Blame::Derivation);
        for other in build.attempts.iter().filter(|other| other.agent != agent).filter(blamed) {
            self.fault(other.agent, other.epoch, format!("{} failed there and succeeded elsewhere", build.recipe.drv));
        }
    }

    /// An agent is trusted again, here or not.
    pub(super) fn release(&mut self, agent: AgentId) {
        if let Some(known) = self.known(agent).filter(|known| !known.breaker.is_closed()) {
            self.know(agent, KnownAgent { breaker: Breaker::default(), ..known });
            self.event(What::AgentReleased { agent });
        }
    }

    /// Changes how far an agent that is here is trusted. Gives what the change comes to.
    fn trust(&mut self, agent: AgentId, change: impl FnOnce(&mut Breaker) -> bool) -> bool {
        let Some(here) = self.state.agents.get(&agent) else { return false };
        let before = self.news_of(agent).map_or(&here.breaker, |known| &known.breaker);
        let mut breaker = before.clone();
        let changed = change(&mut breaker);
        if breaker != *before
            && let Some(known) = self.known(agent)
        {
            self.know(agent, KnownAgent { breaker, ..known });
        }
        changed
    }

    /// Notes how fast an agent that is here builds.
    pub(super) fn note_pace(&mut self, agent: AgentId, pace: Pace) {
        if let Some(known) = self.known(agent) {
            self.know(agent, KnownAgent { pace, ..known });
        }
    }

    /// What is known of an agent, here or not.
    pub(super) fn known(&self, agent: AgentId) -> Option<KnownAgent> {
        let news = self.news_of(agent).cloned();
        let here = || self.state.agents.get(&agent).map(Agent::known);
        news.or_else(here).or_else(|| self.state.absent.get(&agent).cloned())
    }

    /// What this step has found out about an agent so far.
    fn news_of(&self, agent: AgentId) -> Option<&KnownAgent> {
        self.out.changes.iter().rev().find_map(|change| match change {
            Change::AgentKnown { agent: of, known } if *of == agent => known.as_deref(),
            _ => None,
        })
    }

    pub(super) fn know(&mut self, agent: AgentId, known: KnownAgent) {
        self.change(Change::AgentKnown { agent, known: Some(Box::new(known)) });
    }

    /// Of too many that are not here, those that were seen longest ago are forgotten.
    pub(super) fn forget_absent(&mut self) {
        let surplus = self.state.absent.len().saturating_sub(REMEMBERED);
        // At first those are not here that have not said hello yet.
        if surplus > 0 && self.state.gives_leases(self.now.heard) {
            let mut absent: Vec<_> = self.state.absent.iter().map(|(id, known)| (known.seen, *id)).collect();
            absent.sort_unstable();
            for (_, agent) in absent.into_iter().take(surplus) {
                self.change(Change::AgentKnown { agent, known: None });
            }
        }
    }

    /// Notes when those were seen last that were here when the last reign ended.
    pub(super) fn note_absent(&mut self) {
        for (agent, known) in &self.state.absent {
            self.know(*agent, known.clone());
        }
    }
}

/// Whether a build has failed for such a cause before, there or elsewhere: then that says more of the build than of an agent.
pub(super) fn has_failed_so(build: &Build, cause: &Cause) -> bool {
    let is_such = |known: &Cause| discriminant(known) == discriminant(cause);
    build.attempts.iter().any(|attempt| matches!(&attempt.state, AttemptState::Ended { cause, .. } if is_such(cause)))
}

//! What speaks against an agent for a build: what is decided by, and what `drover why` tells.

use drover_messages::AgentId;

use crate::agent::Agent;
use crate::build::{Build, BuildState, Place};
use crate::crew::Crew;
use crate::limits::Limits;
use crate::links::Node;
use crate::place::Objection;
use crate::savings::Shelf;
use crate::slots::Slots;
use crate::state::State;
use crate::time::Heard;

impl State {
    /// What speaks against an agent getting a build that is ready, the most lasting first.
    pub fn objection(&self, build: &Build, id: AgentId, now: Heard, limits: &Limits) -> Option<Objection> {
        let agent = self.agents.get(&id)?;
        let node = self.builds.get(&build.id)?;
        let lasting = node.requirement.objection(&agent.hello);
        let of_agent = || self.objection_to_any(id, agent, now, limits);
        let here = || self.objection_here(build, agent);
        let of_build = || self.objection_of(node, id, &self.shelf(id, agent), now, limits);
        lasting.or_else(here).or_else(of_agent).or_else(of_build).or_else(|| self.slower(node, id, now, limits))
    }

    /// Whether a client has all the leases that it may have.
    pub fn is_at_limit(&self, build: &Build, limits: &Limits) -> bool {
        self.builds.get(&build.id).is_some_and(|node| self.shares.leases(node.client) >= limits.slots_per_client)
    }

    /// What speaks against an agent getting anything.
    pub(crate) fn objection_to_any(&self, id: AgentId, agent: &Agent, now: Heard, limits: &Limits) -> Option<Objection> {
        if let Some(objection) = self.objection_for_now(id, agent, now, limits) {
            return Some(objection);
        }
        if self.room(agent, now, limits) > 0 {
            return None;
        }
        let full = Objection::Full { slots: agent.hello.max_parallel_builds };
        Some(agent.breaker.why(now).map_or(full, Objection::Quarantined))
    }

    /// Whether an agent takes builds, now or when a slot is free.
    pub(crate) fn takes_builds(&self, id: AgentId, agent: &Agent, now: Heard, limits: &Limits) -> bool {
        let trusted = agent.breaker.at_most(now).is_none();
        self.objection_for_now(id, agent, now, limits).is_none() && (trusted || self.room(agent, now, limits) > 0)
    }

    /// What speaks against an agent getting anything, beside what it has already.
    fn objection_for_now(&self, id: AgentId, agent: &Agent, now: Heard, limits: &Limits) -> Option<Objection> {
        if !agent.alive || now.millis_since(agent.heard) > limits.suspect_millis() {
            return Some(Objection::Away);
        }
        if let Some(why) = &agent.not_ready {
            return Some(Objection::NotReady(why.clone()));
        }
        if self.drained.contains_key(&id) {
            return Some(Objection::Drained);
        }
        if agent.is_stuck(now, limits) {
            return Some(Objection::Stuck);
        }
        None
    }

    /// How many builds more an agent may have.
    pub(crate) fn room(&self, agent: &Agent, now: Heard, limits: &Limits) -> u32 {
        let most = agent.room(limits.offers_beyond_slots);
        // Of most agents all slots are taken, and the places beyond them as well.
        let room = if most == 0 || agent.is_soon_free(now) { most } else { agent.room(0) };
        match agent.breaker.at_most(now) {
            Some(most) => room.min(most.saturating_sub(agent.leases.len() as u32)),
            None => room,
        }
    }

    /// What speaks against this build on this agent, beyond what it requires of any.
    pub(crate) fn objection_of(
        &self,
        node: &Node,
        id: AgentId,
        shelf: &Shelf<'_>,
        now: Heard,
        limits: &Limits,
    ) -> Option<Objection> {
        shelf.objection(&node.requirement).or_else(|| self.objection_by_tries(&node.build, id, now, limits))
    }

    /// What speaks against a build where it, or the same derivation, was tried.
    pub(crate) fn objection_by_tries(&self, build: &Build, id: AgentId, now: Heard, limits: &Limits) -> Option<Objection> {
        if build.terms.apart && self.has_built_the_same(build, id) {
            return Some(Objection::Apart);
        }
        self.is_for_another(build, id, now, limits).then_some(Objection::FailedThere)
    }

    /// Whether an agent may have this very build, once it has room.
    pub(crate) fn may_have(&self, node: &Node, id: AgentId, agent: &Agent, now: Heard, limits: &Limits) -> bool {
        node.requirement.objection(&agent.hello).is_none()
            && self.objection_here(&node.build, agent).is_none()
            && self.objection_by_tries(&node.build, id, now, limits).is_none()
    }

    /// Whether what is ready only in some stores is ready here.
    pub(crate) fn objection_here(&self, build: &Build, agent: &Agent) -> Option<Objection> {
        match &build.state {
            BuildState::Ready(Place::Stores(stores)) if !stores.contains(&agent.hello.store) => Some(Objection::Inputs),
            _ => None,
        }
    }

    /// Whether an agent, or another of the same store, has built the same derivation before.
    fn has_built_the_same(&self, build: &Build, agent: AgentId) -> bool {
        let store_of = |agent: &AgentId| self.agents.get(agent).map(|known| &known.hello.store);
        let Some(store) = store_of(&agent) else { return build.avoid.contains(&agent) };
        let products = build.recipe.outputs.values();
        let others = products.flat_map(|product| self.makers(&product.path)).filter(|other| other.id != build.id);
        let mut attempts = others.flat_map(|other| &other.attempts);
        build.avoid.iter().any(|other| *other == agent || store_of(other) == Some(store))
            || attempts.any(|attempt| attempt.agent == agent || attempt.store == *store)
    }

    /// Whether a build that failed on this agent can be tried by one on which it has not.
    fn is_for_another(&self, build: &Build, agent: AgentId, now: Heard, limits: &Limits) -> bool {
        let could_try = |other: &AgentId| *other != agent && self.could_try(build, *other, now, limits);
        build.has_failed_on(agent) && self.agents.keys().any(could_try)
    }

    /// Whether an agent that has not failed a build may get it, now or when it has room.
    pub(crate) fn could_try(&self, build: &Build, id: AgentId, now: Heard, limits: &Limits) -> bool {
        let (Some(agent), Some(node)) = (self.agents.get(&id), self.builds.get(&build.id)) else { return false };
        let up = agent.breaker.is_closed() && self.objection_for_now(id, agent, now, limits).is_none();
        let apart = build.terms.apart && self.has_built_the_same(build, id);
        let fits = node.requirement.objection(&agent.hello).is_none() && self.objection_here(build, agent).is_none();
        up && fits && !apart && !build.has_failed_on(id)
    }

    /// What speaks against an agent that is free and may have a build: it is kept for a faster one.
    fn slower(&self, node: &Node, id: AgentId, now: Heard, limits: &Limits) -> Option<Objection> {
        let pace = self.agents.get(&id)?.pace;
        if !self.may_be_kept(node, pace, now) {
            return None;
        }
        let crew = Crew::of(self, now, limits);
        let faster = crew.members.iter().filter(|(_, agent)| pace.is_slower_than(agent.pace));
        let able = faster.filter(|(id, agent)| self.may_have(node, *id, agent, now, limits));
        let free_in_millis = able.map(|(_, agent)| Slots::of(agent, now).free_in_millis()).min()?;
        Some(Objection::Slower { free_in_secs: free_in_millis.div_ceil(1000) })
    }
}

//! Who gets what, and what speaks against it. What decides here is what `drover why` tells.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use drover_messages::{AgentId, BuildId, ClientId};

use super::Step;
use crate::agent::Agent;
use crate::build::{Build, BuildState, Place};
use crate::limits::Limits;
use crate::place::{Objection, Resources};
use crate::queue::Offered;
use crate::state::State;
use crate::time::Heard;

/// An agent that takes builds.
struct Taker<'a> {
    id: AgentId,
    /// How many more.
    room: u32,
    /// What is left of what its builds share.
    free: Resources,
    line: Offered<'a>,
}

/// What clients have been given in this round of decisions.
type Given = BTreeMap<ClientId, (u32, u64)>;

impl<'a> Step<'a> {
    /// Who gets what: in each round every agent with room takes the first that it may have, the idlest agent first. What is
    /// given counts at once as used.
    pub(super) fn matches(&self) -> Vec<(AgentId, &'a Build)> {
        let state = self.state;
        let mut takers: Vec<Taker<'a>> = state.agents.iter().filter_map(|(id, agent)| self.taker(*id, agent)).collect();
        let mut taken: BTreeSet<BuildId> = BTreeSet::new();
        let mut given = Given::new();
        let mut matches = Vec::new();
        while !takers.is_empty() {
            takers.sort_by_key(|taker| (Reverse(taker.room), taker.id));
            takers.retain_mut(|taker| {
                let Some(build) = self.first_for(taker, &taken, &given) else { return false };
                taken.insert(build.id);
                let node = &state.builds[&build.id];
                let (leases, millis) = given.entry(node.client).or_default();
                (*leases, *millis) = (*leases + 1, *millis + node.expected_millis);
                for (name, takes) in node.requirement.takes() {
                    taker.free.entry(name.clone()).and_modify(|free| *free = free.saturating_sub(*takes));
                }
                matches.push((taker.id, build));
                taker.room -= 1;
                taker.room > 0
            });
        }
        matches
    }

    fn taker(&self, id: AgentId, agent: &'a Agent) -> Option<Taker<'a>> {
        if self.state.objection_to_any(id, agent, self.now.heard, self.limits).is_some() {
            return None;
        }
        let room = self.state.room(agent, self.now.heard, self.limits);
        Some(Taker { id, room, free: self.state.free(agent), line: self.state.ready.for_agent(agent) })
    }

    /// The first build in its line that nothing speaks against.
    fn first_for(&self, taker: &mut Taker<'a>, taken: &BTreeSet<BuildId>, given: &Given) -> Option<&'a Build> {
        let share = |client| self.share(client, given.get(&client).copied().unwrap_or_default());
        loop {
            let build = self.state.build(taker.line.next(share)?)?;
            let objection = || self.state.objection_of(build, taker.id, &taker.free);
            if !taken.contains(&build.id) && objection().is_none() {
                return Some(build);
            }
        }
    }

    /// What a client uses, with what it is just given; nothing, if it may not have more.
    fn share(&self, client: ClientId, (leases, millis): (u32, u64)) -> Option<u64> {
        let shares = &self.state.shares;
        let more = shares.leases(client) + leases < self.limits.slots_per_client;
        more.then(|| shares.of(client, self.now.heard).saturating_add(millis))
    }
}

impl State {
    /// What speaks against an agent getting a build that is ready, the most lasting first.
    pub fn objection(&self, build: &Build, id: AgentId, now: Heard, limits: &Limits) -> Option<Objection> {
        let agent = self.agents.get(&id)?;
        let requirement = &self.builds.get(&build.id)?.requirement;
        let lasting = requirement.objection(agent);
        let of_agent = || self.objection_to_any(id, agent, now, limits);
        let here = || self.objection_here(build, agent);
        lasting.or_else(here).or_else(of_agent).or_else(|| self.objection_of(build, id, &self.free(agent)))
    }

    /// Whether a client has all the leases that it may have.
    pub fn is_at_limit(&self, build: &Build, limits: &Limits) -> bool {
        self.builds.get(&build.id).is_some_and(|node| self.shares.leases(node.client) >= limits.slots_per_client)
    }

    /// What speaks against an agent getting anything.
    fn objection_to_any(&self, id: AgentId, agent: &Agent, now: Heard, limits: &Limits) -> Option<Objection> {
        if !agent.alive {
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
        if self.room(agent, now, limits) > 0 {
            return None;
        }
        match (agent.breaker.at_most(now), agent.breaker.why()) {
            (Some(_), Some(why)) => Some(Objection::Quarantined(why.to_owned())),
            _ => Some(Objection::Full { slots: agent.hello.max_parallel_builds }),
        }
    }

    /// How many builds more an agent may have.
    fn room(&self, agent: &Agent, now: Heard, limits: &Limits) -> u32 {
        let room = agent.room(limits.offers_beyond_slots);
        match agent.breaker.at_most(now) {
            Some(most) => room.min(most.saturating_sub(agent.leases.len() as u32)),
            None => room,
        }
    }

    /// What speaks against this build on this agent, beyond what it requires of any.
    fn objection_of(&self, build: &Build, id: AgentId, free: &Resources) -> Option<Objection> {
        let node = self.builds.get(&build.id)?;
        let left = |name: &str| free.get(name).copied().unwrap_or(0);
        if let Some((name, takes)) = node.requirement.takes().iter().find(|(name, takes)| left(name) < **takes) {
            return Some(Objection::Taken { name: name.clone(), takes: *takes, free: left(name) });
        }
        if build.terms.apart && self.has_built_the_same(build, id) {
            return Some(Objection::Apart);
        }
        self.is_for_another(build, id).then_some(Objection::FailedThere)
    }

    /// Whether what is ready only in some stores is ready here.
    fn objection_here(&self, build: &Build, agent: &Agent) -> Option<Objection> {
        match &build.state {
            BuildState::Ready(Place::Stores(stores)) if !stores.contains(&agent.hello.store) => Some(Objection::Inputs),
            _ => None,
        }
    }

    /// What is left of what the builds of an agent share.
    fn free(&self, agent: &Agent) -> Resources {
        let mut free = agent.hello.resources.clone();
        if free.is_empty() {
            return free;
        }
        let builds = agent.leases.values().filter_map(|held| self.builds.get(&held.build));
        for (name, takes) in builds.flat_map(|node| node.requirement.takes()) {
            free.entry(name.clone()).and_modify(|free| *free = free.saturating_sub(*takes));
        }
        free
    }

    fn has_built_the_same(&self, build: &Build, agent: AgentId) -> bool {
        let products = build.recipe.outputs.values();
        let others = products.flat_map(|product| self.makers(&product.path)).filter(|other| other.id != build.id);
        build.avoid.contains(&agent) || others.flat_map(|other| &other.attempts).any(|attempt| attempt.agent == agent)
    }

    /// Whether a build that failed on this agent can be tried by one on which it has not.
    fn is_for_another(&self, build: &Build, agent: AgentId) -> bool {
        build.has_failed_on(agent) && self.agents.keys().any(|other| *other != agent && self.could_try(build, *other))
    }

    /// Whether an agent that has not failed a build may get it, now or when it has room.
    pub(crate) fn could_try(&self, build: &Build, id: AgentId) -> bool {
        let (Some(agent), Some(node)) = (self.agents.get(&id), self.builds.get(&build.id)) else { return false };
        let up = agent.alive && agent.not_ready.is_none() && agent.breaker.why().is_none() && !self.drained.contains_key(&id);
        let apart = build.terms.apart && self.has_built_the_same(build, id);
        let fits = node.requirement.objection(agent).is_none() && self.objection_here(build, agent).is_none();
        up && fits && !apart && !build.has_failed_on(id)
    }
}

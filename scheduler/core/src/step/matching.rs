//! Who gets what, and what speaks against it. What decides here is what `drover why` tells.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use drover_messages::placement::{Candidate, Placement};
use drover_messages::{AgentId, BuildId, ClientId};

use super::Step;
use crate::agent::Agent;
use crate::build::{Build, BuildState, Place};
use crate::limits::{Limits, Order};
use crate::links::Node;
use crate::place::{Objection, Resources};
use crate::score::Taker;
use crate::state::State;
use crate::time::Heard;

/// Agents whose scores are compared for one build.
const CANDIDATES: usize = 8;
/// Builds of one client that are as urgent, and of which an agent gets the one of which it has most, the oldest among equals.
const RIVALS: usize = 4;

/// Builds that are kept for faster agents in one round of decisions.
const PATIENCE: usize = 256;
/// Shorter builds are not kept, in milliseconds.
const WAITS_LEAST_MILLIS: u64 = 5_000;
/// What is won by waiting is this part of the build at least.
const WON_PART: u64 = 10;

/// Who gets what.
pub(super) struct Match<'a> {
    pub(super) agent: AgentId,
    pub(super) build: &'a Build,
    pub(super) placement: Placement,
}

/// What clients have been given in this round of decisions.
type Given = BTreeMap<ClientId, (u32, u64)>;

impl<'a> Step<'a> {
    /// Who gets what: in each round every agent with room finds the first build that it may have, the idlest agent first;
    /// it gets it, or another does whom it costs less, and then it looks on. What is given counts at once as used.
    pub(super) fn matches(&self) -> Vec<Match<'a>> {
        let (mut taken, mut given, mut matches) = (BTreeSet::new(), Given::new(), Vec::new());
        if self.state.ready.is_empty() {
            return matches;
        }
        let (state, now) = (self.state, self.now.heard);
        let mut takers: Vec<Taker<'a>> =
            state.agents.iter().filter_map(|(id, agent)| state.taker(*id, agent, now, self.limits)).collect();
        let mut patience = PATIENCE;
        while takers.iter().any(|taker| taker.room > 0) {
            takers.sort_by_key(|taker| (Reverse(taker.room), taker.id));
            for n in 0..takers.len() {
                let mut others = true;
                while others && takers[n].room > 0 {
                    let Some(node) = self.first_for(&mut takers[n], &taken, &given) else {
                        takers[n].room = 0;
                        break;
                    };
                    taken.insert(node.build.id);
                    let (chosen, placement) = self.place(node, n, &takers);
                    if let Some(faster) = self.worth_waiting(node, &takers[chosen], &takers).filter(|_| patience > 0) {
                        takers[faster].reserve(node);
                        patience -= 1;
                        continue;
                    }
                    takers[chosen].give(node, self.state.expected_mib(node));
                    let (leases, millis) = given.entry(node.client).or_default();
                    (*leases, *millis) = (*leases + 1, *millis + node.expected_millis);
                    matches.push(Match { agent: takers[chosen].id, build: &node.build, placement });
                    others = chosen != n;
                }
            }
        }
        matches
    }

    /// A faster agent that would be done earlier with this, though it is not free yet.
    fn worth_waiting(&self, node: &Node, chosen: &Taker<'a>, takers: &[Taker<'a>]) -> Option<usize> {
        let by = self.state.worth_waiting_until(node, chosen).filter(|_| self.limits.order == Order::Full)?;
        let earlier = (0..takers.len()).filter(|n| takers[*n].done_in_millis(node) < by && self.may(node, &takers[*n]));
        earlier.min_by_key(|n| (takers[*n].done_in_millis(node), takers[*n].id))
    }

    fn may(&self, node: &Node, taker: &Taker<'_>) -> bool {
        node.requirement.objection(taker.agent).is_none()
            && self.state.objection_here(&node.build, taker.agent).is_none()
            && self.state.objection_of(&node.build, taker.id, &taker.free).is_none()
    }

    /// The first build in its line that nothing speaks against; or one beside it, of which more is in its store.
    fn first_for(&self, taker: &mut Taker<'a>, taken: &BTreeSet<BuildId>, given: &Given) -> Option<&'a Node> {
        let state: &'a State = self.state;
        let share = |client| self.share(client, given.get(&client).copied().unwrap_or_default());
        let (id, agent, free) = (taker.id, taker.agent, taker.free.clone());
        let fitting = |build: BuildId| {
            let node = state.builds.get(&build).filter(|_| !taken.contains(&build))?;
            state.objection_of(&node.build, id, &free).is_none().then_some(node)
        };
        while let Some(build) = taker.passed.pop_front() {
            if let Some(node) = fitting(build).filter(|node| share(node.client).is_some()) {
                return Some(node);
            }
        }
        let first = loop {
            if let Some(node) = fitting(taker.line.next(share)?) {
                break node;
            }
        };
        let millis = state.fetch_millis(first, agent);
        if millis == 0 || self.limits.order == Order::FirstComeFirst {
            return Some(first);
        }
        let beside = (1..RIVALS).map_while(|_| taker.line.next_beside()).collect::<Vec<_>>();
        taker.passed = std::iter::once(first.build.id).chain(beside).collect();
        let rivals = taker.passed.iter().enumerate().filter_map(|(n, build)| Some((n, fitting(*build)?)));
        let best = rivals.min_by_key(|(n, node)| (state.fetch_millis(node, agent), *n));
        let (n, best) = best?;
        taker.passed.remove(n);
        Some(best)
    }

    /// The agent that this build costs least, with what speaks for it: among those that would be done first, or the idlest where
    /// it is not known how long it takes.
    fn place(&self, node: &Node, first: usize, takers: &[Taker<'a>]) -> (usize, Placement) {
        let looked_at = if self.limits.order == Order::Full { CANDIDATES } else { 1 };
        let mut others: Vec<usize> = (0..takers.len()).filter(|n| *n != first && takers[*n].room > 0).collect();
        if self.state.is_known(node) {
            others.sort_by_key(|n| takers[*n].done_in_millis(node));
        }
        let others = others.into_iter().filter(|n| self.may(node, &takers[*n])).take(looked_at - 1);
        let mut scored: Vec<(usize, Candidate)> = std::iter::once(first)
            .chain(others)
            .map(|n| (n, Candidate { agent: takers[n].id, score: self.state.score(node, &takers[n]) }))
            .collect();
        scored.sort_by_key(|(_, candidate)| candidate.score.total_millis());
        let (n, chosen) = scored[0];
        (n, Placement { chosen, others: scored[1..].iter().map(|(_, candidate)| *candidate).collect() })
    }

    /// What a client uses, with what it is just given; nothing, if it may not have more.
    fn share(&self, client: ClientId, (leases, millis): (u32, u64)) -> Option<u64> {
        let shares = &self.state.shares;
        let more = shares.leases(client) + leases < self.limits.slots_per_client;
        more.then(|| shares.of(client, self.now.heard).saturating_add(millis))
    }
}

impl State {
    /// An agent that takes builds, now or when a slot is free.
    fn taker<'a>(&'a self, id: AgentId, agent: &'a Agent, now: Heard, limits: &Limits) -> Option<Taker<'a>> {
        if self.objection_to_any(id, agent, now, limits).is_some_and(|objection| !matches!(objection, Objection::Full { .. })) {
            return None;
        }
        Some(Taker {
            id,
            agent,
            room: self.room(agent, now, limits),
            free: self.free(agent),
            line: self.ready.for_agent(agent),
            passed: VecDeque::new(),
            taken: (agent.leases.len() + agent.stopping.len()) as u32,
            slots: self.slots(agent, now),
            memory_mib: agent.hello.beat.memory_free_mib,
        })
    }

    /// Whether it is known what a build takes, of others like it.
    fn is_known(&self, node: &Node) -> bool {
        node.expected_millis >= WAITS_LEAST_MILLIS && self.durations.get(&node.package).is_some()
    }

    /// An agent that is done by then is to have this build, rather than this one; in milliseconds from now.
    fn worth_waiting_until(&self, node: &Node, taker: &Taker<'_>) -> Option<u64> {
        let least = node.expected_millis / WON_PART;
        self.is_known(node).then(|| taker.done_in_millis(node).saturating_sub(least))
    }

    /// What speaks against an agent that is free and may have a build: a faster one is worth waiting for.
    fn slower(&self, node: &Node, id: AgentId, now: Heard, limits: &Limits) -> Option<Objection> {
        let taker = self.taker(id, self.agents.get(&id)?, now, limits)?;
        let by = self.worth_waiting_until(node, &taker).filter(|_| self.order == Order::Full)?;
        let others = self.agents.iter().filter(|(other, _)| **other != id);
        let others = others.filter_map(|(id, agent)| self.taker(*id, agent, now, limits));
        let fitting = others.filter(|other| {
            node.requirement.objection(other.agent).is_none() && self.objection_here(&node.build, other.agent).is_none()
        });
        let faster = fitting.filter(|other| other.done_in_millis(node) < by).min_by_key(|other| other.done_in_millis(node))?;
        Some(Objection::Slower { free_in_secs: faster.slots.free_in_millis().div_ceil(1000) })
    }

    /// What speaks against an agent getting a build that is ready, the most lasting first.
    pub fn objection(&self, build: &Build, id: AgentId, now: Heard, limits: &Limits) -> Option<Objection> {
        let agent = self.agents.get(&id)?;
        let node = self.builds.get(&build.id)?;
        let lasting = node.requirement.objection(agent);
        let of_agent = || self.objection_to_any(id, agent, now, limits);
        let here = || self.objection_here(build, agent);
        let of_build = || self.objection_of(build, id, &self.free(agent));
        lasting.or_else(here).or_else(of_agent).or_else(of_build).or_else(|| self.slower(node, id, now, limits))
    }

    /// Whether a client has all the leases that it may have.
    pub fn is_at_limit(&self, build: &Build, limits: &Limits) -> bool {
        self.builds.get(&build.id).is_some_and(|node| self.shares.leases(node.client) >= limits.slots_per_client)
    }

    /// What speaks against an agent getting anything.
    fn objection_to_any(&self, id: AgentId, agent: &Agent, now: Heard, limits: &Limits) -> Option<Objection> {
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

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
        let mut takers: Vec<Taker<'a>> = self.state.agents.iter().filter_map(|(id, agent)| self.taker(*id, agent)).collect();
        let (mut taken, mut given, mut matches) = (BTreeSet::new(), Given::new(), Vec::new());
        while !takers.is_empty() {
            takers.sort_by_key(|taker| (Reverse(taker.room), taker.id));
            for n in 0..takers.len() {
                let mut others = true;
                while others && takers[n].room > 0 {
                    let Some(node) = self.first_for(&mut takers[n], &taken, &given) else {
                        takers[n].room = 0;
                        break;
                    };
                    let (chosen, placement) = self.place(node, n, &takers);
                    takers[chosen].give(node, self.state.expected_mib(node));
                    taken.insert(node.build.id);
                    let (leases, millis) = given.entry(node.client).or_default();
                    (*leases, *millis) = (*leases + 1, *millis + node.expected_millis);
                    matches.push(Match { agent: takers[chosen].id, build: &node.build, placement });
                    others = chosen != n;
                }
            }
            takers.retain(|taker| taker.room > 0);
        }
        matches
    }

    fn taker(&self, id: AgentId, agent: &'a Agent) -> Option<Taker<'a>> {
        let state = self.state;
        if state.objection_to_any(id, agent, self.now.heard, self.limits).is_some() {
            return None;
        }
        let held = agent.leases.values().filter_map(|held| state.builds.get(&held.build));
        let busy_millis = held.map(|node| node.expected_millis).fold(0, u64::saturating_add);
        Some(Taker {
            id,
            agent,
            room: state.room(agent, self.now.heard, self.limits),
            free: state.free(agent),
            line: state.ready.for_agent(agent),
            passed: VecDeque::new(),
            taken: (agent.leases.len() + agent.stopping.len()) as u32,
            busy_millis,
            memory_mib: agent.hello.beat.memory_free_mib,
        })
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

    /// The agent among the idlest that this build costs least, with what speaks for it.
    fn place(&self, node: &Node, first: usize, takers: &[Taker<'a>]) -> (usize, Placement) {
        let may = |taker: &Taker<'_>| {
            taker.room > 0
                && node.requirement.objection(taker.agent).is_none()
                && self.state.objection_here(&node.build, taker.agent).is_none()
                && self.state.objection_of(&node.build, taker.id, &taker.free).is_none()
        };
        let looked_at = if self.limits.order == Order::Full { CANDIDATES } else { 1 };
        let others = (0..takers.len()).filter(|n| *n != first && may(&takers[*n])).take(looked_at - 1);
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

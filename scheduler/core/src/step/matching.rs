//! Who gets what. What speaks against it is [`crate::objections`]'s; what speaks for it, [`crate::score`]'s.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use drover_messages::placement::{Candidate, Placement};
use drover_messages::{AgentId, BuildId, ClientId};

use super::Step;
use crate::build::Build;
use crate::limits::Order;
use crate::links::Node;
use crate::state::State;
use crate::taker::Taker;

/// Agents whose scores are compared for one build.
const CANDIDATES: usize = 8;
/// Builds of one client that are as urgent, and of which an agent gets the one of which it has most, the oldest among equals.
const RIVALS: usize = 4;

/// Builds that are kept for faster agents in one round of decisions.
const PATIENCE: usize = 256;

/// Who gets what.
pub(super) struct Match<'a> {
    pub(super) agent: AgentId,
    pub(super) build: &'a Build,
    pub(super) placement: Placement,
}

/// What one round of decisions comes to.
#[derive(Default)]
pub(super) struct Matches<'a> {
    pub(super) given: Vec<Match<'a>>,
    /// Builds that are kept for agents that have no room yet.
    pub(super) kept: Vec<BuildId>,
}

/// What clients have been given in this round of decisions.
type Given = BTreeMap<ClientId, (u32, u64)>;

impl<'a> Step<'a> {
    /// Who gets what: in each round every agent with room finds the first build that it may have, the idlest agent first;
    /// it gets it, or another does whom it costs less, and then it looks on. What is given counts at once as used.
    pub(super) fn matches(&self) -> Matches<'a> {
        let (mut taken, mut given, mut matches) = (BTreeSet::new(), Given::new(), Matches::default());
        if self.state.ready.is_empty() {
            return matches;
        }
        let (state, now) = (self.state, self.now.heard);
        let mut takers: Vec<Taker<'a>> =
            state.agents.iter().filter_map(|(id, agent)| state.taker(*id, agent, now, self.limits)).collect();
        while takers.iter().any(|taker| taker.room > 0 && !taker.ended) {
            takers.sort_by_key(|taker| (Reverse(taker.room), taker.id));
            for n in 0..takers.len() {
                let mut others = true;
                while others && takers[n].room > 0 && !takers[n].ended {
                    let Some(node) = self.first_for(&mut takers[n], &taken, &given) else {
                        takers[n].ended = true;
                        break;
                    };
                    taken.insert(node.build.id);
                    let (chosen, placement) = self.place(node, n, &takers);
                    if matches.kept.len() < PATIENCE
                        && let Some(faster) = self.worth_waiting(node, &takers[chosen], &takers)
                    {
                        takers[faster].reserve(node);
                        matches.kept.push(node.build.id);
                        continue;
                    }
                    takers[chosen].give(node, self.state.expected_mib(node));
                    let (leases, millis) = given.entry(node.client).or_default();
                    (*leases, *millis) = (*leases + 1, *millis + node.expected_millis);
                    matches.given.push(Match { agent: takers[chosen].id, build: &node.build, placement });
                    others = chosen != n;
                }
            }
        }
        matches
    }

    /// A faster agent that would be done earlier with this, though it has no room yet.
    fn worth_waiting(&self, node: &Node, chosen: &Taker<'a>, takers: &[Taker<'a>]) -> Option<usize> {
        let by = self.state.worth_waiting_until(node, chosen, self.now.heard).filter(|_| self.limits.order == Order::Full)?;
        let full = (0..takers.len()).filter(|n| takers[*n].room == 0 && takers[*n].done_in_millis(node) < by);
        let fitting = full.filter(|n| self.may(node, &takers[*n])).map(|n| (self.state.had_in_millis(node, &takers[n]), n));
        let (_, n) = fitting.filter(|(millis, _)| *millis < by).min_by_key(|(millis, n)| (*millis, takers[*n].id))?;
        Some(n)
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

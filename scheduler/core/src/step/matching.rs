//! Who gets what. What speaks against it is [`crate::objections`]'s; what speaks for it, [`crate::score`]'s.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use drover_messages::placement::{Candidate, Placement};
use drover_messages::{AgentId, BuildId, ClientId};
use hashbrown::HashSet;

use super::Step;
use crate::build::Build;
use crate::crew::Crew;
use crate::limits::Order;
use crate::links::Node;
use crate::place::Requirement;
use crate::taker::Taker;

/// Agents whose scores are compared for one build.
const CANDIDATES: usize = 4;

/// Who gets what.
pub(super) struct Match<'a> {
    pub(super) agent: AgentId,
    pub(super) build: &'a Build,
    /// What spoke for it, where others could have had it.
    pub(super) placement: Option<Placement>,
}

/// What one round of decisions comes to.
#[derive(Default)]
pub(super) struct Matches<'a> {
    pub(super) given: Vec<Match<'a>>,
    /// Builds that are kept for faster agents from now on.
    pub(super) kept: BTreeSet<BuildId>,
    /// Builds of which it is new that they take more than is free where there is room: the first of those that require the same.
    pub(super) short: BTreeMap<&'a Requirement, BuildId>,
}

/// Builds that were given away in this round of decisions.
pub(super) type Taken = HashSet<BuildId>;

/// What clients have been given in this round of decisions.
type Given = BTreeMap<ClientId, (u32, u64)>;

/// Who looks for work next: the fastest, and of those that are as fast the idlest.
type Turn = (u64, Reverse<u32>, usize);

/// One round of decisions.
pub(super) struct Round<'s, 'a> {
    pub(super) step: &'s Step<'a>,
    pub(super) crew: Crew<'a>,
    takers: Vec<Taker<'a>>,
    /// Those that have room, and may find something.
    turns: BTreeSet<Turn>,
    pub(super) taken: Taken,
    given: Given,
    pub(super) matches: Matches<'a>,
}

impl<'a> Step<'a> {
    /// Who gets what: the fastest agent with room, and the idlest of those, finds a build; it gets it, or another does whom it
    /// costs less, and so on. What is given counts at once as used.
    pub(super) fn matches(&self) -> Matches<'a> {
        if self.state.ready.is_empty() {
            return Matches::default();
        }
        let mut round = Round::of(self);
        while let Some((.., n)) = round.turns.pop_first() {
            round.look(n);
        }
        round.matches
    }
}

impl<'s, 'a> Round<'s, 'a> {
    fn of(step: &'s Step<'a>) -> Self {
        let (state, now) = (step.state, step.now.heard);
        let crew = Crew::of(state, now, step.limits);
        let takers = crew.members.iter().filter_map(|(id, agent)| state.taker(*id, agent, now, step.limits));
        let (takers, turns): (Vec<Taker<'a>>, _) = (takers.collect(), BTreeSet::new());
        let (taken, given, matches) = (Taken::new(), Given::new(), Matches::default());
        let mut round = Self { step, crew, takers, turns, taken, given, matches };
        (0..round.takers.len()).for_each(|n| round.queue(n));
        round
    }

    fn queue(&mut self, n: usize) {
        let taker = &self.takers[n];
        if taker.room > 0 {
            self.turns.insert(self.turn(n));
        }
    }

    fn turn(&self, n: usize) -> Turn {
        (self.step.tier(&self.takers[n]), Reverse(self.takers[n].room), n)
    }

    /// An agent looks for work, until it gets some or finds none.
    fn look(&mut self, n: usize) {
        loop {
            let share = |client| self.step.share(client, self.given.get(&client).copied().unwrap_or_default());
            let (crew, taken, matches) = (&mut self.crew, &self.taken, &mut self.matches);
            let Some(node) = self.step.find(&mut self.takers[n], crew, taken, matches, share) else { return };
            self.taken.insert(node.build.id);
            let chosen = self.give(node, n);
            if chosen == n {
                return self.queue(n);
            }
            self.queue(chosen);
        }
    }

    /// Gives a build to whom it costs least, an agent that looks for work or one of those that may be next.
    fn give(&mut self, node: &'a Node, first: usize) -> usize {
        let (chosen, placement) = self.place(node, first);
        let before = self.turn(chosen);
        self.turns.remove(&before);
        self.takers[chosen].give(node, self.step.state.expected_mib(node));
        self.end_saving(&node.requirement);
        let (leases, millis) = self.given.entry(node.client).or_default();
        (*leases, *millis) = (*leases + 1, *millis + node.expected_millis);
        self.matches.given.push(Match { agent: self.takers[chosen].id, build: &node.build, placement });
        chosen
    }

    /// One has got what an agent saved up for: what that agent kept from others is to be had.
    fn end_saving(&mut self, requirement: &Requirement) {
        let saver = self.takers.iter().position(|taker| taker.saves_for == Some(requirement));
        let Some(saver) = saver.filter(|_| !requirement.takes().is_empty()) else { return };
        self.takers[saver].stop_saving();
        self.queue(saver);
    }

    /// The agent that this build costs least, with what speaks for it.
    fn place(&self, node: &Node, first: usize) -> (usize, Option<Placement>) {
        let others = if self.step.limits.order == Order::Full { CANDIDATES - 1 } else { 0 };
        let next = self.turns.iter().map(|(.., n)| *n).filter(|n| *n != first && self.step.may(node, &self.takers[*n]));
        let mut next = next.take(others).peekable();
        if next.peek().is_none() {
            return (first, None);
        }
        let fetch = self.step.state.fetch(node);
        let mut scored: Vec<(usize, Candidate)> = std::iter::once(first)
            .chain(next)
            .map(|n| (n, Candidate { agent: self.takers[n].id, score: self.step.state.score(node, &fetch, &self.takers[n]) }))
            .collect();
        scored.sort_by_key(|(_, candidate)| candidate.score.total_millis());
        let (n, chosen) = scored[0];
        (n, Some(Placement { chosen, others: scored[1..].iter().map(|(_, candidate)| *candidate).collect() }))
    }
}

impl<'a> Step<'a> {
    /// Agents take turns by this: by age alone, the fastest are not first.
    fn tier(&self, taker: &Taker<'_>) -> u64 {
        if self.limits.order == Order::Full { taker.agent.pace.quarters() } else { 0 }
    }

    fn may(&self, node: &Node, taker: &Taker<'_>) -> bool {
        taker.saves_for.is_none_or(|saved| !node.requirement.competes_with(saved))
            && node.requirement.objection(&taker.agent.hello).is_none()
            && self.state.objection_here(&node.build, taker.agent).is_none()
            && self.state.objection_of(node, taker.id, &taker.shelf, self.now.heard, self.limits).is_none()
    }

    /// What a client uses, with what it is just given; nothing, if it may not have more.
    fn share(&self, client: ClientId, (leases, millis): (u32, u64)) -> Option<u64> {
        let shares = &self.state.shares;
        let more = shares.leases(client) + leases < self.limits.slots_per_client;
        more.then(|| shares.of(client, self.now.heard).saturating_add(millis))
    }
}

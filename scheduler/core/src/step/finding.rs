//! What an agent that looks for work finds: the first build in its line that nothing speaks against; or one beside it, of
//! which more is in its store; or, where it is not among the fastest, the first that delays nothing there.

use std::collections::BTreeMap;

use drover_messages::{BuildId, ClientId};

use super::Step;
use super::matching::{Matches, Taken};
use crate::build::{Build, BuildState, Place};
use crate::crew::{Crew, Faster, Horizon};
use crate::limits::Order;
use crate::links::Node;
use crate::place::Requirement;
use crate::taker::Taker;

/// Builds of one client that are as urgent, and of which an agent gets the one of which it has most, the oldest among equals.
const RIVALS: usize = 4;
/// An agent that is not among the fastest looks at twice as many builds as are kept for those, and so many more.
const LOOKED_BEYOND: usize = 16;

impl<'a> Step<'a> {
    /// The next build for an agent. Those that are kept for faster ones are named once, and those that are short of something.
    pub(super) fn find(
        &self,
        taker: &mut Taker<'a>,
        crew: &mut Crew<'a>,
        taken: &Taken,
        matches: &mut Matches<'a>,
        share: impl Fn(ClientId) -> Option<u64>,
    ) -> Option<&'a Node> {
        let (mut horizon, mut most) = (Horizon::new(), 0);
        // Of those that are kept for nobody, the one that is done first with all that hangs on it.
        let mut least: Option<(u64, usize)> = None;
        let mut n = 0;
        while n <= most || least.is_none() {
            let Some(node) = self.nth(taker, n, taken, &mut matches.short, &share) else { break };
            let Some(faster) = self.kept_for(node, taker, crew) else { return self.take(taker, n, taken) };
            let Err(ends) = horizon.allows(node, taker.agent.pace, faster) else { return taker.passed.remove(n) };
            if n >= faster.slots {
                least = least.min(Some((ends, n))).or(Some((ends, n)));
            } else if node.kept_since.is_none() {
                matches.kept.insert(node.build.id);
            }
            most = 2 * faster.slots + LOOKED_BEYOND;
            n += 1;
        }
        taker.passed.remove(least?.1)
    }

    /// Those that a build is kept for rather than given to this agent.
    fn kept_for(&self, node: &'a Node, taker: &Taker<'a>, crew: &mut Crew<'a>) -> Option<Faster> {
        let pace = taker.agent.pace;
        if !self.state.may_be_kept(node, pace, self.now.heard) {
            return None;
        }
        let Build { state, attempts, terms, .. } = &node.build;
        // Of most builds nothing speaks against an agent but what they require.
        if attempts.is_empty() && !terms.apart && !matches!(state, BuildState::Ready(Place::Stores(_))) {
            return crew.faster(&node.requirement, pace);
        }
        crew.faster_that(|id, agent| self.state.may_have(node, id, agent, self.now.heard, self.limits), pace)
    }

    /// The nth build that came up in an agent's line and is not taken, which may still be had.
    fn nth(
        &self,
        taker: &mut Taker<'a>,
        n: usize,
        taken: &Taken,
        short: &mut BTreeMap<&'a Requirement, BuildId>,
        share: impl Fn(ClientId) -> Option<u64>,
    ) -> Option<&'a Node> {
        while let Some(node) = taker.passed.get(n) {
            if self.is_for(node, taker, taken) && share(node.client).is_some() {
                return Some(node);
            }
            taker.passed.remove(n);
        }
        loop {
            let line = taker.line.get_or_insert_with(|| self.state.ready.for_agent(taker.agent));
            let build = line.next(|build| taken.contains(build), &share)?;
            let node = self.state.builds.get(&build)?;
            if self.is_for(node, taker, taken) {
                taker.passed.push_back(node);
                return Some(node);
            }
            if taker.lacks_for(&node.requirement) && !self.state.savings.knows(&node.requirement) {
                short.entry(&node.requirement).or_insert(node.build.id);
            }
        }
    }

    fn is_for(&self, node: &Node, taker: &Taker<'a>, taken: &Taken) -> bool {
        !taken.contains(&node.build.id)
            && self.state.objection_of(node, taker.id, &taker.shelf, self.now.heard, self.limits).is_none()
    }

    /// Takes the nth, or, if nothing was passed over before and its store lacks inputs of that, one beside it of which it has more.
    fn take(&self, taker: &mut Taker<'a>, n: usize, taken: &Taken) -> Option<&'a Node> {
        let first = taker.passed.get(n).copied()?;
        let is_last = n + 1 == taker.passed.len();
        let holdings = taker.holdings;
        let lacks = |node: &Node| self.state.fetch(node).millis(holdings);
        let by_inputs = is_last && self.limits.order == Order::Full && holdings.is_some();
        if !by_inputs || lacks(first) == 0 {
            return taker.passed.remove(n);
        }
        let line = taker.line.iter_mut().flat_map(|line| std::iter::from_fn(|| line.next_beside()));
        let beside: Vec<&'a Node> = line.take(RIVALS - 1).filter_map(|build| self.state.builds.get(&build)).collect();
        let beside = beside.into_iter().filter(|node| self.is_for(node, taker, taken)).collect::<Vec<_>>();
        taker.passed.extend(beside);
        let rivals = taker.passed.iter().enumerate().skip(n);
        let (best, _) = rivals.min_by_key(|(at, node)| (lacks(node), *at))?;
        taker.passed.remove(best)
    }
}

//! Saving up. A build that takes much of what an agent shares would never get it while smaller ones take each part that comes
//! free. So after a while one agent keeps that from all builds that come after it, until there is enough.

use std::collections::BTreeMap;
use std::sync::Arc;

use drover_messages::{AgentId, BuildId};

use crate::agent::Agent;
use crate::crew::Crew;
use crate::limits::Limits;
use crate::links::Node;
use crate::place::{Objection, Requirement, Resources};
use crate::state::State;
use crate::time::Heard;

/// Ready builds that take more than was free where there was room: all that require the same together.
#[derive(Debug, Default)]
pub(crate) struct Savings(BTreeMap<Arc<Requirement>, Saving>);

/// How it stands with one of them.
#[derive(Debug)]
struct Saving {
    /// The one that was seen first.
    build: BuildId,
    /// When.
    since: Heard,
    /// The agent that saves up.
    by: Option<AgentId>,
}

impl Savings {
    /// A build takes more than is free.
    pub(crate) fn begin(&mut self, node: &Node, since: Heard) {
        self.0.entry(node.requirement.clone()).or_insert(Saving { build: node.build.id, since, by: None });
    }

    /// An agent saves up from now on.
    pub(crate) fn save(&mut self, requirement: &Requirement, by: Option<AgentId>) {
        self.0.get_mut(requirement).into_iter().for_each(|saving| saving.by = by);
    }

    /// One has got it, or waits for something else: the next waits anew.
    pub(crate) fn end(&mut self, requirement: &Requirement) {
        if !requirement.takes().is_empty() {
            self.0.remove(requirement);
        }
    }

    /// Whether it is known that such builds take more than is free.
    pub(crate) fn knows(&self, requirement: &Requirement) -> bool {
        self.0.contains_key(requirement)
    }

    /// What an agent saves up for.
    pub(crate) fn of(&self, agent: AgentId) -> Option<&Requirement> {
        self.0.iter().find(|(_, saving)| saving.by == Some(agent)).map(|(requirement, _)| &**requirement)
    }
}

/// What is left of what the builds of an agent share.
#[derive(Debug)]
pub(crate) struct Shelf<'a> {
    free: Resources,
    /// It is kept for what requires this.
    pub(crate) kept_for: Option<&'a Requirement>,
}

impl Shelf<'_> {
    /// What speaks against giving a build what it takes.
    pub(crate) fn objection(&self, requirement: &Requirement) -> Option<Objection> {
        let of = |amounts: &Resources, name: &String| amounts.get(name).copied().unwrap_or(0);
        let others = self.kept_for.filter(|kept_for| *kept_for != requirement);
        requirement.takes().iter().find_map(|(name, takes)| {
            let (name, takes, free) = (name.clone(), *takes, of(&self.free, name));
            let kept = others.map_or(0, |others| of(others.takes(), &name));
            if free < takes {
                Some(Objection::Taken { name, takes, free, saved_up: self.kept_for == Some(requirement) })
            } else {
                (free < takes + kept).then_some(Objection::Saved { name, takes, free, kept })
            }
        })
    }

    pub(crate) fn take(&mut self, requirement: &Requirement) {
        for (name, takes) in requirement.takes() {
            self.free.entry(name.clone()).and_modify(|free| *free = free.saturating_sub(*takes));
        }
    }
}

impl State {
    /// What is left at an agent.
    pub(crate) fn shelf(&self, id: AgentId, agent: &Agent) -> Shelf<'_> {
        let mut shelf = Shelf { free: agent.hello.resources.clone(), kept_for: None };
        if !shelf.free.is_empty() {
            let builds = agent.leases.values().filter_map(|held| self.builds.get(&held.build));
            builds.for_each(|node| shelf.take(&node.requirement));
            shelf.kept_for = self.savings.of(id);
        }
        shelf
    }

    /// Builds for which an agent saves up from now on, or another than before: one of those that could have it, the one that has
    /// enough first. At first none does: mostly enough comes free by itself.
    pub(crate) fn savers(&self, now: Heard, limits: &Limits) -> Vec<(BuildId, Option<AgentId>)> {
        let mut chosen: Vec<(BuildId, Option<AgentId>)> = Vec::new();
        for Saving { build, since, by } in self.savings.0.values() {
            let is_due = now.millis_since(*since) >= limits.save_up_after_millis;
            let Some(node) = self.builds.get(build).filter(|_| is_due) else { continue };
            let is_free = |id| self.savings.of(id).is_none() && chosen.iter().all(|(_, agent)| *agent != Some(id));
            let able = self.able(node, now, limits);
            let first = able
                .iter()
                .filter(|(id, _)| is_free(*id))
                .min_by_key(|(id, agent)| (self.enough_in_millis(node, agent, now), *id));
            let saver = by.filter(|by| able.iter().any(|(id, _)| id == by)).or(first.map(|(id, _)| *id));
            if saver != *by {
                chosen.push((*build, saver));
            }
        }
        chosen
    }

    /// The agents that could have a build, if they had enough of what it takes.
    fn able(&self, node: &Node, now: Heard, limits: &Limits) -> Vec<(AgentId, &Agent)> {
        let could = |(id, agent): &(AgentId, &Agent)| self.may_have(node, *id, agent, now, limits);
        Crew::of(self, now, limits).members.into_iter().filter(could).collect()
    }

    /// In how many milliseconds enough would be free there, if nothing else came.
    fn enough_in_millis(&self, node: &Node, agent: &Agent, now: Heard) -> u64 {
        let mut left: Vec<(u64, BuildId)> =
            agent.leases.values().map(|held| (held.left_millis(agent, now), held.build)).collect();
        left.sort_unstable();
        let mut free = agent.hello.resources.clone();
        // The last ones to end are those that stay: from the end, until they are too many.
        for (millis, build) in left.into_iter().rev() {
            let taken = self.builds.get(&build).map(|node| node.requirement.takes());
            for (name, takes) in taken.into_iter().flatten() {
                free.entry(name.clone()).and_modify(|free| *free = free.saturating_sub(*takes));
            }
            if node.requirement.takes().iter().any(|(name, takes)| free.get(name).is_none_or(|free| free < takes)) {
                return millis;
            }
        }
        0
    }
}

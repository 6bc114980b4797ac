//! Those who build, and which of them are faster than others for what a build requires: whom the builds are kept for on which
//! all others wait.

use std::collections::BTreeMap;

use drover_messages::AgentId;

use crate::agent::Agent;
use crate::limits::{Limits, Order};
use crate::links::Node;
use crate::pace::Pace;
use crate::place::Requirement;
use crate::state::State;
use crate::time::Heard;

/// Shorter builds are kept for nobody, in milliseconds.
const KEPT_LEAST_MILLIS: u64 = 5_000;
/// As many builds are kept as faster agents have slots, and no more than this.
const KEPT_MAX: usize = 128;

/// All agents that take builds, now or when a slot is free.
pub(crate) struct Crew<'a> {
    pub(crate) members: Vec<(AgentId, &'a Agent)>,
    /// For each requirement that was asked for: what those take that may have it, and their slots.
    able: BTreeMap<&'a Requirement, Vec<(Pace, usize)>>,
}

/// Agents that are notably faster than some other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Faster {
    /// The fastest of them.
    pub(crate) fastest: Pace,
    /// How many builds are kept for them.
    pub(crate) slots: usize,
}

/// What is to be thought of while an agent that is not among the fastest looks for work: nothing that the last build
/// of all waits for should be there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Horizon {
    /// The longest path that was seen, in expected milliseconds.
    longest: u64,
}

impl<'a> Crew<'a> {
    pub(crate) fn of(state: &'a State, now: Heard, limits: &Limits) -> Self {
        let takes = |(id, agent): &(&AgentId, &Agent)| state.takes_builds(**id, agent, now, limits);
        let members = state.agents.iter().filter(takes).map(|(id, agent)| (*id, agent)).collect();
        Self { members, able: BTreeMap::new() }
    }

    /// Those that are notably faster than one with this pace, and may have what requires that.
    pub(crate) fn faster(&mut self, requirement: &'a Requirement, than: Pace) -> Option<Faster> {
        let Self { members, able } = self;
        let able = able.entry(requirement).or_insert_with(|| {
            let able = members.iter().filter(|(_, agent)| requirement.objection(&agent.hello).is_none());
            able.map(|(_, agent)| strength(agent)).collect()
        });
        Faster::of(able.iter().copied(), than)
    }

    /// The same of those that `may_have` a certain build.
    pub(crate) fn faster_that(&self, may_have: impl Fn(AgentId, &Agent) -> bool, than: Pace) -> Option<Faster> {
        let able = self.members.iter().filter(|(id, agent)| than.is_slower_than(agent.pace) && may_have(*id, agent));
        Faster::of(able.map(|(_, agent)| strength(agent)), than)
    }
}

impl Faster {
    /// Of these, with the slots of each.
    fn of(able: impl Iterator<Item = (Pace, usize)>, than: Pace) -> Option<Self> {
        let faster = able.filter(|(pace, _)| than.is_slower_than(*pace));
        let (fastest, slots) = faster.reduce(|(fastest, slots), (pace, more)| (fastest.min(pace), slots + more))?;
        Some(Self { fastest, slots: slots.min(KEPT_MAX) })
    }
}

/// How fast an agent is, and how much at once.
fn strength(agent: &Agent) -> (Pace, usize) {
    (agent.pace, agent.hello.max_parallel_builds as usize)
}

impl Horizon {
    pub(crate) fn new() -> Self {
        Self { longest: 0 }
    }

    /// Whether a build that is not on the fastest agent delays nothing, in what it and all that hangs on it would take; and
    /// that time. What hangs on it counts by half more than the fastest take, and a fifth of the longest path is for mistakes.
    pub(crate) fn allows(&mut self, node: &Node, pace: Pace, faster: Faster) -> Result<(), u64> {
        self.longest = self.longest.max(node.weight.path_millis);
        let rest = node.weight.path_millis.saturating_sub(node.expected_millis);
        let ends = pace.takes(node.expected_millis).saturating_add(faster.fastest.takes(rest).saturating_mul(3) / 2);
        let ends_by = faster.fastest.takes(self.longest) / 5 * 4;
        if ends <= ends_by { Ok(()) } else { Err(ends) }
    }
}

impl State {
    /// Whether it is known what a build takes, of others like it, and that this is long.
    pub(crate) fn is_known(&self, node: &Node) -> bool {
        node.expected_millis >= KEPT_LEAST_MILLIS && self.durations.is_built(node.package)
    }

    /// Whether a build may be kept for faster agents than one of this pace: for no longer than it would take there, since
    /// guesses may be wrong and agents hang.
    pub(crate) fn may_be_kept(&self, node: &Node, pace: Pace, now: Heard) -> bool {
        let kept_millis = node.kept_since.map_or(0, |since| now.millis_since(since));
        self.order == Order::Full && self.is_known(node) && kept_millis <= pace.takes(node.expected_millis)
    }
}

//! An agent that takes builds, as it is while they are given away: what it has room for, and when it would be done.

use std::collections::VecDeque;

use drover_messages::{AgentId, BuildId};

use crate::agent::Agent;
use crate::limits::Limits;
use crate::links::Node;
use crate::place::{Objection, Resources};
use crate::queue::Offered;
use crate::slots::Slots;
use crate::state::State;
use crate::time::Heard;

/// Shorter builds wait for nobody, in milliseconds.
const WAITS_LEAST_MILLIS: u64 = 5_000;
/// What is won by waiting is this part of the build at least.
const WON_PART: u64 = 10;

/// An agent that takes builds, as it is after what it was just given.
pub(crate) struct Taker<'a> {
    pub(crate) id: AgentId,
    pub(crate) agent: &'a Agent,
    /// How many builds more.
    pub(crate) room: u32,
    /// Nothing that is ready is left for it.
    pub(crate) ended: bool,
    /// What is left of what its builds share.
    pub(crate) free: Resources,
    pub(crate) line: Offered<'a>,
    /// Builds that came up in its line, and for which another was taken first.
    pub(crate) passed: VecDeque<BuildId>,
    /// How many it has.
    pub(crate) taken: u32,
    /// When they are over.
    pub(crate) slots: Slots,
    /// The memory that it has beside them, in MiB, where that is known.
    pub(crate) memory_mib: Option<u64>,
}

impl Taker<'_> {
    /// When a build would be over that is the next there, in milliseconds from now.
    pub(crate) fn done_in_millis(&self, node: &Node) -> u64 {
        self.slots.free_in_millis().saturating_add(self.agent.pace.takes(node.expected_millis))
    }

    /// The build is to be the next there, whether it was given or waits for it.
    pub(crate) fn reserve(&mut self, node: &Node) {
        self.slots.begin(self.agent.pace.takes(node.expected_millis));
    }

    /// It was given one more.
    pub(crate) fn give(&mut self, node: &Node, memory_mib: u64) {
        self.room = self.room.saturating_sub(1);
        self.taken += 1;
        self.reserve(node);
        self.memory_mib = self.memory_mib.map(|mib| mib.saturating_sub(memory_mib));
        for (name, takes) in node.requirement.takes() {
            self.free.entry(name.clone()).and_modify(|free| *free = free.saturating_sub(*takes));
        }
    }
}

impl State {
    /// An agent that takes builds, now or when a slot is free.
    pub(crate) fn taker<'a>(&'a self, id: AgentId, agent: &'a Agent, now: Heard, limits: &Limits) -> Option<Taker<'a>> {
        if self.objection_to_any(id, agent, now, limits).is_some_and(|objection| !matches!(objection, Objection::Full { .. })) {
            return None;
        }
        Some(Taker {
            id,
            agent,
            room: self.room(agent, now, limits),
            ended: false,
            free: self.free(agent),
            line: self.ready.for_agent(agent),
            passed: VecDeque::new(),
            taken: (agent.leases.len() + agent.stopping.len()) as u32,
            slots: self.slots(agent, now),
            memory_mib: agent.hello.beat.memory_free_mib,
        })
    }

    /// Whether it is known what a build takes, of others like it.
    pub(crate) fn is_known(&self, node: &Node) -> bool {
        node.expected_millis >= WAITS_LEAST_MILLIS && self.durations.get(&node.package).is_some()
    }

    /// A full agent that is done by then is to have this build, rather than this one; in milliseconds from now. No build is
    /// kept for longer than it would take here.
    pub(crate) fn worth_waiting_until(&self, node: &Node, taker: &Taker<'_>, now: Heard) -> Option<u64> {
        let least = node.expected_millis / WON_PART;
        let kept_millis = node.kept_since.map_or(0, |since| now.millis_since(since));
        let may_wait = self.is_known(node) && kept_millis <= taker.agent.pace.takes(node.expected_millis);
        may_wait.then(|| self.had_in_millis(node, taker).saturating_sub(least))
    }

    /// When a build would be over there that is the next, with what must be fetched before.
    pub(crate) fn had_in_millis(&self, node: &Node, taker: &Taker<'_>) -> u64 {
        taker.done_in_millis(node).saturating_add(self.fetch_millis(node, taker.agent))
    }
}

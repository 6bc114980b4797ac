//! An agent that takes builds, as it is while they are given away: what it has room for, and when it would be done.

use std::collections::VecDeque;

use drover_messages::AgentId;
use drover_messages::holdings::Holdings;

use crate::agent::Agent;
use crate::limits::Limits;
use crate::links::Node;
use crate::place::Resources;
use crate::queue::Offered;
use crate::slots::Slots;
use crate::state::State;
use crate::time::Heard;

/// An agent that takes builds, as it is after what it was just given.
pub(crate) struct Taker<'a> {
    pub(crate) id: AgentId,
    pub(crate) agent: &'a Agent,
    /// How many builds more.
    pub(crate) room: u32,
    /// What its store has, where that is known.
    pub(crate) holdings: Option<&'a Holdings>,
    /// What is left of what its builds share.
    pub(crate) free: Resources,
    /// What is ready that it may have; made when it looks.
    pub(crate) line: Option<Offered<'a>>,
    /// Builds that came up in its line and were passed over, in their order.
    pub(crate) passed: VecDeque<&'a Node>,
    /// How many it has.
    pub(crate) taken: u32,
    /// When they are over, where no slot is free.
    pub(crate) slots: Option<Slots>,
    /// The memory that it has beside them, in MiB, where that is known.
    pub(crate) memory_mib: Option<u64>,
}

impl Taker<'_> {
    /// When the next build would begin, in milliseconds from now.
    pub(crate) fn free_in_millis(&self) -> u64 {
        self.slots.as_ref().map_or(0, Slots::free_in_millis)
    }

    /// It was given one more.
    pub(crate) fn give(&mut self, node: &Node, memory_mib: u64) {
        self.room = self.room.saturating_sub(1);
        self.taken += 1;
        let takes = self.agent.pace.takes(node.expected_millis);
        self.slots.iter_mut().for_each(|slots| slots.begin(takes));
        self.memory_mib = self.memory_mib.map(|mib| mib.saturating_sub(memory_mib));
        for (name, takes) in node.requirement.takes() {
            self.free.entry(name.clone()).and_modify(|free| *free = free.saturating_sub(*takes));
        }
    }
}

impl State {
    /// An agent that takes builds now.
    pub(crate) fn taker<'a>(&'a self, id: AgentId, agent: &'a Agent, now: Heard, limits: &Limits) -> Option<Taker<'a>> {
        let room = self.room(agent, now, limits);
        let taken = (agent.leases.len() + agent.stopping.len()) as u32;
        let is_full = taken >= agent.hello.max_parallel_builds;
        (room > 0).then(|| Taker {
            id,
            agent,
            room,
            holdings: self.holdings.get(&agent.hello.store),
            free: self.free(agent),
            line: None,
            passed: VecDeque::new(),
            taken,
            slots: is_full.then(|| Slots::of(agent, now)),
            memory_mib: agent.hello.beat.memory_free_mib,
        })
    }
}

//! An agent that takes builds, as it is while they are given away: what it has room for, and when it would be done.

use std::collections::VecDeque;

use drover_messages::AgentId;
use drover_messages::holdings::Holdings;

use crate::agent::Agent;
use crate::limits::Limits;
use crate::links::Node;
use crate::place::{Objection, Requirement};
use crate::queue::Offered;
use crate::savings::Shelf;
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
    pub(crate) shelf: Shelf<'a>,
    /// What it saves that up for. What comes before that may have it.
    pub(crate) saves_for: Option<&'a Requirement>,
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

    /// Whether it has too little left for what requires this. No more of that comes up then; and if it saves up for it, what
    /// comes after it gets nothing of what it saves.
    pub(crate) fn lacks_for(&mut self, requirement: &Requirement) -> bool {
        let objection = self.shelf.objection(requirement);
        if let (Some(_), Some(line)) = (&objection, &mut self.line) {
            line.leave(requirement);
        }
        let lacks = matches!(objection, Some(Objection::Taken { .. }));
        if lacks && self.saves_for == Some(requirement) {
            self.shelf.kept_for = self.saves_for;
        }
        lacks
    }

    /// It saves up for nothing more, and looks at everything again.
    pub(crate) fn stop_saving(&mut self) {
        (self.saves_for, self.shelf.kept_for, self.line) = (None, None, None);
        self.passed.clear();
    }

    /// It was given one more.
    pub(crate) fn give(&mut self, node: &Node, memory_mib: u64) {
        self.room = self.room.saturating_sub(1);
        self.taken += 1;
        let takes = self.agent.pace.takes(node.expected_millis);
        self.slots.iter_mut().for_each(|slots| slots.begin(takes));
        self.memory_mib = self.memory_mib.map(|mib| mib.saturating_sub(memory_mib));
        self.shelf.take(&node.requirement);
    }
}

impl State {
    /// An agent that takes builds now.
    pub(crate) fn taker<'a>(&'a self, id: AgentId, agent: &'a Agent, now: Heard, limits: &Limits) -> Option<Taker<'a>> {
        let room = self.room(agent, now, limits);
        let taken = (agent.leases.len() + agent.stopping.len()) as u32;
        let is_full = taken >= agent.hello.max_parallel_builds;
        if room == 0 {
            return None;
        }
        let mut shelf = self.shelf(id, agent);
        Some(Taker {
            id,
            agent,
            room,
            holdings: self.holdings.get(&agent.hello.store),
            saves_for: shelf.kept_for.take(),
            shelf,
            line: None,
            passed: VecDeque::new(),
            taken,
            slots: is_full.then(|| Slots::of(agent, now)),
            memory_mib: agent.hello.beat.memory_free_mib,
        })
    }
}

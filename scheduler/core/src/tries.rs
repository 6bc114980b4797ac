//! What was tried, by whom: attempts of builds in memory, and the leases that agents hold for them.

use std::collections::BTreeMap;

use drover_messages::{AgentId, AttemptId, BuildId};

use crate::Illegal;
use crate::agent::Held;
use crate::attempt::Attempt;
use crate::limits::ATTEMPTS_REMEMBERED;
use crate::links::ItemNo;
use crate::state::{State, Turn, unknown};
use crate::time::Heard;

impl State {
    pub(crate) fn start(&mut self, id: BuildId, attempt: Attempt) -> Result<Vec<Turn>, Illegal> {
        self.next_epoch = self.next_epoch.max(attempt.epoch.n + 1);
        if self.holdings.contains_key(&attempt.store) {
            let inputs: Vec<ItemNo> = self.node(id)?.inputs.iter().map(|edge| edge.item).collect();
            self.store_gains(&attempt.store, inputs);
        }
        let node = self.builds.get_mut(&id).ok_or_else(|| unknown(id))?;
        self.tried_by.entry(attempt.agent).or_default().insert(id);
        node.build.attempts.push(attempt);
        let spare = node.build.attempts.len().saturating_sub(ATTEMPTS_REMEMBERED);
        let oldest = node.build.attempts.iter().position(|a| a.state.is_settled()).filter(|_| spare > 0);
        if let Some(forgotten) = oldest.map(|at| node.build.attempts.remove(at))
            && !node.build.attempts.iter().any(|attempt| attempt.agent == forgotten.agent)
        {
            self.forget_tried(forgotten.agent, id);
        }
        Ok(Vec::new())
    }

    pub(crate) fn attempt_mut(&mut self, build: BuildId, attempt: AttemptId) -> Result<&mut Attempt, Illegal> {
        let node = self.builds.get_mut(&build).ok_or_else(|| unknown(build))?;
        node.build.attempt_mut(attempt).ok_or_else(|| unknown(attempt))
    }

    pub(crate) fn set_unanswered(&mut self, agent: AgentId, attempt: AttemptId, since: Option<Heard>) {
        let held = self.agents.get_mut(&agent).and_then(|agent| agent.leases.get_mut(&attempt));
        if let Some(held) = held {
            held.again |= held.unanswered_since.is_some() && since.is_some();
            held.unanswered_since = since;
            held.since = held.since.or(since);
        }
    }

    /// The leases that are recorded for an agent, when it says hello for the first time in this process. They count as
    /// offered and not answered: offered again, they are answered the same.
    pub(crate) fn leases_of(&self, agent: AgentId) -> BTreeMap<AttemptId, Held> {
        let leased = self.tried_by(agent).filter_map(|build| Some((build.id, build.state.lease()?)));
        let of_agent = leased.filter(|(_, lease)| lease.agent == agent);
        of_agent
            .filter_map(|(build, lease)| {
                let node = self.builds.get(&build)?;
                let held = Held::of(build, node.expected_millis, self.durations.is_built(node.package));
                Some((lease.attempt, Held { unanswered_since: Some(Heard::default()), ..held }))
            })
            .collect()
    }

    pub(crate) fn forget_tried(&mut self, agent: AgentId, build: BuildId) {
        let Some(builds) = self.tried_by.get_mut(&agent) else { return };
        builds.remove(&build);
        if builds.is_empty() {
            self.tried_by.remove(&agent);
        }
    }
}

//! Whether a state that was made from what was recorded is the one that is in memory.

use std::collections::BTreeMap;

use drover_store::StorePath;

use super::{Discrepancy, same};
use crate::change::Change;
use crate::item::{Item, ItemState};
use crate::state::State;

impl State {
    /// Compares a state that was just taken back from its records with this one. Of what no record has, it is told who the
    /// agents are, for what can be had where hangs on that.
    pub fn audit_replay(&self, mut replayed: State) -> Result<(), Discrepancy> {
        for (agent, known) in &self.agents {
            let hello = Box::new(known.hello.clone());
            let _ = replayed.apply(&Change::AgentHello { agent: *agent, hello, heard: known.heard });
        }
        replayed.audit()?;
        let builds = |state: &State| state.builds().map(|build| build.id).collect::<Vec<_>>();
        same("what is open in the replayed state", &builds(&replayed), &builds(self))?;
        for build in self.builds() {
            same(format!("{} in the replayed state", build.id), &replayed.whole(build.id), &self.whole(build.id))?;
        }
        same("items in the replayed state", &replayed.known_items(), &self.known_items())?;
        let owed = |state: &State| state.owed().cloned().collect::<Vec<_>>();
        same("what is owed in the replayed state", &owed(&replayed), &owed(self))?;
        for id in self.members.keys() {
            same(format!("{id} in the replayed state"), &replayed.submission(*id), &self.submission(*id))?;
        }
        let trusted = |state: &State| state.agents.iter().map(|(id, agent)| (*id, agent.breaker.clone())).collect::<Vec<_>>();
        same("who is trusted in the replayed state", &trusted(&replayed), &trusted(self))?;
        same("who was here before the replayed state", &replayed.absent, &self.absent)?;
        same("who is drained in the replayed state", &replayed.drained, &self.drained)?;
        same("what was cancelled ahead in the replayed state", &replayed.cancelled_ahead, &self.cancelled_ahead)?;
        same("what clients have used in the replayed state", replayed.shares.all_used(), self.shares.all_used())?;
        same("what packages took in the replayed state", &replayed.durations.all(), &self.durations.all())
    }

    /// Items that something in memory cares for; what nobody has is known without a record.
    fn known_items(&self) -> BTreeMap<&StorePath, &Item> {
        let items = self.items.iter().filter(|entry| !entry.is_idle()).map(|entry| (&entry.path, &entry.item));
        items.filter(|(_, item)| item.state != ItemState::Wanted || item.losses > 0).collect()
    }
}

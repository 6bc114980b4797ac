//! Giving work: leases to agents with room, questions to the pool `publish`.

use std::collections::BTreeSet;

use drover_messages::event::What;
use drover_messages::offer::{Input, Offer};
use drover_messages::publish::Publish;
use drover_messages::{AgentId, AttemptId, BuildId, Epoch};

use super::Step;
use crate::attempt::{Attempt, AttemptState};
use crate::build::{Build, BuildEvent, Lease};
use crate::change::Change;
use crate::item::ItemState;
use crate::outcome::Effect;

impl<'a> Step<'a> {
    pub(super) fn dispatch(&mut self) {
        self.ask();
        if !self.state.gives_leases(self.now.heard) {
            return;
        }
        for (n, (agent, build)) in self.matches().into_iter().enumerate() {
            let epoch = Epoch { generation: self.state.generation, n: self.state.next_epoch + n as u64 };
            self.lease(agent, build, epoch);
        }
    }

    /// Who gets what: in each round every agent with room takes the first that it may have, the idlest agent first.
    fn matches(&self) -> Vec<(AgentId, &'a Build)> {
        let beyond = self.limits.offers_beyond_slots;
        let state = self.state;
        let mut takers: Vec<_> = state
            .agents
            .iter()
            .map(|(id, agent)| (agent.room(beyond), *id, state.ready.for_agent(agent)))
            .filter(|(room, ..)| *room > 0)
            .collect();
        let mut taken: BTreeSet<BuildId> = BTreeSet::new();
        let mut matches = Vec::new();
        while !takers.is_empty() {
            takers.sort_by_key(|(room, id, _)| (std::cmp::Reverse(*room), *id));
            takers.retain_mut(|(room, id, line)| {
                let Some(build) = line.find(|build| !taken.contains(build)).and_then(|id| state.build(id)) else {
                    return false;
                };
                taken.insert(build.id);
                matches.push((*id, build));
                *room -= 1;
                *room > 0
            });
        }
        matches
    }

    fn lease(&mut self, agent: AgentId, build: &Build, epoch: Epoch) {
        let Some(known) = self.state.agents.get(&agent) else { return };
        let id = AttemptId::derived(build.id, epoch);
        let attempt = Attempt {
            id,
            agent,
            store: known.hello.store.clone(),
            epoch,
            state: AttemptState::Running,
            times: None,
            log: None,
            already_valid: false,
        };
        let until = self.now.heard.plus_millis(self.limits.lease_millis);
        self.change(Change::AttemptStarted { build: build.id, attempt });
        self.build_event(build.id, BuildEvent::Lease(Lease { attempt: id, agent, epoch, until }));
        self.change(Change::Offered { agent, attempt: id, heard: self.now.heard });
        self.event(What::BuildLeased { build: build.id, attempt: id, agent, epoch });
        let offer = Box::new(self.offer(build, id, epoch));
        self.effect(Effect::Offer { agent, offer });
    }

    /// The offer of an attempt, as it stands now.
    pub(super) fn offer(&self, build: &Build, attempt: AttemptId, epoch: Epoch) -> Offer {
        let recipe = &build.recipe;
        let inputs = recipe.inputs.iter().map(|path| {
            let available = self.state.item(path).is_some_and(ItemState::is_available);
            Input { path: path.clone(), available }
        });
        Offer {
            generation: self.state.generation,
            epoch,
            attempt,
            build: build.id,
            store_dir: recipe.store_dir.clone(),
            drv: recipe.drv.clone(),
            pack: recipe.pack,
            inputs: inputs.collect(),
        }
    }

    /// Asks for publications, the most urgent first, so many at once.
    fn ask(&mut self) {
        let room = self.limits.asked_at_once.saturating_sub(self.state.asked.len());
        for (urgency, _, id) in self.state.askable.iter().take(room) {
            let Some(owed) = self.state.owed.get(id) else { continue };
            let publication = owed.publication.clone();
            self.out.changes.push(Change::Asked { publication: *id, heard: Some(self.now.heard) });
            self.out.effects.push(Effect::Ask {
                urgency: urgency.0,
                publish: Box::new(Publish {
                    publication: *id,
                    generation: self.state.generation,
                    store_dir: publication.store_dir,
                    path: publication.path,
                    references: publication.references,
                    nar: publication.nar,
                    origin: publication.origin,
                }),
            });
        }
    }
}

//! Giving work: leases to agents with room, questions to the pool `publish`.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::event::What;
use drover_messages::offer::{Input, Offer};
use drover_messages::publish::Publish;
use drover_messages::{AgentId, AttemptId, BuildId, ClientId, Epoch};
use drover_store::StorePath;

use super::Step;
use crate::agent::Agent;
use crate::attempt::Attempt;
use crate::build::{Build, BuildEvent, BuildState, Lease, Place};
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

    /// Who gets what: in each round every agent with room takes the first that it may have, the idlest agent first. What is
    /// given counts at once as used.
    fn matches(&self) -> Vec<(AgentId, &'a Build)> {
        let beyond = self.limits.offers_beyond_slots;
        let state = self.state;
        let mut takers: Vec<_> = state
            .agents
            .iter()
            .map(|(id, agent)| (agent.room(beyond), *id, state.ready.for_agent(agent)))
            .filter(|(room, id, _)| *room > 0 && !state.agents[id].is_stuck(self.now.heard, self.limits))
            .collect();
        let mut taken: BTreeSet<BuildId> = BTreeSet::new();
        let mut given: BTreeMap<ClientId, (u32, u64)> = BTreeMap::new();
        let mut matches = Vec::new();
        while !takers.is_empty() {
            takers.sort_by_key(|(room, id, _)| (std::cmp::Reverse(*room), *id));
            takers.retain_mut(|(room, id, line)| {
                let share = |client| self.share(client, given.get(&client).copied().unwrap_or_default());
                let fits = |build: &&Build| !taken.contains(&build.id) && !self.is_for_another(build, *id);
                let mut fresh = std::iter::from_fn(|| line.next(share)).filter_map(|build| state.build(build));
                let Some(build) = fresh.find(fits) else { return false };
                taken.insert(build.id);
                let (leases, millis) = given.entry(state.client_of(build.submission)).or_default();
                *leases += 1;
                *millis += state.builds.get(&build.id).map_or(0, |node| node.expected_millis);
                matches.push((*id, build));
                *room -= 1;
                *room > 0
            });
        }
        matches
    }

    /// What a client uses, with what it is just given; nothing, if it may not have more.
    fn share(&self, client: ClientId, (leases, millis): (u32, u64)) -> Option<u64> {
        let shares = &self.state.shares;
        let more = shares.leases(client) + leases < self.limits.slots_per_client;
        more.then(|| shares.of(client, self.now.heard).saturating_add(millis))
    }

    /// Whether a build that failed on this agent by the farm's fault can be tried by one on which it has not.
    fn is_for_another(&self, build: &Build, agent: AgentId) -> bool {
        let untried = |(id, other): (&AgentId, &Agent)| {
            let here = match &build.state {
                BuildState::Ready(Place::Stores(stores)) => stores.contains(&other.hello.store),
                _ => true,
            };
            other.alive && other.not_ready.is_none() && here && other.fits(&build.recipe) && !build.has_failed_on(*id)
        };
        build.has_failed_on(agent) && self.state.agents.iter().any(untried)
    }

    fn lease(&mut self, agent: AgentId, build: &Build, epoch: Epoch) {
        let Some(known) = self.state.agents.get(&agent) else { return };
        let id = AttemptId::derived(build.id, epoch);
        let attempt = Attempt::begin(id, agent, known.hello.store.clone(), epoch);
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
            let available = self.state.item(path).is_some_and(ItemState::can_be_fetched);
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
            // The shell knows the packs.
            closure: Vec::new(),
            inputs: inputs.collect(),
            mode: build.mode,
        }
    }

    /// Asks for publications, the most urgent first, so many at once.
    fn ask(&mut self) {
        let room = self.limits.asked_at_once.saturating_sub(self.state.asked.len());
        for (urgency, _, id) in self.state.askable.iter().take(room) {
            let Some(owed) = self.state.owed.get(id) else { continue };
            let publication = owed.publication.clone();
            let is_elsewhere = |path: &&StorePath| self.state.item(path).is_some_and(|state| state.servers().is_some());
            let elsewhere = publication.references.iter().filter(is_elsewhere).cloned().collect();
            self.out.changes.push(Change::Asked { publication: *id, heard: Some(self.now.heard) });
            self.out.effects.push(Effect::Ask {
                urgency: urgency.0,
                publish: Box::new(Publish {
                    publication: *id,
                    generation: self.state.generation,
                    store_dir: publication.store_dir,
                    path: publication.path,
                    references: publication.references,
                    elsewhere,
                    nar: publication.nar,
                    origin: publication.origin,
                    // The shell knows the packs.
                    closure: Vec::new(),
                }),
            });
        }
    }
}

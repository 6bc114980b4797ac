//! Giving work: leases to agents with room, questions to the pool `publish`.

use drover_messages::event::What;
use drover_messages::offer::{Input, Offer};
use drover_messages::publish::{Origin, Publish};
use drover_messages::{AgentId, AttemptId, Epoch};
use drover_store::StorePath;

use super::Step;
use super::matching::{Match, Matches};
use crate::attempt::Attempt;
use crate::build::{Build, BuildEvent, Lease};
use crate::change::Change;
use crate::outcome::Effect;
use crate::owed::Publication;

/// Of the builds that are given away at once, the reasons of so many are told as events.
const PLACEMENTS_TOLD: usize = 4;
/// About as many changes follow from a lease.
const CHANGES_OF_A_LEASE: usize = 4;

impl Step<'_> {
    pub(super) fn dispatch(&mut self) {
        self.ask();
        if !self.state.gives_leases(self.now.heard) {
            return;
        }
        let mut untold = PLACEMENTS_TOLD;
        let Matches { given, kept, short } = self.matches();
        for build in kept {
            self.change(Change::Kept { build, heard: self.now.heard });
        }
        for build in short.into_values() {
            self.change(Change::Short { build, heard: self.now.heard });
        }
        self.out.changes.reserve(CHANGES_OF_A_LEASE * given.len());
        self.out.effects.reserve(given.len());
        for (n, matched) in given.into_iter().enumerate() {
            let Match { agent, build, placement } = matched;
            let epoch = Epoch { generation: self.state.generation, n: self.state.next_epoch + n as u64 };
            let attempt = AttemptId::derived(build.id, epoch);
            self.lease(agent, build, attempt, epoch);
            if let Some(placement) = placement {
                if untold > 0 {
                    untold -= 1;
                    self.event(What::BuildPlaced { build: build.id, attempt, placement: placement.clone() });
                }
                self.change(Change::Placed { attempt, placement: Box::new(placement) });
            }
        }
    }

    fn lease(&mut self, agent: AgentId, build: &Build, id: AttemptId, epoch: Epoch) {
        let Some(known) = self.state.agents.get(&agent) else { return };
        let attempt = Box::new(Attempt::begin(id, agent, known.hello.store.clone(), epoch));
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
        let inputs =
            self.state.inputs(build.id).map(|(path, item)| Input { path: path.clone(), available: item.state.can_be_fetched() });
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
        for owed in self.state.next_debts(self.limits) {
            let mut publication = Publication::clone(&owed.publication);
            self.name_candidates(&mut publication.origin);
            let elsewhere = self.elsewhere(&publication.references);
            self.out.changes.push(Change::Asked { publication: publication.id, heard: Some(self.now.heard) });
            self.out.effects.push(Effect::Ask {
                urgency: owed.urgency,
                publish: Box::new(Publish {
                    publication: publication.id,
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

    /// Those of these paths that other servers have.
    fn elsewhere(&self, paths: &[StorePath]) -> Vec<StorePath> {
        if !self.state.reach.has_items() {
            return Vec::new();
        }
        let is_elsewhere = |path: &&StorePath| self.state.item(path).is_some_and(|state| state.servers().is_some());
        paths.iter().filter(is_elsewhere).cloned().collect()
    }

    /// What an output could refer to: its build's inputs, and all that the build makes.
    fn name_candidates(&self, origin: &mut Origin) {
        if let Origin::Output { build, candidates, .. } = origin
            && candidates.is_empty()
            && let Some(build) = self.state.build(*build)
        {
            *candidates = self.state.inputs(build.id).map(|(path, _)| path).chain(build.products()).cloned().collect();
        }
    }
}

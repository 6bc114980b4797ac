//! Which builds need and make which items, what that means for each of them, and what counts them.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::{AgentId, AttemptId, BuildId, ClientId, StoreId};
use drover_store::StorePath;
use hashbrown::HashMap;

use super::{Discrepancy, same};
use crate::build::BuildState;
use crate::item::ItemState;
use crate::links::{BuildNo, Entry};
use crate::needs::Needs;
use crate::package::Package;
use crate::share::Shares;
use crate::state::State;

type ByItem = BTreeMap<StorePath, BTreeSet<BuildId>>;
type Users = BTreeMap<StorePath, u32>;

impl State {
    pub(super) fn audit_links(&self) -> Result<(), Discrepancy> {
        let (mut makers, mut users, mut dependents) = (ByItem::new(), Users::new(), ByItem::new());
        for node in self.builds.values() {
            let id = node.build.id;
            same(format!("whether {id} is linked"), &node.linked, &!node.build.state.is_over())?;
            for path in node.build.products() {
                makers.entry(path.clone()).or_default().insert(id);
            }
            for (path, _) in self.inputs(id) {
                *users.entry(path.clone()).or_default() += 1;
                if node.linked {
                    dependents.entry(path.clone()).or_default().insert(id);
                }
            }
        }
        same("who makes what", &self.by_item(|entry| self.makers(&entry.path).map(|build| build.id).collect()), &makers)?;
        same("who needs what", &self.by_item(|entry| self.dependents(&entry.path).map(|build| build.id).collect()), &dependents)?;
        for entry in self.items.iter() {
            let open = self.makers(&entry.path).filter(|build| !build.state.is_over()).count() as u32;
            same(format!("how many may still make {}", entry.path), &entry.open_makers(), &open)?;
        }
        let is = self.items.iter().filter(|entry| entry.users > 0).map(|entry| (entry.path.clone(), entry.users));
        same("how many have to do with what", &is.collect(), &users)
    }

    fn by_item(&self, of: impl Fn(&Entry) -> BTreeSet<BuildId>) -> ByItem {
        let all = self.items.iter().map(|entry| (entry.path.clone(), of(entry)));
        all.filter(|(_, builds)| !builds.is_empty()).collect()
    }

    /// What items mean to builds, and builds to items.
    pub(super) fn audit_inputs(&self) -> Result<(), Discrepancy> {
        for entry in self.items.iter() {
            self.audit_offers(entry)?;
        }
        for node in self.builds.values() {
            let id = node.build.id;
            let needs = if node.linked { self.needs_of(node) } else { Needs::default() };
            same(format!("what {id} lacks"), &node.needs.sorted(), &needs.sorted())?;
            if node.build.state.follows_inputs() {
                same(format!("the state of {id}"), &node.build.state, &self.inputs_of_node(node).into())?;
            }
        }
        Ok(())
    }

    fn audit_offers(&self, entry: &Entry) -> Result<(), Discrepancy> {
        let (state, offers) = (&entry.item.state, &entry.offers);
        let here = state.stores().into_iter().flatten();
        let elsewhere = state.servers().into_iter().flat_map(|servers| self.reach.stores(servers));
        let stores: BTreeSet<StoreId> = here.chain(elsewhere).cloned().collect();
        let is: BTreeSet<StoreId> = offers.at().iter().filter_map(|no| self.stores.get(*no)).collect();
        let nobody_has_it = matches!(state, ItemState::Wanted | ItemState::Lost);
        let blocked_by = self.hopeless_behind(entry).filter(|_| nobody_has_it);
        let path = &entry.path;
        same(format!("where {path} is"), &is, &stores)?;
        same(format!("what stands in the way of {path}"), &offers.blocked_by(), &blocked_by)?;
        let can = (state.is_available(), state.can_be_fetched());
        same(format!("whether {path} can be fetched"), &(offers.available, offers.fetchable), &can)
    }

    /// Blocked are exactly those that need something that nobody has, and that can come only from builds that failed, were
    /// given up or cancelled, or are blocked themselves. Each names one that is not.
    pub(super) fn audit_blocks(&self) -> Result<(), Discrepancy> {
        let mut hopeless: BTreeSet<BuildId> = self
            .builds()
            .filter(|build| !build.state.follows_inputs() && !build.state.is_hopeful())
            .map(|build| build.id)
            .collect();
        let culprits = hopeless.clone();
        loop {
            let follow = self.builds().filter(|build| build.state.follows_inputs() && !hopeless.contains(&build.id));
            let stuck = |path: &StorePath| self.is_cut_off(path, &hopeless);
            let more: Vec<BuildId> =
                follow.filter(|build| self.inputs(build.id).any(|(path, _)| stuck(path))).map(|build| build.id).collect();
            if more.is_empty() {
                break;
            }
            hopeless.extend(more);
        }
        for build in self.builds().filter(|build| build.state.follows_inputs()) {
            let (is, blocked) = match &build.state {
                BuildState::Blocked { by } => (culprits.contains(by), true),
                _ => (true, false),
            };
            same(format!("whether {} is blocked", build.id), &blocked, &hopeless.contains(&build.id))?;
            same(format!("whether {} is blocked by something that is over", build.id), &is, &true)?;
        }
        Ok(())
    }

    fn is_cut_off(&self, path: &StorePath, hopeless: &BTreeSet<BuildId>) -> bool {
        let Some(entry) = self.items.get(path) else { return false };
        let nobody_has_it = matches!(entry.item.state, ItemState::Wanted | ItemState::Lost);
        let makers: BTreeSet<BuildId> = self.makers(path).map(|build| build.id).collect();
        nobody_has_it && !makers.is_empty() && makers.is_subset(hopeless)
    }

    /// Each build has at most one lease, which its agent is known to have.
    pub(super) fn audit_leases(&self) -> Result<(), Discrepancy> {
        let mut held: BTreeMap<AgentId, BTreeMap<AttemptId, BuildId>> = BTreeMap::new();
        let mut shares = Shares::default();
        for node in self.builds.values() {
            let id = node.build.id;
            let Some(lease) = node.build.state.lease() else { continue };
            let attempt = node.build.attempt(lease.attempt).map(|attempt| attempt.agent);
            same(format!("who tries {id} under its lease"), &attempt, &Some(lease.agent))?;
            let waited_for = self.agents.contains_key(&lease.agent) || self.unheard.contains_key(&lease.agent);
            same(format!("whether {id} is given up when {} stays away", lease.agent), &waited_for, &true)?;
            shares.begin(node.client, node.expected_millis);
            if self.agents.contains_key(&lease.agent) {
                held.entry(lease.agent).or_default().insert(lease.attempt, id);
            }
        }
        for (id, agent) in &self.agents {
            let leases: BTreeMap<AttemptId, BuildId> =
                agent.leases.iter().map(|(attempt, held)| (*attempt, held.build)).collect();
            same(format!("what {id} holds"), &leases, held.entry(*id).or_default())?;
        }
        same("what clients have under way", self.shares.running(), shares.running())
    }

    /// Who has how many builds, and which builds are of which package and submission.
    pub(super) fn audit_counters(&self) -> Result<(), Discrepancy> {
        let mut of_client: BTreeMap<ClientId, u64> = BTreeMap::new();
        let mut of_package: HashMap<Package, BTreeSet<BuildNo>> = HashMap::new();
        let mut members = BTreeMap::new();
        let (mut deferred, mut tried_by, mut requirements) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
        for (no, node) in self.builds.numbers().filter_map(|no| Some((no, self.builds.at(no)?))) {
            let id = node.build.id;
            for attempt in &node.build.attempts {
                tried_by.entry(attempt.agent).or_insert_with(BTreeSet::new).insert(id);
            }
            *of_client.entry(node.client).or_default() += 1;
            requirements.insert(node.requirement.clone());
            of_package.entry(Package::of(&node.build.recipe)).or_default().insert(no);
            members.entry(node.build.submission).or_insert_with(BTreeSet::new).insert(no);
            if let BuildState::Deferred { until, .. } = &node.build.state {
                deferred.insert((*until, id));
            }
            same(format!("whether {id} is younger than the next"), &(node.build.seq < self.next_seq), &true)?;
            let expected = self.durations.at(node.package).map(|known| known.expected_millis(&node.build.recipe));
            same(format!("what {id} is expected to take"), &Some(node.expected_millis), &expected)?;
        }
        same("the builds of clients", &self.of_client, &of_client)?;
        same("what builds require", &self.requirements, &requirements)?;
        let idle = self.durations.iter().find(|known| known.builds.is_empty() && !known.is_built());
        same("a package of which nothing is known", &idle.map(|known| &known.package), &None)?;
        let some = self.durations.iter().filter(|known| !known.builds.is_empty());
        let is = some.map(|known| (Package::clone(&known.package), known.builds.clone())).collect();
        same("the builds of packages", &is, &of_package)?;
        let some = self.members.iter().filter(|(_, members)| !members.is_empty());
        same("the builds of submissions", &some.map(|(id, members)| (*id, members.clone())).collect(), &members)?;
        same("what is deferred", &self.deferred, &deferred)?;
        same("what agents have tried", &self.tried_by, &tried_by)
    }
}

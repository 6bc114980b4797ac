//! What follows from what: which builds wait for which items, and what a change of one means for the others.
//!
//! Nothing here is recorded. A completion costs the builds that need what it made, and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drover_messages::{BuildId, ClientId, PublicationId, StoreId, SubmissionId};
use drover_store::{StoreDir, StorePath};

use crate::agent::Held;
use crate::build::{Build, BuildEvent, BuildState, Inputs, Place};
use crate::durations::Package;
use crate::item::{Item, ItemState};
use crate::limits::AGE_STEP_MILLIS;
use crate::place::Requirement;
use crate::state::{State, Turn};
use crate::weight::Weight;

/// A build, and what is derived of it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) build: Build,
    /// For whom.
    pub(crate) client: ClientId,
    /// What an agent must be.
    pub(crate) requirement: Arc<Requirement>,
    pub(crate) weight: Weight,
    /// What it is expected to take, in milliseconds.
    pub(crate) expected_millis: u64,
    /// How much more urgent it is for having waited long.
    pub(crate) bonus: i32,
    needs: Needs,
    /// Whether its inputs count it among their dependents.
    pub(crate) linked: bool,
}

/// The inputs of a build that are not available.
#[derive(Debug, Default)]
struct Needs {
    missing: u32,
    blocked: BTreeMap<StorePath, BuildId>,
    at: BTreeMap<StoreId, u32>,
}

/// An item, and what is derived of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) item: Item,
    pub(crate) producers: BTreeSet<BuildId>,
    /// Open builds that need it.
    pub(crate) dependents: BTreeSet<BuildId>,
    /// Builds in memory that need it, also finished ones: these may be opened again, and must then find it as it is.
    users: BTreeSet<BuildId>,
    /// Publications that wait for it.
    pub(crate) awaiting: BTreeSet<PublicationId>,
    offers: Offers,
}

/// What an item means to those that need it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Offers {
    /// Everybody can fetch it.
    available: bool,
    /// Those who fetch what refers to it can, whatever they use beside the cache.
    fetchable: bool,
    /// Stores that have it, or that can fetch it from elsewhere.
    at: BTreeSet<StoreId>,
    blocked_by: Option<BuildId>,
}

impl Needs {
    fn add(&mut self, path: &StorePath, offers: &Offers) {
        if offers.available {
            return;
        }
        self.missing += 1;
        for store in &offers.at {
            *self.at.entry(store.clone()).or_default() += 1;
        }
        if let Some(by) = offers.blocked_by {
            self.blocked.insert(path.clone(), by);
        }
    }

    fn take(&mut self, path: &StorePath, offers: &Offers) {
        if offers.available {
            return;
        }
        self.missing -= 1;
        for store in &offers.at {
            if let Some(count) = self.at.get_mut(store) {
                *count -= 1;
            }
        }
        self.at.retain(|_, count| *count > 0);
        self.blocked.remove(path);
    }

    fn inputs(&self) -> Inputs {
        if let Some(by) = self.blocked.values().next() {
            return Inputs::BlockedBy(*by);
        }
        if self.missing == 0 {
            return Inputs::AtHand(Place::Anywhere);
        }
        let stores: BTreeSet<StoreId> =
            self.at.iter().filter(|(_, count)| **count == self.missing).map(|(store, _)| store.clone()).collect();
        if stores.is_empty() { Inputs::Missing(self.missing) } else { Inputs::AtHand(Place::Stores(stores)) }
    }
}

/// Something that may mean something else now.
enum Affected {
    Item(StorePath),
    Build(BuildId),
}

impl State {
    /// Enters a build that was not there.
    pub(crate) fn enter(&mut self, build: Build) -> Vec<Turn> {
        let (id, submission) = (build.id, build.submission);
        if self.builds.contains_key(&id) {
            return Vec::new();
        }
        self.next_seq = self.next_seq.max(build.seq + 1);
        self.members.entry(submission).or_default().insert(id);
        let products: Vec<StorePath> = build.products().cloned().collect();
        for path in &products {
            self.item_entry(&build.recipe.store_dir, path).producers.insert(id);
        }
        if let BuildState::Deferred { until, .. } = &build.state {
            self.deferred.insert((*until, id));
        }
        if let BuildState::Ready(place) = &build.state {
            // It is queued when its inputs say so, not because a record does.
            let missing = matches!(place, Place::Stores(_)) as u32;
            let build = Build { state: BuildState::Waiting { missing }, ..build };
            return self.enter_node(id, build, products);
        }
        self.enter_node(id, build, products)
    }

    fn enter_node(&mut self, id: BuildId, build: Build, products: Vec<StorePath>) -> Vec<Turn> {
        let expected_millis = self.durations.expected_millis(&build.recipe);
        let weight = Weight { urgency: build.priority, path_millis: expected_millis };
        for path in &build.recipe.inputs {
            self.item_entry(&build.recipe.store_dir, path).users.insert(id);
        }
        self.of_package.entry(Package::of(&build.recipe)).or_default().insert(id);
        let client = self.client_of(build.submission);
        if build.state.lease().is_some() {
            self.shares.begin(client, expected_millis);
        }
        *self.of_client.entry(client).or_default() += 1;
        let requirement = self.requirement(&build);
        let needs = Needs::default();
        let node = Node { build, client, requirement, weight, expected_millis, bonus: 0, needs, linked: false };
        self.builds.insert(id, node);
        self.link(id);
        self.weigh_entered(id);
        let affected = products.into_iter().map(Affected::Item).chain([Affected::Build(id)]).collect();
        self.settle(affected)
    }

    /// What a build requires, kept once for all that require the same.
    fn requirement(&mut self, build: &Build) -> Arc<Requirement> {
        let requirement = Requirement::of(build);
        match self.requirements.get(&requirement) {
            Some(known) => known.clone(),
            None => {
                let new = Arc::new(requirement);
                self.requirements.insert(new.clone());
                new
            }
        }
    }

    /// Sets the state that its table gave, and derives what follows.
    pub(crate) fn set_state(&mut self, id: BuildId, next: BuildState) -> Vec<Turn> {
        self.replace_state(id, next);
        let Some(node) = self.builds.get(&id) else { return Vec::new() };
        let products = node.build.products().cloned().map(Affected::Item);
        let affected = products.chain([Affected::Build(id)]).collect();
        self.settle(affected)
    }

    /// Keeps the queue, the delays, the links and the agents' leases in step with a build's state.
    fn replace_state(&mut self, id: BuildId, next: BuildState) {
        let Some(rank) = self.rank(id) else { return };
        let Some(node) = self.builds.get_mut(&id) else { return };
        let (client, expected, due) =
            (node.client, node.expected_millis, node.build.entered.plus_millis(AGE_STEP_MILLIS * (node.bonus as u64 + 1)));
        let before = std::mem::replace(&mut node.build.state, next);
        match &before {
            BuildState::Ready(place) => {
                self.ready.remove(&node.requirement, place, rank);
                self.ageing.remove(&(due, id));
            }
            BuildState::Deferred { until, .. } => {
                self.deferred.remove(&(*until, id));
            }
            BuildState::Leased(lease) => {
                let agent = self.agents.get_mut(&lease.agent);
                agent.map(|agent| agent.leases.remove(&lease.attempt));
                self.shares.end(client, expected);
            }
            _ => {}
        }
        match &node.build.state {
            BuildState::Ready(place) => {
                self.ready.insert(&node.requirement, place, rank);
                self.ageing.insert((due, id));
            }
            BuildState::Deferred { until, .. } => {
                self.deferred.insert((*until, id));
            }
            BuildState::Leased(lease) => {
                let held = Held { build: id, unanswered_since: None, missed: false };
                let agent = self.agents.get_mut(&lease.agent);
                agent.map(|agent| agent.leases.insert(lease.attempt, held));
                self.shares.begin(client, expected);
            }
            _ => {}
        }
        if !node.build.state.is_over() {
            return self.link(id);
        }
        self.unlink(id);
        self.weigh_inputs(id);
    }

    /// What its inputs make of an open build.
    pub(crate) fn inputs_of(&self, id: BuildId) -> Inputs {
        let Some(node) = self.builds.get(&id) else { return Inputs::Missing(0) };
        let inputs = node.needs.inputs();
        match inputs {
            Inputs::AtHand(_) if !self.is_live(node.build.submission) => Inputs::Missing(node.needs.missing),
            inputs => inputs,
        }
    }

    /// What the inputs of a finished build would make of it, were it open again.
    pub(crate) fn inputs_if_reopened(&self, build: &Build) -> Inputs {
        let mut needs = Needs::default();
        for path in &build.recipe.inputs {
            let unknown = Offers::default();
            needs.add(path, self.items.get(path).map_or(&unknown, |entry| &entry.offers));
        }
        needs.inputs()
    }

    /// The item's entry, made as wanted if there was none.
    pub(crate) fn item_entry(&mut self, store_dir: &StoreDir, path: &StorePath) -> &mut Entry {
        self.items.entry(path.clone()).or_insert_with(|| Entry::new(Item::wanted(store_dir.clone())))
    }

    /// Derives what follows from an item's new state.
    pub(crate) fn item_changed(&mut self, path: &StorePath) -> Vec<Turn> {
        self.settle(vec![Affected::Item(path.clone())])
    }

    /// Derives what follows from what these items mean now.
    pub(crate) fn items_changed(&mut self, paths: impl IntoIterator<Item = StorePath>) -> Vec<Turn> {
        self.settle(paths.into_iter().map(Affected::Item).collect())
    }

    /// Derives what follows for these builds.
    pub(crate) fn builds_changed(&mut self, builds: Vec<BuildId>) -> Vec<Turn> {
        self.settle(builds.into_iter().map(Affected::Build).collect())
    }

    /// Takes builds and items back from the database.
    pub(crate) fn recall(&mut self, builds: &[Build], items: &[(StorePath, Item)]) -> Vec<Turn> {
        for (path, item) in items {
            if !self.items.contains_key(path) {
                self.items.insert(path.clone(), Entry::new(item.clone()));
                self.reach.move_item(path, &ItemState::Wanted, &item.state);
                self.refresh_offers(path);
            }
        }
        builds.iter().flat_map(|build| self.enter(build.clone())).collect()
    }

    /// Takes a build out of memory, with the items that nothing else in memory cares for.
    pub(crate) fn forget(&mut self, id: BuildId) {
        self.unlink(id);
        let Some(node) = self.builds.remove(&id) else { return };
        if let Some(count) = self.of_client.get_mut(&node.client) {
            *count -= 1;
        }
        let package = Package::of(&node.build.recipe);
        if let Some(builds) = self.of_package.get_mut(&package) {
            builds.remove(&id);
            if builds.is_empty() {
                self.of_package.remove(&package);
            }
        }
        for path in node.build.products() {
            if let Some(entry) = self.items.get_mut(path) {
                entry.producers.remove(&id);
            }
        }
        for path in &node.build.recipe.inputs {
            if let Some(entry) = self.items.get_mut(path) {
                entry.users.remove(&id);
            }
        }
        for path in node.build.products().chain(&node.build.recipe.inputs) {
            self.forget_idle(path);
        }
        self.members.entry(node.build.submission).or_default().remove(&id);
        self.forget_submission(node.build.submission);
    }

    /// Takes a submission out of memory, if none of its builds is there.
    pub(crate) fn forget_submission(&mut self, id: SubmissionId) {
        let has_builds = self.members.get(&id).is_some_and(|members| !members.is_empty());
        if !has_builds && self.is_live(id) {
            self.members.remove(&id);
            self.submissions.remove(&id);
        }
    }

    /// Takes an item out of memory, if nothing in memory cares for it.
    pub(crate) fn forget_idle(&mut self, path: &StorePath) {
        if self.items.get(path).is_some_and(Entry::is_idle)
            && let Some(entry) = self.items.remove(path)
        {
            self.reach.move_item(path, &entry.item.state, &ItemState::Wanted);
        }
    }

    /// Whether something open needs what the build makes.
    pub(crate) fn is_needed(&self, build: &Build) -> bool {
        build.products().filter_map(|path| self.items.get(path)).any(|entry| !entry.dependents.is_empty())
    }

    fn link(&mut self, id: BuildId) {
        let Some(node) = self.builds.get_mut(&id) else { return };
        if node.linked || node.build.state.is_over() {
            return;
        }
        node.linked = true;
        let mut needs = Needs::default();
        let (store_dir, inputs) = (node.build.recipe.store_dir.clone(), node.build.recipe.inputs.clone());
        for path in &inputs {
            let entry = self.item_entry(&store_dir, path);
            entry.dependents.insert(id);
            needs.add(path, &entry.offers);
        }
        if let Some(node) = self.builds.get_mut(&id) {
            node.needs = needs;
        }
    }

    fn unlink(&mut self, id: BuildId) {
        let Some(node) = self.builds.get_mut(&id) else { return };
        if !std::mem::take(&mut node.linked) {
            return;
        }
        node.needs = Needs::default();
        for path in &node.build.recipe.inputs {
            if let Some(entry) = self.items.get_mut(path) {
                entry.dependents.remove(&id);
            }
        }
    }

    /// Follows a change through items and builds until nothing more follows.
    fn settle(&mut self, mut affected: Vec<Affected>) -> Vec<Turn> {
        let mut turns = Vec::new();
        while let Some(next) = affected.pop() {
            match next {
                Affected::Item(path) => affected.extend(self.refresh_offers(&path).into_iter().map(Affected::Build)),
                Affected::Build(id) => {
                    let Some(turn) = self.refresh_build(id) else { continue };
                    let products = self.builds.get(&id).into_iter().flat_map(|node| node.build.products());
                    affected.extend(products.cloned().map(Affected::Item));
                    turns.push(turn);
                }
            }
        }
        turns
    }

    /// Tells those that need an item what it means to them now; returns them, if it means something else.
    fn refresh_offers(&mut self, path: &StorePath) -> Vec<BuildId> {
        let Some(entry) = self.items.get(path) else { return Vec::new() };
        let now = self.offers_of(entry);
        let Some(entry) = self.items.get_mut(path) else { return Vec::new() };
        if entry.offers == now {
            return Vec::new();
        }
        let before = std::mem::replace(&mut entry.offers, now.clone());
        let dependents: Vec<BuildId> = entry.dependents.iter().copied().collect();
        for id in &dependents {
            if let Some(node) = self.builds.get_mut(id) {
                node.needs.take(path, &before);
                node.needs.add(path, &now);
            }
        }
        if before.fetchable != now.fetchable {
            self.reference_changed(path, now.fetchable);
        }
        dependents
    }

    fn offers_of(&self, entry: &Entry) -> Offers {
        let state = &entry.item.state;
        let mut at = state.stores().cloned().unwrap_or_default();
        at.extend(state.servers().into_iter().flat_map(|servers| self.reach.stores(servers)).cloned());
        let wanted = matches!(state, ItemState::Wanted | ItemState::Lost);
        let blocked_by = if wanted { self.hopeless_behind(&entry.producers) } else { None };
        Offers { available: state.is_available(), fetchable: state.can_be_fetched(), at, blocked_by }
    }

    /// The failed build behind which all of these stand, if none of them may still succeed.
    fn hopeless_behind(&self, producers: &BTreeSet<BuildId>) -> Option<BuildId> {
        let states = producers.iter().filter_map(|id| self.builds.get(id)).map(|node| &node.build);
        let mut culprit = None;
        for build in states {
            if build.state.is_hopeful() {
                return None;
            }
            culprit = Some(match build.state {
                BuildState::Blocked { by } => by,
                _ => build.id,
            });
        }
        culprit
    }

    /// Moves a build whose state follows from its inputs.
    fn refresh_build(&mut self, id: BuildId) -> Option<Turn> {
        let node = self.builds.get(&id)?;
        if !node.build.state.follows_inputs() {
            return None;
        }
        let next = node.build.state.next(BuildEvent::Inputs(self.inputs_of(id))).ok()?;
        if next == node.build.state {
            return None;
        }
        let blocked_by = match next {
            BuildState::Blocked { by } => Some(by),
            _ => None,
        };
        self.replace_state(id, next);
        Some(Turn { build: id, blocked_by })
    }
}

impl Entry {
    fn new(item: Item) -> Self {
        Self {
            item,
            producers: BTreeSet::new(),
            dependents: BTreeSet::new(),
            users: BTreeSet::new(),
            awaiting: BTreeSet::new(),
            offers: Offers::default(),
        }
    }

    fn is_idle(&self) -> bool {
        self.producers.is_empty() && self.users.is_empty() && self.awaiting.is_empty()
    }
}

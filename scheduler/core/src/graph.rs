//! What follows from what: which builds wait for which items, and what a change of one means for the others.
//!
//! Nothing here is recorded. A completion costs the builds that need what it made, and no more.

use std::sync::Arc;

use drover_messages::{BuildId, Cause, SubmissionId};
use drover_store::{StoreDir, StorePath};

use crate::agent::Held;
use crate::build::{Build, BuildEvent, BuildState, Inputs, Place};
use crate::item::{Item, ItemState};
use crate::limits::AGE_STEP_MILLIS;
use crate::links::{self, BuildNo, Edge, Entry, ItemNo, Node};
use crate::needs::{Needs, Offers};
use crate::package::Package;
use crate::place::Requirement;
use crate::state::{State, Turn};
use crate::weight::Weight;

/// Something that may mean something else now.
#[derive(Debug)]
pub(crate) enum Affected {
    Item(ItemNo),
    Build(BuildNo),
}

impl State {
    /// Enters a build, if it was not there.
    pub(crate) fn enter(&mut self, build: Build, inputs: &[StorePath]) -> Vec<Turn> {
        if self.builds.contains_key(&build.id) {
            return Vec::new();
        }
        let inputs = inputs.iter().map(|path| Edge::to(self.enter_item(&build.recipe.store_dir, path))).collect();
        let package = Package::of(&build.recipe);
        let no = self.admit(build, package, inputs);
        links::count(&mut self.builds, &mut self.items, no);
        self.weigh_entered(no);
        self.settle_build(no)
    }

    /// Enters a build that was not there. Nothing follows from it yet, and its inputs do not know it.
    pub(crate) fn admit(&mut self, mut build: Build, package: Package, inputs: Box<[Edge]>) -> BuildNo {
        self.next_seq = self.next_seq.max(build.seq + 1);
        if let BuildState::Deferred { until, .. } = &build.state {
            self.deferred.insert((*until, build.id));
        }
        if let BuildState::Ready(place) = &build.state {
            // It is queued when its inputs say so, not because a record does.
            build.state = BuildState::Waiting { missing: matches!(place, Place::Stores(_)) as u32 };
        }
        let (submission, package) = (build.submission, self.durations.enter(package));
        let expected_millis = self.durations.at(package).map_or(0, |known| known.expected_millis(&build.recipe));
        let weight = Weight { urgency: build.priority, path_millis: expected_millis };
        let client = self.client_of(submission);
        if build.state.lease().is_some() {
            self.shares.begin(client, expected_millis);
        }
        *self.of_client.entry(client).or_default() += 1;
        let (requirement, needs) = (self.requirement(&build), Needs::default());
        let products = build.products().map(|path| self.enter_item(&build.recipe.store_dir, path)).collect();
        let node = Node {
            build,
            package,
            client,
            requirement,
            weight,
            expected_millis,
            bonus: 0,
            kept_since: None,
            needs,
            linked: false,
            inputs,
            products,
        };
        for attempt in &node.build.attempts {
            self.tried_by.entry(attempt.agent).or_default().insert(node.build.id);
        }
        let no = links::add(&mut self.builds, &mut self.items, node);
        self.members.entry(submission).or_default().insert(no);
        self.durations.enter_build(package, no);
        no
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
    pub(crate) fn set_state(&mut self, no: BuildNo, next: BuildState) -> Vec<Turn> {
        self.replace_state(no, next);
        self.settle_build(no)
    }

    /// Keeps the queue, the delays, the links and the agents' leases in step with a build's state.
    fn replace_state(&mut self, no: BuildNo, next: BuildState) {
        let order = self.order;
        let Some(node) = self.builds.at_mut(no) else { return };
        let (id, client, expected) = (node.build.id, node.client, node.expected_millis);
        let due = node.build.entered.plus_millis(AGE_STEP_MILLIS * (node.bonus as u64 + 1));
        let before = std::mem::replace(&mut node.build.state, next);
        let was_over = before.is_over();
        match &before {
            BuildState::Ready(place) => {
                node.kept_since = None;
                self.ready.remove(&node.requirement, place, node.rank(order));
                self.savings.end(&node.requirement);
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
                self.ready.insert(&node.requirement, place, node.rank(order));
                self.ageing.insert((due, id));
            }
            BuildState::Deferred { until, .. } => {
                self.deferred.insert((*until, id));
            }
            BuildState::Leased(lease) => {
                let held = Held::of(id, expected, self.durations.is_built(node.package));
                let agent = self.agents.get_mut(&lease.agent);
                agent.map(|agent| agent.leases.insert(lease.attempt, held));
                self.shares.begin(client, expected);
            }
            _ => {}
        }
        if node.build.state.is_over() != was_over {
            links::count_maker(&mut self.items, node);
        }
        if !node.build.state.is_over() {
            self.link(no);
            if was_over {
                self.weigh_reopened(no);
            }
            return;
        }
        let to_be_made = self.unlink(no);
        self.weigh_makers(&to_be_made);
    }

    /// What its inputs make of an open build.
    pub(crate) fn inputs_of(&self, id: BuildId) -> Inputs {
        self.builds.get(&id).map_or(Inputs::Missing(0), |node| self.inputs_of_node(node))
    }

    pub(crate) fn inputs_of_node(&self, node: &Node) -> Inputs {
        match node.needs.inputs(self.offers_to(node).map(|(_, offers)| offers), &self.stores) {
            Inputs::AtHand(_) if !self.is_live(node.build.submission) => Inputs::Missing(node.needs.missing()),
            inputs => inputs,
        }
    }

    /// What the inputs of a finished build would make of it, were it open again.
    pub(crate) fn inputs_if_reopened(&self, build: &Build) -> Inputs {
        let inputs = |node: &Node| self.needs_of(node).inputs(self.offers_to(node).map(|(_, offers)| offers), &self.stores);
        self.builds.get(&build.id).map_or(Inputs::Missing(0), inputs)
    }

    /// What a build lacks of its inputs, counted anew.
    pub(crate) fn needs_of(&self, node: &Node) -> Needs {
        let mut needs = Needs::default();
        self.offers_to(node).for_each(|(item, offers)| needs.add(item, offers));
        needs
    }

    /// What its inputs mean to a build.
    fn offers_to(&self, node: &Node) -> impl Iterator<Item = (ItemNo, &Offers)> {
        node.inputs.iter().filter_map(|edge| Some((edge.item, &self.items.at(edge.item)?.offers)))
    }

    /// The number of an item, which is wanted if it was not known.
    pub(crate) fn enter_item(&mut self, store_dir: &StoreDir, path: &StorePath) -> ItemNo {
        self.items.enter(path, || Item::wanted(store_dir.clone()))
    }

    /// Derives what follows from an item's new state.
    pub(crate) fn item_changed(&mut self, item: ItemNo) -> Vec<Turn> {
        self.affected.push(Affected::Item(item));
        self.settle()
    }

    /// Derives what follows from what these items mean now.
    pub(crate) fn items_changed(&mut self, paths: impl IntoIterator<Item = StorePath>) -> Vec<Turn> {
        let items = paths.into_iter().filter_map(|path| self.items.number(&path));
        self.affected.extend(items.map(Affected::Item));
        self.settle()
    }

    /// Derives what follows for the builds of a submission.
    pub(crate) fn members_changed(&mut self, submission: SubmissionId) -> Vec<Turn> {
        let members = self.members.get(&submission).into_iter().flatten();
        self.affected.extend(members.map(|no| Affected::Build(*no)));
        self.settle()
    }

    /// Whether something open needs what the build makes.
    pub(crate) fn is_needed(&self, build: &Build) -> bool {
        build.products().filter_map(|path| self.items.get(path)).any(|entry| !entry.dependents.is_empty())
    }

    fn link(&mut self, no: BuildNo) {
        let Some(node) = self.builds.at_mut(no) else { return };
        if !node.linked && !node.build.state.is_over() {
            node.linked = true;
            links::link(&mut self.builds, &mut self.items, no);
        }
    }

    /// Its inputs count it no more. Returns those that something open makes.
    pub(crate) fn unlink(&mut self, no: BuildNo) -> Vec<ItemNo> {
        let Some(node) = self.builds.at_mut(no) else { return Vec::new() };
        match std::mem::take(&mut node.linked) {
            true => links::unlink(&mut self.builds, &mut self.items, no),
            false => Vec::new(),
        }
    }

    /// What follows from a build that is another now.
    fn settle_build(&mut self, no: BuildNo) -> Vec<Turn> {
        let products = self.builds.at(no).into_iter().flat_map(|node| &node.products);
        self.affected.extend(products.map(|item| Affected::Item(*item)));
        self.affected.push(Affected::Build(no));
        self.settle()
    }

    /// Follows a change through items and builds until nothing more follows.
    pub(crate) fn settle(&mut self) -> Vec<Turn> {
        let mut turns = Vec::new();
        let mut pending = std::mem::take(&mut self.affected);
        while let Some(next) = pending.pop() {
            match next {
                Affected::Item(item) => self.refresh_offers(item, &mut pending),
                Affected::Build(no) => {
                    let Some(turn) = self.refresh_build(no) else { continue };
                    let products = self.builds.at(no).into_iter().flat_map(|node| &node.products);
                    pending.extend(products.map(|item| Affected::Item(*item)));
                    turns.push(turn);
                }
            }
        }
        self.affected = pending;
        turns
    }

    /// Tells those that need an item what it means to them now, if that is something else.
    pub(crate) fn refresh_offers(&mut self, item: ItemNo, affected: &mut Vec<Affected>) {
        let Some(now) = self.offers_of(item) else { return };
        let Some(entry) = self.items.at_mut(item).filter(|entry| entry.offers != now) else { return };
        let before = std::mem::replace(&mut entry.offers, now);
        let now = &entry.offers;
        for dependent in entry.dependents.iter() {
            if let Some(node) = self.builds.at_mut(dependent) {
                node.needs.replace(item, &before, now);
                if node.may_turn() {
                    affected.push(Affected::Build(dependent));
                }
            }
        }
        if before.fetchable != now.fetchable {
            let fetchable = now.fetchable;
            self.reference_changed(item, fetchable);
        }
    }

    fn offers_of(&mut self, item: ItemNo) -> Option<Offers> {
        let entry = self.items.at(item)?;
        let state = &entry.item.state;
        let here = state.stores().into_iter().flatten();
        let elsewhere = state.servers().into_iter().flat_map(|servers| self.reach.stores(servers));
        let mut at: Vec<_> = here.chain(elsewhere).map(|store| self.stores.number(store)).collect();
        at.sort_unstable();
        at.dedup();
        let wanted = matches!(state, ItemState::Wanted | ItemState::Lost);
        let blocked_by = if wanted { self.hopeless_behind(entry) } else { None };
        Some(Offers::new(state.is_available(), state.can_be_fetched(), at, blocked_by))
    }

    /// The failed build behind which all that make an item stand, if none of them may still succeed: of several, the one
    /// that says most, and of those the oldest.
    pub(crate) fn hopeless_behind(&self, entry: &Entry) -> Option<BuildId> {
        let makers = || entry.makers().filter_map(|no| self.builds.at(no)).map(|node| &node.build);
        if makers().any(|build| build.state.is_hopeful()) {
            return None;
        }
        let culprit = makers().min_by_key(|build| says_little(&build.state))?;
        Some(match culprit.state {
            BuildState::Blocked { by } => by,
            _ => culprit.id,
        })
    }

    /// Moves a build whose state follows from its inputs. Nothing follows from how many it waits for.
    fn refresh_build(&mut self, no: BuildNo) -> Option<Turn> {
        let node = self.builds.at(no)?;
        if !node.build.state.follows_inputs() {
            return None;
        }
        let next = node.build.state.next(BuildEvent::Inputs(self.inputs_of_node(node))).ok()?;
        if next == node.build.state {
            return None;
        }
        let (build, blocked_by) = match (&node.build.state, &next) {
            (BuildState::Waiting { .. }, BuildState::Waiting { .. }) => {
                self.builds.at_mut(no)?.build.state = next;
                return None;
            }
            (_, BuildState::Blocked { by }) => (node.build.id, Some(*by)),
            _ => (node.build.id, None),
        };
        self.replace_state(no, next);
        Some(Turn { build, blocked_by })
    }
}

/// How little a build says of why what it makes cannot be had: what has failed itself, or was given up, has a log, what was known
/// to fail names one, and what was cancelled has none.
fn says_little(state: &BuildState) -> u8 {
    match state {
        BuildState::Failed { cause: Cause::KnownFailure { .. }, .. } => 1,
        BuildState::Failed { .. } | BuildState::Blocked { .. } | BuildState::Deferred { .. } => 0,
        _ => 2,
    }
}

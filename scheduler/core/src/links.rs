//! Builds and items in memory, by name and by number, and the links between them: which build needs which items, which
//! build makes them. What the links mean is [`crate::graph`]'s.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Index, RangeBounds};
use std::sync::Arc;

use drover_messages::holdings::Fingerprint;
use drover_messages::{BuildId, ClientId, PublicationId};
use drover_store::StorePath;
use hashbrown::HashMap;
use hashbrown::hash_map::EntryRef;

use crate::arena::{Arena, No};
use crate::build::{Build, BuildState};
use crate::durations::PackageNo;
use crate::item::Item;
use crate::needs::{Needs, Offers};
use crate::place::Requirement;
use crate::roster::Roster;
use crate::time::Heard;
use crate::weight::Weight;

pub(crate) type BuildNo = No<Node>;
pub(crate) type ItemNo = No<Entry>;

/// A build, and what is derived of it.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) build: Build,
    /// What it is counted with, where time and memory are learned.
    pub(crate) package: PackageNo,
    /// For whom.
    pub(crate) client: ClientId,
    /// What an agent must be.
    pub(crate) requirement: Arc<Requirement>,
    pub(crate) weight: Weight,
    /// What it is expected to take, in milliseconds.
    pub(crate) expected_millis: u64,
    /// How much more urgent it is for having waited long.
    pub(crate) bonus: i32,
    /// Since when it is kept for an agent that has no room yet.
    pub(crate) kept_since: Option<Heard>,
    pub(crate) needs: Needs,
    /// Whether its inputs count it among their dependents.
    pub(crate) linked: bool,
    pub(crate) inputs: Box<[Edge]>,
    pub(crate) products: Box<[ItemNo]>,
}

impl Node {
    /// What it needs.
    pub(crate) fn items(&self) -> impl Iterator<Item = ItemNo> {
        self.inputs.iter().map(|edge| edge.item)
    }

    /// After a change of its inputs: whether it may be in another state than before. One that goes on waiting for some of
    /// them is up to date.
    pub(crate) fn may_turn(&mut self) -> bool {
        match &mut self.build.state {
            BuildState::Waiting { missing } if !self.needs.decide() => {
                *missing = self.needs.missing();
                false
            }
            state => state.follows_inputs(),
        }
    }
}

/// A build's link to an input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edge {
    pub(crate) item: ItemNo,
    /// Where the item has the other end of it, while the build is linked.
    pub(crate) at: u32,
}

impl Edge {
    pub(crate) fn to(item: ItemNo) -> Self {
        Self { item, at: 0 }
    }
}

/// An item, and what is derived of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: StorePath,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) item: Item,
    /// Builds in memory that make it, in order of their ids. Mostly there is one.
    makers: Box<[BuildNo]>,
    /// How many of them are not over.
    open_makers: u32,
    /// Open builds that need it.
    pub(crate) dependents: Roster<Node>,
    /// How many builds in memory need it, also finished ones: these may be opened again, and must then find it as it is.
    pub(crate) users: u32,
    /// Publications that wait for it.
    pub(crate) awaiting: BTreeSet<PublicationId>,
    pub(crate) offers: Offers,
}

impl Entry {
    pub(crate) fn new(path: StorePath, item: Item) -> Self {
        let (makers, dependents, awaiting, offers) = (Box::default(), Roster::default(), BTreeSet::new(), Offers::default());
        let fingerprint = Fingerprint::of(&path);
        Self { path, fingerprint, item, makers, open_makers: 0, dependents, users: 0, awaiting, offers }
    }

    /// The builds in memory that make it.
    pub(crate) fn makers(&self) -> impl Iterator<Item = BuildNo> {
        self.makers.iter().copied()
    }

    /// How many builds that make it are not over.
    pub(crate) fn open_makers(&self) -> u32 {
        self.open_makers
    }

    /// Nothing in memory cares for it.
    pub(crate) fn is_idle(&self) -> bool {
        self.makers.is_empty() && self.users == 0 && self.awaiting.is_empty()
    }
}

/// The builds in memory.
#[derive(Debug, Default)]
pub(crate) struct Builds {
    /// To find one.
    numbers: HashMap<BuildId, BuildNo>,
    /// To go through them in order.
    ordered: BTreeMap<BuildId, BuildNo>,
    nodes: Arena<Node>,
}

impl Builds {
    pub(crate) fn number(&self, id: &BuildId) -> Option<BuildNo> {
        self.numbers.get(id).copied()
    }

    /// Makes room for so many more.
    pub(crate) fn expect(&mut self, more: usize) {
        self.numbers.reserve(more);
    }

    pub(crate) fn contains_key(&self, id: &BuildId) -> bool {
        self.numbers.contains_key(id)
    }

    pub(crate) fn get(&self, id: &BuildId) -> Option<&Node> {
        self.nodes.get(self.number(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: &BuildId) -> Option<&mut Node> {
        self.nodes.get_mut(self.number(id)?)
    }

    pub(crate) fn at(&self, no: BuildNo) -> Option<&Node> {
        self.nodes.get(no)
    }

    pub(crate) fn at_mut(&mut self, no: BuildNo) -> Option<&mut Node> {
        self.nodes.get_mut(no)
    }

    /// All of them, by number.
    pub(crate) fn nodes(&self) -> &Arena<Node> {
        &self.nodes
    }

    /// All of them, by number, to be changed.
    pub(crate) fn nodes_mut(&mut self) -> &mut Arena<Node> {
        &mut self.nodes
    }

    /// Puts those that were added in order, together.
    pub(crate) fn put_in_order(&mut self) {
        self.ordered = self.nodes.numbered().map(|(no, node)| (node.build.id, no)).collect();
    }

    /// In order of their ids.
    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &Node> {
        self.range(..)
    }

    /// Those with these ids, in their order.
    pub(crate) fn range(&self, ids: impl RangeBounds<BuildId>) -> impl DoubleEndedIterator<Item = &Node> {
        self.ordered.range(ids).filter_map(|(_, no)| self.nodes.get(*no))
    }

    /// All numbers, in order of the ids.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = BuildNo> {
        self.ordered.values().copied()
    }
}

impl Index<&BuildId> for Builds {
    type Output = Node;

    fn index(&self, id: &BuildId) -> &Node {
        self.get(id).expect("the build is in memory")
    }
}

/// The items in memory. No order hangs on the map: it is only looked into.
#[derive(Debug, Default)]
pub(crate) struct Items {
    numbers: HashMap<StorePath, ItemNo>,
    entries: Arena<Entry>,
}

impl Items {
    pub(crate) fn number(&self, path: &StorePath) -> Option<ItemNo> {
        self.numbers.get(path).copied()
    }

    pub(crate) fn get(&self, path: &StorePath) -> Option<&Entry> {
        self.entries.get(self.number(path)?)
    }

    pub(crate) fn get_mut(&mut self, path: &StorePath) -> Option<&mut Entry> {
        self.entries.get_mut(self.number(path)?)
    }

    pub(crate) fn at(&self, no: ItemNo) -> Option<&Entry> {
        self.entries.get(no)
    }

    pub(crate) fn at_mut(&mut self, no: ItemNo) -> Option<&mut Entry> {
        self.entries.get_mut(no)
    }

    /// Makes room for so many more.
    pub(crate) fn expect(&mut self, more: usize) {
        self.numbers.reserve(more);
    }

    /// All of them, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// All of them, by number.
    pub(crate) fn entries(&self) -> &Arena<Entry> {
        &self.entries
    }

    /// All of them, by number, to be changed.
    pub(crate) fn entries_mut(&mut self) -> &mut Arena<Entry> {
        &mut self.entries
    }

    /// The number of an item, which is `new` if there was none.
    pub(crate) fn enter(&mut self, path: &StorePath, new: impl FnOnce() -> Item) -> ItemNo {
        match self.numbers.entry_ref(path) {
            EntryRef::Occupied(known) => *known.get(),
            EntryRef::Vacant(vacant) => {
                let no = self.entries.add(Entry::new(path.clone(), new()));
                *vacant.insert_with_key(path.clone(), no)
            }
        }
    }

    /// An item has one user less.
    pub(crate) fn lose_user(&mut self, no: ItemNo) {
        if let Some(entry) = self.at_mut(no) {
            entry.users -= 1;
        }
    }

    /// Takes an item out of memory, if nothing there cares for it.
    pub(crate) fn remove_idle(&mut self, no: ItemNo) -> Option<Entry> {
        self.at(no).filter(|entry| entry.is_idle())?;
        let entry = self.entries.take(no)?;
        self.numbers.remove(&entry.path);
        Some(entry)
    }
}

/// Enters a build, as a maker of its items.
pub(crate) fn add(builds: &mut Builds, items: &mut Items, node: Node) -> BuildNo {
    let id = node.build.id;
    let no = builds.nodes.add(node);
    builds.numbers.insert(id, no);
    let Some(node) = builds.nodes.get(no) else { return no };
    for item in &node.products {
        if let Some(entry) = items.at_mut(*item)
            && let Err(at) = entry.makers.binary_search_by_key(&Some(id), |maker| Some(builds.at(*maker)?.build.id))
        {
            let (before, behind) = entry.makers.split_at(at);
            entry.makers = [before, &[no], behind].concat().into();
            entry.open_makers += u32::from(!node.build.state.is_over());
        }
    }
    no
}

/// Puts a build that was added in order, and makes it a user of its items; if it is open, one that they count.
pub(crate) fn count(builds: &mut Builds, items: &mut Items, no: BuildNo) {
    let Some(node) = builds.nodes.get_mut(no) else { return };
    builds.ordered.insert(node.build.id, no);
    node.linked = !node.build.state.is_over();
    for edge in &mut node.inputs {
        let Some(entry) = items.at_mut(edge.item) else { continue };
        entry.users += 1;
        if node.linked {
            edge.at = entry.dependents.add(no);
            node.needs.add(edge.item, &entry.offers);
        }
    }
}

/// Takes a build out, which its inputs do not count any more. They still have it as a user.
pub(crate) fn remove(builds: &mut Builds, items: &mut Items, no: BuildNo) -> Option<Node> {
    let node = builds.nodes.take(no)?;
    builds.numbers.remove(&node.build.id);
    builds.ordered.remove(&node.build.id);
    for item in &node.products {
        if let Some(entry) = items.at_mut(*item) {
            entry.makers = entry.makers().filter(|maker| *maker != no).collect();
            entry.open_makers -= u32::from(!node.build.state.is_over());
        }
    }
    Some(node)
}

/// Counts a build that is over now, or is open again, where it is a maker.
pub(crate) fn count_maker(items: &mut Items, node: &Node) {
    for item in &node.products {
        if let Some(entry) = items.at_mut(*item) {
            match node.build.state.is_over() {
                true => entry.open_makers -= 1,
                false => entry.open_makers += 1,
            }
        }
    }
}

/// Makes its inputs count a build among their dependents.
pub(crate) fn link(builds: &mut Builds, items: &mut Items, no: BuildNo) {
    let Some(node) = builds.at_mut(no) else { return };
    for edge in &mut node.inputs {
        let Some(entry) = items.at_mut(edge.item) else { continue };
        edge.at = entry.dependents.add(no);
        node.needs.add(edge.item, &entry.offers);
    }
}

/// Makes its inputs count a build no more. Returns those that something open makes.
pub(crate) fn unlink(builds: &mut Builds, items: &mut Items, no: BuildNo) -> Vec<ItemNo> {
    let Some(node) = builds.at_mut(no) else { return Vec::new() };
    node.needs = Needs::default();
    let mut to_be_made = Vec::new();
    for edge in &node.inputs {
        let Some(entry) = items.at_mut(edge.item) else { continue };
        entry.dependents.remove(edge.at);
        if entry.open_makers > 0 {
            to_be_made.push(edge.item);
        }
    }
    to_be_made
}

//! What an item means to those that need it, and what all of its inputs together mean to a build.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::{BuildId, StoreId};

use crate::build::{Inputs, Place};
use crate::links::ItemNo;

/// What an item means to those that need it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offers {
    /// Everybody can fetch it.
    pub(crate) available: bool,
    /// Those who fetch what refers to it can, whatever they use beside the cache.
    pub(crate) fetchable: bool,
    /// Of most there is nothing to say.
    short_of: Option<Box<ShortOf>>,
}

/// How an item stands that not everybody can fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct ShortOf {
    at: Vec<StoreNo>,
    blocked_by: Option<BuildId>,
}

impl Offers {
    /// Of what nobody has, and nothing stands in the way of.
    pub(crate) const NOTHING: Self = Self { available: false, fetchable: false, short_of: None };

    pub(crate) fn new(available: bool, fetchable: bool, at: Vec<StoreNo>, blocked_by: Option<BuildId>) -> Self {
        let is_plain = at.is_empty() && blocked_by.is_none();
        Self { available, fetchable, short_of: (!is_plain).then(|| Box::new(ShortOf { at, blocked_by })) }
    }

    /// Stores that have it, or that can fetch it from elsewhere, by their numbers.
    pub(crate) fn at(&self) -> &[StoreNo] {
        self.short_of.as_ref().map_or(&[], |short_of| &short_of.at)
    }

    /// The failed build behind which it stands.
    pub(crate) fn blocked_by(&self) -> Option<BuildId> {
        self.short_of.as_ref()?.blocked_by
    }
}

/// The inputs of a build that are not available. Which stores have them is looked at when all of them are somewhere, for most
/// of the time a build waits for some that are nowhere.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    missing: u32,
    /// So many of them no store has.
    nowhere: u32,
    /// Of most builds none stands behind a failed build.
    blocked: Option<Box<Blocked>>,
}

/// Inputs behind failed builds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Blocked(Vec<(ItemNo, BuildId)>);

impl Needs {
    pub(crate) fn add(&mut self, item: ItemNo, offers: &Offers) {
        if offers.available {
            return;
        }
        self.missing += 1;
        self.nowhere += u32::from(offers.at().is_empty());
        if let Some(by) = offers.blocked_by() {
            self.blocked.get_or_insert_default().0.push((item, by));
        }
    }

    fn take(&mut self, item: ItemNo, offers: &Offers) {
        if offers.available {
            return;
        }
        self.missing -= 1;
        self.nowhere -= u32::from(offers.at().is_empty());
        if offers.blocked_by().is_some()
            && let Some(Blocked(blocked)) = self.blocked.as_deref_mut()
        {
            blocked.retain(|(other, _)| *other != item);
            if blocked.is_empty() {
                self.blocked = None;
            }
        }
    }

    /// An input means something else now.
    pub(crate) fn replace(&mut self, item: ItemNo, before: &Offers, now: &Offers) {
        self.take(item, before);
        self.add(item, now);
    }

    /// How many are not available.
    pub(crate) fn missing(&self) -> u32 {
        self.missing
    }

    /// Whether something keeps a build for good, or nothing may keep it everywhere.
    pub(crate) fn decide(&self) -> bool {
        self.nowhere == 0 || self.blocked.is_some()
    }

    /// All of it, in an order that does not tell in which it was added.
    pub(crate) fn sorted(&self) -> Self {
        let mut blocked = self.blocked.clone();
        if let Some(Blocked(blocked)) = blocked.as_deref_mut() {
            blocked.sort_unstable();
        }
        Self { blocked, ..*self }
    }

    /// What that means to the build, all of whose inputs offer this.
    pub(crate) fn inputs<'a>(&self, offers: impl Iterator<Item = &'a Offers>, stores: &Stores) -> Inputs {
        let blocked = self.blocked.iter().flat_map(|blocked| &blocked.0);
        if let Some(by) = blocked.map(|(_, by)| *by).min() {
            return Inputs::BlockedBy(by);
        }
        if self.missing == 0 {
            return Inputs::AtHand(Place::Anywhere);
        }
        let mut lacking = offers.filter(|offers| !offers.available).map(Offers::at);
        let mut at_all = if self.nowhere == 0 { lacking.next().unwrap_or_default().to_vec() } else { Vec::new() };
        while let Some(at) = lacking.next().filter(|_| !at_all.is_empty()) {
            at_all.retain(|store| at.contains(store));
        }
        let at_all: BTreeSet<StoreId> = at_all.into_iter().filter_map(|no| stores.get(no)).collect();
        if at_all.is_empty() { Inputs::Missing(self.missing) } else { Inputs::AtHand(Place::Stores(at_all)) }
    }
}

/// A store's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StoreNo(u32);

/// All stores that were ever heard of in this process. There are about as many as agents.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    numbers: BTreeMap<StoreId, StoreNo>,
    names: Vec<StoreId>,
}

impl Stores {
    pub(crate) fn number(&mut self, store: &StoreId) -> StoreNo {
        if let Some(no) = self.numbers.get(store) {
            return *no;
        }
        let no = StoreNo(self.names.len() as u32);
        self.names.push(store.clone());
        self.numbers.insert(store.clone(), no);
        no
    }

    /// Its name.
    pub(crate) fn get(&self, no: StoreNo) -> Option<StoreId> {
        self.names.get(no.0 as usize).cloned()
    }
}

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

/// The inputs of a build that are not available.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    missing: u32,
    /// Of most builds none is anywhere, or behind a failed build. What was needed once is needed again soon, and stays.
    known: Option<Box<Known>>,
}

/// What is known of inputs that are not available.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Known {
    blocked: Vec<(ItemNo, BuildId)>,
    at: Vec<(StoreNo, u32)>,
}

impl Known {
    fn add(&mut self, item: ItemNo, offers: &Offers) {
        for store in offers.at() {
            match self.at.iter_mut().find(|(known, _)| known == store) {
                Some((_, count)) => *count += 1,
                None => self.at.push((*store, 1)),
            }
        }
        if let Some(by) = offers.blocked_by() {
            self.blocked.push((item, by));
        }
    }

    fn take(&mut self, item: ItemNo, offers: &Offers) {
        for store in offers.at() {
            if let Some(n) = self.at.iter().position(|(known, _)| known == store) {
                self.at[n].1 -= 1;
                if self.at[n].1 == 0 {
                    self.at.swap_remove(n);
                }
            }
        }
        if offers.blocked_by().is_some() {
            self.blocked.retain(|(other, _)| *other != item);
        }
    }

    fn is_empty(&self) -> bool {
        self.blocked.is_empty() && self.at.is_empty()
    }
}

impl Needs {
    pub(crate) fn add(&mut self, item: ItemNo, offers: &Offers) {
        if offers.available {
            return;
        }
        self.missing += 1;
        if offers.short_of.is_some() {
            self.known.get_or_insert_default().add(item, offers);
        }
    }

    fn take(&mut self, item: ItemNo, offers: &Offers) {
        if offers.available {
            return;
        }
        self.missing -= 1;
        if let Some(known) = self.known.as_mut().filter(|_| offers.short_of.is_some()) {
            known.take(item, offers);
        }
    }

    /// An input means something else now.
    pub(crate) fn replace(&mut self, item: ItemNo, before: &Offers, now: &Offers) {
        if before.short_of.is_none() && now.available {
            // What nobody had, or what was hidden by nothing, is simply one less.
            self.missing -= u32::from(!before.available);
            return;
        }
        self.take(item, before);
        self.add(item, now);
    }

    fn blocked(&self) -> &[(ItemNo, BuildId)] {
        self.known.as_ref().map_or(&[], |known| &known.blocked)
    }

    /// The stores that have all of them.
    fn at_all(&self) -> impl Iterator<Item = StoreNo> {
        let at = self.known.iter().flat_map(|known| &known.at);
        at.filter(|(_, count)| *count == self.missing).map(|(store, _)| *store)
    }

    /// How many are not available.
    pub(crate) fn missing(&self) -> u32 {
        self.missing
    }

    /// Whether something keeps a build for good, or nothing keeps it everywhere.
    pub(crate) fn decide(&self) -> bool {
        self.missing == 0 || !self.blocked().is_empty() || self.at_all().next().is_some()
    }

    /// All of it, in an order that does not tell in which it was added.
    pub(crate) fn sorted(&self) -> Self {
        let mut known = self.known.clone().filter(|known| !known.is_empty());
        if let Some(known) = &mut known {
            known.blocked.sort_unstable();
            known.at.sort_unstable();
        }
        Self { missing: self.missing, known }
    }

    /// What that means to the build.
    pub(crate) fn inputs(&self, stores: &Stores) -> Inputs {
        if let Some(by) = self.blocked().iter().map(|(_, by)| *by).min() {
            return Inputs::BlockedBy(by);
        }
        if self.missing == 0 {
            return Inputs::AtHand(Place::Anywhere);
        }
        let all: BTreeSet<StoreId> = self.at_all().filter_map(|no| stores.get(no)).collect();
        if all.is_empty() { Inputs::Missing(self.missing) } else { Inputs::AtHand(Place::Stores(all)) }
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

//! A store item, as the farm has it.

use std::collections::BTreeSet;

use drover_messages::StoreId;
use drover_store::StoreDir;
use serde::{Deserialize, Serialize};

use crate::Illegal;

/// A store item that matters to something open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its store directory.
    pub store_dir: StoreDir,
    /// How the farm has it.
    pub state: ItemState,
    /// How often it was lost after it could be fetched.
    #[serde(default)]
    pub losses: u32,
    /// The size of its nar in bytes; 0 where that is not known.
    #[serde(default)]
    pub nar_bytes: u64,
}

impl Item {
    /// One that something needs and nothing has.
    pub fn wanted(store_dir: StoreDir) -> Self {
        Self { store_dir, state: ItemState::Wanted, losses: 0, nar_bytes: 0 }
    }
}

/// How the farm has an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemState {
    /// Something needs it; nothing has it.
    Wanted,
    /// These stores have it, nobody else.
    Built {
        /// Stores in which an attempt made it.
        at: BTreeSet<StoreId>,
    },
    /// Its bytes are in the bucket, unverified, as well as in these stores.
    Uploaded {
        /// Stores in which an attempt made it; none for a source.
        at: BTreeSet<StoreId>,
    },
    /// Everybody can fetch it from the cache.
    Available,
    /// Other substitute servers have it, for whoever reaches and trusts one of them.
    Elsewhere {
        /// Their URLs.
        servers: BTreeSet<String>,
    },
    /// It was had, and is gone.
    Lost,
}

/// What can befall an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ItemEvent {
    /// An attempt made it there.
    Build(StoreId),
    /// Its bytes came to the bucket, from there if it was built.
    Upload(Option<StoreId>),
    /// It can be fetched.
    Publish,
    /// Other substitute servers have it.
    Find(BTreeSet<String>),
    /// This store cannot give it any more.
    Forget(StoreId),
    /// Its unverified bytes are gone from the bucket.
    Unload,
    /// Its bytes in the bucket were no good, or are gone.
    Lose,
}

impl ItemState {
    /// The one table: what follows when `event` befalls an item in this state.
    pub fn next(&self, event: ItemEvent) -> Result<Self, Illegal> {
        use ItemEvent as E;
        use ItemState::*;
        Ok(match (self, event) {
            (Wanted | Lost, E::Build(store)) => Built { at: BTreeSet::from([store]) },
            (Built { at }, E::Build(store)) => Built { at: with(at, Some(store)) },
            (Uploaded { at }, E::Build(store)) => Uploaded { at: with(at, Some(store)) },
            (Wanted | Lost, E::Upload(store)) => Uploaded { at: store.into_iter().collect() },
            (Elsewhere { .. }, E::Build(store)) => Built { at: BTreeSet::from([store]) },
            (Elsewhere { .. }, E::Upload(store)) => Uploaded { at: store.into_iter().collect() },
            (Wanted | Lost | Elsewhere { .. }, E::Find(servers)) if !servers.is_empty() => Elsewhere { servers },
            (Elsewhere { .. }, E::Find(_)) => Lost,
            (state, E::Find(_)) => state.clone(),
            (Elsewhere { .. }, E::Forget(_)) => self.clone(),
            (Built { at } | Uploaded { at }, E::Upload(store)) => Uploaded { at: with(at, store) },
            (Uploaded { at }, E::Unload) if !at.is_empty() => Built { at: at.clone() },
            (Uploaded { .. }, E::Unload) => Lost,
            (state, E::Unload) => state.clone(),
            (Available, E::Build(_) | E::Upload(_) | E::Forget(_)) => Available,
            (_, E::Publish) => Available,
            (Built { at }, E::Forget(store)) => without(at, &store).map_or(Lost, |at| Built { at }),
            (Uploaded { at }, E::Forget(store)) => Uploaded { at: without(at, &store).unwrap_or_default() },
            (Wanted, E::Forget(_) | E::Lose) => Wanted,
            (Lost, E::Forget(_)) => Lost,
            (Built { .. } | Uploaded { .. } | Available | Elsewhere { .. } | Lost, E::Lose) => Lost,
        })
    }

    /// Whether everybody can fetch it.
    pub fn is_available(&self) -> bool {
        matches!(self, Self::Available)
    }

    /// Whether whoever fetches from us can have it: from our cache, or from the servers that they have beside it.
    pub fn can_be_fetched(&self) -> bool {
        matches!(self, Self::Available | Self::Elsewhere { .. })
    }

    /// The other servers that have it.
    pub fn servers(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Elsewhere { servers } => Some(servers),
            _ => None,
        }
    }

    /// True only if those that need the item cannot tell it from another state.
    pub(crate) fn offers_the_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Built { at: here } | Self::Uploaded { at: here }, Self::Built { at } | Self::Uploaded { at }) => here == at,
            _ => self == other,
        }
    }

    /// The stores that have it while it is not available.
    pub fn stores(&self) -> Option<&BTreeSet<StoreId>> {
        match self {
            Self::Built { at } | Self::Uploaded { at } => Some(at),
            _ => None,
        }
    }

    /// The state in words.
    pub fn words(&self) -> String {
        match self {
            Self::Wanted => "wanted".into(),
            Self::Built { .. } => "built, not uploaded yet".into(),
            Self::Uploaded { .. } => "uploaded, not published yet".into(),
            Self::Available => "available".into(),
            Self::Elsewhere { servers } => {
                format!("available at {} only", servers.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
            }
            Self::Lost => "lost".into(),
        }
    }
}

fn with(at: &BTreeSet<StoreId>, store: Option<StoreId>) -> BTreeSet<StoreId> {
    at.iter().cloned().chain(store).collect()
}

fn without(at: &BTreeSet<StoreId>, store: &StoreId) -> Option<BTreeSet<StoreId>> {
    let rest: BTreeSet<StoreId> = at.iter().filter(|s| *s != store).cloned().collect();
    (!rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(name: &str) -> StoreId {
        StoreId::from(name)
    }

    #[test]
    fn an_item_travels_from_wanted_to_available() {
        let built = ItemState::Wanted.next(ItemEvent::Build(store("a"))).unwrap();
        let uploaded = built.next(ItemEvent::Upload(Some(store("a")))).unwrap();
        assert_eq!(uploaded.stores().unwrap().len(), 1);
        assert!(uploaded.next(ItemEvent::Publish).unwrap().is_available());
    }

    #[test]
    fn what_only_a_lost_store_had_is_lost() {
        let built = ItemState::Built { at: BTreeSet::from([store("a"), store("b")]) };
        let left = built.next(ItemEvent::Forget(store("a"))).unwrap();
        assert_eq!(left.next(ItemEvent::Forget(store("b"))).unwrap(), ItemState::Lost);
    }

    #[test]
    fn what_others_have_is_elsewhere_until_it_is_built_or_they_lose_it() {
        let found = |servers: &[&str]| ItemEvent::Find(servers.iter().map(|s| s.to_string()).collect());
        let elsewhere = ItemState::Wanted.next(found(&["https://a"])).unwrap();
        assert!(elsewhere.can_be_fetched() && !elsewhere.is_available());
        assert_eq!(elsewhere.next(found(&[])).unwrap(), ItemState::Lost);
        assert_eq!(elsewhere.next(ItemEvent::Build(store("a"))).unwrap().stores().unwrap().len(), 1);
        assert!(ItemState::Available.next(found(&[])).unwrap().is_available());
    }

    #[test]
    fn a_lost_store_takes_nothing_from_what_is_available() {
        assert!(ItemState::Available.next(ItemEvent::Forget(store("a"))).unwrap().is_available());
    }
}

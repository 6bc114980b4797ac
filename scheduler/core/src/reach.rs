//! Which stores can fetch from which other substitute servers, and which items that matters to. Derived, as the graph is.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::{AgentId, StoreId};
use drover_store::StorePath;

use crate::item::ItemState;

/// Servers, the stores whose agents reach and trust them, and the items that they have.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    agents: BTreeMap<AgentId, (StoreId, BTreeSet<String>)>,
    items: BTreeMap<String, BTreeSet<StorePath>>,
}

impl Reach {
    /// Stores that can fetch from one of these servers.
    pub(crate) fn stores<'a>(&'a self, servers: &'a BTreeSet<String>) -> impl Iterator<Item = &'a StoreId> {
        self.agents.values().filter(|(_, reached)| !reached.is_disjoint(servers)).map(|(store, _)| store)
    }

    /// Whether any item is had by other servers only: of most farms, none is.
    pub(crate) fn has_items(&self) -> bool {
        self.items.values().any(|items| !items.is_empty())
    }

    /// An agent said what it reaches. Gives the items that may be had in other stores now.
    pub(crate) fn hear(&mut self, agent: AgentId, store: &StoreId, servers: &BTreeSet<String>) -> BTreeSet<StorePath> {
        let now = (!servers.is_empty()).then(|| (store.clone(), servers.clone()));
        let before = match &now {
            Some(now) => self.agents.insert(agent, now.clone()),
            None => self.agents.remove(&agent),
        };
        if before == now {
            return BTreeSet::new();
        }
        let touched = before.into_iter().chain(now).flat_map(|(_, servers)| servers);
        touched.filter_map(|server| self.items.get(&server)).flatten().cloned().collect()
    }

    /// An agent is gone.
    pub(crate) fn lose(&mut self, agent: AgentId) -> BTreeSet<StorePath> {
        let servers = self.agents.remove(&agent).map(|(_, servers)| servers).unwrap_or_default();
        servers.iter().filter_map(|server| self.items.get(server)).flatten().cloned().collect()
    }

    /// Keeps the list of each server's items.
    pub(crate) fn move_item(&mut self, path: &StorePath, before: &ItemState, now: &ItemState) {
        for server in before.servers().into_iter().flatten() {
            if let Some(items) = self.items.get_mut(server) {
                items.remove(path);
            }
        }
        for server in now.servers().into_iter().flatten() {
            self.items.entry(server.clone()).or_default().insert(path.clone());
        }
    }
}

//! The builds that wait for a slot only, in the order in which they should get one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use drover_messages::{BuildId, StoreId};
use drover_store::StoreDir;

use crate::agent::Agent;
use crate::build::{Place, Recipe};

/// A build's place in the order. The finer order (expected seconds of the longest path, fair share) goes between
/// urgency and age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    urgency: Reverse<i32>,
    seq: u64,
    pub(crate) build: BuildId,
}

impl Rank {
    pub(crate) fn new(urgency: i32, seq: u64, build: BuildId) -> Self {
        Self { urgency: Reverse(urgency), seq, build }
    }
}

/// What an agent must be to build something. There are few of these, however many builds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    store_dir: StoreDir,
    system: String,
    features: BTreeSet<String>,
}

impl Class {
    fn of(recipe: &Recipe) -> Self {
        Self { store_dir: recipe.store_dir.clone(), system: recipe.system.clone(), features: recipe.features.clone() }
    }
}

type Ranks = BTreeMap<Class, BTreeSet<Rank>>;

/// The ready queue: one order for each class of agents, and one for each store that has what others lack.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    anywhere: Ranks,
    in_store: BTreeMap<StoreId, Ranks>,
}

impl Queue {
    pub(crate) fn insert(&mut self, recipe: &Recipe, place: &Place, rank: Rank) {
        let class = Class::of(recipe);
        match place {
            Place::Anywhere => {
                self.anywhere.entry(class).or_default().insert(rank);
            }
            Place::Stores(stores) => {
                for store in stores {
                    self.in_store.entry(store.clone()).or_default().entry(class.clone()).or_default().insert(rank);
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, recipe: &Recipe, place: &Place, rank: Rank) {
        let class = Class::of(recipe);
        match place {
            Place::Anywhere => remove(&mut self.anywhere, &class, rank),
            Place::Stores(stores) => {
                for store in stores {
                    let Some(ranks) = self.in_store.get_mut(store) else { continue };
                    remove(ranks, &class, rank);
                    if ranks.is_empty() {
                        self.in_store.remove(store);
                    }
                }
            }
        }
    }

    /// The builds that `agent` may get, first come first; those of equal rank that only its store can build go first.
    pub(crate) fn for_agent<'a>(&'a self, agent: &'a Agent) -> impl Iterator<Item = BuildId> + 'a {
        let own = self.in_store.get(&agent.hello.store);
        let mut lines: Vec<_> = own
            .into_iter()
            .chain([&self.anywhere])
            .flatten()
            .filter(|(class, _)| agent.fits_class(&class.store_dir, &class.system, &class.features))
            .map(|(_, ranks)| ranks.iter().peekable())
            .collect();
        std::iter::from_fn(move || {
            let heads = lines.iter_mut().enumerate().filter_map(|(n, line)| Some((*line.peek()?, n)));
            let (_, first) = heads.min()?;
            lines[first].next().map(|rank| rank.build)
        })
    }
}

fn remove(ranks: &mut Ranks, class: &Class, rank: Rank) {
    if let Some(line) = ranks.get_mut(class) {
        line.remove(&rank);
        if line.is_empty() {
            ranks.remove(class);
        }
    }
}

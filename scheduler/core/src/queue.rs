//! The builds that wait for a slot only, in the order in which they should get one: the most urgent first, then those on
//! which the longest path hangs, then those of the client that used least lately, then the oldest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, btree_map, btree_set};
use std::iter::Peekable;
use std::sync::Arc;

use drover_messages::{BuildId, ClientId, StoreId};

use crate::agent::Agent;
use crate::build::Place;
use crate::place::Requirement;

/// Paths are about as long when they differ by less than this part of a doubling: who used less goes first then.
const STEPS_OF_DOUBLING: u32 = 8;

/// A build's place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rank {
    level: Level,
    client: ClientId,
    seq: u64,
    build: BuildId,
}

/// What is compared before clients are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Level {
    urgency: Reverse<i32>,
    path: Reverse<u32>,
}

impl Rank {
    pub(crate) fn new(urgency: i32, path_millis: u64, client: ClientId, seq: u64, build: BuildId) -> Self {
        let level = Level { urgency: Reverse(urgency), path: Reverse(step_of(path_millis)) };
        Self { level, client, seq, build }
    }

    /// By age alone.
    pub(crate) fn by_age(client: ClientId, seq: u64, build: BuildId) -> Self {
        let level = Level { urgency: Reverse(0), path: Reverse(u32::MAX - u32::try_from(seq).unwrap_or(u32::MAX)) };
        Self { level, client, seq, build }
    }
}

/// The logarithm of a length, in steps of a doubling.
fn step_of(millis: u64) -> u32 {
    let doublings = millis.max(1).ilog2();
    // How far it is on the way to the next doubling, in a straight line.
    let rest = (millis.max(1) - (1 << doublings)) as u128 * u128::from(STEPS_OF_DOUBLING);
    doublings * STEPS_OF_DOUBLING + (rest >> doublings) as u32
}

/// The builds of one client at one level, oldest first.
type Line = BTreeSet<(u64, BuildId)>;
/// All that require the same of an agent.
type Levels = BTreeMap<Level, BTreeMap<ClientId, Line>>;
type Ranks = BTreeMap<Arc<Requirement>, Levels>;

/// The ready queue: one order for each class of agents, and one for each store that has what others lack.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    anywhere: Ranks,
    in_store: BTreeMap<StoreId, Ranks>,
}

impl Queue {
    pub(crate) fn insert(&mut self, class: &Arc<Requirement>, place: &Place, rank: Rank) {
        match place {
            Place::Anywhere => insert(&mut self.anywhere, class.clone(), rank),
            Place::Stores(stores) => {
                for store in stores {
                    insert(self.in_store.entry(store.clone()).or_default(), class.clone(), rank);
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, class: &Arc<Requirement>, place: &Place, rank: Rank) {
        match place {
            Place::Anywhere => remove(&mut self.anywhere, class, rank),
            Place::Stores(stores) => {
                for store in stores {
                    let Some(ranks) = self.in_store.get_mut(store) else { continue };
                    remove(ranks, class, rank);
                    if ranks.is_empty() {
                        self.in_store.remove(store);
                    }
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.anywhere.is_empty() && self.in_store.is_empty()
    }

    /// The builds that `agent` may get, first come first.
    pub(crate) fn for_agent<'a>(&'a self, agent: &Agent) -> Offered<'a> {
        let own = self.in_store.get(&agent.hello.store);
        let ranks = own.into_iter().chain([&self.anywhere]).flatten();
        let fitting = ranks.filter(|(requirement, _)| requirement.objection(&agent.hello).is_none());
        let classes = fitting.map(|(requirement, levels)| Class { requirement, levels: levels.iter().peekable() });
        Offered { classes: classes.collect(), lines: Vec::new(), last: 0 }
    }
}

/// Builds for one agent, level by level.
pub(crate) struct Offered<'a> {
    classes: Vec<Class<'a>>,
    /// Of the level that is under way.
    lines: Vec<Waiting<'a>>,
    /// Of which of them the last build was.
    last: usize,
}

/// What is left of those that require the same.
struct Class<'a> {
    requirement: &'a Requirement,
    levels: Peekable<btree_map::Iter<'a, Level, BTreeMap<ClientId, Line>>>,
}

/// What is left of a line.
struct Waiting<'a> {
    requirement: &'a Requirement,
    client: ClientId,
    builds: Peekable<btree_set::Iter<'a, (u64, BuildId)>>,
}

impl<'a> Offered<'a> {
    /// No more of those that require this.
    pub(crate) fn leave(&mut self, requirement: &Requirement) {
        self.classes.retain(|class| class.requirement != requirement);
        self.lines.retain(|line| line.requirement != requirement);
    }

    /// The next build that is not taken. `share` says what a client uses, less first; nothing, if it may not have more.
    pub(crate) fn next(
        &mut self,
        is_taken: impl Fn(&BuildId) -> bool,
        share: impl Fn(ClientId) -> Option<u64>,
    ) -> Option<BuildId> {
        loop {
            let first = |(n, line): (usize, &mut Waiting<'_>)| {
                // The first ones are taken by those who looked before. They are many, and what a client uses is not soon said.
                while line.builds.next_if(|(_, build)| is_taken(build)).is_some() {}
                let (seq, _) = line.builds.peek()?;
                Some((share(line.client)?, *seq, n))
            };
            if let Some((_, _, n)) = self.lines.iter_mut().enumerate().filter_map(first).min() {
                self.last = n;
                return self.next_beside();
            }
            self.enter_level()?;
        }
    }

    /// The next of the same client that is as urgent as the last one, and requires the same.
    pub(crate) fn next_beside(&mut self) -> Option<BuildId> {
        self.lines.get_mut(self.last)?.builds.next().map(|(_, build)| *build)
    }

    fn enter_level(&mut self) -> Option<()> {
        let level = self.classes.iter_mut().filter_map(|class| class.levels.peek().map(|(level, _)| **level)).min()?;
        self.lines.clear();
        for Class { requirement, levels } in &mut self.classes {
            let lines = levels.next_if(|(next, _)| **next == level).into_iter().flat_map(|(_, clients)| clients);
            let waiting =
                |(client, line): (&ClientId, &'a Line)| Waiting { requirement, client: *client, builds: line.iter().peekable() };
            self.lines.extend(lines.map(waiting));
        }
        Some(())
    }
}

fn insert(ranks: &mut Ranks, class: Arc<Requirement>, rank: Rank) {
    let clients = ranks.entry(class).or_default().entry(rank.level).or_default();
    clients.entry(rank.client).or_default().insert((rank.seq, rank.build));
}

fn remove(ranks: &mut Ranks, class: &Requirement, rank: Rank) {
    let Some(levels) = ranks.get_mut(class) else { return };
    if let Some(clients) = levels.get_mut(&rank.level) {
        if let Some(line) = clients.get_mut(&rank.client) {
            line.remove(&(rank.seq, rank.build));
            if line.is_empty() {
                clients.remove(&rank.client);
            }
        }
        if clients.is_empty() {
            levels.remove(&rank.level);
        }
    }
    if levels.is_empty() {
        ranks.remove(class);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_paths_stand_on_higher_steps() {
        assert_eq!(step_of(0), step_of(1));
        assert_eq!(step_of(2_048), 11 * STEPS_OF_DOUBLING);
        assert_eq!(step_of(3_072), 11 * STEPS_OF_DOUBLING + 4);
        assert!(step_of(60_000) < step_of(70_000));
        assert_eq!(step_of(60_000), step_of(60_500));
        assert!(step_of(u64::MAX) < 64 * STEPS_OF_DOUBLING);
    }
}

//! What is told of many at once, in one event of all of them: leases, and items that can be fetched. A busy farm has more of
//! these than of all else; one event for each is what its broker would be busy with. How a build ends is always told of it alone.

use std::collections::BTreeMap;

use drover_messages::BuildId;
use drover_messages::event::{Leased, What};
use drover_store::{StoreDir, StorePath};

/// So many of a kind are told as one. Of fewer, each is told to those who listen to that one.
const MANY: usize = 8;
/// The most that one event is of: some 30 KB.
const MOST: usize = 256;

/// The events of one commit, with many of a kind as one. Of each build they say the same, in the same order, but for why it was
/// given to whom.
pub(crate) fn together(events: Vec<What>) -> Vec<What> {
    let (mut told, mut crowd) = (Vec::with_capacity(events.len()), Crowd::default());
    for what in events {
        match what {
            What::BuildLeased { build, attempt, agent, epoch } => crowd.leases.push(Leased { build, attempt, agent, epoch }),
            What::ItemAvailable { store_dir, path } => crowd.items.entry(store_dir).or_default().push(path),
            // These change nothing for those that are collected.
            What::BuildPlaced { .. } => told.push(what),
            What::BuildSucceeded { build, .. } if !crowd.has_lease_of(build) => told.push(what),
            other => {
                crowd.tell(&mut told);
                told.push(other);
            }
        }
    }
    crowd.tell(&mut told);
    told
}

/// What is not told yet.
#[derive(Default)]
struct Crowd {
    items: BTreeMap<StoreDir, Vec<StorePath>>,
    leases: Vec<Leased>,
}

impl Crowd {
    fn has_lease_of(&self, build: BuildId) -> bool {
        self.leases.iter().any(|leased| leased.build == build)
    }

    fn tell(&mut self, told: &mut Vec<What>) {
        for (store_dir, paths) in std::mem::take(&mut self.items) {
            let alone = |path| What::ItemAvailable { store_dir: store_dir.clone(), path };
            tell(told, paths, alone, |paths| What::ItemsAvailable { store_dir: store_dir.clone(), paths });
        }
        let alone = |Leased { build, attempt, agent, epoch }| What::BuildLeased { build, attempt, agent, epoch };
        tell(told, std::mem::take(&mut self.leases), alone, |leases| What::BuildsLeased { leases });
    }
}

fn tell<T>(told: &mut Vec<What>, mut all: Vec<T>, alone: impl Fn(T) -> What, together: impl Fn(Vec<T>) -> What) {
    while all.len() >= MANY {
        let rest = all.split_off(all.len().min(MOST));
        told.push(together(std::mem::replace(&mut all, rest)));
    }
    told.extend(all.into_iter().map(alone));
}

#[cfg(test)]
mod tests {
    use drover_messages::{AgentId, AttemptId, Epoch, Generation};

    use super::*;

    fn leased(build: BuildId) -> What {
        let epoch = Epoch { generation: Generation(1), n: 1 };
        What::BuildLeased { build, attempt: AttemptId::new(), agent: AgentId::new(), epoch }
    }

    fn path(n: usize) -> StorePath {
        StorePath::from_parts(&[n as u8; 20], "x").unwrap()
    }

    fn available(n: usize) -> What {
        What::ItemAvailable { store_dir: StoreDir::nix(), path: path(n) }
    }

    #[test]
    fn few_are_told_each_alone() {
        let events: Vec<What> = (1..MANY).map(available).chain((1..MANY).map(|_| leased(BuildId::new()))).collect();
        assert_eq!(together(events.clone()), events);
    }

    #[test]
    fn many_are_told_as_one_and_nobody_twice() {
        let builds: Vec<BuildId> = (0..MOST + MANY + 1).map(|_| BuildId::new()).collect();
        let paths: Vec<StorePath> = (0..MANY).map(path).collect();
        let events = builds.iter().map(|build| leased(*build)).chain((0..MANY).map(available)).collect();
        let told = together(events);
        let [What::ItemsAvailable { paths: told_of, .. }, leases @ ..] = &told[..] else { panic!("{told:?}") };
        assert_eq!(*told_of, paths);
        let leases = leases.iter().flat_map(|what| match what {
            What::BuildsLeased { leases } => leases.iter().map(|leased| leased.build).collect::<Vec<BuildId>>(),
            other => panic!("{other:?}"),
        });
        assert_eq!(leases.collect::<Vec<BuildId>>(), builds);
    }

    fn succeeded(build: BuildId) -> What {
        let drv = StorePath::from_parts(&[1; 20], "x.drv").unwrap().try_into().unwrap();
        let (attempt, agent) = (AttemptId::new(), AgentId::new());
        What::BuildSucceeded { build, attempt, agent, drv, build_millis: 1, already_valid: false }
    }

    #[test]
    fn items_of_two_store_directories_are_told_apart_and_a_small_rest_each_alone() {
        let of_guix = |n| What::ItemAvailable { store_dir: StoreDir::guix(), path: path(n) };
        let told = together((0..MANY).map(of_guix).chain((0..MOST + 1).map(available)).collect());
        let counts = told.iter().map(|what| match what {
            What::ItemsAvailable { store_dir, paths } => (store_dir.clone(), paths.len()),
            What::ItemAvailable { store_dir, .. } => (store_dir.clone(), 1),
            other => panic!("{other:?}"),
        });
        let mut counts: Vec<(StoreDir, usize)> = counts.collect();
        counts.sort();
        assert_eq!(counts, [(StoreDir::guix(), MANY), (StoreDir::nix(), 1), (StoreDir::nix(), MOST)]);
    }

    #[test]
    fn what_is_told_of_one_build_stays_in_order() {
        let build = BuildId::new();
        // An attempt before may be done after all.
        for between in [What::BuildCancelled { build }, succeeded(build)] {
            let others = (0..MANY).map(|_| leased(BuildId::new()));
            let events: Vec<What> = [leased(build), between, leased(build)].into_iter().chain(others).collect();
            let told = together(events.clone());
            assert_eq!(told[..2], events[..2]);
            let [What::BuildsLeased { leases }] = &told[2..] else { panic!("{told:?}") };
            assert_eq!((leases[0].build, leases.len()), (build, MANY + 1));
        }
    }

    #[test]
    fn the_success_of_another_build_does_not_part_what_is_told_together() {
        let leases = || (0..MANY / 2).map(|_| leased(BuildId::new()));
        let told = together(leases().chain([succeeded(BuildId::new())]).chain(leases()).collect());
        assert!(
            matches!(&told[..], [What::BuildSucceeded { .. }, What::BuildsLeased { leases }] if leases.len() == MANY),
            "{told:?}"
        );
    }
}

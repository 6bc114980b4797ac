//! The links of many builds that come in together: counted first, and made when all of them are known, so that no list grows
//! bit by bit, and each item is looked at once and not by everything that needs it.

use crate::links::{BuildNo, Builds, Edge, ItemNo, Items};
use crate::needs::Offers;
use crate::roster::Roster;

/// Links that are counted and not made.
#[derive(Debug, Default)]
pub(crate) struct Tally(Vec<Count>);

/// How many builds need an item.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    users: u32,
    /// Those of them that are open.
    dependents: u32,
}

/// What is said of an item to those that need it.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    /// Where its dependents begin, in the list of all.
    start: usize,
    /// Whether it is simply not there.
    is_plain: bool,
}

impl Tally {
    /// The link to an item of one build that needs it.
    pub(crate) fn edge(&mut self, item: ItemNo, is_open: bool) -> Edge {
        if self.0.len() <= item.index() {
            self.0.resize(item.index() + 1, Count::default());
        }
        let count = &mut self.0[item.index()];
        let at = count.dependents;
        count.users += 1;
        count.dependents += u32::from(is_open);
        Edge { item, at }
    }

    /// Makes all links. The builds are those whose links were counted, and no others.
    pub(crate) fn link(self, builds: &mut Builds, items: &mut Items) {
        let mut told: Vec<Told> = items.entries().list_of(Told::default());
        let mut sum = 0;
        for (no, entry) in items.entries().numbered() {
            told[no.index()] = Told { start: sum, is_plain: entry.offers == Offers::NOTHING };
            sum += self.count(no).dependents as usize;
        }
        let Some((any, _)) = builds.nodes().numbered().next() else { return };
        let mut dependents: Vec<BuildNo> = vec![any; sum];
        for (no, node) in builds.nodes_mut().numbered_mut() {
            if node.build.state.is_over() {
                continue;
            }
            node.linked = true;
            for edge in &node.inputs {
                let Told { start, is_plain } = told[edge.item.index()];
                dependents[start + edge.at as usize] = no;
                let entry = if is_plain { None } else { items.at(edge.item) };
                node.needs.add(edge.item, entry.map_or(&Offers::NOTHING, |entry| &entry.offers));
            }
        }
        for (no, entry) in items.entries_mut().numbered_mut() {
            let (Count { users, dependents: count }, Told { start, .. }) = (self.count(no), told[no.index()]);
            entry.users = users;
            entry.dependents = Roster::of(&dependents[start..start + count as usize]);
        }
    }

    fn count(&self, item: ItemNo) -> Count {
        self.0.get(item.index()).copied().unwrap_or_default()
    }
}

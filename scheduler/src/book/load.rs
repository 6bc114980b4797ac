//! What a new reign begins with.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::{AgentId, ClientId, SubmissionId, Timestamp};
use drover_scheduler_core::{Heard, Item, KnownAgent, Package, Publication, Submission, Took, Used};
use drover_store::StorePath;
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::journal::{Key, Row};
use super::open::{Open, in_parts};
use super::store_dirs::StoreDirs;
use super::tables::*;
use super::walk::Walk;
use super::{Book, BookError, decode};
use crate::told::Told;

/// Items that are looked for together: so few that a commit need not wait long for whoever looks into the journal.
const ROWS_TOGETHER: usize = 256;

/// Everything open, as it was recorded.
pub(crate) struct Memory {
    pub(crate) heard: Heard,
    pub(crate) told: Told,
    pub(crate) submissions: Vec<Submission>,
    pub(crate) builds: Open,
    /// What builds and publications speak of, as far as anything is known of it.
    pub(crate) paths: Vec<(StorePath, Option<Item>)>,
    pub(crate) owed: Vec<Publication>,
    pub(crate) cancelled_ahead: Vec<SubmissionId>,
    pub(crate) took: Vec<(Package, Took)>,
    pub(crate) used: Vec<(ClientId, Used)>,
    pub(crate) drained: Vec<(AgentId, Option<Heard>)>,
    pub(crate) agents: Vec<(AgentId, KnownAgent)>,
    /// When the last commit was made, by the clock on the wall.
    pub(crate) ended: Timestamp,
}

impl Book {
    /// Reads what is open, and nothing else.
    pub(crate) fn remember(&self) -> Result<Memory, BookError> {
        let (builds, owed) = (self.open_builds()?, self.owed()?);
        let mut paths = builds.paths().to_vec();
        let of_owed: BTreeSet<&StorePath> = owed.iter().flat_map(|owed| owed.references.iter().chain([&owed.path])).collect();
        paths.extend(of_owed.into_iter().cloned());
        let asked: BTreeSet<SubmissionId> = builds.submissions().chain(owed.iter().filter_map(Publication::submission)).collect();
        let mut submissions = Vec::new();
        for id in asked {
            submissions.extend(self.submission(id)?);
        }
        let (mut paths, mut store_dirs) = (self.recorded(paths)?, StoreDirs::default());
        let items = paths.iter_mut().filter_map(|(_, item)| item.as_mut());
        items.for_each(|item| item.store_dir = store_dirs.shared(&item.store_dir));
        let (heard, told) = (Heard(self.meta(HEARD)?), Told { record: self.meta(TOLD)?, stream: self.meta(TOLD_TO)? });
        let cancelled_ahead = self.cancelled_ahead()?;
        let (took, used) = (self.took()?, self.each_of(USED, "what a client used", ClientId::from_uuid)?);
        let drained = self.each_of(DRAINED, "a drain", AgentId::from_uuid)?;
        let (agents, ended) = (self.each_of(AGENTS, "an agent", AgentId::from_uuid)?, self.ended()?);
        Ok(Memory { heard, told, submissions, builds, paths, owed, cancelled_ahead, took, used, drained, agents, ended })
    }

    /// Each path with what is recorded of it. They are read in order of their names: of most nothing is recorded, and those
    /// between two rows are not looked for.
    fn recorded(&self, paths: Vec<StorePath>) -> Result<Vec<(StorePath, Option<Item>)>, BookError> {
        // Nearly all names differ in how they begin: the rest lies elsewhere, and is hardly ever looked at.
        let beginning = |path: &StorePath| path.as_str().bytes().take(8).fold(0, |key, byte| key << 8 | u64::from(byte));
        let mut by_name: Vec<(u64, u32)> = paths.iter().map(beginning).zip(0..).collect();
        by_name.sort_unstable_by(|(a, one), (b, other)| a.cmp(b).then_with(|| paths[*one as usize].cmp(&paths[*other as usize])));
        let in_order = |places: &[(u64, u32)]| self.items_in_order(places.iter().map(|(_, place)| &paths[*place as usize]));
        let items = in_parts(&by_name, in_order)?;
        let mut recorded: Vec<(StorePath, Option<Item>)> = paths.into_iter().map(|path| (path, None)).collect();
        for ((_, place), item) in by_name.into_iter().zip(items) {
            recorded[place as usize].1 = item;
        }
        Ok(recorded)
    }

    fn cancelled_ahead(&self) -> Result<Vec<SubmissionId>, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(AHEAD)?;
        let mut ids = Vec::new();
        for row in table.iter()? {
            let (id, _) = row?;
            ids.push(SubmissionId::from_uuid(Uuid::from_bytes(id.value())));
        }
        Ok(ids)
    }

    /// All rows of a table, each with whose it is. `what` is said of one that cannot be read.
    fn each_of<I, T: DeserializeOwned>(
        &self,
        table: TableDefinition<[u8; 16], &[u8]>,
        what: &'static str,
        id: impl Fn(Uuid) -> I,
    ) -> Result<Vec<(I, T)>, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(table)?;
        let mut rows = Vec::new();
        for row in table.iter()? {
            let (key, value) = row?;
            rows.push((id(Uuid::from_bytes(key.value())), decode(what, value.value())?));
        }
        Ok(rows)
    }

    fn ended(&self) -> Result<Timestamp, BookError> {
        let last = self.news_after(self.meta(LAST_RECORD)?.saturating_sub(1), 1)?.pop();
        Ok(last.map_or(Timestamp(0), |record| record.wall))
    }

    fn took(&self) -> Result<Vec<(Package, Took)>, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(TOOK)?;
        let mut packages = Vec::new();
        for row in table.iter()? {
            let (key, took) = row?;
            let (system, name) = key.value();
            packages.push((Package { name: name.into(), system: system.into() }, decode("durations", took.value())?));
        }
        Ok(packages)
    }

    fn owed(&self) -> Result<Vec<Publication>, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(OWED)?;
        let mut owed = Vec::new();
        for row in table.iter()? {
            let (_, publication) = row?;
            owed.push(decode("a publication", publication.value())?);
        }
        Ok(owed)
    }

    /// The items of these paths that are recorded.
    pub(crate) fn items<'a, C: FromIterator<(StorePath, Item)>>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<C, BookError> {
        let paths: Vec<&StorePath> = paths.into_iter().collect();
        let mut items = Vec::new();
        for paths in paths.chunks(ROWS_TOGETHER) {
            let recent = self.recent_items(paths);
            let read = self.database.begin_read()?;
            let table = read.open_table(ITEMS)?;
            for (path, recent) in paths.iter().zip(recent) {
                let item = match recent {
                    Some(row) => row.map(|row| decode("an item", &row)).transpose()?,
                    None => table.get(path.as_str())?.map(|row| decode("an item", row.value())).transpose()?,
                };
                items.extend(item.map(|item| ((*path).clone(), item)));
            }
        }
        Ok(items.into_iter().collect())
    }

    /// For each of these paths, which are in order, its item, if that is recorded.
    fn items_in_order<'a>(&self, paths: impl IntoIterator<Item = &'a StorePath>) -> Result<Vec<Option<Item>>, BookError> {
        let paths: Vec<&StorePath> = paths.into_iter().collect();
        let mut items = Vec::with_capacity(paths.len());
        for paths in paths.chunks(ROWS_TOGETHER) {
            let recent = self.recent_items(paths);
            let read = self.database.begin_read()?;
            let table = read.open_table(ITEMS)?;
            let mut walk = Walk::through(&table)?;
            for (path, recent) in paths.iter().zip(recent) {
                items.push(match recent {
                    Some(row) => row.map(|row| decode("an item", &row)).transpose()?,
                    None => walk.row(path.as_str())?.map(|row| decode("an item", row.value())).transpose()?,
                });
            }
        }
        Ok(items)
    }

    /// What the journal says of items.
    fn recent_items(&self, paths: &[&StorePath]) -> Vec<Option<Row>> {
        self.journal.look(paths.iter().map(|path| Key::Item((*path).clone())))
    }

    /// Those of the paths that everybody can fetch.
    pub(crate) fn available(&self, mut paths: BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>, BookError> {
        let items: BTreeMap<StorePath, Item> = self.items(&paths)?;
        paths.retain(|path| items.get(path).is_some_and(|item| item.state.is_available()));
        Ok(paths)
    }

    fn meta(&self, key: &str) -> Result<u64, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(META)?;
        let value = table.get(key)?;
        Ok(value.map_or(0, |value| value.value()))
    }
}

#[cfg(test)]
mod tests {
    use drover_scheduler_core::{Build, BuildState, OpenBuild, WholeBuild};

    use drover_store::StoreDir;

    use super::super::encode;
    use super::super::samples::{of, open_whole, store_path};
    use super::*;

    #[test]
    fn what_is_open_is_remembered_in_the_order_of_making_and_each_name_once() {
        let tool = store_path(99, "tool");
        let needs_tool = |n: u8| {
            let build = of(n, &format!("package-{n}"), BuildState::Waiting { missing: 1 });
            let build = Build { seq: u64::from(9 - n), ..build };
            WholeBuild { build, inputs: [tool.clone()].into_iter().collect() }
        };
        let builds: Vec<WholeBuild> = (1..=3).map(needs_tool).collect();
        let (_folder, book) = open_whole(&builds, &[]);
        let Memory { builds: open, paths, .. } = book.remember().unwrap();
        let remembered: Vec<OpenBuild> = open.each(|builds| builds.collect()).unwrap();
        let in_order: Vec<Build> = builds.into_iter().rev().map(|whole| whole.build).collect();
        assert_eq!(remembered.iter().map(|open| open.build.clone()).collect::<Vec<_>>(), in_order);
        let needed: Vec<&StorePath> = remembered.iter().map(|open| &paths[open.inputs[0] as usize].0).collect();
        assert_eq!(needed, [&tool; 3]);
        let is_tool = |(path, _): &&(StorePath, Option<Item>)| *path == tool;
        assert_eq!(paths.iter().filter(is_tool).count(), 1);
    }

    #[test]
    fn items_in_order_are_those_that_are_recorded() {
        let (_folder, book) = open_whole(&[], &[]);
        let paths: Vec<StorePath> = (0..200).map(|n| store_path(n, "item")).collect();
        let transaction = book.database.begin_write().unwrap();
        for n in [0, 3, 4, 90, 199] {
            let item = Item { losses: n as u32, ..Item::wanted(StoreDir::nix()) };
            transaction.open_table(ITEMS).unwrap().insert(paths[n].as_str(), encode(&item).unwrap().as_slice()).unwrap();
        }
        transaction.commit().unwrap();
        let mut sorted: Vec<&StorePath> = paths.iter().filter(|path| **path != paths[4]).collect();
        sorted.sort_unstable();
        let items = book.items_in_order(sorted.iter().copied()).unwrap();
        let found = sorted.into_iter().zip(items).filter_map(|(path, item)| Some((path.clone(), item?.losses)));
        let expected = [0, 3, 90, 199].map(|n| (paths[n].clone(), n as u32));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), BTreeMap::from(expected));
    }
}

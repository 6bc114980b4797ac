//! What a new reign begins with.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::{AgentId, ClientId, SubmissionId};
use drover_scheduler_core::{Build, Heard, Item, Package, Publication, Submission, Took, Used};
use drover_store::StorePath;
use redb::{ReadableDatabase, ReadableTable};
use uuid::Uuid;

use super::tables::*;
use super::{Book, BookError, course, decode};

/// Everything open, as it was recorded.
pub(crate) struct Memory {
    pub(crate) heard: Heard,
    pub(crate) told: u64,
    pub(crate) submissions: Vec<Submission>,
    pub(crate) builds: Vec<Build>,
    pub(crate) items: Vec<(StorePath, Item)>,
    pub(crate) owed: Vec<Publication>,
    pub(crate) cancelled_ahead: Vec<SubmissionId>,
    pub(crate) took: Vec<(Package, Took)>,
    pub(crate) used: Vec<(ClientId, Used)>,
    pub(crate) drained: Vec<(AgentId, Option<Heard>)>,
}

impl Book {
    /// Reads what is open, and nothing else.
    pub(crate) fn remember(&self) -> Result<Memory, BookError> {
        let mut builds = self.open_builds()?;
        builds.sort_by_key(|build| build.seq);
        let owed = self.owed()?;
        let asked: BTreeSet<SubmissionId> =
            builds.iter().map(|build| build.submission).chain(owed.iter().filter_map(Publication::submission)).collect();
        let mut submissions = Vec::new();
        for id in asked {
            submissions.extend(self.submission(id)?);
        }
        let of_builds = builds.iter().flat_map(|build| build.products().chain(&build.recipe.inputs));
        let of_owed = owed.iter().flat_map(|owed| owed.references.iter().chain([&owed.path]));
        let items = self.items(of_builds.chain(of_owed))?.into_iter().collect();
        let (heard, told) = (Heard(self.meta(HEARD)?), self.meta(TOLD)?);
        let cancelled_ahead = self.cancelled_ahead()?;
        let (took, used) = (self.took()?, self.used()?);
        let drained = self.drained()?;
        Ok(Memory { heard, told, submissions, builds, items, owed, cancelled_ahead, took, used, drained })
    }

    fn open_builds(&self) -> Result<Vec<Build>, BookError> {
        let read = self.database.begin_read()?;
        let (builds, courses) = (read.open_table(BUILDS)?, read.open_table(COURSES)?);
        let mut open = Vec::new();
        for row in read.open_table(OPEN)?.iter()? {
            let (id, _) = row?;
            open.extend(course::build(id.value(), &builds, &courses)?);
        }
        Ok(open)
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

    fn drained(&self) -> Result<Vec<(AgentId, Option<Heard>)>, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(DRAINED)?;
        let mut agents = Vec::new();
        for row in table.iter()? {
            let (agent, deadline) = row?;
            agents.push((AgentId::from_uuid(Uuid::from_bytes(agent.value())), decode("a drain", deadline.value())?));
        }
        Ok(agents)
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

    fn used(&self) -> Result<Vec<(ClientId, Used)>, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(USED)?;
        let mut clients = Vec::new();
        for row in table.iter()? {
            let (client, used) = row?;
            clients.push((ClientId::from_uuid(Uuid::from_bytes(client.value())), decode("what a client used", used.value())?));
        }
        Ok(clients)
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
    pub(crate) fn items<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a StorePath>,
    ) -> Result<BTreeMap<StorePath, Item>, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(ITEMS)?;
        let mut items = BTreeMap::new();
        for path in paths {
            if items.contains_key(path) {
                continue;
            }
            if let Some(row) = table.get(path.to_string().as_str())? {
                items.insert(path.clone(), decode("an item", row.value())?);
            }
        }
        Ok(items)
    }

    /// Those of the paths that everybody can fetch.
    pub(crate) fn available(&self, mut paths: BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>, BookError> {
        let items = self.items(&paths)?;
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

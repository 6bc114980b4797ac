//! Single rows, and pages of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use drover_messages::query::StateName;
use drover_messages::{BuildId, ClientId, SubmissionId, Timestamp, WishId};
use drover_scheduler_core::{Build, Learned, PackSet, PackSetId, Submission, WholeBuild};
use drover_store::{DrvPath, StorePath};
use redb::ReadableDatabase;
use serde::Deserialize;
use uuid::Uuid;

use super::paths::Reader;
use super::tables::*;
use super::{Book, BookError, Record, decode, paths};
use crate::fresh::News;

/// The least and the greatest id.
const FIRST: [u8; 16] = [0; 16];
const LAST: [u8; 16] = [0xff; 16];
/// Builds that are read together: so few that a commit need not wait long for whoever looks into the journal.
const READ_TOGETHER: usize = 256;

/// Of what is [learned](Learned) of a derivation, where the whole of it is.
#[derive(Deserialize)]
struct Whole {
    #[serde(default)]
    closure: PackSetId,
}

impl Book {
    pub(crate) fn build(&self, id: BuildId) -> Result<Option<Build>, BookError> {
        Ok(self.builds([id])?.pop().map(|whole| whole.build))
    }

    /// Those of the builds that are recorded, in the same order, each with what it needs.
    pub(crate) fn builds(&self, ids: impl IntoIterator<Item = BuildId>) -> Result<Vec<WholeBuild>, BookError> {
        let ids: Vec<BuildId> = ids.into_iter().collect();
        let read = self.database.begin_read()?;
        let mut paths = Reader::new(read.open_table(PATHS)?);
        let mut builds = Vec::with_capacity(ids.len());
        for ids in ids.chunks(READ_TOGETHER) {
            for made in self.made(ids)? {
                builds.push(made.whole(|number| paths.path(number))?);
            }
        }
        Ok(builds)
    }

    pub(crate) fn submission(&self, id: SubmissionId) -> Result<Option<Submission>, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(SUBMISSIONS)?;
        let row = table.get(id.uuid().into_bytes())?;
        row.map(|row| decode("a submission", row.value())).transpose()
    }

    pub(crate) fn learned(&self, drv: &DrvPath) -> Result<Option<Learned>, BookError> {
        Ok(self.all_learned([drv])?.remove(drv))
    }

    /// What is known of each of these derivations.
    pub(crate) fn all_learned<'d>(
        &self,
        drvs: impl IntoIterator<Item = &'d DrvPath>,
    ) -> Result<BTreeMap<DrvPath, Learned>, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(DRVS)?;
        let mut all = BTreeMap::new();
        for drv in drvs {
            let Some(row) = table.get(drv.as_str())? else { continue };
            let learned: Learned = decode("a derivation", row.value())?;
            // An older program did not record where the rest of it is: it must come again.
            if learned.closure != PackSetId::default() {
                all.insert(drv.clone(), learned);
            }
        }
        Ok(all)
    }

    /// The packs that hold each of these derivations and everything it stands on, where it is known.
    pub(crate) fn closures(&self, drvs: impl IntoIterator<Item = DrvPath>) -> Result<BTreeMap<DrvPath, Arc<PackSet>>, BookError> {
        let mut drvs = drvs.into_iter().peekable();
        let mut closures = BTreeMap::new();
        if drvs.peek().is_none() {
            return Ok(closures);
        }
        let read = self.database.begin_read()?;
        let (learned, packed) = (read.open_table(DRVS)?, read.open_table(PACK_SETS)?);
        // What is asked for together shares a few sets.
        let mut sets: BTreeMap<PackSetId, Arc<PackSet>> = BTreeMap::new();
        for drv in drvs {
            // All outputs of a build are asked for together.
            if closures.contains_key(&drv) {
                continue;
            }
            let Some(row) = learned.get(drv.as_str())? else { continue };
            let Whole { closure } = decode("a derivation", row.value())?;
            if let Entry::Vacant(set) = sets.entry(closure)
                && let Some(row) = packed.get(closure.to_string().as_str())?
            {
                set.insert(Arc::new(decode("a set of packs", row.value())?));
            }
            closures.extend(sets.get(&closure).map(|set| (drv, set.clone())));
        }
        Ok(closures)
    }

    /// The newest failure of each of these derivations, if it is not older than that.
    pub(crate) fn failures<'d>(
        &self,
        drvs: impl IntoIterator<Item = &'d DrvPath>,
        not_before: Timestamp,
    ) -> Result<BTreeMap<DrvPath, Build>, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(FAILURES)?;
        let mut failures = BTreeMap::new();
        for drv in drvs {
            let Some((build, at)) = table.get(drv.as_str())?.map(|row| row.value()) else { continue };
            if at >= not_before.0
                && let Some(build) = self.build(BuildId::from_uuid(Uuid::from_bytes(build)))?
            {
                failures.insert(drv.clone(), build);
            }
        }
        Ok(failures)
    }

    /// Whether a wish was heard.
    pub(crate) fn has_heard(&self, wish: WishId) -> Result<bool, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(WISHES)?;
        Ok(table.get(wish.uuid().into_bytes())?.is_some())
    }

    /// The submissions with a tag, oldest first.
    pub(crate) fn tagged(&self, key: &str, value: &str) -> Result<Vec<SubmissionId>, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(TAGS)?;
        let row = tag_row(key, value);
        let rows = table.range((row.as_str(), FIRST)..=(row.as_str(), LAST))?;
        rows.map(|row| {
            let (key, _) = row?;
            Ok(SubmissionId::from_uuid(Uuid::from_bytes(key.value().1)))
        })
        .collect()
    }

    /// Those of these submissions that are a client's.
    pub(crate) fn of_client(&self, client: ClientId, of: Vec<SubmissionId>) -> Result<Vec<SubmissionId>, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(OF_CLIENT)?;
        let mut theirs = Vec::new();
        for id in of {
            theirs.extend(table.get((client.uuid().into_bytes(), id.uuid().into_bytes()))?.map(|_| id));
        }
        Ok(theirs)
    }

    /// The builds of a submission in one of these states, as they were recorded.
    pub(crate) fn builds_in(&self, submission: SubmissionId, states: &[StateName]) -> Result<Vec<BuildId>, BookError> {
        let mut found = Vec::new();
        for ids in self.members(submission)?.chunks(READ_TOGETHER) {
            let made = self.made(ids)?.into_iter();
            found.extend(made.filter(|made| states.contains(&made.row.state.name())).map(|made| made.id()));
        }
        Ok(found)
    }

    fn members(&self, submission: SubmissionId) -> Result<Vec<BuildId>, BookError> {
        let read = self.database.begin_read()?;
        let table = read.open_table(MEMBERS)?;
        let of = submission.uuid().into_bytes();
        let rows = table.range((of, FIRST)..=(of, LAST))?;
        rows.map(|row| {
            let (key, _) = row?;
            Ok(BuildId::from_uuid(Uuid::from_bytes(key.value().1)))
        })
        .collect()
    }

    /// The builds that make an item, oldest first.
    pub(crate) fn makers(&self, path: &StorePath) -> Result<Vec<BuildId>, BookError> {
        let read = self.database.begin_read()?;
        let Some(path) = paths::number(&read, path)? else { return Ok(Vec::new()) };
        let table = read.open_table(MAKERS)?;
        let rows = table.range((path, FIRST)..=(path, LAST))?;
        rows.map(|row| {
            let (key, _) = row?;
            Ok(BuildId::from_uuid(Uuid::from_bytes(key.value().1)))
        })
        .collect()
    }

    /// What records after that number tell, oldest first, of at most so many.
    pub(crate) fn news_after(&self, number: u64, most: usize) -> Result<Vec<News>, BookError> {
        let recent = self.journal.records_after(number, most);
        let read = self.database.begin_read()?;
        let table = read.open_table(RECORDS)?;
        let mut records = BTreeMap::new();
        for row in table.range(number + 1..)?.take(most) {
            let (number, row) = row?;
            records.insert(number.value(), row.value().to_vec());
        }
        records.extend(recent.into_iter().map(|(number, row)| (number, row.into_vec())));
        let news = |(number, row): (u64, Vec<u8>)| {
            let Record { generation, wall, events, .. } = decode("a record", &row)?;
            Ok(News { number, generation, wall, events })
        };
        records.into_iter().take(most).map(news).collect()
    }
}

#[cfg(test)]
mod tests {
    use drover_scheduler_core::Learned;
    use drover_store::{PackId, Sha256, StoreDir};

    use super::super::encode;
    use super::super::samples::store_path;
    use super::*;

    #[test]
    fn closures_are_found_together_and_what_is_not_known_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let drv = |n: u8| DrvPath::try_from(store_path(n, "x.drv")).unwrap();
        let packs = |names: &[&[u8]]| names.iter().map(|name| PackId(Sha256::of(name))).collect::<PackSet>();
        let (one, two, lost) = (packs(&[b"1"]), packs(&[b"1", b"2"]), packs(&[b"3"]));
        let transaction = book.database.begin_write().unwrap();
        for set in [&one, &two] {
            let mut sets = transaction.open_table(PACK_SETS).unwrap();
            sets.insert(set.id().to_string().as_str(), encode(set).unwrap().as_slice()).unwrap();
        }
        for (n, closure) in [(1, one.id()), (2, two.id()), (3, one.id()), (4, lost.id()), (5, PackSetId::default())] {
            let modulo = Sha256::of(&[n]);
            let learned = Learned { store_dir: StoreDir::guix(), drv: drv(n), pack: PackId(modulo), modulo, closure };
            let mut drvs = transaction.open_table(DRVS).unwrap();
            drvs.insert(drv(n).as_str(), encode(&learned).unwrap().as_slice()).unwrap();
        }
        transaction.commit().unwrap();
        let found = book.closures((1..=6).map(drv)).unwrap();
        let expected = BTreeMap::from([(drv(1), one.clone()), (drv(2), two), (drv(3), one)]);
        assert_eq!(found.into_iter().map(|(drv, set)| (drv, (*set).clone())).collect::<BTreeMap<_, _>>(), expected);
    }
}

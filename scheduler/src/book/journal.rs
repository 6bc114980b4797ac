//! Rows that are written again and again: what becomes of builds and items, what is owed, what is learned, what is told.
//!
//! Written to their tables at once, each commit would touch as many pages as it has rows. So a commit appends its rows to the
//! journal, as one line of a [segment](super::segment), and they are [carried](super::carry) to their tables later: in order, and
//! once for all that was written over them meanwhile. Until then they are read from memory. After a crash the journal is read
//! again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use drover_messages::{BuildId, ClientId, PublicationId};
use drover_scheduler_core::Package;
use drover_store::StorePath;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::BookError;
use super::segment::{JournalId, Segment};
use crate::told::Told;

/// So many rows are carried to their tables together: a busy farm writes most rows of a build over and over within a second,
/// and each table's rows lie the closer the more of them there are.
const CARRIED_TOGETHER: usize = 131_072;
/// Or as soon as their lines take so much room: where the same few rows are written over and over, there are never so many rows.
const BYTES_TOGETHER: u64 = 64 << 20;

/// Which row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Key {
    /// What became of a build.
    Course(BuildId),
    /// That a build belongs in memory.
    Open(BuildId),
    /// How the farm has an item.
    Item(StorePath),
    /// A publication that is owed.
    Owed(PublicationId),
    /// How long builds of a package took.
    Took(Arc<Package>),
    /// What a client has used.
    Used(ClientId),
    /// What a commit tells.
    Record(u64),
}

/// What it says; nothing, if it is not there any more.
pub(super) type Row = Option<ByteBuf>;

/// What is on its way to the tables, in the order in which it goes.
pub(super) type Rows = BTreeMap<Key, Row>;

/// How far the state is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Newest {
    /// The number of the last commit.
    pub(super) number: u64,
    /// The hearing clock.
    pub(super) heard: u64,
    /// What was told so far.
    pub(super) told: Told,
}

/// What one commit says. `R` are its rows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line<R = Vec<(Key, Row)>> {
    pub(super) newest: Newest,
    /// Whether it says more, in tables: without that it does not count.
    pub(super) in_tables: bool,
    pub(super) rows: R,
}

/// Rows on their way.
#[derive(Debug)]
pub(super) struct Journal {
    recent: RwLock<Recent>,
    pen: Mutex<Pen>,
}

/// What is committed, and may not be in the tables yet.
#[derive(Debug, Default)]
struct Recent {
    /// What came last.
    young: Rows,
    /// What is being carried to the tables.
    old: Arc<Rows>,
}

/// Where lines are written. Who writes has it to itself.
#[derive(Debug)]
struct Pen {
    folder: PathBuf,
    id: JournalId,
    newest: Newest,
    /// The segment with what came last.
    segment: Option<Segment>,
}

/// The right to write, for as long as it is held.
pub(super) struct Writing<'a> {
    recent: &'a RwLock<Recent>,
    pen: MutexGuard<'a, Pen>,
}

/// What goes to the tables together.
pub(super) struct Load {
    pub(super) rows: Arc<Rows>,
    /// How far the state was when it set out.
    pub(super) newest: Newest,
    /// Where its lines are.
    pub(super) segment: PathBuf,
}

impl Journal {
    /// One that goes on where the state is, with segments in this folder.
    pub(super) fn begin_at(newest: Newest, id: JournalId, folder: PathBuf) -> Self {
        Self { recent: RwLock::default(), pen: Mutex::new(Pen { folder, id, newest, segment: None }) }
    }

    /// Reserves the right to write. Others wait.
    pub(super) fn begin(&self) -> Writing<'_> {
        Writing { recent: &self.recent, pen: self.pen.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// What was written of these rows and may not be in the tables yet; for the others, the tables say what is true, to whoever
    /// begins to read them after this.
    pub(super) fn look(&self, keys: impl Iterator<Item = Key>) -> Vec<Option<Row>> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        keys.map(|key| recent.get(&key).cloned()).collect()
    }

    /// Records behind that number that may not be in their table yet, the oldest of them.
    pub(super) fn records_after(&self, number: u64, most: usize) -> Vec<(u64, ByteBuf)> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let of = |rows: &Rows| -> Vec<_> {
            let records = rows.range(Key::Record(number + 1)..=Key::Record(u64::MAX)).take(most);
            records.filter_map(|(key, row)| key.record().zip(row.clone())).collect()
        };
        let (mut records, young) = (of(&recent.old), of(&recent.young));
        records.extend(young);
        records
    }

    /// Everything that was carried is in its table.
    pub(super) fn arrived(&self) {
        let arrived = std::mem::take(&mut self.recent.write().unwrap_or_else(PoisonError::into_inner).old);
        drop(arrived);
    }
}

impl Key {
    fn record(&self) -> Option<u64> {
        match self {
            Self::Record(number) => Some(*number),
            _ => None,
        }
    }
}

impl Recent {
    fn get(&self, key: &Key) -> Option<&Row> {
        self.young.get(key).or_else(|| self.old.get(key))
    }
}

impl Writing<'_> {
    /// How far the state is.
    pub(super) fn newest(&self) -> Newest {
        self.pen.newest
    }

    /// Whether a row may not be in its table yet.
    pub(super) fn is_on_its_way(&self, key: &Key) -> bool {
        self.recent.read().unwrap_or_else(PoisonError::into_inner).get(key).is_some()
    }

    /// All rows that may not be in their tables yet.
    pub(super) fn rows(&self) -> Rows {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let mut rows = recent.old.as_ref().clone();
        rows.extend(recent.young.iter().map(|(key, row)| (key.clone(), row.clone())));
        rows
    }

    /// Appends a line. It counts when this returns, or when what it says in tables is committed.
    pub(super) fn append(&mut self, line: &Line<&[(Key, Row)]>) -> Result<(), BookError> {
        let pen = &mut *self.pen;
        let segment = match &mut pen.segment {
            Some(segment) => segment,
            none => none.insert(Segment::begin(&pen.folder, pen.id, line.newest.number)?),
        };
        segment.append(line)
    }

    /// What was appended counts, and can be read.
    pub(super) fn committed(mut self, newest: Newest, rows: Vec<(Key, Row)>) {
        self.pen.newest = newest;
        self.recent.write().unwrap_or_else(PoisonError::into_inner).young.extend(rows);
    }

    /// Whether what came last is enough to set out.
    pub(super) fn is_enough(&self) -> bool {
        let rows = self.recent.read().unwrap_or_else(PoisonError::into_inner).young.len();
        rows >= CARRIED_TOGETHER || self.pen.segment.as_ref().is_some_and(|segment| segment.bytes() >= BYTES_TOGETHER)
    }

    /// What came last sets out to the tables, once all that set out before is there.
    pub(super) fn set_out(&mut self) -> Option<Load> {
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        let segment = self.pen.segment.take_if(|_| recent.old.is_empty() && !recent.young.is_empty())?.end();
        let rows = Arc::new(std::mem::take(&mut recent.young));
        recent.old = rows.clone();
        Some(Load { rows, newest: self.pen.newest, segment })
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;

//! Rows that are written again and again: what becomes of builds and items, what is owed, what is learned, what is told.
//!
//! Written to their tables at once, each commit would touch as many pages as it has rows. So a commit appends its rows to the
//! journal, as one line of a [segment](super::segment), and they are [carried](super::carry) to their tables later: in order, and
//! once for all that was written over them meanwhile. Until then they are read from memory. After a crash the journal is read
//! again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use drover_messages::{BuildId, ClientId, PublicationId};
use drover_scheduler_core::Package;
use drover_store::StorePath;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::BookError;
use super::segment::{Name, Segment};
use crate::told::Told;

/// So many rows are carried to their tables together: a busy farm writes most rows of a build over and over within a second,
/// and each table's rows lie the closer the more of them there are.
pub(super) const CARRIED_TOGETHER: usize = 131_072;
/// Or as soon as their lines take so much room: where the same few rows are written over and over, there are never so many rows.
pub(super) const BYTES_TOGETHER: u64 = 64 << 20;

/// Who writes waits when so many are behind those that are being carried.
pub(super) const BEHIND_AT_MOST: usize = 2 * CARRIED_TOGETHER;
/// The pause before it is looked whether there is room again.
const LOOK_FOR_ROOM_AFTER: Duration = Duration::from_millis(10);

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
    /// Where its segments are.
    folder: PathBuf,
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
    newest: Newest,
    /// The segment with what came last.
    segment: Segment,
    /// Whether the last commit to tables wrote down what a start after a kill must know of their pages.
    spares_repair: bool,
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
    pub(super) segment: Name,
}

impl Journal {
    /// One that goes on where the state is, with a segment in this folder.
    pub(super) fn begin_at(newest: Newest, folder: PathBuf, segment: Segment) -> Self {
        Self { folder, recent: RwLock::default(), pen: Mutex::new(Pen { newest, segment, spares_repair: true }) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many rows came since those that are being carried.
    fn young(&self) -> usize {
        self.recent.read().unwrap_or_else(PoisonError::into_inner).young.len()
    }

    /// Returns when not too much is to be carried yet. Without a thread that carries, there is never so much.
    pub(super) fn wait_for_room(&self) {
        while self.young() > BEHIND_AT_MOST {
            thread::sleep(LOOK_FOR_ROOM_AFTER);
        }
    }

    /// Whether there is enough to be carried for the next time already.
    pub(super) fn is_behind(&self) -> bool {
        self.young() >= CARRIED_TOGETHER
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

    /// All rows that may not be in their tables yet: first those that are being carried, then what came since.
    pub(super) fn rows(&self) -> (Arc<Rows>, Rows) {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        (recent.old.clone(), recent.young.clone())
    }

    /// Appends a line. It counts when this returns, or when what it says in tables is committed.
    pub(super) fn append(&mut self, line: &Line<&[(Key, Row)]>) -> Result<(), BookError> {
        self.pen.segment.append(line)
    }

    /// A commit to tables spares repair, or not.
    pub(super) fn spares_repair(&mut self, spares: bool) {
        self.pen.spares_repair = spares;
    }

    /// Whether a commit to tables is to be made that spares repair. Whoever is told so makes it.
    pub(super) fn is_to_spare_repair(&mut self) -> bool {
        !std::mem::replace(&mut self.pen.spares_repair, true)
    }

    /// What was appended counts, and can be read.
    pub(super) fn committed(mut self, newest: Newest, rows: Vec<(Key, Row)>) {
        self.pen.newest = newest;
        self.recent.write().unwrap_or_else(PoisonError::into_inner).young.extend(rows);
    }

    /// Whether what came last is enough to be carried, with nothing on its way; or whether it is all, and nothing came since
    /// the commit that was `seen` before. Then it says which segment comes next.
    pub(super) fn is_due(&self, seen: &mut u64) -> Option<Name> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let newest = self.pen.newest.number;
        let is_at_rest = std::mem::replace(seen, newest) == newest;
        let is_enough = recent.young.len() >= CARRIED_TOGETHER || self.pen.segment.bytes() >= BYTES_TOGETHER;
        let is_due = !recent.young.is_empty() && recent.old.is_empty() && (is_enough || is_at_rest);
        is_due.then(|| self.pen.segment.name().next())
    }

    /// What came last sets out to the tables. All that set out before is there, and what comes goes to another segment.
    pub(super) fn set_out(&mut self, next: Segment) -> Load {
        let segment = std::mem::replace(&mut self.pen.segment, next).name().clone();
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        let rows = Arc::new(std::mem::take(&mut recent.young));
        recent.old = rows.clone();
        Load { rows, newest: self.pen.newest, segment }
    }
}

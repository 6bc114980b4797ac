//! Rows that are written again and again: what becomes of builds and items, what is owed, what is learned.
//!
//! Written to their tables at once, each commit would touch as many pages as it has rows. So a commit appends its rows to the
//! journal, as one line, and they are carried to their tables later: in order, a few with each commit, and once for all that
//! was written over them meanwhile. Until then they are read from memory. After a crash the journal is read again.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;

use drover_messages::{BuildId, ClientId, PublicationId};
use drover_scheduler_core::Package;
use drover_store::StorePath;
use redb::{Database, ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::destinations::Destinations;
use super::tables::JOURNAL;
use super::{BookError, decode};

/// So many rows are carried to their tables together: a busy farm writes most rows of a build over and over within a second,
/// and each table's rows lie the closer the more of them there are.
const CARRIED_TOGETHER: usize = 131_072;
/// Or as soon as there are so many lines: where the same few rows are written over and over, there are never so many rows.
const LINES_TOGETHER: usize = 4096;
/// More rows than that are given back by a thread of their own.
const GIVEN_BACK_AT_ONCE: usize = 1024;
/// Lines that one commit takes out at most, whose rows are in their tables.
const LINES_PRUNED: usize = 64;
/// What lines are put together in is kept from one to the next, up to so many bytes.
const LINE_BYTES_KEPT: usize = 1 << 20;

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
}

/// What it says; nothing, if it is not there any more.
pub(super) type Row = Option<ByteBuf>;

/// What is on its way to the tables, in the order in which it goes.
type Rows = BTreeMap<Key, Row>;

/// Rows on their way.
#[derive(Debug, Default)]
pub(super) struct Journal {
    recent: RwLock<Recent>,
    progress: Mutex<Progress>,
}

/// What is committed, and may not be in the tables yet.
#[derive(Debug, Default)]
struct Recent {
    /// What came last.
    young: Rows,
    /// What is being carried to the tables.
    old: Arc<Rows>,
}

/// How far that is. Who writes has it to itself.
#[derive(Debug, Default)]
struct Progress {
    old: Arc<Rows>,
    /// The last of those that is in its table.
    carried: Option<Key>,
    /// So many of them are not.
    left: usize,
    /// The line from which the last of them came.
    old_line: u64,
    /// All rows of lines up to this one are in their tables.
    spent_line: u64,
    /// The line that was appended last.
    newest_line: u64,
    /// All lines that are there, oldest first: to look would be to read the first, which may be long.
    lines: VecDeque<u64>,
    /// Whether the last commit wrote down what a start after a kill must know of the pages.
    spares_repair: bool,
    /// Where lines are put together: some are large, and one comes soon after the other.
    line: Vec<u8>,
}

/// The right to write, for as long as it is held.
pub(super) struct Writing<'a> {
    recent: &'a RwLock<Recent>,
    progress: MutexGuard<'a, Progress>,
}

impl Journal {
    /// Reserves the right to write. Others wait.
    pub(super) fn begin(&self) -> Writing<'_> {
        Writing { recent: &self.recent, progress: self.progress.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// What was written of these rows and may not be in the tables yet; for the others, the tables say what is true, to whoever
    /// begins to read them after this.
    pub(super) fn look(&self, keys: impl Iterator<Item = Key>) -> Vec<Option<Row>> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        keys.map(|key| recent.get(&key).cloned()).collect()
    }
}

impl Recent {
    fn get(&self, key: &Key) -> Option<&Row> {
        self.young.get(key).or_else(|| self.old.get(key))
    }
}

impl Writing<'_> {
    /// Whether a row may not be in its table yet.
    pub(super) fn is_on_its_way(&self, key: &Key) -> bool {
        self.recent.read().unwrap_or_else(PoisonError::into_inner).get(key).is_some()
    }

    /// Whether some rows may not be in their tables yet.
    pub(super) fn has_rows(&self) -> bool {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        !recent.young.is_empty() || !recent.old.is_empty()
    }

    /// Begins a transaction. One that `spares_repair` writes down which pages are in use, so that a start after a kill need not
    /// read all of them to find out; it takes about as long as two others.
    pub(super) fn transaction(&mut self, database: &Database, spares_repair: bool) -> Result<WriteTransaction, BookError> {
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(spares_repair);
        self.progress.spares_repair = spares_repair;
        Ok(transaction)
    }

    /// Whether a start after a kill would find everything in its table, and know which pages are in use.
    pub(super) fn is_tidy(&self) -> bool {
        self.progress.spares_repair && !self.has_rows() && self.progress.spent_lines() == 0
    }

    /// Appends rows as a line of this number, and carries as many on to their tables: so the journal stays short.
    pub(super) fn append(&mut self, t: &WriteTransaction, line: u64, rows: &[(Key, Row)]) -> Result<(), BookError> {
        let progress = &mut *self.progress;
        if !rows.is_empty() {
            progress.line.clear();
            rmp_serde::encode::write_named(&mut progress.line, rows)?;
            t.open_table(JOURNAL)?.insert(line, progress.line.as_slice())?;
            progress.line.shrink_to(LINE_BYTES_KEPT);
            progress.lines.push_back(line);
        }
        progress.newest_line = line;
        self.carry(t, rows.len())
    }

    /// Carries so many rows to their tables.
    pub(super) fn carry(&mut self, t: &WriteTransaction, rows: usize) -> Result<(), BookError> {
        let progress = &mut *self.progress;
        let rows = rows.min(progress.left);
        if rows > 0 {
            let behind = progress.carried.take().map_or(Bound::Unbounded, Bound::Excluded);
            let next = progress.old.range((behind, Bound::Unbounded)).take(rows);
            progress.carried = next.clone().last().map(|(key, _)| key.clone());
            Destinations::open(t)?.put_all(next)?;
        }
        progress.left -= rows;
        progress.prune(t)
    }

    /// What was appended is committed, and can be read. When all that set out has come to its table, what came last sets out: if
    /// it is enough, or `at_once`.
    pub(super) fn committed(mut self, rows: Vec<(Key, Row)>, at_once: bool) {
        let progress = &mut *self.progress;
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        recent.young.extend(rows);
        if progress.left == 0 {
            progress.spent_line = progress.old_line;
            let is_enough = recent.young.len() >= CARRIED_TOGETHER || progress.lines.len() >= LINES_TOGETHER;
            let old = if at_once || is_enough {
                progress.old_line = progress.newest_line;
                Arc::new(std::mem::take(&mut recent.young))
            } else {
                Arc::default()
            };
            (progress.carried, progress.left) = (None, old.len());
            recent.old = old.clone();
            let spent = std::mem::replace(&mut progress.old, old);
            drop(recent);
            // To give very many rows back takes longer than a commit, and nobody waits for it.
            if spent.len() >= GIVEN_BACK_AT_ONCE {
                let _ = thread::Builder::new().name("spent rows".into()).spawn(move || drop(spent));
            }
        }
    }
}

impl Progress {
    /// How many lines the next commit can take out.
    fn spent_lines(&self) -> usize {
        self.lines.iter().take(LINES_PRUNED).take_while(|line| **line <= self.spent_line).count()
    }

    /// Takes out lines that are not needed any more.
    fn prune(&mut self, t: &WriteTransaction) -> Result<(), BookError> {
        let spent = self.spent_lines();
        if spent > 0 {
            let mut journal = t.open_table(JOURNAL)?;
            for line in self.lines.drain(..spent) {
                journal.remove(line)?;
            }
        }
        Ok(())
    }
}

/// Brings everything to its table.
pub(super) fn replay(t: &WriteTransaction) -> Result<(), BookError> {
    let mut journal = t.open_table(JOURNAL)?;
    let mut rows = Rows::new();
    for line in journal.iter()? {
        rows.extend(decode::<Vec<(Key, Row)>>("a line of the journal", line?.1.value())?);
    }
    Destinations::open(t)?.put_all(rows.iter())?;
    journal.retain(|_, _| false)?;
    Ok(())
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;

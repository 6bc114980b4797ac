//! What is in the journal goes to its tables, while a scheduler runs.

use std::fs;
use std::thread;
use std::time::Instant;

use redb::{Database, ReadableTable, WriteTransaction};

use super::destinations::Destinations;
use super::journal::{Load, Newest};
use super::segment::Segment;
use super::tables::*;
use super::{Book, BookError};
use crate::told::Told;

/// Rows that go to their tables in one commit: so few that whoever has more to say in tables need not wait long.
const ROWS_AT_ONCE: usize = 2048;
/// Records that are kept after they were told, for a broker that lost its streams.
const RECORDS_KEPT: u64 = 10_000;

impl Book {
    /// Carries what is in the journal to its tables, if there is enough of it, or if nothing came since the commit that was
    /// `seen` before: then there is time.
    pub(crate) fn carry_if_due(&self, seen: &mut u64) -> Result<(), BookError> {
        let next = self.journal.begin().is_due(seen);
        if let Some(next) = next {
            let next = Segment::begin(self.journal.folder(), next)?;
            let load = self.journal.begin().set_out(next);
            self.carry(&load)?;
        }
        let is_to_spare_repair = self.journal.begin().is_to_spare_repair();
        if is_to_spare_repair {
            begin(&self.database, true)?.commit()?;
        }
        Ok(())
    }

    fn carry(&self, load: &Load) -> Result<(), BookError> {
        let mut rows = load.rows.iter().peekable();
        while rows.peek().is_some() {
            // Who has the right to write may wait for the tables: redb gives them to whoever comes first.
            drop(self.journal.begin());
            let transaction = begin(&self.database, true)?;
            let started = Instant::now();
            Destinations::open(&transaction)?.put_all(rows.by_ref().take(ROWS_AT_ONCE))?;
            forget_records(&transaction, load.newest.told)?;
            if rows.peek().is_none() {
                all_carried(&transaction, load.newest)?;
            }
            transaction.commit()?;
            // Others have as much of the processor, and of the tables, while there is time.
            if !self.journal.is_behind() {
                thread::sleep(started.elapsed());
            }
        }
        self.journal.arrived();
        Ok(fs::remove_file(load.segment.path(self.journal.folder()))?)
    }
}

/// Begins a transaction. One that `spares_repair` writes down which pages are in use, so that a start after a kill need not read
/// all of them to find out; it takes about as long as two others.
pub(super) fn begin(database: &Database, spares_repair: bool) -> Result<WriteTransaction, BookError> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(spares_repair);
    Ok(transaction)
}

/// How far the tables say that the state is.
pub(super) fn newest_of(meta: &impl ReadableTable<&'static str, u64>) -> Result<Newest, BookError> {
    let value = |key| Ok::<_, BookError>(meta.get(key)?.map_or(0, |value| value.value()));
    let told = Told { record: value(TOLD)?, stream: value(TOLD_TO)? };
    Ok(Newest { number: value(LAST_RECORD)?, heard: value(HEARD)?, told })
}

/// Has the tables say how far the state is, unless they know of more.
pub(super) fn write_newest(t: &WriteTransaction, newest: Newest) -> Result<(), BookError> {
    let mut meta = t.open_table(META)?;
    if newest_of(&meta)?.number < newest.number {
        let Newest { number, heard, told } = newest;
        for (key, value) in [(LAST_RECORD, number), (HEARD, heard), (TOLD, told.record), (TOLD_TO, told.stream)] {
            meta.insert(key, value)?;
        }
    }
    Ok(())
}

/// All rows of commits up to this one are in their tables.
pub(super) fn all_carried(t: &WriteTransaction, newest: Newest) -> Result<(), BookError> {
    write_newest(t, newest)?;
    t.open_table(META)?.insert(CARRIED, newest.number)?;
    Ok(())
}

/// Throws away records that were told long ago, as many as are carried at once.
fn forget_records(t: &WriteTransaction, told: Told) -> Result<(), BookError> {
    let mut records = t.open_table(RECORDS)?;
    for _ in 0..ROWS_AT_ONCE {
        let oldest = records.first()?.map(|(number, _)| number.value());
        match oldest.filter(|oldest| oldest + RECORDS_KEPT < told.record) {
            Some(oldest) => records.remove(oldest).map(drop)?,
            None => break,
        }
    }
    Ok(())
}

/// A copy needs no journal, and takes none.
pub(super) fn without_journal(t: &WriteTransaction) -> Result<(), BookError> {
    let mut meta = t.open_table(META)?;
    [JOURNAL, JOURNAL_BEFORE].into_iter().try_for_each(|key| meta.remove(key).map(drop))?;
    Ok(())
}

#[cfg(test)]
#[path = "carry_tests.rs"]
mod tests;

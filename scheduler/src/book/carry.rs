//! What is in the journal goes to its tables: while a scheduler runs, and when it starts.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Instant;

use redb::{Database, ReadableTable, WriteTransaction};

use super::destinations::Destinations;
use super::journal::{Key, Line, Load, Newest, Row, Rows};
use super::segment::{self, JournalId, sync_folder};
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
        let mut writing = self.journal.begin();
        let newest = writing.newest().number;
        let is_due = writing.is_enough() || newest == std::mem::replace(seen, newest);
        let load = if is_due { writing.set_out() } else { None };
        drop(writing);
        load.map_or(Ok(()), |load| self.carry(load))
    }

    fn carry(&self, load: Load) -> Result<(), BookError> {
        let rows: Vec<(&Key, &Row)> = load.rows.iter().collect();
        for some in rows.chunks(ROWS_AT_ONCE) {
            let started = Instant::now();
            let transaction = begin(&self.database, true)?;
            Destinations::open(&transaction)?.put_all(some.iter().copied())?;
            transaction.commit()?;
            // Others have as much of the processor, and of the tables.
            thread::sleep(started.elapsed());
        }
        let transaction = begin(&self.database, true)?;
        all_carried(&transaction, load.newest)?;
        transaction.commit()?;
        self.journal.arrived();
        Ok(fs::remove_file(load.segment)?)
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
fn newest_of(meta: &impl ReadableTable<&'static str, u64>) -> Result<Newest, BookError> {
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

/// All rows of commits up to this one are in their tables. Records that were told long ago are thrown away.
pub(super) fn all_carried(t: &WriteTransaction, newest: Newest) -> Result<(), BookError> {
    write_newest(t, newest)?;
    t.open_table(META)?.insert(CARRIED, newest.number)?;
    t.open_table(RECORDS)?.retain_in(..newest.told.record.saturating_sub(RECORDS_KEPT), |_, _| false)?;
    Ok(())
}

/// Brings everything in this folder to its table, and begins another journal. When that is committed, the folder can be
/// [emptied](empty).
pub(super) fn replay(t: &WriteTransaction, folder: &Path) -> Result<(Newest, JournalId), BookError> {
    let (known, carried, id) = {
        let meta = t.open_table(META)?;
        let value = |key| Ok::<_, BookError>(meta.get(key)?.map_or(0, |value| value.value()));
        (newest_of(&meta)?, value(CARRIED)?, JournalId(value(JOURNAL)?))
    };
    let (mut newest, mut rows) = (Newest { number: carried, ..known }, Rows::new());
    let not_ours = || BookError::NotOurs { folder: folder.display().to_string() };
    let mut is_over = false;
    for segment in segment::all(folder)? {
        let Some((of, lines)) = segment::read::<Line>(&segment)? else { continue };
        for line in lines.into_iter().filter(|line| line.newest.number > carried) {
            if is_over {
                return Err(not_ours());
            }
            // The last may have been written without what it says in tables.
            is_over = line.in_tables && line.newest.number > known.number;
            if is_over {
                continue;
            }
            if of != id || line.newest.number != newest.number + 1 {
                return Err(not_ours());
            }
            newest = line.newest;
            rows.extend(line.rows);
        }
    }
    if newest.number < known.number {
        return Err(not_ours());
    }
    Destinations::open(t)?.put_all(rows.iter())?;
    all_carried(t, newest)?;
    let id = JournalId(rand::random());
    t.open_table(META)?.insert(JOURNAL, id.0)?;
    Ok((newest, id))
}

/// Throws away the segments of a journal of which everything is in its table.
pub(super) fn empty(folder: &Path) -> Result<(), BookError> {
    fs::create_dir_all(folder)?;
    for segment in segment::all(folder)? {
        fs::remove_file(segment)?;
    }
    sync_folder(folder)?;
    Ok(folder.parent().map_or(Ok(()), sync_folder)?)
}

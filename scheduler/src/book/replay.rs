//! What a kill has left in the journal goes to its tables, when a scheduler starts; and another journal begins.

use std::fs;
use std::path::Path;

use redb::{ReadableTable, WriteTransaction};

use super::BookError;
use super::carry::{all_carried, newest_of};
use super::destinations::Destinations;
use super::journal::{Line, Newest, Rows};
use super::segment::{self, JournalId, Name, Segment, sync_folder};
use super::tables::*;

/// Brings everything in this folder to its table, and begins another journal there. When that is committed, the others can be
/// [thrown away](throw_away_others).
pub(super) fn replay(t: &WriteTransaction, folder: &Path) -> Result<(Newest, Segment), BookError> {
    let (known, carried, id, before) = {
        let meta = t.open_table(META)?;
        let value = |key| Ok::<_, BookError>(meta.get(key)?.map_or(0, |value| value.value()));
        (newest_of(&meta)?, value(CARRIED)?, JournalId(value(JOURNAL)?), JournalId(value(JOURNAL_BEFORE)?))
    };
    let (mut newest, mut rows) = (Newest { number: carried, ..known }, Rows::new());
    let not_ours = || BookError::NotOurs { folder: folder.display().to_string() };
    let (mut is_there, mut is_over) = (id == JournalId::default(), false);
    let (of_before, others): (Vec<Name>, Vec<Name>) = segment::all(folder)?.into_iter().partition(|name| name.journal == before);
    for segment in others {
        let lines: Vec<Line> = segment::read(&segment.path(folder))?;
        if segment.journal != id {
            // A start that came to nothing has left one without a line.
            match lines.is_empty() {
                true => continue,
                false => return Err(not_ours()),
            }
        }
        is_there = true;
        for line in lines.into_iter().filter(|line| line.newest.number > carried) {
            if is_over {
                return Err(not_ours());
            }
            // The last may have been written without what it says in tables.
            is_over = line.in_tables && line.newest.number > known.number;
            if is_over {
                continue;
            }
            if line.newest.number != newest.number + 1 {
                return Err(not_ours());
            }
            newest = line.newest;
            rows.extend(line.rows);
        }
    }
    if !is_there || newest.number < known.number {
        return Err(not_ours());
    }
    of_before.iter().try_for_each(|segment| fs::remove_file(segment.path(folder)))?;
    Destinations::open(t)?.put_all(rows.iter())?;
    all_carried(t, newest)?;
    Ok((newest, begin_another(t, folder, id)?))
}

fn begin_another(t: &WriteTransaction, folder: &Path, before: JournalId) -> Result<Segment, BookError> {
    fs::create_dir_all(folder)?;
    folder.parent().map_or(Ok(()), sync_folder)?;
    let id = JournalId(rand::random::<u64>().max(1));
    let segment = Segment::begin(folder, Name::first_of(id))?;
    let mut meta = t.open_table(META)?;
    meta.insert(JOURNAL, id.0)?;
    meta.insert(JOURNAL_BEFORE, before.0)?;
    Ok(segment)
}

/// Throws away all segments of other journals than this one's.
pub(super) fn throw_away_others(folder: &Path, begun: &Segment) -> Result<(), BookError> {
    for segment in segment::all(folder)?.into_iter().filter(|segment| segment.journal != begun.name().journal) {
        fs::remove_file(segment.path(folder))?;
    }
    Ok(sync_folder(folder)?)
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;

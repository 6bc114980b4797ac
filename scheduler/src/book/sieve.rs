//! Rows of an index, looked through from the newest on as far as a bound.

use std::ops::Range;

use redb::{Range as Rows, ReadOnlyTable, ReadTransaction};

use super::BookError;
use super::tables::*;
use crate::pattern::Pattern;

/// Builds that one question is given to look at.
const GIVEN: usize = 20_000;
/// Rows of an index that one question looks through for them.
const LOOKED_THROUGH: usize = 200_000;
/// Names that are looked through for a pattern; where there are more, all builds are.
const NAMES_LOOKED_AT: usize = 100_000;

type Id = [u8; 16];

/// What was found in an index, newest first.
#[derive(Default)]
pub(super) struct Found {
    pub(super) ids: Vec<Id>,
    /// As far as was looked, if that is not the end.
    pub(super) to: Option<Id>,
    looked_through: usize,
}

impl Found {
    /// Looks at one more; false if it does not, for it has seen enough.
    fn look(&mut self, id: Id, is_meant: bool, before: Option<Id>) -> bool {
        if self.ids.len() == GIVEN || self.looked_through == LOOKED_THROUGH {
            self.to = before;
            return false;
        }
        self.looked_through += 1;
        self.ids.extend(is_meant.then_some(id));
        true
    }

    /// Puts them in their order, and leaves away what lies beyond where all were looked at.
    fn in_order(mut self) -> Self {
        self.ids.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(to) = self.to {
            self.ids.retain(|id| *id >= to);
        }
        if self.ids.len() > GIVEN {
            self.ids.truncate(GIVEN);
            self.to = self.ids.last().copied();
        }
        self
    }
}

/// Of the rows of an index, those of builds that came to nothing, if only those are asked for: that is known without
/// reading the builds.
pub(super) struct Sieve<'a> {
    read: &'a ReadTransaction,
    stopped: Option<u8>,
    table: ReadOnlyTable<(u8, Id), ()>,
}

impl<'a> Sieve<'a> {
    pub(super) fn new(read: &'a ReadTransaction, stopped: Option<u8>) -> Result<Self, BookError> {
        Ok(Self { read, stopped, table: read.open_table(STOPPED)? })
    }

    fn lets_through(&self, id: Id) -> Result<bool, BookError> {
        let Some(stopped) = self.stopped else { return Ok(true) };
        Ok(self.table.get((stopped, id))?.is_some())
    }

    /// The newest of all builds.
    pub(super) fn everything(&self, ids: Range<Id>) -> Result<Found, BookError> {
        let (mut found, mut before) = (Found::default(), None);
        for row in self.read.open_table(BUILDS)?.range(ids)?.rev() {
            let id = row?.0.value();
            if !found.look(id, self.lets_through(id)?, before.replace(id)) {
                break;
            }
        }
        Ok(found)
    }

    /// The newest builds of these rows, which are in their order.
    pub(super) fn newest<K: redb::Key + 'static>(&self, rows: Rows<'_, (K, Id), ()>) -> Result<Found, BookError> {
        let (mut found, mut before) = (Found::default(), None);
        for row in rows.rev() {
            let id = row?.0.value().1;
            if !found.look(id, self.lets_through(id)?, before.replace(id)) {
                break;
            }
        }
        Ok(found)
    }

    /// The newest builds of these submissions. A build's id has the time of its submission's, so that only submissions of the
    /// same millisecond are mixed.
    pub(super) fn of_submissions<K: redb::Key + 'static>(
        &self,
        submissions: Rows<'_, (K, Id), ()>,
        ids: Range<Id>,
    ) -> Result<Found, BookError> {
        let members = self.read.open_table(MEMBERS)?;
        let (mut found, mut time) = (Found::default(), None);
        for row in submissions.rev() {
            let submission = row?.0.value().1;
            let before = time.replace(of_same_time(submission));
            let is_enough = found.ids.len() >= GIVEN || found.looked_through >= LOOKED_THROUGH;
            if is_enough && before != time {
                // All of the time before was looked at.
                found.to = found.to.max(before);
                break;
            }
            let of_it = self.newest(members.range((submission, ids.start)..(submission, ids.end))?)?;
            found.ids.extend(of_it.ids);
            found.looked_through += 1 + of_it.looked_through;
            found.to = found.to.max(of_it.to);
        }
        Ok(found.in_order())
    }

    /// The newest builds whose names fit; nothing, where too many names would have to be looked at.
    pub(super) fn named(&self, pattern: &Pattern, ids: Range<Id>) -> Result<Option<Found>, BookError> {
        let beginning = pattern.beginning();
        let table = self.read.open_table(NAMES)?;
        let mut found = Found::default();
        for (looked_at, row) in table.range((beginning.as_str(), [0; 16])..)?.enumerate() {
            let (row, _) = row?;
            let (name, id) = row.value();
            if !name.starts_with(&beginning) {
                break;
            }
            if looked_at == NAMES_LOOKED_AT {
                return Ok(None);
            }
            if ids.contains(&id) && pattern.fits(name) && self.lets_through(id)? {
                found.ids.push(id);
            }
        }
        Ok(Some(found.in_order()))
    }
}

/// The least id of the same time.
pub(super) fn of_same_time(id: Id) -> Id {
    let mut least = [0; 16];
    least[..6].copy_from_slice(&id[..6]);
    least
}

/// Behind all ids of the same time.
pub(super) fn after_same_time(id: Id) -> Id {
    let mut greatest = [0xff; 16];
    greatest[..6].copy_from_slice(&id[..6]);
    greatest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::samples::id;

    #[test]
    fn what_lies_beyond_what_was_looked_at_is_left_for_the_next_question() {
        let mut found = Found { ids: vec![id(1), id(5), id(3)], to: Some(id(2)), looked_through: 0 };
        found = found.in_order();
        assert_eq!((found.ids, found.to), (vec![id(5), id(3)], Some(id(2))));
        let mut full = Found { looked_through: LOOKED_THROUGH, ..Found::default() };
        assert!(!full.look(id(1), true, Some(id(2))));
        assert_eq!((full.ids, full.to), (Vec::new(), Some(id(2))));
    }
}

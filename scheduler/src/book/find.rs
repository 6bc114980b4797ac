//! Builds that a question may be about, newest first, by the narrowest index there is. What else is asked of them is for
//! who asks.

use std::ops::Range;

use drover_messages::query::{AskBuilds, StateName};
use drover_messages::{BuildId, ClientId, SubmissionId, Timestamp};
use drover_store::StorePath;
use redb::{ReadTransaction, ReadableDatabase};
use uuid::Uuid;

use super::index::{CANCELLED, FAILED};
use super::tables::*;
use super::{Book, BookError};
use crate::pattern::Pattern;

/// Builds that one question is given to look at.
const GIVEN: usize = 20_000;
/// Rows of an index that one question looks through for them.
const LOOKED_THROUGH: usize = 200_000;
/// Names that are looked through for a pattern; where there are more, all builds are.
const NAMES_LOOKED_AT: usize = 100_000;
/// A request waits at the broker for a week at most: its builds are made so long after their ids, in milliseconds.
pub(super) const QUEUED_AT_MOST_MILLIS: u64 = 7 * 24 * 60 * 60 * 1000;
/// Clocks may differ by so much, in milliseconds.
pub(super) const CLOCKS_DIFFER_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// The latest time that fits into an id, in milliseconds.
const MAX_MILLIS: u64 = (1 << 48) - 1;

type Id = [u8; 16];

/// Builds to look at.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// Newest first.
    pub(crate) ids: Vec<BuildId>,
    /// As far as was looked: there may be more behind this one, which need not be a build's.
    pub(crate) to: Option<BuildId>,
}

/// By what they are found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    Output(StorePath),
    Submission(SubmissionId),
    Name(Pattern),
    Tag(String),
    Client(ClientId),
    Stopped(u8),
    Everything,
}

impl By {
    /// The narrowest that the question allows.
    fn of(asked: &AskBuilds) -> Self {
        if let Some(output) = &asked.output {
            return Self::Output(output.clone());
        }
        if let Some(submission) = asked.submission {
            return Self::Submission(submission);
        }
        let exact = asked.drv.as_ref().map(|drv| Pattern::exact(drv.name_without_drv()));
        if let Some(pattern) = exact.or_else(|| asked.name.as_deref().map(Pattern::new)) {
            return Self::Name(pattern);
        }
        if let Some((key, value)) = asked.tags.first_key_value() {
            return Self::Tag(tag_row(key, value));
        }
        match (asked.client, stopped(asked)) {
            (Some(client), _) => Self::Client(client),
            (None, Some(stopped)) => Self::Stopped(stopped),
            (None, None) => Self::Everything,
        }
    }
}

/// The state in which there are only builds that came to nothing, if only those are asked for.
fn stopped(asked: &AskBuilds) -> Option<u8> {
    match asked.state? {
        StateName::Failed => Some(FAILED),
        StateName::Cancelled => Some(CANCELLED),
        _ => None,
    }
}

/// Whether a question is found by no index, so that what is in memory is better looked through there.
pub(crate) fn is_about_everything(asked: &AskBuilds) -> bool {
    By::of(asked) == By::Everything
}

/// The ids that a question can be about: they carry the time at which they were asked for.
pub(crate) fn ids(asked: &AskBuilds) -> Range<BuildId> {
    let at = |Timestamp(millis): Timestamp| {
        let mut id = [0; 16];
        id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        id
    };
    let first =
        asked.from.map_or([0; 16], |from| at(Timestamp(from.0.saturating_sub(QUEUED_AT_MOST_MILLIS + CLOCKS_DIFFER_MILLIS))));
    let end = asked.to.map_or([0xff; 16], |to| at(Timestamp(to.0.saturating_add(CLOCKS_DIFFER_MILLIS).min(MAX_MILLIS))));
    let end = asked.after.map_or(end, |after| end.min(after.uuid().into_bytes()));
    build(first)..build(end.max(first))
}

impl Book {
    /// Builds to look at for a question.
    pub(crate) fn candidates(&self, asked: &AskBuilds) -> Result<Candidates, BookError> {
        let ids = ids(asked);
        let (first, end) = (ids.start.uuid().into_bytes(), ids.end.uuid().into_bytes());
        let read = self.database.begin_read()?;
        let sieve = Sieve { stopped: stopped(asked), table: read.open_table(STOPPED)? };
        let found = match By::of(asked) {
            By::Output(path) => {
                let path = path.to_string();
                sieve.newest(read.open_table(MAKERS)?.range((path.as_str(), first)..(path.as_str(), end))?)?
            }
            By::Submission(submission) => {
                let submission = submission.uuid().into_bytes();
                sieve.newest(read.open_table(MEMBERS)?.range((submission, first)..(submission, end))?)?
            }
            By::Stopped(state) => sieve.newest(read.open_table(STOPPED)?.range((state, first)..(state, end))?)?,
            By::Tag(row) => {
                let table = read.open_table(TAGS)?;
                let rows = table.range((row.as_str(), of_same_time(first))..(row.as_str(), after_same_time(end)))?;
                sieve.of_submissions(&read, rows, first..end)?
            }
            By::Client(client) => {
                let (table, client) = (read.open_table(OF_CLIENT)?, client.uuid().into_bytes());
                let rows = table.range((client, of_same_time(first))..(client, after_same_time(end)))?;
                sieve.of_submissions(&read, rows, first..end)?
            }
            By::Name(pattern) => match sieve.named(&read, &pattern, first..end)? {
                Some(found) => found,
                None => everything(&read, first..end)?,
            },
            By::Everything => everything(&read, first..end)?,
        };
        Ok(Candidates { ids: found.ids.into_iter().map(build).collect(), to: found.to.map(build) })
    }
}

/// What was found in an index, newest first.
#[derive(Default)]
struct Found {
    ids: Vec<Id>,
    /// As far as was looked, if that is not the end.
    to: Option<Id>,
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

fn everything(read: &ReadTransaction, ids: Range<Id>) -> Result<Found, BookError> {
    let (mut found, mut before) = (Found::default(), None);
    for row in read.open_table(BUILDS)?.range(ids)?.rev() {
        let id = row?.0.value();
        if !found.look(id, true, before.replace(id)) {
            break;
        }
    }
    Ok(found)
}

/// Of the rows of an index, those of builds that came to nothing, if only those are asked for: that is known without
/// reading the builds.
struct Sieve {
    stopped: Option<u8>,
    table: redb::ReadOnlyTable<(u8, Id), ()>,
}

impl Sieve {
    fn lets_through(&self, id: Id) -> Result<bool, BookError> {
        let Some(stopped) = self.stopped else { return Ok(true) };
        Ok(self.table.get((stopped, id))?.is_some())
    }

    /// The newest builds of these rows, which are in their order.
    fn newest<K: redb::Key + 'static>(&self, rows: redb::Range<'_, (K, Id), ()>) -> Result<Found, BookError> {
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
    fn of_submissions<K: redb::Key + 'static>(
        &self,
        read: &ReadTransaction,
        submissions: redb::Range<'_, (K, Id), ()>,
        ids: Range<Id>,
    ) -> Result<Found, BookError> {
        let members = read.open_table(MEMBERS)?;
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
            found.looked_through += of_it.looked_through;
            found.to = found.to.max(of_it.to);
        }
        Ok(found.in_order())
    }

    /// The newest builds whose names fit; nothing, where too many names would have to be looked at.
    fn named(&self, read: &ReadTransaction, pattern: &Pattern, ids: Range<Id>) -> Result<Option<Found>, BookError> {
        let beginning = pattern.beginning();
        let table = read.open_table(NAMES)?;
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
fn of_same_time(id: Id) -> Id {
    let mut least = [0; 16];
    least[..6].copy_from_slice(&id[..6]);
    least
}

/// Behind all ids of the same time.
fn after_same_time(id: Id) -> Id {
    let mut greatest = [0xff; 16];
    greatest[..6].copy_from_slice(&id[..6]);
    greatest
}

fn build(id: Id) -> BuildId {
    BuildId::from_uuid(Uuid::from_bytes(id))
}

#[cfg(test)]
#[path = "find_tests.rs"]
mod tests;

//! Builds that a question may be about, newest first, by the narrowest index there is. What else is asked of them is for
//! who asks.

use std::ops::Range;

use drover_messages::query::{AskBuilds, StateName};
use drover_messages::{BuildId, ClientId, SubmissionId, Timestamp};
use drover_store::StorePath;
use redb::ReadableDatabase;
use uuid::Uuid;

use super::index::{CANCELLED, FAILED};
use super::sieve::{Sieve, after_same_time, of_same_time};
use super::tables::*;
use super::{Book, BookError, paths};
use crate::pattern::Pattern;

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
        let sieve = Sieve::new(&read, stopped(asked))?;
        let found = match By::of(asked) {
            By::Output(path) => {
                let Some(path) = paths::number(&read, &path)? else { return Ok(Candidates::default()) };
                sieve.newest(read.open_table(MAKERS)?.range((path, first)..(path, end))?)?
            }
            By::Submission(submission) => {
                let submission = submission.uuid().into_bytes();
                sieve.newest(read.open_table(MEMBERS)?.range((submission, first)..(submission, end))?)?
            }
            By::Stopped(state) => sieve.newest(read.open_table(STOPPED)?.range((state, first)..(state, end))?)?,
            By::Tag(row) => {
                let table = read.open_table(TAGS)?;
                let rows = table.range((row.as_str(), of_same_time(first))..(row.as_str(), after_same_time(end)))?;
                sieve.of_submissions(rows, first..end)?
            }
            By::Client(client) => {
                let (table, client) = (read.open_table(OF_CLIENT)?, client.uuid().into_bytes());
                let rows = table.range((client, of_same_time(first))..(client, after_same_time(end)))?;
                sieve.of_submissions(rows, first..end)?
            }
            By::Name(pattern) => match sieve.named(&pattern, first..end)? {
                Some(found) => found,
                None => sieve.everything(first..end)?,
            },
            By::Everything => sieve.everything(first..end)?,
        };
        Ok(Candidates { ids: found.ids.into_iter().map(build).collect(), to: found.to.map(build) })
    }
}

fn build(id: Id) -> BuildId {
    BuildId::from_uuid(Uuid::from_bytes(id))
}

#[cfg(test)]
#[path = "find_tests.rs"]
mod tests;

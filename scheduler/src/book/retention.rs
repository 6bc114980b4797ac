//! What is finished and old is forgotten, a little at a time.

use drover_messages::{BuildId, Timestamp};
use drover_scheduler_core::{Submission, SubmissionState};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use uuid::{NoContext, Uuid};

use super::find::{CLOCKS_DIFFER_MILLIS, QUEUED_AT_MOST_MILLIS};
use super::journal::{Key, Writing};
use super::made::Made;
use super::tables::*;
use super::{Book, BookError, carry, decode, index};

/// Rows of a kind that one commit forgets, so that others need not wait long.
const FORGOTTEN_AT_ONCE: usize = 500;
/// A derivation that failed is known to fail for so long, in milliseconds: a week.
pub(crate) const FAILURES_KNOWN_MILLIS: u64 = 7 * 24 * 60 * 60 * 1000;

impl Book {
    /// Forgets finished builds that were asked for before a moment, if there is one, and submissions without builds; true if
    /// there may be more. What they made stays known: it is in the cache. Where it is lost, it is planned anew.
    ///
    /// Wishes, cancellations of what never came, and failures that nobody goes by any more are of no use to anybody: they go
    /// in any case. But nothing goes that the broker may still bring again: it would be taken for a new one.
    pub(crate) fn forget_before(&self, moment: Option<Timestamp>) -> Result<bool, BookError> {
        let now = Timestamp::now().0;
        let gone_from_broker = Timestamp(now.saturating_sub(QUEUED_AT_MOST_MILLIS + CLOCKS_DIFFER_MILLIS));
        let gone = first_id_of(gone_from_broker);
        let writing = self.journal.begin();
        let transaction = carry::begin(&self.database, true)?;
        let mut forgotten = vec![forget_ids(&transaction, WISHES, gone)?, forget_ids(&transaction, AHEAD, gone)?];
        if let Some(moment) = moment {
            forgotten.push(forget_builds(&transaction, &writing, first_id_of(moment))?);
            forgotten.push(forget_submissions(&transaction, first_id_of(moment.min(gone_from_broker)))?);
        }
        let mut more = forgotten.contains(&FORGOTTEN_AT_ONCE);
        if !more {
            more = forget_failures(&transaction, now.saturating_sub(FAILURES_KNOWN_MILLIS))? == FORGOTTEN_AT_ONCE;
        }
        transaction.commit()?;
        Ok(more)
    }
}

/// Forgets no build of which something is still in the journal: it is carried to its table first.
fn forget_builds(t: &WriteTransaction, writing: &Writing<'_>, before: [u8; 16]) -> Result<usize, BookError> {
    let mut builds = t.open_table(BUILDS)?;
    let mut courses = t.open_table(COURSES)?;
    let mut members = t.open_table(MEMBERS)?;
    let mut makers = t.open_table(MAKERS)?;
    let open = t.open_table(OPEN)?;
    let mut old = Vec::new();
    for row in builds.range([0; 16]..before)? {
        let (id, build) = row?;
        let build_id = BuildId::from_uuid(Uuid::from_bytes(id.value()));
        let is_on_its_way = [Key::Open(build_id), Key::Course(build_id)].iter().any(|key| writing.is_on_its_way(key));
        if !is_on_its_way && open.get(id.value())?.is_none() {
            old.push(Made::read(id.value(), build.value())?);
        }
        if old.len() == FORGOTTEN_AT_ONCE {
            break;
        }
    }
    for build in &old {
        let id = build.id().uuid().into_bytes();
        builds.remove(id)?;
        courses.remove(id)?;
        members.remove((build.submission().uuid().into_bytes(), id))?;
        for path in build.products() {
            makers.remove((path, id))?;
        }
        index::forget_build(t, build.drv(), id)?;
    }
    Ok(old.len())
}

fn forget_submissions(t: &WriteTransaction, before: [u8; 16]) -> Result<usize, BookError> {
    let mut submissions = t.open_table(SUBMISSIONS)?;
    let members = t.open_table(MEMBERS)?;
    let mut old = Vec::new();
    for row in submissions.range([0; 16]..before)? {
        let (id, submission) = row?;
        let id = id.value();
        if members.range((id, [0; 16])..=(id, [0xff; 16]))?.next().is_none() {
            let submission: Submission = decode("a submission", submission.value())?;
            old.extend(Some(submission).filter(|submission| submission.state != SubmissionState::Planning));
        }
        if old.len() == FORGOTTEN_AT_ONCE {
            break;
        }
    }
    for submission in &old {
        submissions.remove(submission.id.uuid().into_bytes())?;
        index::forget_submission(t, submission)?;
    }
    Ok(old.len())
}

fn forget_ids(t: &WriteTransaction, of: TableDefinition<[u8; 16], ()>, before: [u8; 16]) -> Result<usize, BookError> {
    let mut ids = t.open_table(of)?;
    let mut forgotten = 0;
    for row in ids.extract_from_if([0; 16]..before, |_, ()| true)?.take(FORGOTTEN_AT_ONCE) {
        row?;
        forgotten += 1;
    }
    Ok(forgotten)
}

/// Looks through all of them, so it comes last: there is one for each derivation that failed and did not succeed since.
fn forget_failures(t: &WriteTransaction, before_millis: u64) -> Result<usize, BookError> {
    let mut failures = t.open_table(FAILURES)?;
    let mut forgotten = 0;
    for row in failures.extract_if(|_, (_, at)| at < before_millis)?.take(FORGOTTEN_AT_ONCE) {
        row?;
        forgotten += 1;
    }
    Ok(forgotten)
}

/// Ids begin with the time of their origin.
fn first_id_of(moment: Timestamp) -> [u8; 16] {
    let time = uuid::Timestamp::from_unix(NoContext, moment.0 / 1000, (moment.0 % 1000) as u32 * 1_000_000);
    let mut first = Uuid::new_v7(time).into_bytes();
    first[6..].fill(0);
    first
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;

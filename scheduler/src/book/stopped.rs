//! The builds of a submission that came to nothing: found by an index, without reading a build.

use drover_messages::BuildId;
use drover_scheduler_core::Submission;
use redb::{ReadTransaction, ReadableDatabase};
use uuid::Uuid;

use super::index::{CANCELLED, FAILED};
use super::sieve::{after_same_time, of_same_time};
use super::tables::*;
use super::walk::Walk;
use super::{Book, BookError};

/// Those of a submission, as they are when this is made.
pub(crate) struct Stopped {
    read: ReadTransaction,
    submission: [u8; 16],
    roots: Vec<BuildId>,
}

impl Book {
    /// The builds of a submission that failed, and that were cancelled.
    pub(crate) fn stopped(&self, submission: &Submission) -> Result<Stopped, BookError> {
        let (read, roots) = (self.database.begin_read()?, submission.roots.clone());
        Ok(Stopped { read, submission: submission.id.uuid().into_bytes(), roots })
    }
}

impl Stopped {
    /// At most so many of those that failed.
    pub(crate) fn failed(&self, most: usize) -> Result<Vec<BuildId>, BookError> {
        let mut found = Vec::new();
        self.each(FAILED, |build| {
            found.push(BuildId::from_uuid(Uuid::from_bytes(build)));
            found.len() < most
        })?;
        Ok(found)
    }

    pub(crate) fn count_failed(&self) -> Result<u64, BookError> {
        self.count(FAILED)
    }

    pub(crate) fn count_cancelled(&self) -> Result<u64, BookError> {
        self.count(CANCELLED)
    }

    fn count(&self, state: u8) -> Result<u64, BookError> {
        let mut count = 0;
        self.each(state, |_| {
            count += 1;
            true
        })?;
        Ok(count)
    }

    /// Gives each, as long as it goes on. It goes through what came to nothing in all submissions of the same millisecond,
    /// which is one as a rule: the id of a build has the time of its submission's, but where a user has named a root otherwise.
    fn each(&self, state: u8, mut goes_on: impl FnMut([u8; 16]) -> bool) -> Result<(), BookError> {
        let (stopped, members) = (self.read.open_table(STOPPED)?, self.read.open_table(MEMBERS)?);
        let same_time = of_same_time(self.submission)..after_same_time(self.submission);
        let mut walk = Walk::through(&members)?;
        for row in stopped.range((state, same_time.start)..(state, same_time.end))? {
            let (_, build) = row?.0.value();
            if walk.row((self.submission, build))?.is_some() && !goes_on(build) {
                return Ok(());
            }
        }
        let roots = self.roots.iter().map(|root| root.uuid().into_bytes());
        for root in roots.filter(|root| !same_time.contains(root)) {
            if stopped.get((state, root))?.is_some() && !goes_on(root) {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use drover_messages::ClientId;
    use drover_scheduler_core::BuildState;

    use super::super::index;
    use super::super::samples::{needing_nothing, of, record, submission};
    use super::*;

    #[test]
    fn what_came_to_nothing_is_counted_for_its_own_submission_and_so_are_roots_of_any_id() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let failed =
            || BuildState::Failed { attempt: drover_messages::AttemptId::new(), cause: drover_messages::Cause::BuilderFailed };
        // Even ones are of the submission 100, odd ones of 101, all of one millisecond.
        let mut builds = [
            of(2, "failed-1", failed()),
            of(3, "others-1", failed()),
            of(4, "cancelled-1", BuildState::Cancelled),
            of(5, "others-2", BuildState::Cancelled),
            of(6, "failed-2", failed()),
            of(8, "open-1", BuildState::Waiting { missing: 1 }),
            of(10, "root-1", failed()),
        ];
        builds[6].id = BuildId::new();
        let roots = vec![builds[6].id, builds[0].id];
        let of_it = Submission { roots, ..submission(100, ClientId::new()) };
        let transaction = book.database.begin_write().unwrap();
        record(&transaction, &builds.clone().map(needing_nothing), std::slice::from_ref(&of_it));
        index::enter_all(&transaction).unwrap();
        transaction.commit().unwrap();
        let stopped = book.stopped(&of_it).unwrap();
        assert_eq!((stopped.count_failed().unwrap(), stopped.count_cancelled().unwrap()), (3, 1));
        assert_eq!(stopped.failed(5).unwrap(), [0, 4, 6].map(|n: usize| builds[n].id));
        assert_eq!(stopped.failed(2).unwrap(), [0, 4].map(|n: usize| builds[n].id));
    }
}

//! A copy of the whole state, as it was at one moment, made while the scheduler goes on. To restore it, put it in the place
//! of `state.redb`, without a journal, while no scheduler runs: what it lacks is read from the broker and learned from the agents.

use std::path::Path;

use redb::{ReadableDatabase, ReadableTable};

use super::destinations::Destinations;
use super::tables::*;
use super::{Book, BookError, CACHE_BYTES, carry};

impl Book {
    /// Writes the copy, to a file that is not there yet.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<(), BookError> {
        let writing = self.journal.begin();
        let ((old, young), newest, read) = (writing.rows(), writing.newest(), self.database.begin_read()?);
        drop(writing);
        let copy = redb::Builder::new().set_cache_size(CACHE_BYTES).create(path)?;
        let write = copy.begin_write()?;
        macro_rules! copy {
            ($table:ident) => {{
                let from = read.open_table($table)?;
                let mut to = write.open_table($table)?;
                for row in from.iter()? {
                    let (key, value) = row?;
                    to.insert(key.value(), value.value())?;
                }
            }};
        }
        each_table!(copy);
        Destinations::open(&write)?.put_all(old.iter().chain(&young))?;
        carry::all_carried(&write, newest)?;
        carry::without_journal(&write)?;
        write.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use drover_messages::{ClientId, SubmissionId, Timestamp};
    use drover_scheduler_core::{Change, Heard, State, Submission, SubmissionState};
    use drover_store::StoreDir;

    use super::super::samples::commit;
    use super::*;

    #[test]
    fn a_copy_says_what_the_state_said_at_that_moment() {
        let dir = tempfile::tempdir().unwrap();
        let book = Book::open(dir.path()).unwrap();
        let submission = Submission {
            id: SubmissionId::new(),
            client: ClientId::new(),
            store_dir: StoreDir::nix(),
            roots: Vec::new(),
            priority: 3,
            tags: [("why".to_owned(), "test".to_owned())].into(),
            input_builds: true,
            terms: Default::default(),
            submitted_at: Timestamp(1),
            state: SubmissionState::Live { builds: 0 },
        };
        let id = submission.id;
        let mut state = State::default();
        state.remember(vec![submission.clone()], Vec::new(), [], Vec::new());
        commit(&book, vec![Change::Submission(Box::new(submission))], &state);

        let elsewhere = tempfile::tempdir().unwrap();
        book.copy_to(&elsewhere.path().join("state.redb")).unwrap();
        let copy = Book::open(elsewhere.path()).unwrap();
        assert_eq!(copy.submission(id).unwrap(), book.submission(id).unwrap());
        assert_eq!(copy.tagged("why", "test").unwrap(), [id]);
        assert_eq!(copy.remember().unwrap().heard, Heard(1));
    }
}

//! What becomes of a build. It changes often and is small, so it has rows of its own: what a build is made of, with all of
//! its inputs, is written once.

use drover_messages::{AttemptId, BuildId};
use drover_scheduler_core::{Attempt, Build, BuildState};
use redb::ReadableDatabase;
use serde::{Deserialize, Serialize};

use super::journal::{Key, Row};
use super::made::Made;
use super::tables::{BUILDS, COURSES};
use super::walk::Walk;
use super::{Book, BookError, decode, encode};

/// As it is written.
#[derive(Serialize)]
struct Written<'a> {
    priority: i32,
    state: &'a BuildState,
    attempts: &'a [Attempt],
    farm_failures: u32,
    failed_downloads: u32,
}

/// As it is read.
#[derive(Deserialize)]
struct Course {
    priority: i32,
    state: BuildState,
    attempts: Vec<Attempt>,
    farm_failures: u32,
    failed_downloads: u32,
}

impl Course {
    /// Makes a build that was read as it was made what it is now.
    fn enter_into(self, made: &mut Made) {
        let row = &mut made.row;
        (row.priority, row.state, row.attempts) = (self.priority, self.state, self.attempts);
        (row.farm_failures, row.failed_downloads) = (self.farm_failures, self.failed_downloads);
    }
}

/// The row of what has become of a build.
pub(super) fn row(build: &Build) -> Result<Vec<u8>, BookError> {
    encode(&Written {
        priority: build.priority,
        state: &build.state,
        attempts: &build.attempts,
        farm_failures: build.farm_failures,
        failed_downloads: build.failed_downloads,
    })
}

impl Book {
    /// Those of these builds that are recorded, as they are now: as they were made, and what has become of them since.
    pub(super) fn made(&self, ids: &[BuildId]) -> Result<Vec<Made>, BookError> {
        let courses = self.courses(ids)?;
        let read = self.database.begin_read()?;
        let table = read.open_table(BUILDS)?;
        let mut walk = Walk::through(&table)?;
        let mut found = Vec::with_capacity(ids.len());
        for (id, course) in ids.iter().zip(courses) {
            let id = id.uuid().into_bytes();
            let Some(row) = walk.row(id)? else { continue };
            let mut made = Made::read(id, row.value())?;
            course.into_iter().for_each(|course| course.enter_into(&mut made));
            found.push(made);
        }
        Ok(found)
    }

    /// What has become of each of these builds, if anything has.
    fn courses(&self, ids: &[BuildId]) -> Result<Vec<Option<Course>>, BookError> {
        let recent = self.journal.look(ids.iter().map(|id| Key::Course(*id)));
        let read = self.database.begin_read()?;
        let table = read.open_table(COURSES)?;
        let mut walk = Walk::through(&table)?;
        let course = |row: &[u8]| decode("what became of a build", row);
        let course = |(id, recent): (&BuildId, Option<Row>)| match recent {
            Some(row) => row.map(|row| course(&row)).transpose(),
            None => walk.row(id.uuid().into_bytes())?.map(|row| course(row.value())).transpose(),
        };
        ids.iter().zip(recent).map(course).collect()
    }

    /// The builds of those attempts that the records do not say to be settled. Far less is read than with the builds.
    pub(crate) fn unsettled(&self, held: impl Iterator<Item = (BuildId, AttemptId)>) -> Result<Vec<BuildId>, BookError> {
        let (builds, attempts): (Vec<BuildId>, Vec<AttemptId>) = held.unzip();
        let is_settled = |course: Option<&Course>, attempt| {
            let attempts = course.map_or(&[][..], |course| &course.attempts);
            attempts.iter().any(|known| known.id == attempt && known.state.is_settled())
        };
        let courses = self.courses(&builds)?.into_iter().zip(attempts);
        let unsettled = builds.iter().zip(courses).filter(|(_, (course, attempt))| !is_settled(course.as_ref(), *attempt));
        Ok(unsettled.map(|(build, _)| *build).collect())
    }
}

#[cfg(test)]
mod tests {
    use drover_messages::{AgentId, ClientId, Epoch, Generation, StoreId};
    use drover_scheduler_core::{AttemptState, BuildEvent, Change, Place, State, Submission};

    use super::super::samples::{self, needing_nothing, of, open_build};
    use super::*;

    fn commit(book: &Book, build: &Build, change: Change) {
        let mut state = State::default();
        state.remember(Vec::new(), Vec::new(), [open_build(build.clone())], Vec::new());
        samples::commit(book, vec![change], &state);
    }

    #[test]
    fn a_build_is_read_as_it_was_made_and_then_as_it_has_become() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let made = of(1, "hello-1", BuildState::Ready(Place::Anywhere));
        commit(&book, &made, Change::BuildCreated(Box::new(needing_nothing(made.clone()))));
        assert_eq!(book.build(made.id).unwrap(), Some(made.clone()));

        let now = Build { priority: 7, state: BuildState::Cancelled, farm_failures: 2, ..made.clone() };
        commit(&book, &now, Change::Priority { build: made.id, priority: 7 });
        assert_eq!(book.build(made.id).unwrap(), Some(now));
    }

    #[test]
    fn what_became_of_a_build_is_forgotten_when_it_is_planned_anew() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let made = of(1, "hello-1", BuildState::Ready(Place::Anywhere));
        let created = || Change::BuildCreated(Box::new(needing_nothing(made.clone())));
        commit(&book, &made, created());
        let over = Build { state: BuildState::Cancelled, ..made.clone() };
        commit(&book, &over, Change::Build { build: made.id, event: BuildEvent::Cancel });
        let of_it = Submission { id: made.submission, ..samples::submission(1, ClientId::new()) };
        let cancelled = || book.stopped(&of_it).unwrap().count_cancelled().unwrap();
        assert_eq!(cancelled(), 1);
        commit(&book, &made, created());
        assert_eq!(book.build(made.id).unwrap(), Some(made.clone()));
        assert_eq!(cancelled(), 0);
    }

    #[test]
    fn an_attempt_is_settled_when_the_records_say_so_of_that_attempt() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(folder.path()).unwrap();
        let mut build = of(1, "hello-1", BuildState::Cancelled);
        let attempt = |state| {
            let epoch = Epoch { generation: Generation(1), n: 1 };
            let begun = Attempt::begin(AttemptId::new(), AgentId::new(), StoreId::from("store"), epoch);
            Attempt { state, ..begun }
        };
        build.attempts = vec![attempt(AttemptState::Published), attempt(AttemptState::Built)];
        commit(&book, &build, Change::BuildCreated(Box::new(needing_nothing(build.clone()))));
        commit(&book, &build, Change::Priority { build: build.id, priority: 0 });
        let unsettled = |attempt| book.unsettled([(build.id, attempt)].into_iter()).unwrap();
        assert_eq!(unsettled(build.attempts[0].id), []);
        assert_eq!(unsettled(build.attempts[1].id), [build.id]);
        assert_eq!(unsettled(AttemptId::new()), [build.id]);
    }
}

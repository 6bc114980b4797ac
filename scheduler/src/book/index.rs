//! Tables by which builds are found again: by name, by client, and by having come to nothing. What they hold follows from
//! the other tables.

use drover_scheduler_core::{Build, BuildEvent, BuildState, Change, Submission};
use redb::{ReadableTable, Table, WriteTransaction};

use super::tables::*;
use super::{Book, BookError, decode};

/// Grows when a table is added here: what was recorded before is entered then.
const VERSION: u64 = 1;

pub(super) const FAILED: u8 = 1;
pub(super) const CANCELLED: u8 = 2;

impl Book {
    /// Enters what an older program recorded, once.
    pub(super) fn index_older(&self) -> Result<(), BookError> {
        let transaction = self.database.begin_write()?;
        let indexed = transaction.open_table(META)?.get(INDEXED)?.map_or(0, |version| version.value());
        if indexed < VERSION {
            enter_all(&transaction)?;
            transaction.open_table(META)?.insert(INDEXED, VERSION)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

fn enter_all(t: &WriteTransaction) -> Result<(), BookError> {
    let (builds, submissions) = (t.open_table(BUILDS)?, t.open_table(SUBMISSIONS)?);
    let (mut names, mut stopped) = (t.open_table(NAMES)?, t.open_table(STOPPED)?);
    for row in builds.iter()? {
        let build: Build = decode("a build", row?.1.value())?;
        enter_build(&mut names, &build)?;
        let state = match build.state {
            BuildState::Failed { .. } => FAILED,
            BuildState::Cancelled => CANCELLED,
            _ => continue,
        };
        stopped.insert((state, build.id.uuid().into_bytes()), ())?;
    }
    let mut of_client = t.open_table(OF_CLIENT)?;
    for row in submissions.iter()? {
        let submission: Submission = decode("a submission", row?.1.value())?;
        of_client.insert((submission.client.uuid().into_bytes(), submission.id.uuid().into_bytes()), ())?;
    }
    Ok(())
}

/// Enters the name of a build.
pub(super) fn enter_build(names: &mut Table<'_, (&str, [u8; 16]), ()>, build: &Build) -> Result<(), BookError> {
    names.insert((build.recipe.drv.name_without_drv(), build.id.uuid().into_bytes()), ())?;
    Ok(())
}

/// Enters builds that came to nothing, and takes out those that are tried again: nothing else leaves these states.
pub(super) fn write_stopped(t: &WriteTransaction, changes: &[Change]) -> Result<(), BookError> {
    let mut stopped = t.open_table(STOPPED)?;
    for change in changes {
        let Change::Build { build, event } = change else { continue };
        let id = build.uuid().into_bytes();
        match event {
            BuildEvent::Fail(..) | BuildEvent::KnownToFail(..) => drop(stopped.insert((FAILED, id), ())?),
            BuildEvent::Cancel => drop(stopped.insert((CANCELLED, id), ())?),
            BuildEvent::Retry(_) => {
                stopped.remove((FAILED, id))?;
                stopped.remove((CANCELLED, id))?;
            }
            _ => {}
        }
    }
    Ok(())
}

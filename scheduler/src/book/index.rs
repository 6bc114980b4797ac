//! Tables by which builds are found again: by name, by client, and by having come to nothing. What they hold follows from
//! the other tables.

use drover_scheduler_core::{BuildEvent, BuildState, Change, Submission};
use drover_store::DrvPath;
use redb::{ReadableTable, Table, WriteTransaction};

use super::made::Made;
use super::tables::*;
use super::{BookError, decode};

type Id = [u8; 16];

pub(super) const FAILED: u8 = 1;
pub(super) const CANCELLED: u8 = 2;

/// Enters what was recorded before there were these tables.
pub(super) fn enter_all(t: &WriteTransaction) -> Result<(), BookError> {
    let (builds, submissions) = (t.open_table(BUILDS)?, t.open_table(SUBMISSIONS)?);
    let (mut names, mut stopped) = (t.open_table(NAMES)?, t.open_table(STOPPED)?);
    for row in builds.iter()? {
        let (id, row) = row?;
        let made = Made::read(id.value(), row.value())?;
        enter_build(&mut names, made.drv(), id.value())?;
        let state = match made.row.state {
            BuildState::Failed { .. } => FAILED,
            BuildState::Cancelled => CANCELLED,
            _ => continue,
        };
        stopped.insert((state, id.value()), ())?;
    }
    let mut of_client = t.open_table(OF_CLIENT)?;
    for row in submissions.iter()? {
        let submission: Submission = decode("a submission", row?.1.value())?;
        of_client.insert((submission.client.uuid().into_bytes(), submission.id.uuid().into_bytes()), ())?;
    }
    Ok(())
}

/// Enters the name of a build.
pub(super) fn enter_build(names: &mut Table<'_, (&str, Id), ()>, drv: &DrvPath, id: Id) -> Result<(), BookError> {
    names.insert((drv.name_without_drv(), id), ())?;
    Ok(())
}

/// Whether a build that this befalls comes to nothing, or is tried again after that.
pub(super) fn stops(event: &BuildEvent) -> bool {
    matches!(event, BuildEvent::Fail(..) | BuildEvent::KnownToFail(..) | BuildEvent::Cancel | BuildEvent::Retry(_))
}

/// Enters builds that came to nothing, and takes out those that are tried again: nothing else leaves these states but being
/// planned anew.
pub(super) fn write_stopped(t: &WriteTransaction, changes: &[Change]) -> Result<(), BookError> {
    if !changes.iter().any(|change| matches!(change, Change::Build { event, .. } if stops(event))) {
        return Ok(());
    }
    let mut stopped = t.open_table(STOPPED)?;
    for change in changes {
        let Change::Build { build, event } = change else { continue };
        let id = build.uuid().into_bytes();
        match event {
            BuildEvent::Fail(..) | BuildEvent::KnownToFail(..) => drop(stopped.insert((FAILED, id), ())?),
            BuildEvent::Cancel => drop(stopped.insert((CANCELLED, id), ())?),
            BuildEvent::Retry(_) => go_on(&mut stopped, id)?,
            _ => {}
        }
    }
    Ok(())
}

/// Takes out a build, if it had come to nothing.
pub(super) fn go_on(stopped: &mut Table<'_, (u8, Id), ()>, id: Id) -> Result<(), BookError> {
    stopped.remove((FAILED, id))?;
    stopped.remove((CANCELLED, id))?;
    Ok(())
}

/// Takes out a submission that is forgotten.
pub(super) fn forget_submission(t: &WriteTransaction, submission: &Submission) -> Result<(), BookError> {
    let id = submission.id.uuid().into_bytes();
    t.open_table(OF_CLIENT)?.remove((submission.client.uuid().into_bytes(), id))?;
    let mut tags = t.open_table(TAGS)?;
    for (key, value) in &submission.tags {
        tags.remove((tag_row(key, value).as_str(), id))?;
    }
    Ok(())
}

/// Takes out a build that is forgotten.
pub(super) fn forget_build(t: &WriteTransaction, drv: &DrvPath, id: Id) -> Result<(), BookError> {
    t.open_table(NAMES)?.remove((drv.name_without_drv(), id))?;
    go_on(&mut t.open_table(STOPPED)?, id)
}

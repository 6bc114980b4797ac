//! What a commit touches, and what it says: taken from the core, which can go on while that is written.

use std::collections::BTreeSet;
use std::sync::Arc;

use drover_messages::cause::Blame;
use drover_messages::{BuildId, ClientId, PublicationId, SubmissionId};
use drover_scheduler_core::{BuildEvent, Change, Package, State, Submission, WholeBuild};
use drover_store::{DrvPath, StorePath};

use super::journal::{Key, Row};
use super::{BookError, Record, index, rows};

/// What a commit touches.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) builds: BTreeSet<BuildId>,
    /// Those of them that are new.
    pub(super) created: BTreeSet<BuildId>,
    pub(crate) items: BTreeSet<StorePath>,
    pub(crate) submissions: BTreeSet<SubmissionId>,
    pub(super) owed: BTreeSet<PublicationId>,
    pub(super) packages: BTreeSet<Arc<Package>>,
    pub(super) clients: BTreeSet<ClientId>,
}

impl Page {
    /// What these changes touch.
    pub(crate) fn of(changes: &[Change]) -> Self {
        let mut page = Self::default();
        for change in changes {
            match change {
                Change::Submission(submission) => drop(page.submissions.insert(submission.id)),
                Change::BuildCreated(created) => {
                    page.builds.insert(created.build.id);
                    page.created.insert(created.build.id);
                }
                Change::Build { build, .. }
                | Change::AttemptStarted { build, .. }
                | Change::Attempt { build, .. }
                | Change::Priority { build, .. }
                | Change::Differs { build, .. }
                | Change::Told { build, .. } => drop(page.builds.insert(*build)),
                Change::Item { path, .. } | Change::Forgiven { path } => drop(page.items.insert(path.clone())),
                Change::Owed(publication) => drop(page.owed.insert(publication.id)),
                Change::Took { package, .. } => drop(page.packages.insert(package.clone())),
                Change::Used { client, .. } => drop(page.clients.insert(*client)),
                Change::OwedDone(id) => drop(page.owed.insert(*id)),
                _ => {}
            }
        }
        page
    }
}

/// What one commit says, as the core had it when the last of it was decided.
pub(crate) struct Sheet {
    pub(super) record: Record,
    pub(super) created: Vec<WholeBuild>,
    /// What goes through the journal.
    pub(super) rows: Vec<(Key, Row)>,
    pub(super) submissions: Vec<Submission>,
    pub(super) failures: Vec<Verdict>,
    /// Changes that are written as they are, to tables of their own.
    pub(super) others: Vec<Change>,
}

/// What is known of a derivation now.
pub(super) struct Verdict {
    pub(super) drv: DrvPath,
    /// The build that failed; none, where the same succeeded or is tried again.
    pub(super) failed: Option<BuildId>,
}

impl Sheet {
    /// What is to be recorded of these changes, which touch that page.
    pub(crate) fn of(
        record: Record,
        changes: impl IntoIterator<Item = Change>,
        page: &Page,
        state: &State,
    ) -> Result<Self, BookError> {
        let rows = rows::of(page, state)?;
        let submissions = page.submissions.iter().filter_map(|id| state.submission(*id)).cloned().collect();
        let (mut created, mut failures, mut others) = (Vec::with_capacity(page.created.len()), Vec::new(), Vec::new());
        for change in changes {
            failures.extend(Verdict::of(&change, state));
            match change {
                Change::BuildCreated(whole) => {
                    let now = state.build(whole.build.id).cloned();
                    created.extend(now.map(|build| WholeBuild { build, inputs: whole.inputs }));
                }
                other if is_written_as_it_is(&other) => others.push(other),
                _ => {}
            }
        }
        Ok(Self { record, created, rows, submissions, failures, others })
    }

    /// About how much there is to be written.
    pub(crate) fn says(&self) -> usize {
        self.created.len() + self.rows.len() + self.others.len()
    }
}

/// Of most changes it is written what they come to.
fn is_written_as_it_is(change: &Change) -> bool {
    match change {
        Change::Build { event, .. } => index::stops(event),
        Change::Learned(_)
        | Change::Packed(_)
        | Change::Wished(_)
        | Change::CancelledAhead(_)
        | Change::Drain { .. }
        | Change::AgentKnown { .. } => true,
        Change::Submission(_)
        | Change::BuildCreated(_)
        | Change::AttemptStarted { .. }
        | Change::Attempt { .. }
        | Change::Told { .. }
        | Change::Differs { .. }
        | Change::Item { .. }
        | Change::Forgiven { .. }
        | Change::Priority { .. }
        | Change::Took { .. }
        | Change::Used { .. }
        | Change::Owed(_)
        | Change::OwedDone(_) => false,
        // What is not recorded does not come here.
        passing => passing.is_recorded(),
    }
}

impl Verdict {
    fn of(change: &Change, state: &State) -> Option<Self> {
        let Change::Build { build, event } = change else { return None };
        let failed = match event {
            BuildEvent::Fail(_, cause) if cause.blame() == Blame::Derivation => Some(*build),
            BuildEvent::Succeed(_) | BuildEvent::Retry(_) => None,
            _ => return None,
        };
        Some(Self { drv: state.build(*build)?.recipe.drv.clone(), failed })
    }
}

//! A submission as people see it: its builds in memory, as a turn of the reign has them, and the others by their number. Of those
//! very many may have come to nothing: they are counted beside the reign.

use std::collections::BTreeMap;

use drover_messages::query::*;
use drover_messages::{BuildId, SubmissionId};
use drover_scheduler_core::{Submission, SubmissionState};

use crate::book::{BookError, Stopped};
use crate::reign::Reign;
use crate::summaries::{is_available, summary};
use crate::work::Desk;

/// The answer; nothing, when the reign is over.
pub(crate) async fn answer(desk: &Desk, asked: AskSubmission) -> Option<Result<SubmissionAnswer, BookError>> {
    match desk.ask(move |reign| look(reign, asked.submission)).await? {
        Ok(Seen::Whole(answer)) => Some(Ok(answer)),
        Ok(Seen::InMemory(in_memory)) => {
            let counted = tokio::task::spawn_blocking(move || in_memory.count_others()).await.ok()?;
            Some(counted.map(SubmissionAnswer::Live))
        }
        Err(error) => Some(Err(error)),
    }
}

/// What one turn of the reign sees.
enum Seen {
    Whole(SubmissionAnswer),
    InMemory(Box<InMemory>),
}

fn look(reign: &Reign, id: SubmissionId) -> Result<Seen, BookError> {
    let Some(submission) = reign.submission(id)? else { return Ok(Seen::Whole(SubmissionAnswer::Unknown)) };
    Ok(match &submission.state {
        SubmissionState::Planning => Seen::Whole(SubmissionAnswer::Planning),
        SubmissionState::Rejected { why } => Seen::Whole(SubmissionAnswer::Rejected { why: why.clone() }),
        SubmissionState::Live { builds } | SubmissionState::Cancelled { builds } => {
            Seen::InMemory(Box::new(InMemory::of(reign, &submission, *builds)?))
        }
    })
}

/// A submission of which the builds in memory are counted.
struct InMemory {
    status: SubmissionStatus,
    /// How many are not in memory.
    others: u64,
    /// All that came to nothing, as it was in that turn.
    stopped: Stopped,
}

impl InMemory {
    /// Of a submission of so many builds.
    fn of(reign: &Reign, submission: &Submission, builds: u64) -> Result<Self, BookError> {
        let stopped = reign.book().stopped(submission)?;
        let mut status = SubmissionStatus {
            submission: submission.id,
            client: submission.client,
            submitted_at: submission.submitted_at,
            cancelled: matches!(submission.state, SubmissionState::Cancelled { .. }),
            counts: BTreeMap::new(),
            unpublished: 0,
            given_up: 0,
            roots: summaries(reign, submission.roots.iter().take(MAX_PAGE))?,
            failed: summaries(reign, &stopped.failed(MAX_PAGE)?)?,
            blocked: Vec::new(),
        };
        let mut others = builds;
        for build in reign.core().state().builds_of(submission.id) {
            others = others.saturating_sub(1);
            let name = build.state.name();
            *status.counts.entry(name).or_default() += 1;
            status.unpublished += u64::from(name == StateName::Succeeded && !is_available(reign, build)?);
            if build.state.is_given_up() {
                status.given_up += 1;
                if status.given_up <= MAX_PAGE as u64 {
                    status.failed.push(summary(reign, build)?);
                }
            }
            if name == StateName::Blocked && status.blocked.len() < MAX_PAGE {
                status.blocked.push(summary(reign, build)?);
            }
        }
        Ok(Self { status, others, stopped })
    }

    /// What is not in memory is finished: what of it did not come to nothing, succeeded.
    fn count_others(self) -> Result<SubmissionStatus, BookError> {
        let Self { mut status, mut others, stopped } = self;
        for (name, all) in [(StateName::Failed, stopped.count_failed()?), (StateName::Cancelled, stopped.count_cancelled()?)] {
            let in_memory = status.counts.insert(name, all).unwrap_or_default();
            others = others.saturating_sub(all.saturating_sub(in_memory));
        }
        *status.counts.entry(StateName::Succeeded).or_default() += others;
        status.counts.retain(|_, count| *count > 0);
        Ok(status)
    }
}

/// Builds, wherever they are.
fn summaries<'i>(reign: &Reign, ids: impl IntoIterator<Item = &'i BuildId>) -> Result<Vec<BuildSummary>, BookError> {
    let mut summaries = Vec::new();
    for id in ids {
        if let Some(build) = reign.build(*id)? {
            summaries.push(summary(reign, &build)?);
        }
    }
    Ok(summaries)
}

//! Uploads that nobody will ask for any more, found by looking: of attempts that came to nothing or too late, of those
//! whose discard was lost, and the sources of submissions.
//!
//! Whoever knows an attempt still may ask for its uploads, so those stay. Were others thrown away too early, as by a scheduler
//! that started from an old copy of its state, it would cost their agents another upload. Of a submission such a scheduler reads
//! the request again, as long as the broker keeps it, and needs all that was uploaded for it: nobody would bring that again.

use std::collections::BTreeSet;
use std::time::Duration;

use drover_bucket::{Bucket, Corner};
use drover_messages::{AttemptId, SubmissionId, Timestamp};
use drover_nats::streams::REQUESTS_KEPT;
use drover_scheduler_core::{Publication, State, SubmissionState};

use crate::work::Desk;

/// How often the corners are looked at: one listing. Not at the start, when not everything has been heard.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);
/// The age at which uploads are looked at. It is also how much later than its uploads a request may come.
const OLD: Duration = Duration::from_secs(24 * 60 * 60);
/// Corners that are looked at in one turn; the others come next time.
const MOST: usize = 10_000;

/// Looks, for ever.
pub(crate) async fn look(bucket: Bucket, desk: Desk) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        clear(&bucket, &desk, Timestamp::now()).await;
    }
}

/// Throws away what nobody will ask for.
async fn clear(bucket: &Bucket, desk: &Desk, now: Timestamp) {
    let moment = |corner: &Corner| match corner {
        Corner::Attempt(..) => before(now, OLD),
        Corner::Submission(..) => before(now, REQUESTS_KEPT + OLD),
    };
    let old = match bucket.corners_before(moment, MOST).await {
        Ok(old) => old,
        Err(error) => return tracing::debug!(%error, "cannot see what is left of uploads"),
    };
    let Some(unwanted) = desk.ask(move |reign| unwanted(reign.core().state(), old)).await else { return };
    if unwanted.is_empty() {
        return;
    }
    tracing::info!(corners = unwanted.len(), "uploads that nobody will ask for are thrown away");
    if let Err(error) = bucket.delete_corners(unwanted).await {
        tracing::debug!(%error, "uploads that nobody will ask for could not be thrown away yet");
    }
}

/// Without those of attempts of open builds, and of submissions that are planned or have something to be published.
fn unwanted(state: &State, mut corners: BTreeSet<Corner>) -> BTreeSet<Corner> {
    let agents: BTreeSet<_> =
        corners.iter().filter_map(|corner| if let Corner::Attempt(agent, _) = corner { Some(*agent) } else { None }).collect();
    let tried = agents.into_iter().flat_map(|agent| state.tried_by(agent)).flat_map(|build| &build.attempts);
    let tried: BTreeSet<AttemptId> = tried.map(|attempt| attempt.id).collect();
    let owed: BTreeSet<SubmissionId> = state.owed().filter_map(Publication::submission).collect();
    let is_planned = |id| state.submission(id).is_some_and(|submission| submission.state == SubmissionState::Planning);
    corners.retain(|corner| match corner {
        Corner::Attempt(_, attempt) => !tried.contains(attempt),
        Corner::Submission(_, id) => !owed.contains(id) && !is_planned(*id),
    });
    corners
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(age.as_millis() as u64))
}

#[cfg(test)]
mod tests {
    use drover_bucket::{HashPart, Key};
    use drover_messages::publish::{Done, PublishVerdict};
    use drover_messages::request::{Nar, SourceNar};
    use drover_messages::{AgentId, ClientId, Epoch, Generation, PublicationId, StoreId};
    use drover_scheduler_core::{Attempt, Build, BuildState, Core, Input, Limits, Now, Submission};
    use drover_store::{ContentAddress, Sha256};

    use super::*;
    use crate::book::samples;
    use crate::reign::Reign;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn item() -> HashPart {
        "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy".parse().unwrap()
    }

    #[tokio::test]
    async fn what_is_old_and_of_nothing_that_is_open_goes_and_the_rest_stays() {
        let (agent, open, over) = (AgentId::new(), AttemptId::new(), AttemptId::new());
        let epoch = Epoch { generation: Generation(1), n: 1 };
        let attempts = vec![Attempt::begin(open, agent, StoreId::from("store".to_owned()), epoch)];
        let build = Build { attempts, ..samples::of(1, "open-1", BuildState::Waiting { missing: 1 }) };
        let (_folder, book) = samples::open(std::slice::from_ref(&build), &[samples::submission(101, ClientId::new())]);
        let (reign, (desk, inbox)) = (Reign::over(&book), Desk::new());
        let reign = std::thread::spawn(move || reign.run(inbox));

        let output = |attempt| Key::OutputIncoming { agent, attempt, upload: 0, item: item() };
        let source = Key::SourceIncoming { client: ClientId::new(), submission: SubmissionId::new(), item: item() };
        let (open, over) = (output(open), output(over));
        let bucket = Bucket::open("memory://").unwrap();
        for key in [&open, &over, &source] {
            bucket.put_once(key, "bytes".into()).await.unwrap();
        }
        // The broker may bring the request of a source again until it is as old as that, and the request is younger.
        let stages = [(OLD - HOUR, true, true), (REQUESTS_KEPT + HOUR, false, true), (REQUESTS_KEPT + OLD + HOUR, false, false)];
        for (age, over_stays, source_stays) in stages {
            clear(&bucket, &desk, Timestamp(Timestamp::now().0 + age.as_millis() as u64)).await;
            assert!(bucket.exists(&open).await.unwrap(), "its build is open");
            assert_eq!(bucket.exists(&over).await.unwrap(), over_stays, "{age:?}");
            assert_eq!(bucket.exists(&source).await.unwrap(), source_stays, "{age:?}");
        }
        drop(desk);
        reign.join().unwrap().unwrap();
    }

    #[test]
    fn the_sources_of_a_submission_stay_until_they_are_published() {
        let submission = Submission { state: SubmissionState::Planning, ..samples::submission(101, ClientId::new()) };
        let (id, corner) = (submission.id, Corner::Submission(submission.client, submission.id));
        let mut core = Core::new(State::new(Generation(1)), Limits::default());
        let hash = Sha256::of(b"nar");
        let path = "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-source".parse().unwrap();
        let nar = Nar { key: format!("{corner}/{}.nar.zst", item()), nar_hash: hash, nar_size: 1, file_hash: hash, file_size: 1 };
        let sources = vec![SourceNar { path, ca: ContentAddress::source(hash), references: Vec::new(), nar }];
        let is_wanted = |core: &Core| unwanted(core.state(), [corner].into()).is_empty();
        core.advance(Now::default(), Input::Enter(submission));
        assert!(is_wanted(&core));
        core.advance(Now::default(), Input::AddSources { submission: id, sources });
        core.advance(Now::default(), Input::GoLive { submission: id });
        assert!(is_wanted(&core));
        let owed: Vec<PublicationId> = core.state().owed().map(|owed| owed.id).collect();
        let [publication] = owed[..] else { panic!("{owed:?}") };
        core.advance(Now::default(), Input::Published(Done { publication, verdict: PublishVerdict::Published }));
        assert!(!is_wanted(&core));
    }
}

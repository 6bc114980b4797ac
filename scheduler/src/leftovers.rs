//! Uploads that nobody will ask for any more, found by looking: of attempts that came to nothing or too late, of those
//! whose discard was lost, and the sources of submissions.
//!
//! Whoever knows an attempt still may ask for its uploads, so those stay. Were others thrown away too early, as by a scheduler
//! that started from an old copy of its state, it would cost their agents another upload. The sources of a submission stay while
//! it is planned and until they are published. Of one that nobody has heard of, more may be under way.

use std::collections::BTreeSet;
use std::time::Duration;

use drover_bucket::{Bucket, Corner};
use drover_messages::{AttemptId, SubmissionId, Timestamp};
use drover_scheduler_core::{Publication, State, SubmissionState};

use crate::book::{Book, BookError};
use crate::work::Desk;

/// How often the corners are looked at: one listing. Not at the start, when not everything has been heard.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// The age, in milliseconds, at which uploads are looked at.
const OLD_MILLIS: u64 = DAY_MILLIS;
/// The age, in milliseconds, at which those for a submission go of which nothing was heard.
const UNHEARD_MILLIS: u64 = 7 * DAY_MILLIS;
/// Corners that are looked at in one turn; the others come next time.
const MOST: usize = 10_000;

/// Looks, for ever.
pub(crate) async fn look(bucket: Bucket, book: Book, desk: Desk) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        clear(&bucket, &book, &desk, Timestamp::now()).await?;
    }
}

/// Throws away what nobody will ask for.
async fn clear(bucket: &Bucket, book: &Book, desk: &Desk, now: Timestamp) -> Result<(), BookError> {
    let old = match bucket.corners_before(before(now, OLD_MILLIS), MOST).await {
        Ok(old) => old,
        Err(error) => {
            tracing::debug!(%error, "cannot see what is left of uploads");
            return Ok(());
        }
    };
    let Some(unwanted) = desk.ask(move |reign| unwanted(reign.core().state(), old)).await else { return Ok(()) };
    let mut left = BTreeSet::new();
    for corner in unwanted {
        let is_over = match corner {
            Corner::Attempt(..) => true,
            Corner::Submission(_, id) => book.submission(id)?.is_some() || begun(id) < before(now, UNHEARD_MILLIS),
        };
        left.extend(is_over.then_some(corner));
    }
    if left.is_empty() {
        return Ok(());
    }
    tracing::info!(corners = left.len(), "uploads that nobody will ask for are thrown away");
    if let Err(error) = bucket.delete_corners(left).await {
        tracing::debug!(%error, "uploads that nobody will ask for could not be thrown away yet");
    }
    Ok(())
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

fn before(now: Timestamp, millis: u64) -> Timestamp {
    Timestamp(now.0.saturating_sub(millis))
}

/// When a submission was begun, by its user's clock.
fn begun(id: SubmissionId) -> Timestamp {
    let (secs, nanos) = id.uuid().get_timestamp().map_or((0, 0), |timestamp| timestamp.to_unix());
    Timestamp(secs.saturating_mul(1000) + u64::from(nanos / 1_000_000))
}

#[cfg(test)]
mod tests {
    use drover_bucket::{HashPart, Key};
    use drover_messages::publish::{Done, PublishVerdict};
    use drover_messages::request::{Nar, SourceNar};
    use drover_messages::{AgentId, ClientId, Epoch, Generation, PublicationId, StoreId};
    use drover_scheduler_core::{Attempt, Build, BuildState, Core, Input, Limits, Now, Submission};
    use drover_store::{ContentAddress, Sha256};
    use uuid::Uuid;

    use super::*;
    use crate::book::samples;
    use crate::reign::Reign;

    const HOUR_MILLIS: u64 = 60 * 60 * 1000;

    fn item() -> HashPart {
        "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy".parse().unwrap()
    }

    /// What a client uploads for a submission that it begins so long before now.
    fn source(age_millis: u64) -> Key {
        let (client, begun) = (ClientId::new(), before(Timestamp::now(), age_millis).0);
        let submission = SubmissionId::from_uuid(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, begun / 1000, 0)));
        assert_eq!(super::begun(submission).0, begun / 1000 * 1000);
        Key::SourceIncoming { client, submission, item: item() }
    }

    #[tokio::test]
    async fn what_is_old_and_of_nothing_that_is_open_goes_and_the_rest_stays() {
        let (agent, open, over) = (AgentId::new(), AttemptId::new(), AttemptId::new());
        let epoch = Epoch { generation: Generation(1), n: 1 };
        let attempts = vec![Attempt::begin(open, agent, StoreId::from("store".to_owned()), epoch)];
        let build = Build { attempts, ..samples::of(1, "open-1", BuildState::Waiting { missing: 1 }) };
        let taken_up = samples::submission(101, ClientId::new());
        let (_folder, book) = samples::open(std::slice::from_ref(&build), std::slice::from_ref(&taken_up));
        let (reign, (desk, inbox)) = (Reign::over(&book), Desk::new());
        let reign = std::thread::spawn(move || reign.run(inbox));

        let output = |attempt| Key::OutputIncoming { agent, attempt, upload: 0, item: item() };
        let published = Key::SourceIncoming { client: taken_up.client, submission: taken_up.id, item: item() };
        let unheard_by_then = UNHEARD_MILLIS - OLD_MILLIS;
        let gone = [output(over), published, source(unheard_by_then + HOUR_MILLIS)];
        let stay = [output(open), source(unheard_by_then - HOUR_MILLIS)];
        let bucket = Bucket::open("memory://").unwrap();
        for key in gone.iter().chain(&stay) {
            bucket.put_once(key, "bytes".into()).await.unwrap();
        }
        let now = Timestamp::now().0;
        clear(&bucket, &book, &desk, Timestamp(now + OLD_MILLIS - HOUR_MILLIS)).await.unwrap();
        for key in gone.iter().chain(&stay) {
            assert!(bucket.exists(key).await.unwrap(), "{key} was not uploaded a day ago");
        }
        // Of the store's clock a day has passed; those that begin a submission have one of their own.
        clear(&bucket, &book, &desk, Timestamp(now + OLD_MILLIS + 1000)).await.unwrap();
        for key in &stay {
            assert!(bucket.exists(key).await.unwrap(), "{key}");
        }
        for key in &gone {
            assert!(!bucket.exists(key).await.unwrap(), "{key}");
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

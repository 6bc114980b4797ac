//! Uploads that nobody will ask for any more, found by looking: of attempts that came to nothing or too late, and of those
//! whose discard was lost.
//!
//! Whoever knows an attempt still may ask for its uploads, so those stay. Were others thrown away too early, as by a scheduler
//! that started from an old copy of its state, it would cost their agents another upload.

use std::collections::BTreeSet;
use std::time::Duration;

use drover_bucket::Bucket;
use drover_messages::{AgentId, AttemptId, Timestamp};

use crate::discards::discard;
use crate::reign::Reign;
use crate::work::Desk;

/// How often the corners of the agents are looked at: one listing each. Not at the start, when not everything has been heard.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);
/// The age, in milliseconds, at which uploads are looked at: a day.
const OLD_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// Attempts of one agent that are looked at in one turn; the others come next time.
const MOST_OF_AGENT: usize = 10_000;

/// Looks, for ever.
pub(crate) async fn look(bucket: Bucket, desk: Desk) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let before = Timestamp(Timestamp::now().0.saturating_sub(OLD_MILLIS));
        let agents = desk.ask(|reign| reign.core().state().agents().map(|(agent, _)| agent).collect::<Vec<_>>()).await;
        for agent in agents.unwrap_or_default() {
            clear(&bucket, &desk, agent, before).await;
        }
    }
}

/// Throws away what an agent uploaded before this moment and nobody will ask for.
async fn clear(bucket: &Bucket, desk: &Desk, agent: AgentId, before: Timestamp) {
    let old = match bucket.attempts_before(agent, before, MOST_OF_AGENT).await {
        Ok(old) if old.is_empty() => return,
        Ok(old) => old,
        Err(error) => return tracing::debug!(%agent, %error, "cannot see what is left of the uploads of an agent"),
    };
    let Some(leftovers) = desk.ask(move |reign| forgotten(reign, agent, old)).await else { return };
    if !leftovers.is_empty() {
        tracing::info!(%agent, attempts = leftovers.len(), "uploads that nobody will ask for are thrown away");
        discard(bucket, agent, leftovers).await;
    }
}

/// Without those of builds that are open.
fn forgotten(reign: &Reign, agent: AgentId, mut attempts: BTreeSet<AttemptId>) -> BTreeSet<AttemptId> {
    for build in reign.core().state().tried_by(agent) {
        for attempt in &build.attempts {
            attempts.remove(&attempt.id);
        }
    }
    attempts
}

#[cfg(test)]
mod tests {
    use drover_bucket::Key;
    use drover_messages::{ClientId, Epoch, Generation, StoreId};
    use drover_scheduler_core::{Attempt, Build, BuildState};

    use super::*;
    use crate::book::samples;

    const HOUR_MILLIS: u64 = 60 * 60 * 1000;

    #[tokio::test]
    async fn what_is_old_and_of_no_open_build_goes_and_the_rest_stays() {
        let (agent, open, over) = (AgentId::new(), AttemptId::new(), AttemptId::new());
        let epoch = Epoch { generation: Generation(1), n: 1 };
        let attempts = vec![Attempt::begin(open, agent, StoreId::from("store".to_owned()), epoch)];
        let build = Build { attempts, ..samples::of(1, "open-1", BuildState::Waiting { missing: 1 }) };
        let (_folder, book) = samples::open(std::slice::from_ref(&build), &[samples::submission(101, ClientId::new())]);
        let (reign, (desk, inbox)) = (Reign::over(&book), Desk::new());
        let reign = std::thread::spawn(move || reign.run(inbox));

        let bucket = Bucket::open("memory://").unwrap();
        let item = "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy".parse().unwrap();
        let key = |attempt| Key::OutputIncoming { agent, attempt, upload: 0, item };
        for attempt in [open, over] {
            bucket.put_once(&key(attempt), "bytes".into()).await.unwrap();
        }
        let now = Timestamp::now().0;
        clear(&bucket, &desk, agent, Timestamp(now - HOUR_MILLIS)).await;
        assert!(bucket.exists(&key(over)).await.unwrap(), "it is not old");
        clear(&bucket, &desk, agent, Timestamp(now + HOUR_MILLIS)).await;
        assert!(!bucket.exists(&key(over)).await.unwrap());
        assert!(bucket.exists(&key(open)).await.unwrap(), "its build is open");
        drop(desk);
        reign.join().unwrap().unwrap();
    }
}

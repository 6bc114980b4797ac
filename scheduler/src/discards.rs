//! What agents uploaded and the cache has is thrown away: not at once, but so much at a time that one look at an agent's
//! corner serves many attempts. What is lost of this, by a crash or a bucket that is down, [`crate::leftovers`] finds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drover_bucket::{Bucket, Corner};
use drover_messages::{AgentId, AttemptId};
use futures::{StreamExt, stream};
use tokio::sync::mpsc;

/// How long settled attempts are gathered.
const GATHER: Duration = Duration::from_secs(10);
/// Settled attempts that may wait; what more there is is left to be found later. About 1 MiB.
const MAX_WAITING: usize = 1 << 15;
/// Agents whose corners are looked at at once.
const AGENTS_AT_ONCE: usize = 4;

type Settled = (AgentId, AttemptId);
type ByAgent = BTreeMap<AgentId, BTreeSet<AttemptId>>;

/// Where settled attempts are handed in.
#[derive(Clone)]
pub(crate) struct Discards {
    settled: mpsc::Sender<Settled>,
}

impl Discards {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Settled>) {
        let (settled, waiting) = mpsc::channel(MAX_WAITING);
        (Self { settled }, waiting)
    }

    /// Hands in an attempt. Nobody waits for the bucket here.
    pub(crate) fn put(&self, agent: AgentId, attempt: AttemptId) {
        if self.settled.try_send((agent, attempt)).is_err() {
            tracing::debug!(%agent, %attempt, "too many attempts wait for their uploads to be thrown away: these are found later");
        }
    }
}

/// Throws away what is handed in, for ever.
pub(crate) async fn throw_away(bucket: Bucket, mut waiting: mpsc::Receiver<Settled>) -> anyhow::Result<()> {
    while let Some(first) = waiting.recv().await {
        tokio::time::sleep(GATHER).await;
        let discards = stream::iter(gathered(first, &mut waiting)).map(|(agent, attempts)| discard(&bucket, agent, attempts));
        discards.buffer_unordered(AGENTS_AT_ONCE).collect::<()>().await;
    }
    std::future::pending().await
}

/// All that waits, by agents.
fn gathered(first: Settled, waiting: &mut mpsc::Receiver<Settled>) -> ByAgent {
    let mut by_agent = ByAgent::new();
    let others = (0..waiting.len()).map_while(|_| waiting.try_recv().ok());
    for (agent, attempt) in std::iter::once(first).chain(others) {
        by_agent.entry(agent).or_default().insert(attempt);
    }
    by_agent
}

async fn discard(bucket: &Bucket, agent: AgentId, attempts: BTreeSet<AttemptId>) {
    let count = attempts.len();
    let corners = attempts.into_iter().map(|attempt| Corner::Attempt(agent, attempt)).collect();
    if let Err(error) = bucket.delete_corners(corners).await {
        tracing::debug!(%agent, count, %error, "uploads that are not needed any more could not be thrown away yet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn attempts_are_gathered_by_their_agents_and_no_more_than_may_wait() {
        let (discards, mut waiting) = Discards::new();
        let agents = [AgentId::new(), AgentId::new()];
        for n in 0..MAX_WAITING + 10 {
            discards.put(agents[n % 2], AttemptId::new());
        }
        let first = waiting.recv().await.unwrap();
        let counts: Vec<usize> = gathered(first, &mut waiting).into_values().map(|attempts| attempts.len()).collect();
        assert_eq!(counts, [MAX_WAITING / 2; 2]);
        assert!(waiting.is_empty());
    }
}

//! Corners of attempts go away, as many of one agent's as there are in one listing: stores ask money for each.

use std::collections::BTreeSet;
use std::future::ready;

use drover_messages::{AgentId, AttemptId, Timestamp};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use crate::bucket::bounded;
use crate::{Bucket, BucketError, Corner, Key};

impl Bucket {
    /// Deletes all that an agent uploaded in these attempts, and nothing else. What fails half-way can be done again.
    pub async fn delete_attempts(&self, agent: AgentId, attempts: BTreeSet<AttemptId>) -> Result<(), BucketError> {
        let name = match attempts.first() {
            None => return Ok(()),
            Some(only) if attempts.len() == 1 => Corner::Attempt(agent, *only).to_string(),
            // One listing for all, though it names what the agent is uploading now as well.
            Some(_) => corners_of(agent),
        };
        let bucket = self.clone();
        let keys = self.store.list(Some(&self.path(&name))).map_ok(|object| object.location);
        let doomed = keys.try_filter(move |key| ready(bucket.attempt_at(key).is_some_and(|at| attempts.contains(&at))));
        let deleted = self.store.delete_stream(doomed.boxed());
        // It may be gone already.
        let deleted = deleted.filter(|done| ready(!matches!(done, Err(object_store::Error::NotFound { .. }))));
        bounded(&name, deleted.try_for_each(|_| ready(Ok(())))).await
    }

    /// Attempts of an agent that uploaded something before `moment` by the store's clock, and have it there still: the first
    /// so many that are found.
    pub async fn attempts_before(
        &self,
        agent: AgentId,
        moment: Timestamp,
        most: usize,
    ) -> Result<BTreeSet<AttemptId>, BucketError> {
        let name = corners_of(agent);
        let mut objects = self.store.list(Some(&self.path(&name)));
        let found = async {
            let mut attempts = BTreeSet::new();
            while attempts.len() < most
                && let Some(object) = objects.try_next().await?
            {
                let uploaded = u64::try_from(object.last_modified.timestamp_millis()).unwrap_or_default();
                attempts.extend(self.attempt_at(&object.location).filter(|_| uploaded < moment.0));
            }
            Ok(attempts)
        };
        bounded(&name, found).await
    }

    /// The attempt that an object was uploaded in. What a user uploads is of none, even where the user is an agent, too.
    fn attempt_at(&self, location: &Path) -> Option<AttemptId> {
        match self.key_at(location)? {
            Key::OutputIncoming { attempt, .. } => Some(attempt),
            _ => None,
        }
    }
}

fn corners_of(agent: AgentId) -> String {
    format!("incoming/{agent}")
}

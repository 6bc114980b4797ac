//! Substitute servers beyond the farm's own, asked by way of the pool `substitutes`: the scheduler itself speaks to no
//! server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drover_messages::query::MAX_PAGE;
use drover_messages::substitutes::{AskElsewhere, Elsewhere};
use drover_nats::{Bus, Pool, RequestError, Subject};
use drover_store::{StoreDir, StorePath};
use futures::{StreamExt, TryStreamExt, stream};

/// How long the pool may take for one page, which it looks up at several servers.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Pages that are asked for at once.
const ASKED_AT_ONCE: usize = 4;

/// The way to the pool.
#[derive(Clone)]
pub(crate) struct Servers {
    bus: Bus,
}

/// The pool did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the pool `substitutes` does not say what other servers have: {0}")]
pub(crate) struct NoAnswer(#[from] RequestError);

impl Servers {
    pub(crate) fn new(bus: Bus) -> Self {
        Self { bus }
    }

    /// Which of these paths other servers have, and who.
    pub(crate) async fn look(
        &self,
        store_dir: &StoreDir,
        paths: BTreeSet<StorePath>,
    ) -> Result<BTreeMap<StorePath, BTreeSet<String>>, NoAnswer> {
        let paths: Vec<StorePath> = paths.into_iter().collect();
        let page = |page: &[StorePath]| AskElsewhere { store_dir: store_dir.clone(), paths: page.iter().cloned().collect() };
        let pages: Vec<AskElsewhere> = paths.chunks(MAX_PAGE).map(page).collect();
        let asked = stream::iter(pages).map(|page| self.ask(page)).buffer_unordered(ASKED_AT_ONCE);
        let answers: Vec<Elsewhere> = asked.try_collect().await?;
        Ok(answers.into_iter().flat_map(|answer| answer.found).collect())
    }

    async fn ask(&self, question: AskElsewhere) -> Result<Elsewhere, NoAnswer> {
        Ok(self.bus.request(&Subject::AskPool { pool: Pool::substitutes() }, &question, ANSWER_WITHIN).await?)
    }
}

//! Hello and beats: the agent says what it holds, and hears what is to become of it.
//!
//! A scheduler that does not answer is asked again; the work goes on meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use drover_messages::StoreId;
use drover_messages::agent::{Beat, BeatAnswer, Hello};
use drover_nats::{Bus, Link, RequestError, Subject};

use crate::backoff::{Backoff, jittered};
use crate::config::Config;
use crate::disk::free_bytes;
use crate::foreman::Foreman;
use crate::load::load_percent;
use crate::memory;
use crate::servers::Servers;
use crate::stock::{News, Stock};
use crate::store_id::store_id;

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// What a scheduler may ask for, in milliseconds between two beats.
const MIN_BEAT_EVERY_MILLIS: u64 = 50;
const MAX_BEAT_EVERY_MILLIS: u64 = 60_000;

/// The agent's voice.
pub struct Heart {
    /// What it says of itself.
    pub config: Arc<Config>,
    /// Where it says it.
    pub bus: Bus,
    /// What it holds.
    pub foreman: Arc<Foreman>,
    /// What its daemon can fetch from.
    pub servers: Arc<Servers>,
    /// What its store holds.
    pub stock: Arc<Stock>,
}

impl Heart {
    /// Says hello and beats, for ever.
    pub async fn beat(&self) {
        let (mut link, mut servers) = (self.bus.link(), self.servers.changes());
        loop {
            link.mark_unchanged();
            servers.mark_unchanged();
            let store = self.store();
            let mut answer = self.hello(&store).await;
            let mut pause = pause_after(&answer);
            while !answer.hello && self.store() == store {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.foreman.readiness.notified() => {}
                    () = came_back(&mut link) => break,
                    Ok(()) = servers.changed() => break,
                }
                let news = self.stock.news();
                match self.ask(&Subject::Beat { agent: self.config.agent }, &self.status(&news)).await {
                    Ok(heard) => {
                        self.stock.was_answered(&news);
                        pause = pause_after(&heard);
                        answer = heard;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "nobody heard a beat");
                        // Agents that lost the scheduler together do not come back as one.
                        pause = jittered(pause_after(&answer));
                    }
                }
            }
        }
    }

    /// Says hello until it is heard.
    async fn hello(&self, store: &StoreId) -> BeatAnswer {
        let mut backoff = Backoff::default();
        loop {
            let everything = self.stock.everything();
            match self.ask(&Subject::Hello { agent: self.config.agent }, &self.introduction(store, &everything)).await {
                Ok(answer) if !answer.hello => {
                    self.stock.was_answered(&everything);
                    return answer;
                }
                Ok(_) => tracing::warn!("the scheduler wants another hello"),
                Err(RequestError::Problem(why)) => tracing::warn!(why, "the scheduler does not take this agent"),
                Err(error) => tracing::debug!(%error, "nobody heard hello"),
            }
            backoff.wait().await;
        }
    }

    fn introduction(&self, store: &StoreId, news: &News) -> Hello {
        Hello {
            name: self.config.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            store_dir: self.config.store_dir.clone(),
            store: store.clone(),
            systems: self.config.systems.clone(),
            features: self.config.features.clone(),
            mandatory_features: self.config.mandatory_features.clone(),
            resources: self.config.resources.clone(),
            tags: self.config.tags.clone(),
            servers: self.servers.reached(),
            max_parallel_builds: self.config.slots as u32,
            beat: self.status(news),
        }
    }

    /// The store as it is now. One that is not there is nobody else's, and builds wait until it is.
    fn store(&self) -> StoreId {
        store_id(&self.config.store_dir).unwrap_or_else(|_| StoreId::from(format!("none-{}", self.config.agent)))
    }

    /// Asks, and obeys the answer.
    async fn ask<M: drover_messages::Message + 'static>(
        &self,
        subject: &Subject,
        message: &M,
    ) -> Result<BeatAnswer, RequestError> {
        let answer: BeatAnswer = self.bus.request(subject, message, ANSWER_TIMEOUT).await?;
        let orders = answer.verdicts.iter().map(|verdict| (verdict.attempt, verdict.order));
        self.foreman.obey(answer.generation, orders);
        Ok(answer)
    }

    fn status(&self, news: &News) -> Beat {
        let (generation, not_ready, held) = self.foreman.status();
        Beat {
            generation,
            load_percent: load_percent(),
            store_free_bytes: free_bytes(Path::new(self.config.store_dir.as_str())),
            not_ready,
            held,
            memory_free_mib: memory::free_mib(),
            holds: news.holds.clone(),
            gained: news.gained.clone(),
        }
    }
}

fn pause_after(answer: &BeatAnswer) -> Duration {
    Duration::from_millis(answer.beat_every_millis.clamp(MIN_BEAT_EVERY_MILLIS, MAX_BEAT_EVERY_MILLIS))
}

/// Ends when the broker is there again after it was gone.
async fn came_back(link: &mut tokio::sync::watch::Receiver<Link>) {
    loop {
        if link.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        if link.borrow_and_update().is_up() {
            return;
        }
    }
}

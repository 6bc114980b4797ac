//! Requests from the broker, several at once, and the word on each back to it ([`super::verdicts`]). The word is with the
//! broker before the request is acknowledged: a worker that dies between the two leaves it to be done again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use drover_messages::publish::{Done, Publish, PublishVerdict};
use drover_nats::streams::{ACK_WAIT, OWED, PUBLISH};
use drover_nats::{Bus, Delivery, Intake};
use drover_store::StoreDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{interval, timeout};

use super::verdicts::{Untold, Verdicts};
use super::{Fence, PublishError, Publisher};

/// How long a request waits that the farm could not serve, in seconds.
pub const RETRY_SECS: u64 = 3;
/// How long a worker that is told to stop goes on with what it has begun, in seconds.
const DRAIN_SECS: u64 = 30;
/// How many closures of derivations wait to be served.
const MAX_WAITING_CLOSURES: usize = 1024;
/// How often the serving of one is begun.
const CLOSURE_TRIES: usize = 5;

/// What all requests share.
pub struct Pool {
    /// Says it.
    pub bus: Bus,
    /// Does it.
    pub publisher: Publisher,
    /// Refuses the superseded.
    pub fence: Fence,
    /// How many requests are worked on at once.
    pub concurrency: usize,
    /// The stores whose caches are made known at once, before anything is asked for.
    pub stores: Vec<StoreDir>,
    /// Whether the derivations of what is published are served too.
    pub serve_derivations: bool,
}

/// The farm's, never the request's: the request is tried again.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Untold(#[from] Untold),
}

/// Serves requests until `shutdown`, then ends what was begun.
pub async fn run(pool: Pool, shutdown: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(pool.concurrency));
    let all = u32::try_from(pool.concurrency).unwrap_or(u32::MAX);
    // One message may ask for several publications: more of them would wait here than are soon done.
    let mut intake = Intake::open(&pool.bus, OWED, PUBLISH, 1);
    let mut still_here = interval(ACK_WAIT / 3);
    let pool = Arc::new(pool);
    let introducing = tokio::spawn(introduce(pool.clone()));
    let (afterwards, wishes) = mpsc::channel(MAX_WAITING_CLOSURES);
    let serving = tokio::spawn(serve_derivations(pool.clone(), wishes));
    let verdicts = Verdicts::start(pool.bus.clone());
    tokio::pin!(shutdown);
    loop {
        let next = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, intake.next().await)
        };
        tokio::select! {
            (slot, delivery) = next => {
                // The semaphore is never closed.
                let Ok(slot) = slot else { return };
                tokio::spawn(serve(pool.clone(), delivery, verdicts.clone(), afterwards.clone(), slot));
            }
            _ = still_here.tick() => intake.progress().await,
            () = &mut shutdown => break,
        }
    }
    introducing.abort();
    drop(afterwards);
    let drained = async {
        // The semaphore is never closed.
        let _ = slots.acquire_many(all).await;
        serving.await
    };
    if timeout(Duration::from_secs(DRAIN_SECS), drained).await.is_err() {
        tracing::warn!("stopped with requests unfinished; others will have them");
    }
}

/// Makes the caches known, however long that takes.
async fn introduce(pool: Arc<Pool>) {
    for store in &pool.stores {
        while let Err(error) = pool.publisher.introduce(store).await {
            tracing::warn!(%store, %error, "the cache cannot be made known now; it is tried again");
            tokio::time::sleep(Duration::from_secs(RETRY_SECS)).await;
        }
    }
}

/// Serves the derivations of what was published, one closure after the other. What this does not come to, because the process
/// dies, comes with whatever is published next on top of it.
async fn serve_derivations(pool: Arc<Pool>, mut wishes: mpsc::Receiver<Publish>) {
    while let Some(request) = wishes.recv().await {
        for _ in 0..CLOSURE_TRIES {
            match pool.publisher.serve_derivations(&request).await {
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(path = %request.path, %error, "its derivations cannot be served now");
                    tokio::time::sleep(Duration::from_secs(RETRY_SECS)).await;
                }
            }
        }
    }
}

async fn serve(
    pool: Arc<Pool>,
    delivery: Delivery,
    verdicts: Verdicts,
    afterwards: mpsc::Sender<Publish>,
    _slot: OwnedSemaphorePermit,
) {
    let Some((request, delivery)) = delivery.decode_or_set_aside::<Publish>().await else { return };
    if !pool.fence.admits(request.generation) {
        tracing::warn!(publication = %request.publication, generation = %request.generation, "asked by a superseded scheduler");
        return delivery.ack().await;
    }
    match keep_alive(&delivery, settle(&pool, &verdicts, &request)).await {
        Ok(verdict) => {
            delivery.ack().await;
            let is_served = matches!(verdict, PublishVerdict::Published | PublishVerdict::AlreadyThere);
            if is_served && pool.serve_derivations && afterwards.try_send(request).is_err() {
                tracing::warn!(
                    limit = MAX_WAITING_CLOSURES,
                    "too many closures of derivations wait to be served; one is left out"
                );
            }
        }
        Err(error) => {
            tracing::warn!(path = %request.path, %error, "cannot publish now; it is tried again");
            delivery.give_back(Duration::from_secs(RETRY_SECS)).await;
        }
    }
}

/// Comes to a verdict, and makes it known.
async fn settle(pool: &Pool, verdicts: &Verdicts, request: &Publish) -> Result<PublishVerdict, Trouble> {
    let verdict = pool.publisher.publish(request).await?;
    tracing::info!(path = %request.path, publication = %request.publication, ?verdict, "publication settled");
    verdicts.tell(Done { publication: request.publication, verdict: verdict.clone() }).await?;
    Ok(verdict)
}

/// Does work, and tells the broker of it while it lasts.
async fn keep_alive<T>(delivery: &Delivery, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        match timeout(ACK_WAIT / 3, &mut work).await {
            Ok(done) => return done,
            Err(_) => delivery.progress().await,
        }
    }
}

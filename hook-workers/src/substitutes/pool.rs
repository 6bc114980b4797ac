//! Questions from the broker, several at once. A question that a dead worker had is asked again by who asked it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use drover_messages::query::MAX_PAGE;
use drover_messages::substitutes::AskElsewhere;
use drover_nats::service::{About, Asked, Service};
use drover_nats::{Bus, Filter, Incoming, NatsError, Pool};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Lookup;

/// How long a worker that is told to stop goes on with what it has begun, in seconds.
const DRAIN_SECS: u64 = 10;

/// Answers questions, so many at once, until `shutdown`, then ends what was begun.
pub async fn run(bus: &Bus, lookup: Lookup, concurrency: usize, shutdown: impl Future<Output = ()>) -> Result<(), NatsError> {
    let mut service = start(bus).await?;
    let (lookup, slots) = (Arc::new(lookup), Arc::new(Semaphore::new(concurrency)));
    tokio::pin!(shutdown);
    loop {
        let next = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, service.next().await)
        };
        tokio::select! {
            (Ok(slot), Some(question)) = next => { tokio::spawn(answer(lookup.clone(), question, slot)); }
            () = &mut shutdown => break,
            else => break,
        }
    }
    let all = u32::try_from(concurrency).unwrap_or(u32::MAX);
    if timeout(Duration::from_secs(DRAIN_SECS), slots.acquire_many(all)).await.is_err() {
        tracing::warn!("stopped with questions unanswered; they are asked again");
    }
    Ok(())
}

async fn start(bus: &Bus) -> Result<Service, NatsError> {
    let description = "What substitute servers beyond the farm's own have";
    let about = About { name: "drover-substitutes", version: env!("CARGO_PKG_VERSION"), description };
    let asked = Asked { name: "elsewhere", filter: Filter::QuestionsTo(Pool::substitutes()), description };
    Service::start(bus, &about, &[asked]).await
}

async fn answer(lookup: Arc<Lookup>, question: Incoming, _slot: OwnedSemaphorePermit) {
    let told = match question.decode::<AskElsewhere>() {
        Err(error) => question.problem(&error.to_string()).await,
        Ok(asked) if asked.paths.len() > MAX_PAGE => question.problem(&format!("more than {MAX_PAGE} paths")).await,
        Ok(asked) => {
            let answer = lookup.answer(&asked).await;
            tracing::debug!(asked = asked.paths.len(), found = answer.found.len(), "answered");
            question.respond(&answer).await
        }
    };
    if let Err(error) = told {
        tracing::warn!(%error, "an answer was not told; it is asked for again");
    }
}

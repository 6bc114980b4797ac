//! Streams and consumers, made at the start and whenever the connection comes back; and the passing of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use drover_messages::Timestamp;
use drover_nats::streams::{EVENTS, OWED, StreamPlan};
use drover_nats::{Bus, Declared, NatsError, Reread, reconcile};
use drover_scheduler_core::Input;

use crate::book::Book;
use crate::work::Desk;

/// How often the core is told that time has passed: what a delay may be late by.
const TICK: Duration = Duration::from_millis(250);
/// The pauses between two looks at what may be forgotten: while there is more, and when there is none.
const FORGET_MORE_AFTER: Duration = Duration::from_millis(500);
const FORGET_AGAIN_AFTER: Duration = Duration::from_secs(60 * 60);
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// The pause before streams are declared again after it did not work.
const DECLARE_AGAIN: Duration = Duration::from_secs(1);

/// Declares until it works. A stream of somebody else's that captures our requests is the one thing that ends it.
pub(crate) async fn declare(bus: &Bus, plans: &[StreamPlan], reread: Reread) -> Result<Vec<Declared>, NatsError> {
    loop {
        match reconcile(bus, plans, reread).await {
            Err(error @ NatsError::Captures { .. }) => return Err(error),
            Err(error) => tracing::warn!(%error, "cannot declare the streams yet"),
            Ok(declared) => return Ok(declared),
        }
        tokio::time::sleep(DECLARE_AGAIN).await;
    }
}

/// Declares again after each reconnect; what a lost stream carried is owed again.
pub(crate) async fn keep(bus: Bus, plans: Vec<StreamPlan>, desk: Desk, told: Arc<AtomicU64>) -> anyhow::Result<()> {
    let mut link = bus.link();
    let mut seen = *link.borrow_and_update();
    loop {
        link.changed().await?;
        let now = *link.borrow_and_update();
        if !now.is_up() || now == seen {
            continue;
        }
        seen = now;
        for stream in declare(&bus, &plans, Reread::No).await? {
            if !stream.created {
                continue;
            }
            tracing::warn!(stream = stream.stream, "a stream was lost, and is made again");
            match stream.stream {
                OWED => desk.bring(Input::QuestionsLost).await,
                EVENTS => told.store(0, Ordering::Relaxed),
                _ => {}
            }
        }
    }
}

/// Forgets what was finished so many days ago, a little at a time.
pub(crate) async fn forget(book: Book, keep_days: u64) -> anyhow::Result<()> {
    loop {
        let moment = Timestamp(Timestamp::now().0.saturating_sub(keep_days.saturating_mul(DAY_MILLIS)));
        let forgetting = book.clone();
        let more = tokio::task::spawn_blocking(move || forgetting.forget_before(moment)).await??;
        tokio::time::sleep(if more { FORGET_MORE_AFTER } else { FORGET_AGAIN_AFTER }).await;
    }
}

/// Tells the core that time has passed.
pub(crate) async fn tick(desk: Desk) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        desk.bring(Input::Tick).await;
    }
}

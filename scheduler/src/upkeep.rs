//! Streams and consumers, made at the start and whenever the connection comes back; and the passing of time.

use std::sync::Arc;
use std::time::Duration;

use drover_messages::Timestamp;
use drover_nats::streams::{EVENTS, OWED, StreamPlan};
use drover_nats::{Bus, Declared, Link, NatsError, Reread, reconcile};
use drover_scheduler_core::Input;
use tokio::sync::watch;

use crate::book::Book;
use crate::told::Cursor;
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

/// Tells the stream of events from now on: one that was told nothing yet, all that is remembered.
pub(crate) fn turn_to_events(told: &Cursor, declared: &[Declared]) {
    declared.iter().filter(|stream| stream.stream == EVENTS).for_each(|stream| told.turn_to(stream));
}

/// Declares again after each reconnect; what a lost stream carried is owed again. `link` has seen the connection on which they were
/// `declared` before.
pub(crate) async fn keep(
    bus: Bus,
    plans: Vec<StreamPlan>,
    mut link: watch::Receiver<Link>,
    mut declared: Vec<Declared>,
    desk: Desk,
    told: Arc<Cursor>,
) -> anyhow::Result<()> {
    loop {
        link.changed().await?;
        if !link.borrow_and_update().is_up() {
            continue;
        }
        let before = declared;
        declared = declare(&bus, &plans, Reread::No).await?;
        // Which of them a try made that failed in the end, no later try knows; but it is another stream.
        let is_same = |one: &Declared, other: &Declared| one.stream == other.stream && one.made_nanos == other.made_nanos;
        let is_new = |stream: &&Declared| !before.iter().any(|before| is_same(before, stream));
        for stream in declared.iter().filter(is_new) {
            tracing::warn!(stream = stream.stream, "a stream is new: what it carried is owed again");
            if stream.stream == OWED {
                desk.bring(Input::QuestionsLost).await;
            }
        }
        turn_to_events(&told, &declared);
    }
}

/// Forgets what is of no use any more, and builds that were asked for so many days ago, if any go: a little at a time.
pub(crate) async fn forget(book: Book, keep_days: Option<u64>) -> anyhow::Result<()> {
    loop {
        let now = Timestamp::now().0;
        let moment = keep_days.map(|days| Timestamp(now.saturating_sub(days.saturating_mul(DAY_MILLIS))));
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

#[cfg(test)]
mod tests {
    use drover_nats::permissions::Who;
    use drover_nats::streams;
    use drover_nats::testing::NatsServer;

    use super::*;
    use crate::told::Told;
    use crate::work::Work;

    #[tokio::test]
    async fn what_was_asked_of_a_broker_that_died_is_owed_again_at_once() {
        let Some(mut server) = NatsServer::start() else { return };
        let bus = Bus::connect(&server.login(Who::Scheduler).await).await.unwrap();
        let (mut link, plans) = (bus.link(), streams::all(&[]));
        let before = *link.borrow_and_update();
        let declared = declare(&bus, &plans, Reread::Whole).await.unwrap();
        // It dies and comes back before anybody looks.
        server.kill();
        server.run();
        bus.link().wait_for(|now| now.is_up() && *now != before).await.unwrap();
        let (desk, mut inbox) = Desk::new();
        let told = Arc::new(Cursor::new(Told { record: 7, stream: 1 }));
        let keeping = tokio::spawn(keep(bus, plans, link, declared, desk, told.clone()));
        let brought = tokio::time::timeout(Duration::from_secs(20), inbox.recv()).await.expect("in time");
        assert!(matches!(brought, Some(Work::Decide(piece)) if matches!(piece.input, Input::QuestionsLost)));
        while told.get().record != 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        keeping.abort();
    }
}

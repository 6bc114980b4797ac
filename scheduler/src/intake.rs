//! What comes in on streams: read, brought to the reign, acknowledged once it is committed.

use std::time::Duration;

use drover_messages::publish::Done;
use drover_messages::report::Report;
use drover_messages::wish::Wish;
use drover_messages::{ClientId, WishId};
use drover_nats::{Bus, Delivery, Intake, Subject, WishVerb, streams};
use drover_scheduler_core::Input;
use tokio::sync::mpsc;

use crate::book::Book;
use crate::planning::Planner;
use crate::wishes;
use crate::work::{Desk, Piece};

/// Deliveries that are decided about together.
const TOGETHER: usize = 256;
/// Deliveries that are acknowledged together.
const ACKS: usize = 256;
/// How long reports wait for the requests that were queued before.
const REQUESTS_FIRST: Duration = Duration::from_secs(30);
/// How often it is looked whether everything old has been read.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Requests of users, each handed to the planner, which acknowledges it.
pub(crate) async fn requests(mut intake: Intake, planner: Planner, book: Book, desk: Desk) -> anyhow::Result<()> {
    loop {
        let delivery = intake.next().await;
        match delivery.subject {
            Subject::Submit { client, submission } => {
                if let Some((submit, delivery)) = delivery.decode_or_set_aside().await {
                    planner.clone().take_up(client, submission, submit, delivery).await;
                }
            }
            Subject::Wish { verb, client, wish } => wish_for(&book, &desk, (verb, client, wish), false, delivery).await,
            Subject::AdminWish { verb, client, wish } => wish_for(&book, &desk, (verb, client, wish), true, delivery).await,
            _ => delivery.set_aside("no request that this scheduler knows").await,
        }
    }
}

/// A wish whose subject says the same as its body.
async fn wish_for(book: &Book, desk: &Desk, said: (WishVerb, ClientId, WishId), by_admin: bool, delivery: Delivery) {
    let Some((wish, delivery)) = delivery.decode_or_set_aside::<Wish>().await else { return };
    let (verb, client, id) = said;
    if wish.wish != id || WishVerb::from(wish.change) != verb {
        return delivery.set_aside("its subject names another wish than its body").await;
    }
    wishes::bring(book, desk, client, by_admin, wish, delivery).await;
}

/// Reports of agents, and the word of pools.
pub(crate) async fn reports(mut intake: Intake, desk: Desk) -> anyhow::Result<()> {
    let (done, acks) = mpsc::unbounded_channel();
    tokio::spawn(acknowledge(acks));
    loop {
        let mut pieces = Vec::new();
        for delivery in intake.next_batch(TOGETHER).await {
            let Some((input, delivery)) = read(delivery).await else { continue };
            let done = done.clone();
            pieces.push(Piece { input, then: Some(Box::new(move |_| drop(done.send(delivery)))) });
        }
        desk.bring_all(pieces).await;
    }
}

/// What a delivery says; set aside if that is nothing.
async fn read(delivery: Delivery) -> Option<(Input, Delivery)> {
    match delivery.subject {
        Subject::Report { agent, build } => {
            let (report, delivery) = delivery.decode_or_set_aside::<Report>().await?;
            if report.build != build {
                delivery.set_aside("its subject names another build than its body").await;
                return None;
            }
            Some((Input::Report { agent, report: Box::new(report) }, delivery))
        }
        Subject::Done { publication, .. } => {
            let (done, delivery) = delivery.decode_or_set_aside::<Done>().await?;
            if done.publication != publication {
                delivery.set_aside("its subject names another publication than its body").await;
                return None;
            }
            Some((Input::Published(done), delivery))
        }
        _ => {
            delivery.set_aside("no report that this scheduler knows").await;
            None
        }
    }
}

async fn acknowledge(mut done: mpsc::UnboundedReceiver<Delivery>) {
    let mut batch = Vec::with_capacity(ACKS);
    while done.recv_many(&mut batch, ACKS).await > 0 {
        for delivery in batch.drain(..) {
            // Read again, it changes nothing: what was decided by it is known by its ids.
            delivery.ack_unheard().await;
        }
    }
}

/// Returns when the requests that were queued before this start have been planned: a report of a build that is not known
/// yet would say nothing. Bounded, for a bucket in trouble holds up requests, and reports may go on.
pub(crate) async fn requests_planned(bus: &Bus, consumer: &str, planner: &Planner) {
    let planned = async {
        while !(matches!(bus.unread(streams::REQ, consumer).await, Ok(0)) && planner.is_idle()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if tokio::time::timeout(REQUESTS_FIRST, planned).await.is_err() {
        tracing::warn!("requests are still being planned; reports of builds that are not known yet will be asked for again");
    }
}

/// Tells the core when everything that was queued before this start has been read and planned.
pub(crate) async fn catch_up(bus: Bus, consumer: String, planner: Planner, desk: Desk) -> anyhow::Result<()> {
    loop {
        let unread = async {
            let requests = bus.unread(streams::REQ, &consumer).await?;
            Ok::<u64, drover_nats::NatsError>(requests + bus.unread(streams::RES, &consumer).await?)
        };
        match unread.await {
            Ok(0) if planner.is_idle() => break,
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "cannot see yet what is unread"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    tracing::info!("everything that was queued has been read");
    desk.bring(Input::CaughtUp).await;
    std::future::pending().await
}

//! Many messages of which only the last is acknowledged.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use drover_messages::PublicationId;
use drover_messages::publish::Done;
use drover_nats::streams::{RES, SCHEDULER};
use drover_nats::testing::NatsServer;
use drover_nats::{Addressed, Bus, Intake, NatsError};

fn dones(count: usize) -> Vec<Addressed<Done>> {
    let one = |(subject, done): (_, Done)| (subject, done.clone(), done.publication.to_string());
    (0..count).map(|_| one(done(PublicationId::new()))).collect()
}

async fn stored(bus: &Bus, count: usize) -> Vec<PublicationId> {
    let mut intake = Intake::open(bus, RES, SCHEDULER, 256);
    let mut stored = Vec::new();
    while stored.len() < count {
        let delivery = soon(intake.next()).await;
        stored.push(delivery.decode::<Done>().unwrap().publication);
        delivery.ack().await;
    }
    stored
}

#[tokio::test]
async fn all_are_there_in_their_order_when_the_last_is() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let messages = dones(1200);
    bus.publish_in_turn(&messages).await.unwrap();
    assert_eq!(bus.unread(RES, SCHEDULER).await.unwrap(), 1200);
    let ids: Vec<PublicationId> = messages.iter().map(|(_, done, _)| done.publication).collect();
    assert_eq!(stored(&bus, ids.len()).await, ids);
}

#[tokio::test]
async fn where_one_is_missing_the_last_is_refused() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let messages = dones(5);
    // Under an id that the stream knows already, it does not take the third in its turn.
    let (subject, message, _) = &dones(1)[0];
    bus.publish(subject, message, &messages[2].2).await.unwrap();
    let told = bus.publish_in_turn(&messages).await;
    assert!(matches!(told, Err(NatsError::Refused { .. })), "{told:?}");
    let ids = [message.publication, messages[0].1.publication, messages[1].1.publication];
    assert_eq!(stored(&bus, 3).await, ids);
    assert_eq!(bus.unread(RES, SCHEDULER).await.unwrap(), 0);
}

#[tokio::test]
async fn without_a_stream_nothing_counts_as_told() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = Bus::connect(&server.login(drover_nats::permissions::Who::Scheduler).await).await.unwrap();
    let told = bus.publish_in_turn(&dones(3)).await;
    assert!(matches!(told, Err(NatsError::NoStream { .. })), "{told:?}");
}

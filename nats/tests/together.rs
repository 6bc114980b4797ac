//! Messages that travel together, and are read as if each had come by itself.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::consumer::{Consumer, FromConsumer, pull};
use common::*;
use drover_messages::bundle::{self, Part};
use drover_messages::publish::Done;
use drover_messages::{AgentId, PublicationId, encode};
use drover_nats::permissions::Who;
use drover_nats::streams::{OWED, RES, SCHEDULER};
use drover_nats::testing::NatsServer;
use drover_nats::{Bus, Delivery, Filter, Intake, Lot, MAX_TOGETHER, Pool, Subject, Urgency};

/// Nothing comes again within this time.
const A_WHILE: Duration = Duration::from_millis(500);
/// What is not settled within this time comes again, where a test wants that.
const ACK_WAIT: Duration = Duration::from_secs(3);

fn dones(count: usize) -> Vec<(Subject, Done)> {
    (0..count).map(|_| done(PublicationId::new())).collect()
}

/// The same, as if the scheduler asked for something: on a stream where what is given back comes again.
fn asked(count: usize) -> Vec<(Subject, Done)> {
    let ask = |(_, done): (Subject, Done)| (Subject::Publish { urgency: Urgency(128), publication: done.publication }, done);
    dones(count).into_iter().map(ask).collect()
}

/// Sends all of them; says how many messages that took.
async fn send_all(bus: &Bus, mut messages: &[(Subject, Done)]) -> usize {
    let mut lots = 0;
    while let Some(lot) = Lot::first_of(messages) {
        messages = &messages[lot.len()..];
        bus.publish_lot(lot).await.unwrap();
        lots += 1;
    }
    lots
}

async fn take(intake: &mut Intake, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(soon(intake.next()).await);
    }
    taken
}

async fn nothing_comes(intake: &mut Intake) -> bool {
    tokio::time::timeout(A_WHILE, intake.next()).await.is_err()
}

fn ids(messages: &[(Subject, Done)]) -> BTreeSet<PublicationId> {
    messages.iter().map(|(_, done)| done.publication).collect()
}

#[tokio::test]
async fn what_travels_together_arrives_one_by_one_in_order() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let messages = dones(MAX_TOGETHER + 2);
    assert_eq!(send_all(&bus, &messages).await, 2);
    let mut intake = Intake::open(&bus, RES, SCHEDULER, 16);
    for ((subject, message), delivery) in messages.iter().zip(take(&mut intake, messages.len()).await) {
        assert_eq!((&delivery.subject, &delivery.decode::<Done>().unwrap()), (subject, message));
        delivery.ack().await;
    }
    assert!(nothing_comes(&mut intake).await);
}

#[tokio::test]
async fn one_message_travels_as_it_always_does() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let messages = dones(1);
    let mut heard = bus.subscribe(&Filter::Done).await.unwrap();
    assert_eq!(send_all(&bus, &messages).await, 1);
    let incoming = soon(heard.next()).await.unwrap();
    assert_eq!((&incoming.subject, incoming.header("Verdict")), (&messages[0].0, Some("published")));
}

#[tokio::test]
async fn only_what_goes_to_the_same_place_travels_together() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let mut messages = dones(4);
    messages[2].0 = Subject::Done { pool: "other".parse::<Pool>().unwrap(), publication: messages[2].1.publication };
    assert_eq!(send_all(&bus, &messages).await, 3);
    let mut intake = Intake::open(&bus, RES, SCHEDULER, 16);
    let subjects: Vec<Subject> = take(&mut intake, 4).await.into_iter().map(|delivery| delivery.subject).collect();
    assert_eq!(subjects, messages.into_iter().map(|(subject, _)| subject).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_broker_hears_of_it_when_all_are_settled_and_one_that_is_given_back_brings_all_again() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let messages = asked(3);
    send_all(&bus, &messages).await;
    let mut intake = Intake::open(&bus, OWED, "publish", 4);
    let mut first = take(&mut intake, 3).await;
    first.pop().unwrap().ack().await;
    first.pop().unwrap().give_back(Duration::from_millis(50)).await;
    assert!(nothing_comes(&mut intake).await, "one is still in work");
    first.pop().unwrap().ack_unheard().await;
    let again = take(&mut intake, 3).await;
    assert_eq!(again.iter().map(|delivery| delivery.deliveries).collect::<Vec<_>>(), [2; 3]);
    let decoded = again.iter().map(|delivery| delivery.decode::<Done>().unwrap().publication).collect::<BTreeSet<_>>();
    assert_eq!(decoded, ids(&messages));
    for delivery in again {
        delivery.ack().await;
    }
    assert!(nothing_comes(&mut intake).await);
    assert_eq!(bus.unread(OWED, "publish").await.unwrap(), 0);
}

#[tokio::test]
async fn what_waits_in_a_reader_comes_to_no_other_while_it_says_so() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let raw = async_nats::jetstream::new(raw(&mut server, Who::Scheduler).await);
    let stream = raw.get_stream(OWED).await.unwrap();
    let consumer: Consumer<pull::Config> = stream.get_consumer("publish").await.unwrap();
    let usual = pull::Config::try_from_consumer_config(consumer.cached_info().config.clone()).unwrap();
    let impatient = pull::Config { ack_wait: ACK_WAIT, ..usual };
    stream.update_consumer(impatient).await.unwrap();
    send_all(&bus, &asked(3)).await;
    let mut intake = Intake::open(&bus, OWED, "publish", 1);
    soon(intake.next()).await.ack().await;
    let mut other = Intake::open(&bus, OWED, "publish", 1);
    for _ in 0..12 {
        assert!(tokio::time::timeout(ACK_WAIT / 8, other.next()).await.is_err(), "another reader gets it as well");
        intake.progress().await;
    }
    for delivery in take(&mut intake, 2).await {
        assert_eq!(delivery.deliveries, 1);
        delivery.ack().await;
    }
    assert!(nothing_comes(&mut other).await);
}

#[tokio::test]
async fn what_cannot_be_read_of_a_bundle_is_set_aside_alone() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let raw = async_nats::jetstream::new(raw(&mut server, Who::Scheduler).await);
    let (subject, message) = done(PublicationId::new());
    let (_, to) = subject.to_string().rsplit_once('.').map(|(place, to)| (place.to_owned(), to.to_owned())).unwrap();
    let part = |to: &str, message: &'static [u8]| Part { to: to.into(), message: message.into() };
    let good = Part { to: to.clone(), message: encode(&message) };
    let parts = [part("no-uuid", b"one"), part(&format!("{to}.{to}"), b"two"), part(&to, b"three"), good];
    raw.publish("done.publish.bundle", bundle::encode(&parts)).await.unwrap().await.unwrap();
    raw.publish("done.publish.bundle", "no bundle".into()).await.unwrap().await.unwrap();

    let mut dead = bus.replay("DEAD", Filter::Dead).await.unwrap();
    let mut intake = Intake::open(&bus, RES, SCHEDULER, 16);
    let mut read = Vec::new();
    for delivery in take(&mut intake, 2).await {
        let Some((done, delivery)) = delivery.decode_or_set_aside::<Done>().await else { continue };
        read.push(done);
        delivery.ack().await;
    }
    assert_eq!(read, [message]);
    assert!(nothing_comes(&mut intake).await);
    let mut set_aside = BTreeSet::new();
    while set_aside.len() < 4 {
        let one = soon(dead.next()).await.unwrap();
        let (came_on, why) = (one.header("Came-On").unwrap().to_owned(), one.header("Reason").unwrap());
        assert!(!came_on.ends_with(".bundle") || why.contains("not a readable message"), "{why}");
        set_aside.insert((came_on, String::from_utf8(one.payload.to_vec()).unwrap()));
    }
    let place = |to: &str| format!("done.publish.{to}");
    let expected = [("no-uuid", "one"), (&format!("{to}.{to}"), "two"), (&to, "three"), ("bundle", "no bundle")];
    assert_eq!(set_aside, expected.map(|(to, body)| (place(to), body.to_owned())).into());
}

#[tokio::test]
async fn nobody_speaks_for_another_in_a_bundle() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let agent = AgentId::new();
    let (_, message) = done(PublicationId::new());
    let forged = Part { to: format!("{}.{}", AgentId::new(), message.publication), message: encode(&message) };
    let own = Part { to: message.publication.to_string(), message: encode(&message) };
    // What is forged stays below its sender's place, where it is no subject.
    let theirs = async_nats::jetstream::new(raw(&mut server, Who::Agent(agent)).await);
    let bundle = bundle::encode(&[forged, own]);
    theirs.publish(format!("res.{agent}.bundle"), bundle).await.unwrap().await.unwrap();
    let mut intake = Intake::open(&bus, RES, SCHEDULER, 16);
    let only = soon(intake.next()).await;
    assert!(matches!(only.subject, Subject::Report { agent: sender, .. } if sender == agent));
    assert!(nothing_comes(&mut intake).await);
}

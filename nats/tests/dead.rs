//! What was set aside: looked at, sent again, thrown away.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use drover_messages::event::{Event, EventId, What};
use drover_messages::publish::Done;
use drover_messages::{PublicationId, Timestamp};
use drover_nats::permissions::Who;
use drover_nats::streams::{DEAD, EVENTS, RES, SCHEDULER};
use drover_nats::testing::NatsServer;
use drover_nats::{Bus, DeadError, Filter, Intake, Subject, Why};

/// Sets aside, as unreadable, what is next in the stream of reports.
async fn set_aside(bus: &Bus) {
    let delivery = soon(Intake::open(bus, RES, SCHEDULER, 16).next()).await;
    delivery.set_aside("not understood").await;
}

#[tokio::test]
async fn what_was_set_aside_is_sent_again_as_it_was_and_is_set_aside_no_more() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    assert!(bus.dead_after(0).await.unwrap().is_none());
    let (subject, message) = done(PublicationId::new());
    bus.publish(&subject, &message, "1").await.unwrap();
    set_aside(&bus).await;

    let dead = bus.dead_after(0).await.unwrap().unwrap();
    assert_eq!((dead.stream.as_str(), dead.number, &dead.why), (RES, 1, &Why::Unusable("not understood".into())));
    assert_eq!(dead.message.unwrap().came_on, subject.to_string());
    bus.send_again(dead.sequence).await.unwrap();
    let again = soon(Intake::open(&bus, RES, SCHEDULER, 16).next()).await;
    assert_eq!((&again.subject, again.decode::<Done>().unwrap()), (&subject, message));
    assert!(bus.dead_after(0).await.unwrap().is_none());
    assert!(matches!(bus.send_again(dead.sequence).await, Err(DeadError::Unknown)));
}

#[tokio::test]
async fn what_is_thrown_away_is_gone_and_the_rest_stays() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    for n in 0..2 {
        let (subject, message) = done(PublicationId::new());
        bus.publish(&subject, &message, &n.to_string()).await.unwrap();
        set_aside(&bus).await;
    }
    let first = bus.dead_after(0).await.unwrap().unwrap();
    bus.throw_away(first.sequence).await.unwrap();
    let left = bus.dead_after(0).await.unwrap().unwrap();
    assert_eq!(left.number, 2);
    assert!(bus.dead_after(left.sequence).await.unwrap().is_none());
    for unknown in [first.sequence, left.sequence + 1, 99, u64::MAX] {
        assert!(matches!(bus.throw_away(unknown).await, Err(DeadError::Unknown)), "{unknown}");
        assert!(matches!(bus.dead(unknown).await, Err(DeadError::Unknown)), "{unknown}");
    }
}

#[tokio::test]
async fn an_event_that_a_hook_gave_up_is_told_again_while_the_stream_has_it() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let agent = drover_messages::AgentId::new();
    let id = EventId { generation: 1, record: 1, index: 0 };
    let event = Event { id, at: Timestamp::now(), what: What::AgentLost { agent } };
    bus.publish(&Subject::of_event(&event), &event, "1").await.unwrap();
    let login = server.login(Who::Scheduler).await;
    let raw = async_nats::ConnectOptions::with_user_and_password(login.user, login.password).connect(login.url).await.unwrap();
    let raw = async_nats::jetstream::new(raw);
    for number in [1, 7] {
        let advisory = serde_json::json!({
            "type": "io.nats.jetstream.advisory.v1.max_deliver", "id": "x", "timestamp": "2026-01-01T00:00:00Z",
            "stream": EVENTS, "consumer": "hook-mail", "stream_seq": number, "deliveries": 8,
        });
        let subject = format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{EVENTS}.hook-mail");
        raw.publish(subject, advisory.to_string().into()).await.unwrap().await.unwrap();
    }

    let given_up = bus.dead_after(0).await.unwrap().unwrap();
    assert_eq!(given_up.why, Why::GivenUp { consumer: "hook-mail".into(), deliveries: 8 });
    bus.send_again(given_up.sequence).await.unwrap();
    let mut events = bus.replay(EVENTS, Filter::Events).await.unwrap();
    for _ in 0..2 {
        assert_eq!(events.next_stored().await.unwrap().unwrap().decode::<Event>().unwrap(), event);
    }
    let gone = bus.dead_after(0).await.unwrap().unwrap();
    assert!(matches!(bus.send_again(gone.sequence).await, Err(DeadError::NotAgain(_))), "{gone:?}");
    assert_eq!(bus.dead(gone.sequence).await.unwrap().number, 7, "what cannot be sent again stays on {DEAD}");
}

//! The broker dies, comes back, or comes back with nothing.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::{Config, Source, SubjectTransform};
use common::*;
use drover_messages::agent::BeatAnswer;
use drover_messages::{AgentId, AttemptId, BuildId, PublicationId};
use drover_nats::permissions::Who;
use drover_nats::streams::{self, Kept, OWED, RES, SCHEDULER};
use drover_nats::testing::NatsServer;
use drover_nats::{Declared, Filter, Intake, NatsError, Pool, RequestError, Reread, Subject, reconcile};

#[tokio::test]
async fn nothing_hangs_while_the_broker_is_down_and_nothing_of_it_is_delivered_later() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let up = times(&bus);
    server.kill();
    soon(bus.link().wait_for(|link| !link.is_up())).await.unwrap();

    let begin = Instant::now();
    let (subject, message) = done(PublicationId::new());
    let within = Duration::from_millis(500);
    let work = Subject::Work { agent: AgentId::new() };
    let beat = beat();
    let (published, told, asked, subscribed) = tokio::join!(
        bus.publish(&subject, &message, "while-down"),
        bus.tell(&work, &beat),
        bus.request::<_, BeatAnswer>(&work, &beat, within),
        bus.subscribe(&Filter::Beats),
    );
    assert!(matches!(published, Err(NatsError::Timeout { .. })), "{published:?}");
    assert!(matches!(told, Err(NatsError::Timeout { .. })), "{told:?}");
    assert_eq!(asked, Err(RequestError::Timeout));
    assert!(subscribed.is_err());
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());

    server.run();
    back(&bus, up).await;
    let acked = bus.publish(&subject, &message, "later").await.unwrap();
    assert_eq!(acked.sequence, 1, "what timed out before is not in the stream");
}

#[tokio::test]
async fn after_a_kill_streams_and_intakes_go_on_where_they_were() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let mut intake = Intake::open(&bus, RES, SCHEDULER, 16);
    let ids: Vec<PublicationId> = (0..3).map(|_| PublicationId::new()).collect();
    publish(&bus, ids[0]).await;
    let first = soon(intake.next()).await;
    assert_eq!(first.subject, done(ids[0]).0);
    assert_eq!(bus.unread(RES, SCHEDULER).await.unwrap(), 1, "delivered, and not acknowledged");
    first.ack().await;
    assert_eq!(bus.unread(RES, SCHEDULER).await.unwrap(), 0);
    publish(&bus, ids[1]).await;

    let up = times(&bus);
    server.kill();
    server.run();
    back(&bus, up).await;
    let declared = reconcile(&bus, &streams::all(&[]), Reread::No).await.unwrap();
    let made: Vec<&str> = declared.iter().filter(|stream| stream.created).map(|stream| stream.stream).collect();
    assert_eq!(made, [OWED], "what is kept in memory alone");
    publish(&bus, ids[2]).await;
    // Either may come first, and either twice.
    let mut missing: BTreeSet<String> = ids[1..].iter().map(|id| done(*id).0.to_string()).collect();
    while !missing.is_empty() {
        let delivery = soon(intake.next()).await;
        missing.remove(&delivery.subject.to_string());
        delivery.ack().await;
    }
}

#[tokio::test]
async fn streams_that_were_lost_are_made_again_and_intakes_go_on() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let before = reconcile(&bus, &streams::all(&[]), Reread::No).await.unwrap();
    let mut intake = Intake::open(&bus, RES, SCHEDULER, 16);
    publish(&bus, PublicationId::new()).await;
    soon(intake.next()).await.ack().await;

    let up = times(&bus);
    server.kill();
    server.wipe();
    server.run();
    back(&bus, up).await;
    let (subject, message) = done(PublicationId::new());
    let lost = bus.publish(&subject, &message, "too-early").await;
    assert!(matches!(lost, Err(NatsError::NoStream { .. })), "{lost:?}");

    let after = reconcile(&bus, &streams::all(&[]), Reread::No).await.unwrap();
    assert!(after.iter().all(|stream| stream.created), "{after:?}");
    assert!(before.iter().zip(&after).all(|(before, after)| before.made_nanos != after.made_nanos));
    bus.publish(&subject, &message, "again").await.unwrap();
    let delivery = soon(intake.next()).await;
    assert_eq!(delivery.subject, subject);
    delivery.ack().await;
}

#[tokio::test]
async fn an_intake_survives_that_its_consumer_is_deleted() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let mut intake = Intake::open(&bus, RES, SCHEDULER, 16);
    publish(&bus, PublicationId::new()).await;
    soon(intake.next()).await.ack().await;
    // A scheduler that starts anew deletes its consumers; the stream is then read whole.
    reconcile(&bus, &streams::all(&[]), Reread::Whole).await.unwrap();
    let again = soon(intake.next()).await;
    assert_eq!(again.sequence, 1);
    again.ack().await;
}

#[tokio::test]
async fn an_intake_waits_for_a_consumer_that_is_not_there_yet_even_if_nobody_polls_it_for_long() {
    let Some(mut server) = NatsServer::start() else { return };
    let login = server.login(Who::Scheduler).await;
    let bus = drover_nats::Bus::connect(&login).await.unwrap();
    let mut intake = Intake::open(&bus, RES, SCHEDULER, 16);
    assert!(tokio::time::timeout(Duration::from_millis(300), intake.next()).await.is_err());
    reconcile(&bus, &streams::all(&[]), Reread::No).await.unwrap();
    publish(&bus, PublicationId::new()).await;
    let begin = Instant::now();
    let delivery = loop {
        assert!(begin.elapsed() < PATIENCE);
        // As in a busy loop: each wait is shorter than it takes to open a consumer.
        if let Ok(delivery) = tokio::time::timeout(Duration::from_micros(50), intake.next()).await {
            break delivery;
        }
    };
    delivery.ack().await;
}

#[tokio::test]
async fn declaring_twice_changes_nothing_and_a_plan_that_changed_is_carried_out() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let pool: Pool = "retry".parse().unwrap();
    let mut plans = streams::all(&[pool]);
    let one = reconcile(&bus, &plans, Reread::No).await.unwrap();
    assert!(one.iter().all(|stream| !stream.created));
    plans[3].max_bytes /= 2;
    let two = reconcile(&bus, &plans, Reread::No).await.unwrap();
    assert_eq!(one, two, "the streams are the same ones");
    assert_eq!(reconcile(&bus, &plans, Reread::Whole).await.unwrap(), two);
}

#[tokio::test]
async fn a_stream_that_older_programs_kept_elsewhere_is_made_anew() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let mut plans = streams::all(&[]);
    let is_new = |declared: Vec<Declared>| -> Vec<bool> { declared.into_iter().map(|stream| stream.created).collect() };
    plans.retain(|plan| plan.name == OWED);
    for (kept, moves) in [(Kept::OnDisk, true), (Kept::OnDisk, false), (Kept::InMemory, true), (Kept::InMemory, false)] {
        plans[0].kept = kept;
        assert_eq!(is_new(reconcile(&bus, &plans, Reread::No).await.unwrap()), [moves], "{kept:?}");
    }
}

#[tokio::test]
async fn a_stream_that_would_answer_offers_is_refused_by_name() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let mut plan = streams::all(&[]).remove(5);
    plan.name = "GREEDY";
    plan.subjects = vec!["work.*".into()];
    reconcile(&bus, &[plan], Reread::No).await.unwrap();
    let error = reconcile(&bus, &streams::all(&[]), Reread::No).await.unwrap_err();
    assert!(matches!(&error, NatsError::Captures { stream, .. } if stream == "GREEDY"), "{error}");
}

async fn publish(bus: &drover_nats::Bus, publication: PublicationId) {
    let (subject, message) = done(publication);
    bus.publish(&subject, &message, &publication.to_string()).await.unwrap();
}

#[tokio::test]
async fn whoever_follows_a_stream_misses_nothing_of_the_time_when_the_connection_was_gone() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let (_, client) = client(&mut server).await;
    let (agent, agents_bus) = agent(&mut server).await;
    let (build, attempt) = (BuildId::new(), AttemptId::new());
    let mut follower = client.replay(streams::LOGS, Filter::LogsOfBuild(build)).await.unwrap();
    let up = (times(&bus), times(&client), times(&agents_bus));
    server.kill();
    server.run();
    // The agent is back first, and writes while the client is still away.
    back(&agents_bus, up.2).await;
    agents_bus.log(agent, build, attempt).write(b"meanwhile");
    let incoming = soon(follower.next()).await.unwrap();
    assert_eq!(incoming.payload, "meanwhile");
}

#[tokio::test]
async fn what_is_stored_late_is_found_by_who_follows_though_it_was_not_heard() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let raw = async_nats::jetstream::new(raw(&mut server, Who::Scheduler).await);
    let (agent, build, attempt) = (AgentId::new(), BuildId::new(), AttemptId::new());
    let mut follower = bus.replay(streams::LOGS, Filter::LogsOfBuild(build)).await.unwrap();
    assert!(follower.next_stored().await.unwrap().is_none());
    // What a stream has from another one is stored, and nobody hears it.
    let elsewhere = Config { name: "ELSEWHERE".into(), subjects: vec!["elsewhere".into()], ..Config::default() };
    raw.create_stream(elsewhere).await.unwrap();
    let log = Subject::Log { agent, build, attempt }.to_string();
    let transforms = vec![SubjectTransform { source: "elsewhere".into(), destination: log }];
    let source = Source { name: "ELSEWHERE".into(), subject_transforms: transforms, ..Source::default() };
    let mut logs = raw.get_stream(streams::LOGS).await.unwrap();
    let with_source = Config { sources: Some(vec![source]), ..logs.cached_info().config.clone() };
    raw.update_stream(with_source).await.unwrap();
    raw.publish("elsewhere", "late".into()).await.unwrap().await.unwrap();
    while logs.info().await.unwrap().state.messages == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(soon(follower.next()).await.unwrap().payload, "late");
}

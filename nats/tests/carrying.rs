//! Messages on their way: settled, given back, set aside, answered, followed.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::*;
use drover_messages::agent::{Beat, BeatAnswer};
use drover_messages::publish::Done;
use drover_messages::query::{Agents, AskAgents};
use drover_messages::{AttemptId, BuildId, Generation, PublicationId};
use drover_nats::permissions::Who;
use drover_nats::service::{About, Asked, Service};
use drover_nats::streams::{LOGS, OWED, RES, SCHEDULER};
use drover_nats::testing::NatsServer;
use drover_nats::{Bus, Filter, Intake, LogChunk, Query, RequestError, Subject, Urgency};

#[tokio::test]
async fn what_cannot_be_decoded_goes_to_dead_with_the_reason_and_stops_nothing() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let raw = raw(&mut server, Who::Scheduler).await;
    let (subject, message) = done(PublicationId::new());
    let raw = async_nats::jetstream::new(raw);
    for (subject, payload) in [(subject.to_string(), "not msgpack"), ("done.publish.not-a-uuid".into(), "who knows")] {
        // The stream has it before the good one comes by another connection.
        raw.publish(subject, payload.into()).await.unwrap().await.unwrap();
    }
    bus.publish(&subject, &message, "good").await.unwrap();

    let mut dead = bus.replay("DEAD", Filter::Dead).await.unwrap();
    let mut intake = Intake::open(&bus, RES, SCHEDULER, 16);
    let poison = soon(intake.next()).await;
    assert!(poison.decode_or_set_aside::<Done>().await.is_none());
    let good = soon(intake.next()).await;
    assert_eq!(good.decode::<Done>().unwrap(), message);
    good.ack().await;

    // One may come twice.
    let mut reasons = BTreeMap::new();
    while reasons.len() < 2 {
        let one = soon(dead.next()).await.unwrap();
        let (came_on, reason) = (one.header("Came-On").unwrap().to_string(), one.header("Reason").unwrap().to_string());
        reasons.insert(came_on, (reason, one.payload));
    }
    let (reason, payload) = &reasons[&subject.to_string()];
    assert!(reason.contains("not a readable message"), "{reason}");
    assert_eq!(payload, "not msgpack");
    assert!(reasons.contains_key("done.publish.not-a-uuid"));
}

#[tokio::test]
async fn what_is_given_back_comes_again_and_what_is_acknowledged_does_not() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let (_, message) = done(PublicationId::new());
    let subject = Subject::Publish { urgency: Urgency(0), publication: message.publication };
    bus.publish(&subject, &message, "1").await.unwrap();
    let mut intake = Intake::open(&bus, OWED, "publish", 1);
    let first = soon(intake.next()).await;
    assert_eq!(first.deliveries, 1);
    first.give_back(Duration::from_millis(100)).await;
    let second = soon(intake.next()).await;
    assert_eq!(second.deliveries, 2);
    second.progress().await;
    second.ack().await;
    assert!(tokio::time::timeout(Duration::from_millis(500), intake.next()).await.is_err());
}

#[tokio::test]
async fn a_message_published_twice_under_one_id_is_there_once() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let (subject, message) = done(PublicationId::new());
    assert!(!bus.publish(&subject, &message, "id").await.unwrap().duplicate);
    assert!(bus.publish(&subject, &message, "id").await.unwrap().duplicate);
}

#[tokio::test]
async fn many_publications_in_flight_keep_their_order() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let ids: Vec<_> = (0..500).map(|_| PublicationId::new()).collect();
    let mut flying = Vec::new();
    for id in &ids {
        let (subject, message) = done(*id);
        flying.push(bus.start_publish(&subject, &message, &id.to_string()).await.unwrap());
    }
    for acknowledgement in flying {
        acknowledgement.await.unwrap();
    }
    let mut intake = Intake::open(&bus, RES, SCHEDULER, 256);
    let mut got = Vec::new();
    while got.len() < ids.len() {
        for delivery in soon(intake.next_batch(100)).await {
            got.push(delivery.decode::<Done>().unwrap().publication);
            delivery.ack().await;
        }
    }
    assert_eq!(got, ids);
}

/// A service that answers questions about agents and beats.
async fn serve(bus: &Bus) {
    let about = About { name: "drover-scheduler", version: "0.1.0", description: "answers" };
    let asked = [
        Asked { name: "query", filter: Filter::Queries, description: "questions" },
        Asked { name: "beat", filter: Filter::Beats, description: "an agent is alive" },
    ];
    let mut service = Service::start(bus, &about, &asked).await.unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = service.next().await {
            let answered = match incoming.subject {
                Subject::Query(Query::Agents) => match incoming.decode::<AskAgents>() {
                    Ok(_) => incoming.respond(&Agents { agents: vec![], more: false }).await,
                    Err(error) => incoming.problem(&error.to_string()).await,
                },
                Subject::Beat { .. } => match incoming.decode::<Beat>() {
                    Ok(beat) => {
                        let generation = Generation(beat.generation.0 + 1);
                        let verdicts = vec![];
                        incoming.respond(&BeatAnswer { generation, hello: false, verdicts, beat_every_millis: 1 }).await
                    }
                    Err(error) => incoming.problem(&error.to_string()).await,
                },
                _ => incoming.problem("no such question; ask for agents").await,
            };
            answered.unwrap();
        }
    });
}

#[tokio::test]
async fn a_request_is_answered_and_a_problem_is_told_in_words() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    serve(&bus).await;
    let (agent, agents_bus) = agent(&mut server).await;
    let (_, client) = client(&mut server).await;
    let within = Duration::from_secs(5);
    let answer: BeatAnswer = agents_bus.request(&Subject::Beat { agent }, &beat(), within).await.unwrap();
    assert_eq!(answer.generation, Generation(2));
    let agents: Agents = client.request(&Subject::Query(Query::Agents), &question(), within).await.unwrap();
    assert!(agents.agents.is_empty());
    let problem = client.request::<_, Agents>(&Subject::Query(Query::Builds), &question(), within).await;
    assert_eq!(problem, Err(RequestError::Problem("no such question; ask for agents".into())));
}

#[tokio::test]
async fn a_person_may_ask_in_json_and_is_answered_in_json() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    serve(&bus).await;
    let raw = raw(&mut server, Who::Scheduler).await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Content-Type", "application/json");
    let body = r#"{"v":1,"kind":"ask-agents","body":{}}"#;
    let answer = raw.request_with_headers("rpc.query.agents", headers, body.into()).await.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(json, serde_json::json!({"v": 1, "kind": "agents", "body": {"agents": []}}));
    let unsaid = raw.request("rpc.query.agents", body.into()).await.unwrap();
    assert!(unsaid.headers.unwrap().get("Nats-Service-Error").is_some(), "JSON is not guessed");
}

#[tokio::test]
async fn the_service_tells_of_itself() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    serve(&bus).await;
    let raw = raw(&mut server, Who::Scheduler).await;
    let info = raw.request("$SRV.INFO.drover-scheduler", "".into()).await.unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info.payload).unwrap();
    assert_eq!((info["name"].as_str(), info["description"].as_str()), (Some("drover-scheduler"), Some("answers")));
    let endpoints: Vec<_> = info["endpoints"].as_array().unwrap().iter().map(|one| one["subject"].as_str().unwrap()).collect();
    assert!(endpoints.contains(&"rpc.agent.*.beat") && endpoints.contains(&"rpc.query.*"), "{endpoints:?}");
}

#[tokio::test]
async fn a_log_can_be_followed_from_its_head_by_whoever_comes_late() {
    let Some(mut server) = NatsServer::start() else { return };
    let _scheduler = scheduler(&mut server).await;
    let (agent, agents_bus) = agent(&mut server).await;
    let (_, client) = client(&mut server).await;
    let (build, attempt) = (BuildId::new(), AttemptId::new());
    let mut log = agents_bus.log(agent, build, attempt);
    log.write(b"one\n");
    log.write(b"two\n");
    let mut follower = client.replay(LOGS, Filter::LogsOfBuild(build)).await.unwrap();
    let mut text = Vec::new();
    while text.len() < 8 {
        take(&mut text, &soon(follower.next()).await.unwrap());
    }
    log.write(b"three\n");
    while text.len() < 14 {
        take(&mut text, &soon(follower.next()).await.unwrap());
    }
    assert_eq!(text, b"one\ntwo\nthree\n");

    // A chunk may come twice, as the documentation says; the offset tells.
    fn take(text: &mut Vec<u8>, incoming: &drover_nats::Incoming) {
        let chunk = LogChunk::of(incoming).unwrap();
        assert_eq!(chunk.gap, 0);
        if chunk.offset == text.len() as u64 {
            text.extend_from_slice(&chunk.text);
        }
    }
}

#[tokio::test]
async fn a_log_does_not_hold_up_its_build_and_says_what_is_missing() {
    let Some(mut server) = NatsServer::start() else { return };
    let scheduler = scheduler(&mut server).await;
    let (agent, bus) = agent(&mut server).await;
    let (build, attempt) = (BuildId::new(), AttemptId::new());
    let up = (times(&bus), times(&scheduler));
    server.kill();
    soon(bus.link().wait_for(|link| !link.is_up())).await.unwrap();
    let mut log = bus.log(agent, build, attempt);
    let begin = std::time::Instant::now();
    for _ in 0..300 {
        log.write(&[b'x'; 1000]);
    }
    assert!(begin.elapsed() < Duration::from_secs(1), "writing does not wait");
    server.run();
    back(&bus, up.0).await;
    back(&scheduler, up.1).await;
    let mut follower = scheduler.replay(LOGS, Filter::LogsOfBuild(build)).await.unwrap();
    let first = LogChunk::of(&soon(follower.next()).await.unwrap()).unwrap();
    assert_eq!((first.offset, first.gap), (0, 0));
    loop {
        log.write(b"y");
        let chunk = LogChunk::of(&soon(follower.next()).await.unwrap()).unwrap();
        if chunk.gap > 0 {
            assert!(chunk.offset >= 300_000, "{chunk:?}");
            assert_eq!(chunk.gap % 1000, 0, "whole writes were dropped: {chunk:?}");
            break;
        }
    }
}

#[tokio::test]
async fn events_reach_a_subscription_with_words_for_people() {
    let Some(mut server) = NatsServer::start() else { return };
    let bus = scheduler(&mut server).await;
    let mut subscription = bus.subscribe(&Filter::Done).await.unwrap();
    let (subject, message) = done(PublicationId::new());
    bus.publish(&subject, &message, "1").await.unwrap();
    let incoming = soon(subscription.next()).await.unwrap();
    assert_eq!(incoming.header("Kind"), Some("done/1"));
    assert_eq!(incoming.header("Verdict"), Some("published"));
    assert_eq!(incoming.header("Nats-Msg-Id"), Some("1"));
}

//! What the server lets a login do, and what it does not.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::*;
use drover_messages::BuildId;
use drover_messages::agent::BeatAnswer;
use drover_messages::offer::OfferAnswer;
use drover_messages::report::{Failed, Outcome, Report};
use drover_messages::{AttemptId, Cause, Epoch, Generation, ReportId};
use drover_nats::logins::Logins;
use drover_nats::permissions::Who;
use drover_nats::reload::ServerControl;
use drover_nats::testing::NatsServer;
use drover_nats::{Bus, Filter, Login, NatsError, RequestError, Subject};

fn report(build: BuildId) -> Report {
    let failed =
        Failed { cause: Cause::DiskFull, message: "full".into(), times: Default::default(), log: None, kept: Vec::new() };
    let epoch = Epoch { generation: Generation(1), n: 1 };
    Report { report: ReportId::new(), attempt: AttemptId::new(), build, epoch, outcome: Outcome::Failed(failed) }
}

#[tokio::test]
async fn an_agent_reports_in_its_own_name_and_in_no_other() {
    let Some(mut server) = NatsServer::start() else { return };
    let scheduler = scheduler(&mut server).await;
    let (agent, bus) = agent(&mut server).await;
    let build = BuildId::new();
    let own = bus.publish(&Subject::Report { agent, build }, &report(build), "own").await.unwrap();
    assert_eq!((own.stream.as_str(), own.sequence, own.duplicate), ("RES", 1, false));

    let other = Subject::Report { agent: drover_messages::AgentId::new(), build };
    let forged = bus.publish(&other, &report(build), "forged").await;
    assert!(matches!(forged, Err(NatsError::Timeout { .. })), "{forged:?}");
    let next = scheduler.publish(&Subject::Report { agent, build }, &report(build), "next").await.unwrap();
    assert_eq!(next.sequence, 2, "the forged report is not in the stream");
}

#[tokio::test]
async fn an_agent_hears_its_own_offers_alone() {
    let Some(mut server) = NatsServer::start() else { return };
    let scheduler = scheduler(&mut server).await;
    let (agent, agents_bus) = agent(&mut server).await;
    let (other, others_bus) = common::agent(&mut server).await;
    let mut own = agents_bus.subscribe(&Filter::WorkOf(agent)).await.unwrap();
    let _forbidden = others_bus.subscribe(&Filter::WorkOf(agent)).await.unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = own.next().await {
            incoming.respond(&OfferAnswer::Accepted).await.unwrap();
        }
    });
    let within = Duration::from_secs(5);
    for _ in 0..20 {
        let answer: OfferAnswer = scheduler.request(&Subject::Work { agent }, &beat(), within).await.unwrap();
        assert_eq!(answer, OfferAnswer::Accepted);
    }
    let absent = scheduler.request::<_, OfferAnswer>(&Subject::Work { agent: other }, &beat(), within).await;
    assert_eq!(absent, Err(RequestError::NoResponders));
}

#[tokio::test]
async fn that_nobody_is_there_is_known_at_once() {
    let Some(mut server) = NatsServer::start() else { return };
    let scheduler = scheduler(&mut server).await;
    let begin = Instant::now();
    let subject = Subject::Work { agent: drover_messages::AgentId::new() };
    let answer = scheduler.request::<_, OfferAnswer>(&subject, &beat(), Duration::from_secs(30)).await;
    assert_eq!(answer, Err(RequestError::NoResponders));
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_client_does_not_administer() {
    let Some(mut server) = NatsServer::start() else { return };
    let (_, client) = client(&mut server).await;
    let subject = Subject::Admin(drover_nats::Admin::LoginNew);
    // Asked again it is refused again.
    for _ in 0..2 {
        let answer = client.request::<_, BeatAnswer>(&subject, &beat(), Duration::from_secs(30)).await;
        assert_eq!(answer, Err(RequestError::Forbidden));
    }
}

#[tokio::test]
async fn a_login_that_is_made_comes_in_and_one_that_ends_is_cut_while_others_stay() {
    let Some(mut server) = NatsServer::start() else { return };
    let scheduler = scheduler(&mut server).await;
    let (leaver, leaving) = agent(&mut server).await;
    let (_, staying) = agent(&mut server).await;
    let before = (times(&scheduler), times(&staying));
    let (_, _new) = agent(&mut server).await;
    assert_eq!((times(&scheduler), times(&staying)), before, "adding a login cuts nobody");

    server.end_login(&Who::Agent(leaver)).await;
    soon(leaving.link().wait_for(|link| !link.is_up())).await.unwrap();
    staying.round_trip().await.unwrap();
    assert_eq!((times(&scheduler), times(&staying)), before, "ending a login cuts no other");
    assert!(!leaving.link().borrow().is_up(), "and it does not come back");
}

#[tokio::test]
async fn whoever_is_refused_tries_until_the_login_exists() {
    let Some(server) = NatsServer::start() else { return };
    let who = Who::Agent(drover_messages::AgentId::new());
    let password = Logins::open(&server.folder().join("logins")).unwrap().add(who.clone(), "").unwrap();
    let login = Login { url: server.url(), user: who.user(), password, name: "test".into() };
    let connecting = tokio::spawn(async move { Bus::connect(&login).await });
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!connecting.is_finished(), "the server has not read it yet");
    ServerControl::reload_with(server.system()).await.unwrap();
    soon(connecting).await.unwrap().unwrap();
}

#[tokio::test]
async fn nobody_comes_in_without_a_login() {
    let Some(server) = NatsServer::start() else { return };
    let nobody = async_nats::connect(server.url()).await;
    assert!(nobody.is_err());
}

#[tokio::test]
async fn the_configuration_as_shipped_lets_nobody_in() {
    let Some(mut server) = NatsServer::start() else { return };
    server.kill();
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("logins");
    for name in ["users.conf", "system.conf"] {
        std::fs::copy(shipped.join(name), server.folder().join("logins").join(name)).unwrap();
    }
    server.run();
    assert!(async_nats::connect(server.url()).await.is_err());
    for user in ["nobody", "nobody-either"] {
        let options = async_nats::ConnectOptions::with_user_and_password(user.into(), String::new());
        assert!(options.connect(server.url()).await.is_err(), "{user}");
    }
}

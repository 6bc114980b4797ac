//! What the tests of this crate say to each other.
#![allow(dead_code, clippy::unwrap_used)]

use std::time::Duration;

use drover_messages::agent::Beat;
use drover_messages::publish::{Done, PublishVerdict};
use drover_messages::query::AskAgents;
use drover_messages::{AgentId, ClientId, Generation, PublicationId};
use drover_nats::permissions::Who;
use drover_nats::testing::NatsServer;
use drover_nats::{Bus, Link, Pool, Reread, Subject, reconcile, streams};

/// Longer than anything may take here.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A scheduler's connection, with all streams declared.
pub async fn scheduler(server: &mut NatsServer) -> Bus {
    let bus = Bus::connect(&server.login(Who::Scheduler).await).await.unwrap();
    reconcile(&bus, &streams::all(&[]), Reread::Whole).await.unwrap();
    bus
}

pub async fn agent(server: &mut NatsServer) -> (AgentId, Bus) {
    let agent = AgentId::new();
    (agent, Bus::connect(&server.login(Who::Agent(agent)).await).await.unwrap())
}

pub async fn client(server: &mut NatsServer) -> (ClientId, Bus) {
    let client = ClientId::new();
    (client, Bus::connect(&server.login(Who::Client(client)).await).await.unwrap())
}

pub fn beat() -> Beat {
    Beat { generation: Generation(1), load_percent: 0, store_free_bytes: 1, not_ready: None, held: vec![], ..Beat::default() }
}

pub fn done(publication: PublicationId) -> (Subject, Done) {
    let subject = Subject::Done { pool: Pool::publish(), publication };
    (subject, Done { publication, verdict: PublishVerdict::Published })
}

pub fn question() -> AskAgents {
    AskAgents { after: None }
}

/// Waits until the connection has come back after `times`.
pub async fn back(bus: &Bus, times: u64) {
    let mut link = bus.link();
    let is_back = |link: &Link| matches!(link, Link::Up { times: now } if *now > times);
    tokio::time::timeout(PATIENCE, link.wait_for(is_back)).await.expect("back in time").unwrap();
}

pub fn times(bus: &Bus) -> u64 {
    match *bus.link().borrow() {
        Link::Up { times } => times,
        Link::Down => panic!("not connected"),
    }
}

pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// A connection that knows nothing of Drover, with somebody's login.
pub async fn raw(server: &mut NatsServer, who: Who) -> async_nats::Client {
    let login = server.login(who).await;
    let inbox = format!("_INBOX_{}", login.user);
    let options = async_nats::ConnectOptions::with_user_and_password(login.user, login.password).custom_inbox_prefix(inbox);
    options.connect(login.url).await.unwrap()
}

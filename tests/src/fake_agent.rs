//! An agent that builds nothing and reports what the test wants: everything that the scheduler hears comes from the test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drover_messages::agent::{Beat, BeatAnswer, Held, Hello, Order, Phase};
use drover_messages::offer::{Offer, OfferAnswer};
use drover_messages::report::{Outcome, Report};
use drover_messages::{AgentId, Generation, ReportId, StoreId};
use drover_nats::permissions::Who;
use drover_nats::{Bus, Filter, Login, Subject};
use drover_store::StoreDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::{Farm, PATIENCE};

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const BEAT_EVERY: Duration = Duration::from_millis(500);

/// The agent. It accepts every offer and beats, until it is silenced.
pub struct FakeAgent {
    /// Its login.
    pub id: AgentId,
    login: Login,
    bus: Bus,
    held: Arc<Mutex<Hands>>,
    offers: mpsc::UnboundedReceiver<Offer>,
    tasks: Vec<JoinHandle<()>>,
}

/// What it says in its beats.
#[derive(Default)]
struct Hands {
    generation: Generation,
    held: Vec<Held>,
}

impl FakeAgent {
    /// Joins the farm, with a store of its own and one slot.
    pub async fn join(farm: &mut Farm) -> Self {
        let id = AgentId::new();
        let login = farm.nats.login(Who::Agent(id)).await;
        let bus = Bus::connect(&login).await.unwrap();
        let held = Arc::<Mutex<Hands>>::default();
        let (sender, offers) = mpsc::unbounded_channel();
        let answering = answer_offers(bus.clone(), id, held.clone(), sender).await;
        hello(&bus, id, &held).await;
        let beating = tokio::spawn(beat(bus.clone(), id, held.clone()));
        Self { id, login, bus, held, offers, tasks: vec![answering, beating] }
    }

    /// The next offer that it has accepted.
    ///
    /// # Panics
    /// When none comes.
    pub async fn offer(&mut self) -> Offer {
        tokio::time::timeout(PATIENCE, self.offers.recv()).await.expect("an offer comes").expect("an offer")
    }

    /// Stops to beat, and to answer.
    pub fn fall_silent(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
    }

    /// Reports, and returns when the broker has it.
    pub async fn report(&self, offer: &Offer, outcome: Outcome) -> Report {
        self.is_at(offer, &outcome);
        let report = Report { report: ReportId::new(), attempt: offer.attempt, build: offer.build, epoch: offer.epoch, outcome };
        self.send(&report).await;
        report
    }

    /// Sends a report under a message id of its own: the broker cannot tell when it is one that was sent before.
    pub async fn send(&self, report: &Report) {
        let subject = Subject::Report { agent: self.id, build: report.build };
        self.bus.publish(&subject, report, &uuid::Uuid::now_v7().to_string()).await.unwrap();
    }

    /// Publishes what is no message of Drover's where reports go.
    pub async fn send_rubbish(&self, offer: &Offer, rubbish: &'static [u8]) {
        let subject = Subject::Report { agent: self.id, build: offer.build };
        let options = async_nats::ConnectOptions::with_user_and_password(self.login.user.clone(), self.login.password.clone());
        let client = options.connect(&self.login.url).await.unwrap();
        client.publish(subject.to_string(), rubbish.into()).await.unwrap();
        client.flush().await.unwrap();
    }

    fn is_at(&self, offer: &Offer, outcome: &Outcome) {
        let phase = match outcome {
            Outcome::Built(_) => Phase::Built,
            Outcome::Uploaded(_) => Phase::Uploaded,
            Outcome::Checked(_) => Phase::Checked,
            Outcome::Failed(_) => Phase::Failed,
        };
        let mut hands = self.held.lock().unwrap();
        hands.held.iter_mut().filter(|held| held.attempt == offer.attempt).for_each(|held| held.phase = phase);
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.fall_silent();
    }
}

async fn answer_offers(bus: Bus, id: AgentId, held: Arc<Mutex<Hands>>, sender: mpsc::UnboundedSender<Offer>) -> JoinHandle<()> {
    let mut offers = bus.subscribe(&Filter::WorkOf(id)).await.unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = offers.next().await {
            let offer: Offer = incoming.decode().unwrap();
            if hold(&mut held.lock().unwrap(), &offer) {
                let _ = sender.send(offer);
            }
            let _ = incoming.respond(&OfferAnswer::Accepted).await;
        }
    })
}

/// Takes an attempt on; `false` when it has it already.
fn hold(all: &mut Hands, offer: &Offer) -> bool {
    all.generation = all.generation.max(offer.generation);
    let is_new = !all.held.iter().any(|held| held.attempt == offer.attempt);
    if is_new {
        let (attempt, build, drv, epoch) = (offer.attempt, offer.build, offer.drv.clone(), offer.epoch);
        all.held.push(Held { attempt, build, drv, epoch, phase: Phase::Building });
    }
    is_new
}

async fn hello(bus: &Bus, id: AgentId, held: &Mutex<Hands>) {
    let hello = Hello {
        name: format!("fake-{id}"),
        version: "0".into(),
        store_dir: StoreDir::nix(),
        store: StoreId(format!("store-of-{id}")),
        systems: vec!["x86_64-linux".into()],
        features: Vec::new(),
        max_parallel_builds: 1,
        mandatory_features: BTreeSet::new(),
        resources: BTreeMap::new(),
        tags: BTreeMap::new(),
        servers: BTreeSet::new(),
        beat: status(held),
    };
    let answer: BeatAnswer = bus.request(&Subject::Hello { agent: id }, &hello, ANSWER_WITHIN).await.unwrap();
    held.lock().unwrap().generation = answer.generation;
}

async fn beat(bus: Bus, id: AgentId, held: Arc<Mutex<Hands>>) {
    loop {
        tokio::time::sleep(BEAT_EVERY).await;
        let answer = bus.request::<_, BeatAnswer>(&Subject::Beat { agent: id }, &status(&held), ANSWER_WITHIN).await;
        if let Ok(answer) = answer {
            let mut held = held.lock().unwrap();
            for verdict in answer.verdicts.iter().filter(|verdict| matches!(verdict.order, Order::Settled | Order::Abort)) {
                held.held.retain(|held| held.attempt != verdict.attempt);
            }
        }
    }
}

fn status(held: &Mutex<Hands>) -> Beat {
    let held = held.lock().unwrap();
    let (generation, held) = (held.generation, held.held.clone());
    Beat { generation, load_percent: 0, store_free_bytes: 1 << 40, not_ready: None, held }
}

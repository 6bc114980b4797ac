//! An agent that builds nothing and reports what the test wants: everything that the scheduler hears comes from the test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drover_messages::agent::{Abort, Beat, BeatAnswer, Held, Hello, Order, Phase};
use drover_messages::offer::{Offer, OfferAnswer};
use drover_messages::report::{Outcome, Report};
use drover_messages::{AgentId, AttemptId, Generation, ReportId, StoreId};
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
    aborts: mpsc::UnboundedReceiver<AttemptId>,
    tasks: Vec<JoinHandle<()>>,
}

/// What it says in its beats.
#[derive(Default)]
struct Hands {
    generation: Generation,
    held: Vec<Held>,
    not_ready: Option<String>,
    /// Whether it goes on with what it is told to stop.
    clings: bool,
    stopped: BTreeSet<AttemptId>,
}

impl Hands {
    fn obey(&mut self, answer: &BeatAnswer) {
        self.generation = self.generation.max(answer.generation);
        for verdict in &answer.verdicts {
            match verdict.order {
                Order::Settled => self.held.retain(|held| held.attempt != verdict.attempt),
                Order::Abort => self.stop(verdict.attempt),
                _ => {}
            }
        }
    }

    /// It is to stop this.
    fn stop(&mut self, attempt: AttemptId) {
        if self.clings {
            self.stopped.insert(attempt);
        } else {
            self.held.retain(|held| held.attempt != attempt);
        }
    }
}

impl FakeAgent {
    /// Joins the farm, with a store of its own and one slot.
    pub async fn join(farm: &mut Farm) -> Self {
        Self::join_as(farm, |_| {}).await
    }

    /// Joins the farm and says of itself what the test wants.
    pub async fn join_as(farm: &mut Farm, alter: impl FnOnce(&mut Hello)) -> Self {
        let id = AgentId::new();
        let login = farm.nats.login(Who::Agent(id)).await;
        let bus = Bus::connect(&login).await.unwrap();
        let held = Arc::<Mutex<Hands>>::default();
        let (sender, offers) = mpsc::unbounded_channel();
        let (orders, aborts) = mpsc::unbounded_channel();
        let answering = answer_offers(bus.clone(), id, held.clone(), sender).await;
        let obeying = hear_orders(&bus, id, held.clone(), orders).await;
        let mut introduction = introduction(id);
        alter(&mut introduction);
        hello(&bus, id, &held, &introduction).await;
        let beating = tokio::spawn(beat(bus.clone(), id, held.clone(), introduction));
        Self { id, login, bus, held, offers, aborts, tasks: vec![answering, obeying, beating] }
    }

    /// The next attempt that it was told to stop.
    ///
    /// # Panics
    /// When none comes.
    pub async fn abort(&mut self) -> AttemptId {
        tokio::time::timeout(PATIENCE, self.aborts.recv()).await.expect("an order comes").expect("an order")
    }

    /// From now on it does not let go of what it is told to stop.
    pub fn cling(&mut self) {
        self.held.lock().unwrap().clings = true;
    }

    /// Lets go of everything that it was told to stop, from now on.
    pub fn let_go(&mut self) {
        let mut hands = self.held.lock().unwrap();
        hands.clings = false;
        let stopped = std::mem::take(&mut hands.stopped);
        hands.held.retain(|held| !stopped.contains(&held.attempt));
    }

    /// Says from its next beat on why it takes no builds.
    pub fn is_not_ready(&mut self, why: &str) {
        self.held.lock().unwrap().not_ready = Some(why.into());
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

async fn hear_orders(
    bus: &Bus,
    id: AgentId,
    held: Arc<Mutex<Hands>>,
    sender: mpsc::UnboundedSender<AttemptId>,
) -> JoinHandle<()> {
    let mut orders = bus.subscribe(&Filter::OrdersOf(id)).await.unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = orders.next().await {
            let Abort { attempt, .. } = incoming.decode().unwrap();
            held.lock().unwrap().stop(attempt);
            let _ = sender.send(attempt);
        }
    })
}

fn introduction(id: AgentId) -> Hello {
    Hello {
        name: format!("fake-{id}"),
        version: "0".into(),
        store_dir: StoreDir::nix(),
        store: StoreId::from(format!("store-of-{id}")),
        systems: vec!["x86_64-linux".into()],
        features: Vec::new(),
        max_parallel_builds: 1,
        mandatory_features: BTreeSet::new(),
        resources: BTreeMap::new(),
        tags: BTreeMap::new(),
        servers: BTreeSet::new(),
        beat: status(&Mutex::default()),
    }
}

async fn hello(bus: &Bus, id: AgentId, held: &Mutex<Hands>, introduction: &Hello) {
    let hello = Hello { beat: status(held), ..introduction.clone() };
    let answer: BeatAnswer = bus.request(&Subject::Hello { agent: id }, &hello, ANSWER_WITHIN).await.unwrap();
    held.lock().unwrap().obey(&answer);
}

async fn beat(bus: Bus, id: AgentId, held: Arc<Mutex<Hands>>, introduction: Hello) {
    loop {
        tokio::time::sleep(BEAT_EVERY).await;
        let answer = bus.request::<_, BeatAnswer>(&Subject::Beat { agent: id }, &status(&held), ANSWER_WITHIN).await;
        match answer {
            Ok(answer) if answer.hello => hello(&bus, id, &held, &introduction).await,
            Ok(answer) => held.lock().unwrap().obey(&answer),
            Err(_) => {}
        }
    }
}

fn status(held: &Mutex<Hands>) -> Beat {
    let held = held.lock().unwrap();
    let (generation, not_ready, held) = (held.generation, held.not_ready.clone(), held.held.clone());
    Beat { generation, store_free_bytes: 1 << 40, not_ready, held, ..Beat::default() }
}

//! What an agent sees of a scheduler: offers, answers to beats, and somebody who reads reports.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use drover_messages::agent::{Abort, Beat, BeatAnswer, Hello, Order, Verdict};
use drover_messages::offer::{Input, Offer, OfferAnswer};
use drover_messages::report::{Built, Failed, Outcome, Report, Uploaded};
use drover_messages::request::Mode;
use drover_messages::{AgentId, AttemptId, BuildId, Epoch, Generation};
use drover_nats::{Bus, Filter, Intake, RequestError, Reread, Subject, Subscription, reconcile, streams};
use drover_store::{StoreDir, StorePath};

use super::{PATIENCE, Packed};

const BEAT_EVERY_MILLIS: u64 = 100;

pub struct Scheduler {
    pub bus: Bus,
    agent: AgentId,
    store_dir: StoreDir,
    reports: Intake,
    heard: Arc<Mutex<Heard>>,
    leases: u64,
}

#[derive(Default)]
struct Heard {
    hellos: Vec<Hello>,
    beat: Option<Beat>,
    orders: Vec<Verdict>,
    /// What comes is refused.
    is_deaf: bool,
    /// The next answer asks for hello.
    wants_hello: bool,
}

impl Scheduler {
    pub const GENERATION: Generation = Generation(3);

    pub async fn start(bus: Bus, agent: AgentId, store_dir: StoreDir) -> Self {
        reconcile(&bus, &streams::all(&[]), Reread::Whole).await.unwrap();
        let heard = Arc::<Mutex<Heard>>::default();
        let calls = (bus.subscribe(&Filter::Hellos).await.unwrap(), bus.subscribe(&Filter::Beats).await.unwrap());
        tokio::spawn(answer(calls, heard.clone()));
        let reports = Intake::open(&bus, streams::RES, streams::SCHEDULER, 64);
        Self { bus, agent, store_dir, reports, heard, leases: 0 }
    }

    /// An offer of a derivation, under a new lease.
    pub fn offer_of(&mut self, packed: &Packed, inputs: &[(StorePath, bool)]) -> Offer {
        self.leases += 1;
        let epoch = Epoch { generation: Self::GENERATION, n: self.leases };
        let build = BuildId::new();
        Offer {
            generation: Self::GENERATION,
            epoch,
            attempt: AttemptId::derived(build, epoch),
            build,
            store_dir: self.store_dir.clone(),
            drv: packed.drv.clone(),
            pack: packed.pack,
            closure: Vec::new(),
            inputs: inputs.iter().map(|(path, available)| Input { path: path.clone(), available: *available }).collect(),
            mode: Mode::Build,
        }
    }

    /// Offers once.
    pub async fn try_offer(&self, offer: &Offer) -> Result<OfferAnswer, RequestError> {
        self.bus.request(&Subject::Work { agent: self.agent }, offer, Duration::from_secs(5)).await
    }

    /// Offers until it is accepted.
    pub async fn offer(&self, offer: &Offer) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let answer = self.try_offer(offer).await;
            if answer == Ok(OfferAnswer::Accepted) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "never accepted: {answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn lease(&mut self, packed: &Packed, inputs: &[(StorePath, bool)]) -> Offer {
        let offer = self.offer_of(packed, inputs);
        self.offer(&offer).await;
        offer
    }

    /// What was built, as the next report says.
    pub async fn built(&mut self, offer: &Offer) -> Built {
        match self.report(offer).await {
            Outcome::Built(built) => built,
            other => panic!("it was to be built: {other:?}"),
        }
    }

    /// What was uploaded, as the next report says.
    pub async fn uploaded(&mut self, offer: &Offer) -> Uploaded {
        match self.report(offer).await {
            Outcome::Uploaded(uploaded) => uploaded,
            other => panic!("it was to be uploaded: {other:?}"),
        }
    }

    /// What failed, as the next report says.
    pub async fn failed(&mut self, offer: &Offer) -> Failed {
        match self.report(offer).await {
            Outcome::Failed(failed) => failed,
            other => panic!("it was to fail: {other:?}"),
        }
    }

    /// The next report. It has to speak of this attempt, under its lease.
    pub async fn report(&mut self, offer: &Offer) -> Outcome {
        let report = self.any_report().await;
        assert_eq!((report.attempt, report.build, report.epoch), (offer.attempt, offer.build, offer.epoch));
        report.outcome
    }

    pub async fn any_report(&mut self) -> Report {
        let delivery = tokio::time::timeout(PATIENCE, self.reports.next()).await.expect("no report came");
        let report = delivery.decode().unwrap();
        assert!(matches!(&delivery.subject, Subject::Report { agent, .. } if *agent == self.agent));
        delivery.ack().await;
        report
    }

    /// Whether no report comes for a while.
    pub async fn no_report(&mut self, while_secs: u64) -> bool {
        tokio::time::timeout(Duration::from_secs(while_secs), self.reports.next()).await.is_err()
    }

    /// Orders something in the answer to the next beat.
    pub fn order(&self, attempt: AttemptId, order: Order) {
        self.heard.lock().unwrap().orders.push(Verdict { attempt, order });
    }

    /// Answers nothing but that it cannot be done, or answers again.
    pub fn be_deaf(&self, is_deaf: bool) {
        self.heard.lock().unwrap().is_deaf = is_deaf;
    }

    /// Asks for hello, as one does that has started anew, and gives it.
    pub async fn ask_for_hello(&self) -> Hello {
        let before = self.hellos().len();
        self.heard.lock().unwrap().wants_hello = true;
        super::until("hello is said again", || self.hellos().len() > before).await;
        self.hellos().swap_remove(before)
    }

    pub async fn abort(&self, generation: Generation, attempt: AttemptId) {
        self.bus.tell(&Subject::Abort { agent: self.agent }, &Abort { generation, attempt }).await.unwrap();
    }

    /// The first beat that is as wanted, those before the call not counted.
    pub async fn beat(&self, wanted: impl Fn(&Beat) -> bool) -> Beat {
        self.heard.lock().unwrap().beat = None;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let beat = self.heard.lock().unwrap().beat.clone();
            if let Some(beat) = beat.as_ref().filter(|beat| wanted(beat)) {
                return beat.clone();
            }
            assert!(tokio::time::Instant::now() < deadline, "no such beat; the last was {beat:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn hellos(&self) -> Vec<Hello> {
        self.heard.lock().unwrap().hellos.clone()
    }
}

async fn answer((mut hellos, mut beats): (Subscription, Subscription), heard: Arc<Mutex<Heard>>) {
    loop {
        let incoming = tokio::select! {
            Some(hello) = hellos.next() => hello,
            Some(beat) = beats.next() => beat,
            else => return,
        };
        let (orders, hello, is_deaf) = {
            let mut heard = heard.lock().unwrap();
            match incoming.decode::<Hello>() {
                Ok(hello) => {
                    heard.beat = Some(hello.beat.clone());
                    heard.hellos.push(hello);
                }
                Err(_) => heard.beat = Some(incoming.decode::<Beat>().unwrap()),
            }
            (std::mem::take(&mut heard.orders), std::mem::take(&mut heard.wants_hello), heard.is_deaf)
        };
        if is_deaf {
            let _ = incoming.problem("this scheduler is deaf").await;
            continue;
        }
        let answer =
            BeatAnswer { generation: Scheduler::GENERATION, hello, verdicts: orders, beat_every_millis: BEAT_EVERY_MILLIS };
        let _ = incoming.respond(&answer).await;
    }
}

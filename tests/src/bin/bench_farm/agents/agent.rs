//! One simulated agent: it says hello, beats, accepts every offer, and reports it built and uploaded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::ensure;
use drover_bucket::{HashPart, Key};
use drover_messages::agent::{Abort, BeatAnswer, Hello, Phase};
use drover_messages::offer::{Offer, OfferAnswer};
use drover_messages::report::{Built, Outcome, Report, Times, Uploaded, UploadedOutput};
use drover_messages::{AgentId, ReportId, StoreId};
use drover_nats::{Bus, Filter, Lot, MAX_TOGETHER, Subject};
use drover_store::StorePath;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::bench::Bench;
use crate::children::{Seat, Tally};
use crate::graph::Crib;
use crate::submit::nar;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The pause between two beats when all that is left is to be settled.
const LAST_BEATS: Duration = Duration::from_millis(500);
/// So many of those.
const MOST_LAST_BEATS: usize = 60;
/// What an output refers to: some of the build's inputs.
const REFERENCES: usize = 3;
/// What builds are said to take, so that durations are learned.
const BUILD_MICROS: u64 = 60_000_000;

/// The agent.
pub struct Agent {
    hand: Hand,
    tasks: Vec<JoinHandle<()>>,
    /// Ends builds in time, where they do not end at once.
    ending: Option<JoinHandle<()>>,
}

/// What its tasks share.
#[derive(Clone)]
struct Hand {
    id: AgentId,
    bus: Bus,
    crib: Arc<Crib>,
    bench: Arc<Mutex<Bench>>,
    reports: mpsc::UnboundedSender<(Subject, Report)>,
}

impl Agent {
    /// Connects, says hello, and works. With a `pace` it ends one build each so often, first after the second.
    pub async fn join(seat: &Seat, slots: u32, crib: Arc<Crib>, pace: Option<(Duration, Duration)>) -> anyhow::Result<Self> {
        let bus = Bus::connect(&seat.login()).await?;
        let (reports, to_send) = mpsc::unbounded_channel();
        let sending = tokio::spawn(send_all(bus.clone(), to_send));
        let hand = Hand { id: seat.user.parse()?, bus, crib, bench: Arc::default(), reports };
        let mut offers = hand.bus.subscribe(&Filter::WorkOf(hand.id)).await?;
        let mut orders = hand.bus.subscribe(&Filter::OrdersOf(hand.id)).await?;
        let at_once = pace.is_none();
        let (accepting, obeying, beating) = (hand.clone(), hand.clone(), hand.clone());
        let mut tasks = vec![
            sending,
            tokio::spawn(async move {
                while let Some(incoming) = offers.next().await {
                    let Ok(offer) = incoming.decode::<Offer>() else { continue };
                    let is_new = accepting.bench().take(&offer);
                    let _ = incoming.respond(&OfferAnswer::Accepted).await;
                    match (is_new, at_once) {
                        (true, true) => accepting.finish(offer),
                        (true, false) => accepting.bench().waiting.push_back(offer),
                        (false, _) => {}
                    }
                }
            }),
            tokio::spawn(async move {
                while let Some(incoming) = orders.next().await {
                    if let Ok(abort) = incoming.decode::<Abort>() {
                        obeying.bench().stop(abort.attempt);
                    }
                }
            }),
        ];
        let pause = hand.hello(slots).await?;
        tasks.push(tokio::spawn(async move { beating.beat(slots, pause).await }));
        let ending = pace.map(|(every, first)| {
            let ending = hand.clone();
            tokio::spawn(async move { ending.end_in_time(slots as usize, every, first).await })
        });
        Ok(Self { hand, tasks, ending })
    }

    /// Ends no more builds, and beats until those that it has built are settled.
    pub async fn leave(self) -> anyhow::Result<Tally> {
        self.ending.iter().for_each(JoinHandle::abort);
        for _ in 0..MOST_LAST_BEATS {
            let building = self.hand.bench().waiting.len();
            if self.hand.bench().unsettled() == building {
                break;
            }
            self.hand.ask_beat().await?;
            tokio::time::sleep(LAST_BEATS).await;
        }
        self.tasks.iter().for_each(JoinHandle::abort);
        let mut bench = self.hand.bench();
        let held = (bench.unsettled() - bench.waiting.len()) as u64;
        Ok(Tally { held, ..std::mem::take(&mut bench.tally) })
    }
}

impl Hand {
    fn bench(&self) -> MutexGuard<'_, Bench> {
        self.bench.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn hello(&self, slots: u32) -> anyhow::Result<Duration> {
        let hello = Hello {
            name: format!("simulated-{}", self.id),
            version: "0".into(),
            store_dir: self.crib.store_dir.clone(),
            store: StoreId::from(format!("store-of-{}", self.id)),
            systems: self.crib.systems.iter().cloned().collect(),
            features: vec!["big-parallel".into(), "kvm".into()],
            mandatory_features: Default::default(),
            resources: BTreeMap::new(),
            tags: BTreeMap::new(),
            max_parallel_builds: slots,
            servers: Default::default(),
            beat: self.bench().beat(),
        };
        let answer: BeatAnswer = self.bus.request(&Subject::Hello { agent: self.id }, &hello, ANSWER_WITHIN).await?;
        ensure!(!answer.hello, "the scheduler does not take a hello");
        self.obey(&answer);
        Ok(Duration::from_millis(answer.beat_every_millis))
    }

    async fn beat(&self, slots: u32, pause: Duration) {
        loop {
            tokio::time::sleep(pause).await;
            if let Ok(answer) = self.ask_beat().await
                && answer.hello
            {
                let _ = self.hello(slots).await;
            }
        }
    }

    async fn ask_beat(&self) -> anyhow::Result<BeatAnswer> {
        let beat = self.bench().beat();
        let answer: BeatAnswer = self.bus.request(&Subject::Beat { agent: self.id }, &beat, ANSWER_WITHIN).await?;
        self.obey(&answer);
        Ok(answer)
    }

    fn obey(&self, answer: &BeatAnswer) {
        let again = self.bench().obey(answer);
        for offer in again {
            self.finish(offer);
        }
    }

    /// Ends a build each so often, whatever the farm does meanwhile. Where none waits for its slot, that is ready from the
    /// moment at which the build should have ended.
    async fn end_in_time(&self, slots: usize, every: Duration, first: Duration) {
        tokio::time::sleep(first).await;
        let mut times = tokio::time::interval(every);
        times.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let (began, mut ended) = (SystemTime::now(), 0);
        loop {
            times.tick().await;
            let due = began + every * ended;
            ended += 1;
            let Some(offer) = self.bench().end_one(slots, due) else { continue };
            self.finish(offer);
        }
    }

    /// Reports an attempt built, and uploaded, and does not wait for the broker.
    fn finish(&self, offer: Offer) {
        let Some(outputs) = self.crib.outputs.get(&offer.drv).cloned() else { return };
        let times = Times { build_micros: BUILD_MICROS, ..Times::default() };
        let built = Built { outputs: outputs.clone(), already_valid: false, times, log: None };
        let references: Vec<StorePath> = offer.inputs.iter().take(REFERENCES).map(|input| input.path.clone()).collect();
        let output = |(name, path): (_, StorePath)| {
            let key = Key::OutputIncoming { agent: self.id, attempt: offer.attempt, upload: 0, item: HashPart::from(&path) };
            UploadedOutput { name, path, references: references.clone(), nar: nar(&key) }
        };
        let uploaded = Uploaded { outputs: outputs.into_iter().map(output).collect(), upload_micros: 0 };
        for (outcome, phase) in [(Outcome::Built(built), Phase::Built), (Outcome::Uploaded(uploaded), Phase::Uploaded)] {
            self.bench().advance(offer.attempt, phase);
            let Offer { attempt, build, epoch, .. } = offer;
            let report = Report { report: ReportId::new(), attempt, build, epoch, outcome };
            let _ = self.reports.send((Subject::Report { agent: self.id, build }, report));
        }
    }
}

/// Sends reports as agents do: one lot after the other, and what comes meanwhile goes together.
async fn send_all(bus: Bus, mut reports: mpsc::UnboundedReceiver<(Subject, Report)>) {
    let mut waiting = Vec::new();
    while reports.recv_many(&mut waiting, MAX_TOGETHER).await > 0 {
        while let Some(lot) = Lot::first_of(&waiting) {
            waiting.drain(..lot.len());
            if let Err(error) = bus.publish_lot(lot).await {
                eprintln!("a report was not heard: {error}");
            }
        }
    }
}

//! A build machine: it takes offers, builds for a while, uploads, and keeps everything until it is settled.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::agent::{Beat, Held, Hello, Order, Phase, Verdict};
use drover_messages::offer::{Offer, OfferAnswer, Refusal};
use drover_messages::report::{Built, Checked, Failed, Outcome, Report, Times, Uploaded, UploadedOutput};
use drover_messages::request::{Mode, Nar};
use drover_messages::{AgentId, AttemptId, Cause, Generation, ReportId, StoreId};
use drover_scheduler_core::build::Recipe;
use drover_store::{Sha256, StoreDir};

use super::graph::{SERVER, external};
use super::{Dice, Graph, id};

pub struct Machine {
    pub id: AgentId,
    number: u64,
    hello: bool,
    held: BTreeMap<AttemptId, Try>,
    /// How often each derivation's builder was started here.
    pub started: u64,
    /// Its disk is full.
    pub broken: bool,
}

struct Try {
    offer: Offer,
    phase: Phase,
    ticks_left: u64,
    report: Option<Report>,
}

impl Machine {
    pub fn new(id: AgentId, number: u64) -> Self {
        Self { id, number, hello: true, held: BTreeMap::new(), started: 0, broken: false }
    }

    /// Killed and started again: what ran begins anew, what is in the spool stays.
    pub fn restart(&mut self) {
        self.hello = true;
        for held in self.held.values_mut().filter(|held| held.phase < Phase::Built) {
            held.phase = Phase::Accepted;
        }
    }

    pub fn consider(&mut self, offer: Offer) -> OfferAnswer {
        if self.held.contains_key(&offer.attempt) {
            return OfferAnswer::Accepted;
        }
        if self.held.values().filter(|held| held.phase < Phase::Built).count() >= 3 {
            return OfferAnswer::Refused(Refusal::Full);
        }
        let elsewhere = offer.inputs.iter().any(|input| input.path == external());
        assert!(!elsewhere || !self.servers().is_empty(), "an offer with an input that this machine cannot fetch");
        self.held.insert(offer.attempt, Try { offer, phase: Phase::Accepted, ticks_left: 0, report: None });
        OfferAnswer::Accepted
    }

    pub fn abort(&mut self, attempt: AttemptId) {
        if self.held.get(&attempt).is_some_and(|held| held.phase < Phase::Built) {
            self.held.remove(&attempt);
        }
    }

    /// One tick of work: two slots.
    pub fn work(&mut self, graph: &Graph, dice: &mut Dice, farm_failure: u64) -> Vec<Report> {
        let mut building = self.held.values().filter(|held| held.phase == Phase::Building).count();
        let mut reports = Vec::new();
        for held in self.held.values_mut() {
            let recipe = graph.recipes.iter().find(|recipe| recipe.drv == held.offer.drv).expect("a known derivation");
            let outcome = match held.phase {
                Phase::Accepted if building < 2 => {
                    building += 1;
                    self.started += 1;
                    (held.phase, held.ticks_left) = (Phase::Building, 1 + dice.throw() % 4);
                    continue;
                }
                Phase::Building if held.ticks_left > 0 => {
                    held.ticks_left -= 1;
                    continue;
                }
                Phase::Building if self.broken || dice.chance(farm_failure) => failed(held, Cause::DiskFull),
                Phase::Building if graph.broken.contains(&recipe.drv) => failed(held, Cause::BuilderFailed),
                Phase::Building if held.offer.mode == Mode::Check => checked(held),
                Phase::Building => built(held, recipe),
                Phase::Built => uploaded(held, recipe),
                _ => continue,
            };
            let report = report(held, outcome);
            held.report = Some(report.clone());
            reports.push(report);
        }
        reports
    }

    /// All but the last machine reach the server that has what the graph needs from elsewhere.
    fn servers(&self) -> BTreeSet<String> {
        (self.number < 2).then(|| SERVER.to_owned()).into_iter().collect()
    }

    pub fn introduction(&mut self) -> Option<Hello> {
        std::mem::take(&mut self.hello).then(|| Hello {
            name: format!("m{}", self.number),
            version: "0".into(),
            store_dir: StoreDir::nix(),
            store: StoreId(format!("store-{}", self.number)),
            systems: vec!["x86_64-linux".into()],
            features: Vec::new(),
            max_parallel_builds: 2,
            mandatory_features: BTreeSet::new(),
            resources: BTreeMap::new(),
            tags: BTreeMap::new(),
            servers: self.servers(),
            beat: self.beat(),
        })
    }

    pub fn beat(&self) -> Beat {
        let held = |(attempt, held): (&AttemptId, &Try)| Held {
            attempt: *attempt,
            build: held.offer.build,
            drv: held.offer.drv.clone(),
            epoch: held.offer.epoch,
            phase: held.phase,
        };
        let held = self.held.iter().map(held).collect();
        Beat { generation: Generation(0), load_percent: 0, store_free_bytes: 1 << 40, not_ready: None, held, ..Beat::default() }
    }

    /// Does what the answer to a beat says; returns what is to be sent.
    pub fn obey(&mut self, verdicts: &[Verdict], hello: bool) -> Vec<Report> {
        self.hello |= hello;
        let mut reports = Vec::new();
        for Verdict { attempt, order } in verdicts {
            let Some(held) = self.held.get_mut(attempt) else { continue };
            match order {
                Order::Settled | Order::Abort => drop(self.held.remove(attempt)),
                Order::UploadAgain => held.phase = Phase::Built,
                Order::ReportAgain => reports.extend(held.report.clone()),
            }
        }
        reports
    }
}

fn report(held: &Try, outcome: Outcome) -> Report {
    let Offer { attempt, build, epoch, .. } = held.offer;
    Report { report: ReportId::from_uuid(id(3)), attempt, build, epoch, outcome }
}

fn failed(held: &mut Try, cause: Cause) -> Outcome {
    held.phase = Phase::Failed;
    Outcome::Failed(Failed { cause, message: String::new(), times: Times::default(), log: None, kept: Vec::new() })
}

fn checked(held: &mut Try) -> Outcome {
    held.phase = Phase::Checked;
    Outcome::Checked(Checked { times: Times::default(), log: None })
}

fn built(held: &mut Try, recipe: &Recipe) -> Outcome {
    held.phase = Phase::Built;
    let outputs = recipe.outputs.iter().map(|(name, product)| (name.clone(), product.path.clone())).collect();
    Outcome::Built(Built { outputs, already_valid: false, times: Times::default(), log: None })
}

fn uploaded(held: &mut Try, recipe: &Recipe) -> Outcome {
    held.phase = Phase::Uploaded;
    let hash = Sha256::of(b"nar");
    let nar = Nar { key: "incoming/x".into(), nar_hash: hash, nar_size: 1, file_hash: hash, file_size: 1 };
    let output = |(name, product): (&drover_store::OutputName, &drover_scheduler_core::build::Product)| UploadedOutput {
        name: name.clone(),
        path: product.path.clone(),
        references: recipe.inputs.iter().cloned().collect(),
        nar: nar.clone(),
    };
    Outcome::Uploaded(Uploaded { outputs: recipe.outputs.iter().map(output).collect(), upload_micros: 0 })
}

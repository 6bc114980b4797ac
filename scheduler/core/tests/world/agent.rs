//! A build machine: it takes offers, builds for a while, uploads, and keeps everything until it is settled.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::agent::{Abort, Beat, Held, Hello, Order, Phase, Verdict};
use drover_messages::offer::{Offer, OfferAnswer, Refusal};
use drover_messages::report::{Built, Checked, Failed, Outcome, Report, Times, Uploaded, UploadedOutput};
use drover_messages::request::Mode;
use drover_messages::{AgentId, AttemptId, Cause, Generation, ReportId, StoreId};
use drover_scheduler_core::Recipe;
use drover_store::{StoreDir, StorePath};

use super::graph::{Derivation, MEM, SERVER, external, nar_of};
use super::{Dice, Graph, id};

/// Builds at once.
const SLOTS: usize = 2;
/// Attempts accepted beyond them.
const BEYOND: usize = 1;

pub struct Machine {
    pub id: AgentId,
    number: u64,
    hello: bool,
    /// The highest that it has heard of.
    generation: Generation,
    held: BTreeMap<AttemptId, Try>,
    store: BTreeSet<StorePath>,
    /// How often builders were started here.
    pub started: u64,
    /// Its disk is full.
    pub broken: bool,
    /// Ticks for which nobody hears it, nor it anybody.
    away: u64,
    outbox: Vec<Report>,
}

struct Try {
    offer: Offer,
    phase: Phase,
    ticks_left: u64,
    report: Option<Report>,
}

impl Machine {
    pub fn new(id: AgentId, number: u64) -> Self {
        Self {
            id,
            number,
            hello: true,
            generation: Generation(0),
            held: BTreeMap::new(),
            store: BTreeSet::new(),
            started: 0,
            broken: false,
            away: 0,
            outbox: Vec::new(),
        }
    }

    /// Killed and started again: what ran begins anew, what is in the spool stays.
    pub fn restart(&mut self) {
        self.hello = true;
        for held in self.held.values_mut().filter(|held| held.phase < Phase::Built) {
            held.phase = Phase::Accepted;
        }
    }

    /// It has lost its connection, and has it again.
    pub fn restart_connection(&mut self) {
        self.hello = true;
    }

    /// It comes back with nothing but its name.
    pub fn wipe(&mut self) {
        let (id, number, started, broken) = (self.id, self.number, self.started, self.broken);
        *self = Self { started, broken, ..Self::new(id, number) };
    }

    /// Loses its connection for so long.
    pub fn cut_off(&mut self, ticks: u64) {
        self.away = self.away.max(ticks);
    }

    pub fn is_away(&self) -> bool {
        self.away > 0
    }

    /// Whether it has nothing left that it must keep.
    pub fn is_settled(&self) -> bool {
        self.held.is_empty() && self.outbox.is_empty()
    }

    pub fn consider(&mut self, offer: Offer) -> OfferAnswer {
        if offer.generation < self.generation {
            return OfferAnswer::Refused(Refusal::Superseded(self.generation));
        }
        self.generation = offer.generation;
        if self.held.contains_key(&offer.attempt) {
            return OfferAnswer::Accepted;
        }
        if self.held.values().filter(|held| held.phase < Phase::Built).count() >= SLOTS + BEYOND {
            return OfferAnswer::Refused(Refusal::Full);
        }
        let elsewhere = offer.inputs.iter().any(|input| input.path == external());
        assert!(!elsewhere || !self.servers().is_empty(), "an offer with an input that this machine cannot fetch");
        self.held.insert(offer.attempt, Try { offer, phase: Phase::Accepted, ticks_left: 0, report: None });
        OfferAnswer::Accepted
    }

    pub fn abort(&mut self, abort: Abort) {
        let unfinished = self.held.get(&abort.attempt).is_some_and(|held| held.phase < Phase::Built);
        if unfinished && abort.generation >= self.generation {
            self.held.remove(&abort.attempt);
        }
    }

    /// One tick of work. What it tells waits until it is heard.
    pub fn work(&mut self, graph: &Graph, cache: &BTreeSet<StorePath>, dice: &mut Dice, farm_failure: u64) {
        let mut building = self.held.values().filter(|held| held.phase == Phase::Building).count();
        for held in self.held.values_mut() {
            let derivation = graph.derivations.iter().find(|d| *d.drv() == held.offer.drv).expect("a known derivation");
            let recipe = &derivation.recipe;
            let missing = missing(&held.offer, &self.store, cache);
            let outcome = match held.phase {
                Phase::Accepted if !missing.is_empty() => failed(held, Cause::InputsUnavailable { missing }),
                Phase::Accepted if building < SLOTS => {
                    building += 1;
                    self.started += 1;
                    self.store.extend(held.offer.inputs.iter().map(|input| input.path.clone()));
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
                Phase::Building => {
                    self.store.extend(recipe.outputs.values().map(|product| product.path.clone()));
                    built(held, recipe)
                }
                Phase::Built if dice.chance(farm_failure) => {
                    self.store.retain(|path| recipe.outputs.values().all(|product| product.path != *path));
                    failed(held, Cause::UploadFailed)
                }
                Phase::Built => uploaded(held, derivation),
                _ => continue,
            };
            let report = report(held, outcome);
            held.report = Some(report.clone());
            self.outbox.push(report);
        }
    }

    /// What it tells now: nothing, while it is away.
    pub fn tell(&mut self) -> Option<Vec<Report>> {
        if self.away > 0 {
            self.away -= 1;
            // Whoever comes back introduces himself.
            self.hello |= self.away == 0;
            return None;
        }
        Some(std::mem::take(&mut self.outbox))
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
            store: StoreId::from(format!("store-{}", self.number)),
            systems: vec!["x86_64-linux".into()],
            features: Vec::new(),
            max_parallel_builds: SLOTS as u32,
            mandatory_features: BTreeSet::new(),
            resources: BTreeMap::from([("mem".to_owned(), MEM)]),
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
        Beat { generation: self.generation, store_free_bytes: 1 << 40, held, ..Beat::default() }
    }

    /// Does what the answer to a beat says; returns what is to be sent.
    pub fn obey(&mut self, generation: Generation, verdicts: &[Verdict], hello: bool) -> Vec<Report> {
        if generation < self.generation {
            return Vec::new();
        }
        self.generation = generation;
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

/// The inputs that are neither in this store nor to be fetched.
fn missing(offer: &Offer, store: &BTreeSet<StorePath>, cache: &BTreeSet<StorePath>) -> Vec<StorePath> {
    let there = |path: &StorePath| store.contains(path) || cache.contains(path) || *path == external();
    offer.inputs.iter().map(|input| &input.path).filter(|path| !there(path)).cloned().collect()
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
    let times = Times { build_micros: 1_000_000, ..Times::default() };
    Outcome::Built(Built { outputs, already_valid: false, times, log: None })
}

fn uploaded(held: &mut Try, Derivation { recipe, inputs }: &Derivation) -> Outcome {
    held.phase = Phase::Uploaded;
    let output = |(name, product): (&drover_store::OutputName, &drover_scheduler_core::Product)| UploadedOutput {
        name: name.clone(),
        path: product.path.clone(),
        references: inputs.iter().cloned().collect(),
        nar: nar_of(&product.path),
    };
    Outcome::Uploaded(Uploaded { outputs: recipe.outputs.iter().map(output).collect(), upload_micros: 0 })
}

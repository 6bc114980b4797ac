//! A core with submissions and agents, for tests that look at single decisions. Nothing goes wrong here: see `world`.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::agent::{Beat, Held, Hello, Phase};
use drover_messages::event::What;
use drover_messages::offer::Offer;
use drover_messages::report::{Built, Failed, Outcome as ReportOutcome, Report, Times};
use drover_messages::request::Terms;
use drover_messages::wish::Wished;
use drover_messages::{AgentId, BuildId, Cause, ClientId, Generation, ReportId, StoreId, SubmissionId, Timestamp, WishId};
use drover_scheduler_core::input::Wanted;
use drover_scheduler_core::plan::Planned;
use drover_scheduler_core::{Core, Effect, Heard, Input, Limits, Now, Outcome, State, Submission, SubmissionState};
use drover_scheduler_core::{Product, Recipe};
use drover_store::{DrvPath, OutputName, PackId, Sha256, StoreDir, StorePath};
use uuid::Uuid;

pub fn uuid(n: u128) -> Uuid {
    Uuid::from_u128((0x0193_a1b2_c3d4_7e5f_8000 << 48) | n)
}

pub fn submission(n: u128) -> SubmissionId {
    SubmissionId::from_uuid(uuid(n))
}

pub fn client(n: u128) -> ClientId {
    ClientId::from_uuid(uuid(100 + n))
}

pub fn path(name: &str) -> StorePath {
    let digest = Sha256::of(name.as_bytes());
    StorePath::from_parts(digest.as_bytes()[..20].try_into().unwrap(), name).unwrap()
}

pub fn drv(name: &str) -> DrvPath {
    path(&format!("{name}.drv")).try_into().unwrap()
}

pub fn build(submitted: u128, name: &str) -> BuildId {
    BuildId::derived(submission(submitted), &drv(name))
}

/// A build of a submission, by its name and what it needs.
pub fn planned(submitted: u128, name: &str, needs: &[&str], root: bool) -> Planned {
    let out: OutputName = "out".parse().unwrap();
    let recipe = Recipe {
        drv: drv(name),
        pack: PackId::of(b"pack"),
        store_dir: StoreDir::nix(),
        system: "x86_64-linux".into(),
        features: BTreeSet::new(),
        outputs: [(out, Product { path: path(name), ca: None })].into_iter().collect(),
    };
    let inputs = needs.iter().map(|needed| path(needed)).collect();
    let (id, mode) = (build(submitted, name), Default::default());
    Planned { id, root, recipe, inputs, mode, seq: None, known_failure: None, avoid: BTreeSet::new() }
}

/// What an agent says that it holds of an offer.
pub fn held(offer: &Offer, phase: Phase) -> Held {
    Held { attempt: offer.attempt, build: offer.build, drv: offer.drv.clone(), epoch: offer.epoch, phase }
}

/// A core, and what a test does to it.
pub struct Farm {
    pub core: Core,
    pub now: Now,
    wishes: u128,
    /// What builds are seen to take.
    pub peak_memory_mib: Option<u64>,
}

impl Farm {
    pub fn new() -> Self {
        Self::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Self {
        Self { core: Core::new(State::new(Generation(1)), limits), now: Now::default(), wishes: 0, peak_memory_mib: None }
    }

    pub fn advance(&mut self, input: Input) -> Outcome {
        let outcome = self.core.advance(self.now, input);
        assert_eq!(outcome.illegal, []);
        outcome
    }

    /// Each submission is of a client of its own.
    pub fn submit(&mut self, n: u128, builds: Vec<Planned>) {
        self.submit_on(n, Terms::default(), builds);
    }

    /// On terms.
    pub fn submit_on(&mut self, n: u128, terms: Terms, builds: Vec<Planned>) {
        let id = self.enter(n, terms, builds).id;
        self.advance(Input::GoLive { submission: id });
    }

    /// As far as it does nothing yet.
    pub fn enter(&mut self, n: u128, terms: Terms, builds: Vec<Planned>) -> Submission {
        let submission = Submission {
            id: submission(n),
            client: client(n),
            store_dir: StoreDir::nix(),
            roots: Vec::new(),
            priority: 0,
            tags: BTreeMap::new(),
            input_builds: true,
            terms,
            submitted_at: Timestamp(0),
            state: SubmissionState::Planning,
        };
        let id = submission.id;
        self.advance(Input::Enter(submission.clone()));
        self.advance(Input::AddBuilds { submission: id, builds });
        submission
    }

    pub fn wish(&mut self, by: u128, change: Wished, submissions: &[u128], builds: &[BuildId]) -> What {
        self.wishes += 1;
        let wanted = Wanted {
            wish: WishId::from_uuid(uuid(1000 + self.wishes)),
            client: client(by),
            by_admin: false,
            change,
            submissions: submissions.iter().map(|n| submission(*n)).collect(),
            builds: builds.to_vec(),
        };
        let outcome = self.advance(Input::Wish(Box::new(wanted)));
        outcome.events.into_iter().find(|what| matches!(what, What::WishFulfilled { .. } | What::WishRefused { .. })).unwrap()
    }

    pub fn state(&self, id: BuildId) -> &'static str {
        self.core.state().build(id).map_or("forgotten", |build| build.state.name().as_str())
    }

    /// An agent says hello.
    pub fn agent(&mut self, n: u128, slots: u32) -> AgentId {
        self.agent_with(n, slots, |_| {})
    }

    /// An agent says hello, in its own way.
    pub fn agent_with(&mut self, n: u128, slots: u32, change: impl FnOnce(&mut Hello)) -> AgentId {
        let agent = AgentId::from_uuid(uuid(500 + n));
        let beat = Beat { generation: Generation(0), load_percent: 0, store_free_bytes: 1 << 40, ..Beat::default() };
        let mut hello = Hello {
            name: format!("agent-{n}"),
            version: "0".into(),
            store_dir: StoreDir::nix(),
            store: StoreId::from(format!("store-{n}")),
            systems: vec!["x86_64-linux".into()],
            features: Vec::new(),
            max_parallel_builds: slots,
            mandatory_features: BTreeSet::new(),
            resources: BTreeMap::new(),
            tags: BTreeMap::new(),
            servers: BTreeSet::new(),
            beat,
        };
        change(&mut hello);
        self.advance(Input::Hello { agent, hello: Box::new(hello) });
        agent
    }

    /// An attempt fails.
    pub fn failed(&mut self, agent: AgentId, offer: &Offer, cause: Cause) -> Vec<What> {
        self.report_failed(agent, offer, cause).events
    }

    /// The same, with all that it comes to.
    pub fn report_failed(&mut self, agent: AgentId, offer: &Offer, cause: Cause) -> Outcome {
        let failed = Failed { cause, message: String::new(), times: Times::default(), log: None, kept: Vec::new() };
        self.report(agent, offer, ReportOutcome::Failed(failed))
    }

    fn report(&mut self, agent: AgentId, offer: &Offer, outcome: ReportOutcome) -> Outcome {
        let Offer { attempt, build, epoch, .. } = *offer;
        let report = Report { report: ReportId::from_uuid(uuid(9)), attempt, build, epoch, outcome };
        self.advance(Input::Report { agent, report: Box::new(report) })
    }

    /// An agent beats, with nothing in its hands.
    pub fn beat(&mut self, agent: AgentId) {
        self.beat_with(agent, |_| {});
    }

    /// The same, in its own way.
    pub fn beat_with(&mut self, agent: AgentId, change: impl FnOnce(&mut Beat)) -> Outcome {
        let mut beat = Beat { generation: Generation(0), load_percent: 0, store_free_bytes: 1 << 40, ..Beat::default() };
        change(&mut beat);
        self.advance(Input::Beat { agent, beat: Box::new(beat) })
    }

    /// An administrator wants an agent to take no builds, or to build again.
    pub fn drain(&mut self, agent: AgentId, drained: bool) {
        self.advance(Input::Drain { agents: [agent].into(), drained, deadline_millis: None });
    }

    /// Time passes.
    pub fn later(&mut self, millis: u64) -> Outcome {
        self.now = Now { heard: Heard(self.now.heard.0 + millis), wall: Timestamp(0) };
        self.advance(Input::Tick)
    }

    /// What speaks against an agent, in words; empty where nothing does.
    pub fn objection(&self, build: BuildId, agent: AgentId) -> String {
        let state = self.core.state();
        let objection = state.objection(state.build(build).unwrap(), agent, self.now.heard, self.core.limits());
        objection.map(|objection| objection.to_string()).unwrap_or_default()
    }

    /// Why an agent is not trusted, as any build is told.
    pub fn distrust(&self, agent: AgentId) -> Option<String> {
        let agents = self.core.state().agents();
        agents.filter(|(id, _)| *id == agent).find_map(|(_, agent)| agent.breaker.why(self.now.heard))
    }

    /// The builds that are offered now, in this order, by their names.
    pub fn offered(&mut self) -> Vec<String> {
        self.offers().into_iter().map(|offer| offer.drv.name_without_drv().to_owned()).collect()
    }

    /// The offers that are made now.
    pub fn offers(&mut self) -> Vec<Offer> {
        self.offered_to().into_iter().map(|(_, offer)| offer).collect()
    }

    /// The same, each with whom it is made to.
    pub fn offered_to(&mut self) -> Vec<(AgentId, Offer)> {
        let effects = self.advance(Input::Dispatch).effects;
        let offers = effects.into_iter().filter_map(|effect| match effect {
            Effect::Offer { agent, offer } => Some((agent, *offer)),
            _ => None,
        });
        offers.collect()
    }

    /// An attempt succeeds, after so long.
    pub fn built(&mut self, agent: AgentId, offer: &Offer, millis: u64) {
        let out: OutputName = "out".parse().unwrap();
        self.made(agent, offer, BTreeMap::from([(out, path(offer.drv.name_without_drv()))]), millis);
    }

    /// The same, with these outputs.
    pub fn made(&mut self, agent: AgentId, offer: &Offer, outputs: BTreeMap<OutputName, StorePath>, millis: u64) {
        let built = Built {
            outputs,
            already_valid: false,
            times: Times { build_micros: millis * 1000, peak_memory_mib: self.peak_memory_mib, ..Times::default() },
            log: None,
        };
        self.report(agent, offer, ReportOutcome::Built(built));
    }
}

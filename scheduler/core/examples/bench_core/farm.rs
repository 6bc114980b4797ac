//! Agents and a pool that do everything at once, in rounds: each agent with room takes offers, beats, builds and uploads
//! them; then everything is published. What is finished is taken out of memory, as the shell does after each commit.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::agent::{Beat, Held, Hello, Order, Phase};
use drover_messages::offer::{Offer, OfferAnswer};
use drover_messages::publish::{Done, Publish, PublishVerdict};
use drover_messages::report::{Built, Outcome as Told, Report, Times, Uploaded, UploadedOutput};
use drover_messages::request::{Nar, SourceNar};
use drover_messages::{AgentId, AttemptId, BuildId, ClientId, Generation, ReportId, StoreId, SubmissionId, Timestamp};
use drover_scheduler_core::input::Answer;
use drover_scheduler_core::{Change, Core, Effect, Input, Limits, Now, Outcome, State, Submission, SubmissionState};
use drover_store::{ContentAddress, Sha256, StoreDir, StorePath};
use hashbrown::HashSet;
use uuid::Uuid;

use crate::graph::Graph;
use crate::meter::Meter;

const AGENTS: u64 = 64;
const SLOTS: u32 = 4;
/// So many builds or sources are entered at once, as the planner does.
const ROWS: usize = 500;
/// Virtual time that a round takes, in milliseconds.
const ROUND_MILLIS: u64 = 100;
/// An output refers to at most so many of its build's inputs.
const REFERENCES: usize = 8;

pub fn uuid(n: u64) -> Uuid {
    Uuid::from_u128((0x0193_a1b2_c3d4_7e5f_8000 << 48) | u128::from(n))
}

/// The core, and what surrounds it.
pub struct Farm {
    core: Core,
    now: Now,
    meter: Meter,
    held: BTreeMap<AgentId, BTreeMap<AttemptId, Held>>,
    systems: Vec<String>,
    touched: Touched,
}

/// What a commit would be about.
#[derive(Default)]
struct Touched {
    builds: HashSet<BuildId>,
    items: HashSet<StorePath>,
}

impl Farm {
    /// An empty one. `after_each` is called after each input.
    pub fn new(after_each: fn()) -> Self {
        let limits = Limits { asked_at_once: 1024, ..Limits::default() };
        let core = Core::new(State::new(Generation(1)), limits);
        let (now, meter, held, touched) = (Now::default(), Meter::start(after_each), BTreeMap::new(), Touched::default());
        Self { core, now, meter, held, systems: Vec::new(), touched }
    }

    /// Builds all of it.
    pub fn build(mut self, graph: Graph) -> Meter {
        let builds = graph.builds.len() as u64;
        let systems: BTreeSet<String> = graph.builds.iter().map(|planned| planned.recipe.system.clone()).collect();
        self.systems = systems.into_iter().collect();
        self.meter.restart();
        self.advance("caught up", Input::CaughtUp);
        self.say_hello(&graph.store_dir);
        self.submit(graph);
        while self.round() {}
        self.meter.stop();
        let left = self.core.state().builds().count();
        assert!(left == 0, "{left} builds are left, such as {:?}", self.core.state().builds().next());
        self.meter.builds = builds;
        self.meter
    }

    fn advance(&mut self, kind: &'static str, input: Input) -> Outcome {
        let Self { core, now, meter, touched, .. } = self;
        let outcome = meter.measure(kind, || core.advance(*now, input));
        assert!(outcome.illegal.is_empty(), "{:?}", outcome.illegal);
        for change in &outcome.changes {
            match change {
                Change::Build { build, .. } | Change::Attempt { build, .. } => drop(touched.builds.insert(*build)),
                Change::Item { path, .. } if !touched.items.contains(path) => drop(touched.items.insert(path.clone())),
                _ => {}
            }
        }
        outcome
    }

    fn say_hello(&mut self, store_dir: &StoreDir) {
        for n in 0..AGENTS {
            let agent = AgentId::from_uuid(uuid(1000 + n));
            self.held.insert(agent, BTreeMap::new());
            let hello = Hello {
                name: format!("agent-{n}"),
                version: "0".into(),
                store_dir: store_dir.clone(),
                store: StoreId::from(format!("store-{n}")),
                systems: self.systems.clone(),
                features: vec!["big-parallel".into(), "kvm".into()],
                mandatory_features: BTreeSet::new(),
                resources: BTreeMap::new(),
                tags: BTreeMap::new(),
                max_parallel_builds: SLOTS,
                servers: BTreeSet::new(),
                beat: beat(Vec::new()),
            };
            self.advance("hello", Input::Hello { agent, hello: Box::new(hello) });
        }
    }

    fn submit(&mut self, graph: Graph) {
        let Graph { submission: id, store_dir, builds, sources } = graph;
        self.advance("enter", Input::Enter(submission(id, store_dir)));
        let mut sources = sources.into_iter().map(source).peekable();
        while sources.peek().is_some() {
            let sources = sources.by_ref().take(ROWS).collect();
            self.advance("add sources", Input::AddSources { submission: id, sources });
        }
        let mut builds = builds.into_iter().peekable();
        while builds.peek().is_some() {
            let builds = builds.by_ref().take(ROWS).collect();
            self.advance("add builds", Input::AddBuilds { submission: id, builds });
        }
        self.advance("go live", Input::GoLive { submission: id });
    }

    /// False if there was nothing to do.
    fn round(&mut self) -> bool {
        self.now = Now { heard: self.now.heard.plus_millis(ROUND_MILLIS), wall: Timestamp(0) };
        self.advance("tick", Input::Tick);
        let effects = self.advance("dispatch", Input::Dispatch).effects;
        let mut offers: Vec<(AgentId, Box<Offer>)> = Vec::new();
        let mut questions: Vec<Box<Publish>> = Vec::new();
        for effect in effects {
            match effect {
                Effect::Offer { agent, offer } => offers.push((agent, offer)),
                Effect::Ask { publish, .. } => questions.push(publish),
                _ => {}
            }
        }
        if offers.is_empty() && questions.is_empty() {
            return false;
        }
        offers.iter().for_each(|(agent, offer)| self.accept(*agent, offer));
        self.beat();
        for (agent, offer) in &offers {
            self.report(*agent, offer);
        }
        for publish in questions {
            let done = Done { publication: publish.publication, verdict: PublishVerdict::Published };
            self.advance("published", Input::Published(done));
        }
        self.forget();
        true
    }

    fn accept(&mut self, agent: AgentId, offer: &Offer) {
        let Offer { build, attempt, epoch, .. } = *offer;
        let held = Held { attempt, build, drv: offer.drv.clone(), epoch, phase: Phase::Building };
        self.held.entry(agent).or_default().insert(attempt, held);
        let answer = Answer::Said(OfferAnswer::Accepted);
        self.advance("answered", Input::Answered { agent, build, attempt, answer });
    }

    /// Every agent beats, with what it builds, and what it uploaded and may not forget yet.
    fn beat(&mut self) {
        for agent in self.held.keys().copied().collect::<Vec<_>>() {
            let held = self.held.get(&agent).into_iter().flat_map(|held| held.values().cloned()).collect();
            let verdicts = self.advance("beat", Input::Beat { agent, beat: Box::new(beat(held)) }).verdicts;
            let Some(held) = self.held.get_mut(&agent) else { continue };
            for verdict in verdicts {
                assert_eq!(verdict.order, Order::Settled, "nothing goes wrong here");
                held.remove(&verdict.attempt);
            }
        }
    }

    fn report(&mut self, agent: AgentId, offer: &Offer) {
        let Some(build) = self.core.state().build(offer.build) else { return };
        let products: Vec<_> = build.recipe.outputs.iter().map(|(name, product)| (name.clone(), product.path.clone())).collect();
        // What a build refers to are outputs of others, which are named like them, hardly ever sources.
        let references = self.core.state().inputs(build.id).take(REFERENCES).map(|(path, _)| path.clone()).collect::<Vec<_>>();
        let (outputs, times) = (products.iter().cloned().collect(), Times { build_micros: 60_000_000, ..Times::default() });
        self.tell(agent, "built", offer, Told::Built(Built { outputs, already_valid: false, times, log: None }));
        let output = |(name, path)| UploadedOutput { name, path, references: references.clone(), nar: nar() };
        let outputs = products.into_iter().map(output).collect();
        self.tell(agent, "uploaded", offer, Told::Uploaded(Uploaded { outputs, upload_micros: 0 }));
        let held = self.held.get_mut(&agent).and_then(|held| held.get_mut(&offer.attempt));
        held.into_iter().for_each(|held| held.phase = Phase::Uploaded);
    }

    fn tell(&mut self, agent: AgentId, kind: &'static str, offer: &Offer, outcome: Told) {
        let Offer { attempt, build, epoch, .. } = *offer;
        let report = Report { report: ReportId::from_uuid(uuid(3)), attempt, build, epoch, outcome };
        self.advance(kind, Input::Report { agent, report: Box::new(report) });
    }

    fn forget(&mut self) {
        let Self { core, meter, touched, .. } = self;
        let Touched { builds, items } = std::mem::take(touched);
        let (mut builds, mut items) = (Vec::from_iter(builds), Vec::from_iter(items));
        builds.sort_unstable();
        items.sort_unstable();
        meter.measure("forget", || core.state_mut().forget_finished([], builds, items));
    }
}

fn submission(id: SubmissionId, store_dir: StoreDir) -> Submission {
    Submission {
        id,
        client: ClientId::from_uuid(uuid(2)),
        store_dir,
        roots: Vec::new(),
        priority: 0,
        input_builds: true,
        tags: BTreeMap::new(),
        terms: Default::default(),
        submitted_at: Timestamp(0),
        state: SubmissionState::Planning,
    }
}

fn source(path: StorePath) -> SourceNar {
    SourceNar { path, ca: ContentAddress::source(Sha256::of(b"")), references: Vec::new(), nar: nar() }
}

fn nar() -> Nar {
    let hash = Sha256::from_bytes([0; 32]);
    Nar {
        key: "incoming/agent/attempt/0123456789abcdfghijklmnpqrsvwxyz.nar.zst".into(),
        nar_hash: hash,
        nar_size: 1,
        file_hash: hash,
        file_size: 1,
    }
}

fn beat(held: Vec<Held>) -> Beat {
    Beat { generation: Generation(1), load_percent: 0, store_free_bytes: 1 << 40, not_ready: None, held, ..Beat::default() }
}

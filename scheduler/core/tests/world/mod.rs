//! A farm without machines: the core, a database that is three maps, agents and a pool that are structs, a network that
//! is a list, and one seed for everything that can go wrong.

mod agent;
mod book;
mod graph;

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::publish::{Done, PublishVerdict};
use drover_messages::wish::Wished;
use drover_messages::{AgentId, BuildId, ClientId, Generation, SubmissionId, Timestamp, WishId};
use drover_scheduler_core::input::{Answer, Wanted};
use drover_scheduler_core::{Core, Effect, Input, Limits, Now, Outcome, State, Submission, SubmissionState};
use drover_store::{StoreDir, StorePath};
use uuid::Uuid;

pub use agent::Machine;
pub use book::Book;
pub use graph::Graph;

/// One throw of the dice in a row that the seed fixes (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.throw() % 100 < percent
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.throw() % n.max(1) as u64) as usize
    }
}

/// How often things go wrong, in percent of the times they could.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    pub lose: u64,
    pub repeat: u64,
    pub crash: u64,
    pub restore: u64,
    pub kill_agent: u64,
    pub farm_failure: u64,
    pub refuse: u64,
    /// A user cancels a build, or everything.
    pub cancel: u64,
}

pub struct World {
    pub core: Core,
    pub book: Book,
    pub now: Now,
    pub dice: Dice,
    pub faults: Faults,
    pub machines: BTreeMap<AgentId, Machine>,
    pub graph: Graph,
    /// On the way to the scheduler.
    network: Vec<Input>,
    /// What the stream RES holds: read whole at each start.
    stream: Vec<Input>,
    /// What the cache serves.
    pub cache: BTreeSet<StorePath>,
    snapshot: Option<Book>,
    generation: u64,
    pub illegal: Vec<String>,
    wishes: u64,
    submit: Vec<Input>,
}

pub fn id(n: u64) -> Uuid {
    Uuid::from_u128((0x0193_a1b2_c3d4_7e5f_8000 << 48) | u128::from(n))
}

impl World {
    pub fn new(seed: u64, graph: Graph, faults: Faults, agents: u64) -> Self {
        let limits = Limits { lease_millis: 20_000, beat_every_millis: 1_000, ask_again_millis: 5_000, ..Limits::default() };
        let machines =
            (0..agents).map(|n| (AgentId::from_uuid(id(1000 + n)), Machine::new(AgentId::from_uuid(id(1000 + n)), n))).collect();
        let submit = submission(&graph);
        Self {
            core: Core::new(State::new(Generation(1)), limits),
            book: Book::default(),
            now: Now::default(),
            dice: Dice(seed),
            faults,
            machines,
            graph,
            network: Vec::new(),
            stream: Vec::new(),
            cache: BTreeSet::new(),
            snapshot: None,
            generation: 1,
            illegal: Vec::new(),
            wishes: 0,
            submit,
        }
    }

    /// Brings the graph in, as the planner does; again after a start, for REQ is read whole.
    pub fn submit(&mut self) {
        for input in self.submit.clone() {
            self.decide(input);
        }
    }

    /// One tick of the world: things arrive, break, and go on.
    pub fn tick(&mut self) {
        self.now = Now { heard: self.now.heard.plus_millis(500), wall: Timestamp(self.now.wall.0 + 500) };
        self.deliver();
        for agent in self.machines.keys().copied().collect::<Vec<_>>() {
            self.run_machine(agent);
        }
        if self.dice.chance(self.faults.cancel) {
            self.cancel_something();
        }
        self.decide(Input::Tick);
        self.decide(Input::Dispatch);
        if self.dice.chance(2) {
            self.snapshot = Some(self.book.clone());
        }
        if self.dice.chance(self.faults.crash) {
            self.restart();
        }
        if self.dice.chance(self.faults.restore)
            && let Some(old) = self.snapshot.clone()
        {
            self.book = old;
            self.restart();
        }
    }

    /// One build, or now and then the whole submission.
    fn cancel_something(&mut self) {
        let planned = self.graph.planned();
        let build = planned[self.dice.below(planned.len())].id;
        match self.dice.chance(20) {
            true => self.wish(Wished::Cancel, vec![SubmissionId::from_uuid(id(1))], Vec::new()),
            false => self.wish(Wished::Cancel, Vec::new(), vec![build]),
        }
    }

    /// What the user wants after all.
    pub fn retry_all(&mut self) {
        let builds = self.graph.planned().iter().map(|planned| planned.id).collect();
        self.wish(Wished::Retry, vec![SubmissionId::from_uuid(id(1))], builds);
    }

    fn wish(&mut self, change: Wished, submissions: Vec<SubmissionId>, builds: Vec<BuildId>) {
        self.wishes += 1;
        let wish = WishId::from_uuid(id(5000 + self.wishes));
        let client = ClientId::from_uuid(id(2));
        let wanted = Wanted { wish, client, by_admin: false, change, submissions, builds };
        let input = Input::Wish(Box::new(wanted));
        self.stream.push(input.clone());
        self.decide(input);
    }

    /// A scheduler begins a reign on what is recorded, and reads its streams whole.
    pub fn restart(&mut self) {
        self.generation += 1;
        let limits = self.core.limits().clone();
        self.core = Core::new(self.book.state(Generation(self.generation), self.now.heard, &limits), limits);
        self.network.clear();
        self.submit();
        for input in self.stream.clone() {
            self.decide(input);
        }
        self.decide(Input::CaughtUp);
    }

    fn deliver(&mut self) {
        let mut arriving = std::mem::take(&mut self.network);
        while !arriving.is_empty() {
            let input = arriving.swap_remove(self.dice.below(arriving.len()));
            if self.dice.chance(self.faults.lose) {
                continue;
            }
            if self.dice.chance(self.faults.repeat) {
                self.network.push(input.clone());
            }
            self.decide(input);
        }
    }

    fn run_machine(&mut self, agent: AgentId) {
        let (kill, fails) = (self.dice.chance(self.faults.kill_agent), self.faults.farm_failure);
        let Some(machine) = self.machines.get_mut(&agent) else { return };
        if kill {
            machine.restart();
        }
        let reports = machine.work(&self.graph, &mut self.dice, fails);
        let introduction = machine.introduction();
        let beat = machine.beat();
        for report in reports {
            self.send(Input::Report { agent, report: Box::new(report) });
        }
        match introduction {
            Some(hello) => self.decide(Input::Hello { agent, hello: Box::new(hello) }),
            None => self.decide(Input::Beat { agent, beat: Box::new(beat) }),
        }
    }

    /// On a stream: it is kept for the next start, and it may be lost on the way to this one.
    fn send(&mut self, input: Input) {
        self.stream.push(input.clone());
        self.network.push(input);
    }

    /// As the shell does it: recall, decide, record, carry out, let go.
    pub fn decide(&mut self, input: Input) {
        if let Input::Wish(wanted) = &input
            && self.book.wishes.contains(&wanted.wish)
        {
            return;
        }
        let beating = match &input {
            Input::Hello { agent, .. } | Input::Beat { agent, .. } => Some(*agent),
            _ => None,
        };
        let recall = self.book.recall_for(&input, self.core.state());
        self.core.advance(self.now, recall);
        let outcome = self.core.advance(self.now, input);
        self.illegal.extend(outcome.illegal.iter().map(ToString::to_string));
        self.book.record(&outcome, self.core.state_mut());
        self.carry_out(outcome, beating);
    }

    fn carry_out(&mut self, outcome: Outcome, beating: Option<AgentId>) {
        if let Some(machine) = beating.and_then(|agent| self.machines.get_mut(&agent)) {
            let reports = machine.obey(&outcome.verdicts, outcome.hello);
            let agent = machine.id;
            for report in reports {
                self.send(Input::Report { agent, report: Box::new(report) });
            }
        }
        for effect in outcome.effects {
            match effect {
                Effect::Offer { agent, offer } => {
                    let (build, attempt) = (offer.build, offer.attempt);
                    let answer = match self.machines.get_mut(&agent) {
                        Some(_) if self.dice.chance(self.faults.lose) => Answer::Silence,
                        Some(machine) => Answer::Said(machine.consider(*offer)),
                        None => Answer::NobodyThere,
                    };
                    self.network.push(Input::Answered { agent, build, attempt, answer });
                }
                Effect::Abort { agent, abort } => {
                    if let Some(machine) = self.machines.get_mut(&agent) {
                        machine.abort(abort.attempt);
                    }
                }
                Effect::Ask { publish, .. } if self.dice.chance(self.faults.lose) => {
                    self.network.push(Input::NotAsked(publish.publication));
                }
                Effect::Ask { publish, .. } => {
                    let missing: Vec<StorePath> = publish
                        .references
                        .iter()
                        .filter(|r| !self.cache.contains(*r) && !publish.elsewhere.contains(r))
                        .cloned()
                        .collect();
                    let verdict = if self.cache.contains(&publish.path) {
                        PublishVerdict::AlreadyThere
                    } else if self.dice.chance(self.faults.refuse) {
                        PublishVerdict::Refused { why: "other bytes".into() }
                    } else if missing.is_empty() {
                        self.cache.insert(publish.path.clone());
                        PublishVerdict::Published
                    } else {
                        PublishVerdict::ReferencesMissing { missing }
                    };
                    self.send(Input::Published(Done { publication: publish.publication, verdict }));
                }
                Effect::Confirm { store_dir, paths } => {
                    let items = paths.into_iter().map(|path| (path.clone(), self.cache.contains(&path))).collect();
                    self.network.push(Input::Confirmed { store_dir, items });
                }
                Effect::Abdicate(_) | Effect::Discard { .. } | Effect::Replan { .. } => {}
            }
        }
    }

    /// Until every build is in an end state, or this is not to be expected any more.
    pub fn run_to_the_end(&mut self, most_ticks: usize) {
        for _ in 0..most_ticks {
            if self.is_over() {
                return;
            }
            self.tick();
        }
    }

    fn is_over(&self) -> bool {
        self.book.builds.len() == self.graph.planned().len()
            && self.book.builds.values().all(|build| {
                let state = self.core.state().build(build.id).map_or(&build.state, |build| &build.state);
                match state.name().as_str() {
                    "succeeded" => build.products().all(|path| self.cache.contains(path)),
                    name => name == "failed" || name == "blocked",
                }
            })
    }

    pub fn state_name(&self, build: BuildId) -> &'static str {
        let state = self.core.state().build(build).map(|build| &build.state);
        state.or(self.book.builds.get(&build).map(|build| &build.state)).map_or("unknown", |state| state.name().as_str())
    }
}

fn submission(graph: &Graph) -> Vec<Input> {
    let id = SubmissionId::from_uuid(id(1));
    let submission = Submission {
        id,
        client: ClientId::from_uuid(self::id(2)),
        store_dir: StoreDir::nix(),
        roots: Vec::new(),
        priority: 0,
        tags: BTreeMap::new(),
        input_builds: true,
        terms: Default::default(),
        submitted_at: Timestamp(1),
        state: SubmissionState::Planning,
    };
    let builds = graph.planned();
    let found = vec![(graph::external(), BTreeSet::from([graph::SERVER.to_owned()]))];
    let found = Input::Found { store_dir: StoreDir::nix(), found };
    vec![Input::Enter(submission), found, Input::AddBuilds { submission: id, builds }, Input::GoLive { submission: id }]
}

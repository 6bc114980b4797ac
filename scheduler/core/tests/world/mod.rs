//! A farm without machines: schedulers on databases that are a few maps, agents and a pool that are structs, a network that
//! is a list, two streams, and one seed for everything that can go wrong.

mod agent;
mod book;
mod breakage;
mod checks;
mod dice;
mod effects;
mod faults;
mod graph;
mod pool;
mod reasons;
mod reign;
mod requests;
mod succession;

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::{AgentId, BuildId, Generation, Timestamp};
use drover_scheduler_core::{BuildState, Input, Limits};
use drover_store::StorePath;
use uuid::Uuid;

pub use agent::Machine;
pub use book::Book;
use checks::{Ledger, after_commit};
pub use dice::Dice;
pub use faults::Faults;
pub use graph::{Derivation, Graph, build_of, submission};
use pool::Pool;
use reign::{Batch, Letter, Reign};
use requests::Request;

/// What passes between two ticks, in milliseconds.
pub const TICK_MILLIS: u64 = 500;
/// Messages that a scheduler takes at once, at most.
const BATCH: usize = 6;

/// Where in its round a scheduler is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Decided,
    Committed,
    CarriedOut,
}

pub struct World {
    /// Those that believe that they reign, the newest last.
    pub reigns: Vec<Reign>,
    pub dice: Dice,
    pub faults: Faults,
    pub machines: BTreeMap<AgentId, Machine>,
    pub graph: Graph,
    pub pool: Pool,
    /// When the newest is to be killed: in this of its rounds, counted over all reigns, and then.
    pub kill_at: Option<(u64, Moment)>,
    /// Rounds of deciding and committing, so far.
    pub rounds: u64,
    /// What the cache has lost.
    pub rotten: BTreeSet<StorePath>,
    limits: Limits,
    wall: Timestamp,
    generation: u64,
    /// On the way to one scheduler, or to all.
    network: Vec<(Option<Generation>, Input)>,
    /// What the streams hold.
    requests: Vec<Request>,
    results: Vec<Input>,
    /// What users have submitted, and wait for.
    submitted: BTreeSet<u64>,
    wishes: u64,
    snapshot: Option<Book>,
    cut_off: u64,
    ledger: Ledger,
}

pub fn id(n: u64) -> Uuid {
    Uuid::from_u128((0x0193_a1b2_c3d4_7e5f_8000 << 48) | u128::from(n))
}

impl World {
    pub fn new(seed: u64, graph: Graph, faults: Faults, agents: u64) -> Self {
        let limits = Limits {
            lease_millis: 20_000,
            beat_every_millis: 1_000,
            asked_at_once: 4,
            large_asked_at_once: 2,
            ask_again_millis: 5_000,
            save_up_after_millis: 1_000,
            // In some worlds little is borne with.
            tries: if seed % 4 == 3 { 2 } else { 50 },
            ..Limits::default()
        };
        let machine = |n| (AgentId::from_uuid(id(1000 + n)), Machine::new(AgentId::from_uuid(id(1000 + n)), n));
        let mut first = Reign::begin(Book::default(), Generation(1), limits.clone());
        first.inbox.push(Input::CaughtUp.into());
        Self {
            reigns: vec![first],
            dice: Dice(seed),
            faults,
            machines: (0..agents).map(machine).collect(),
            graph,
            pool: Pool::default(),
            kill_at: None,
            rounds: 0,
            rotten: BTreeSet::new(),
            limits,
            wall: Timestamp(1_000_000_000_000),
            generation: 1,
            network: Vec::new(),
            requests: Vec::new(),
            results: Vec::new(),
            submitted: BTreeSet::new(),
            wishes: 0,
            snapshot: None,
            cut_off: 0,
            ledger: Ledger::default(),
        }
    }

    /// The one whose word counts.
    pub fn newest(&self) -> &Reign {
        self.reigns.last().expect("somebody reigns")
    }

    fn reign(&mut self, generation: Generation) -> Option<&mut Reign> {
        self.reigns.iter_mut().find(|reign| reign.generation == generation && !reign.over)
    }

    fn generations(&self) -> Vec<Generation> {
        self.reigns.iter().map(|reign| reign.generation).collect()
    }

    /// One tick of the world: things arrive, break, and go on.
    pub fn tick(&mut self) {
        self.wall = Timestamp(self.wall.0 + TICK_MILLIS);
        let (faults, cache) = (self.faults, &self.pool.cache);
        for machine in self.machines.values_mut() {
            machine.work(&self.graph, cache, &mut self.dice, faults.farm_failure);
        }
        if self.cut_off > 0 {
            return self.stay_cut_off();
        }
        for reign in &mut self.reigns {
            reign.heard = reign.heard.plus_millis(TICK_MILLIS);
        }
        self.deliver();
        self.hear_machines();
        if self.dice.chance(faults.cancel) {
            self.cancel_something();
        }
        for generation in self.generations() {
            self.bring(generation, Input::Tick);
            self.run(generation);
        }
        self.break_something();
        self.end_old_reigns();
    }

    /// The time during which nobody hears anybody does not count; afterwards every agent introduces itself.
    fn stay_cut_off(&mut self) {
        self.cut_off -= 1;
        self.network.retain(|(to, _)| to.is_none());
        if self.cut_off == 0 {
            self.machines.values_mut().for_each(Machine::restart_connection);
        }
    }

    fn deliver(&mut self) {
        let mut arriving = std::mem::take(&mut self.network);
        while !arriving.is_empty() {
            let (to, input) = arriving.swap_remove(self.dice.below(arriving.len()));
            if self.dice.chance(self.faults.lose) {
                continue;
            }
            if self.dice.chance(self.faults.repeat) {
                self.network.push((to, input.clone()));
            }
            for generation in self.generations().into_iter().filter(|generation| to.is_none_or(|to| to == *generation)) {
                self.bring(generation, input.clone());
            }
        }
    }

    fn bring(&mut self, generation: Generation, letter: impl Into<Letter>) {
        if let Some(reign) = self.reign(generation) {
            reign.inbox.push(letter.into());
        }
    }

    /// Beats come to one scheduler, whichever it is; reports stand on a stream.
    fn hear_machines(&mut self) {
        for agent in self.machines.keys().copied().collect::<Vec<_>>() {
            let generations = self.generations();
            let to = generations[self.dice.below(generations.len())];
            let Some(machine) = self.machines.get_mut(&agent) else { continue };
            let Some(reports) = machine.tell() else { continue };
            let lost = self.dice.chance(self.faults.lose);
            let input = match machine.introduction() {
                Some(hello) => Input::Hello { agent, hello: Box::new(hello) },
                None => Input::Beat { agent, beat: Box::new(machine.beat()) },
            };
            for report in reports {
                self.publish(Input::Report { agent, report: Box::new(report) });
            }
            if !lost || matches!(input, Input::Hello { .. }) {
                self.bring(to, Letter { input, from: Some(agent) });
            }
        }
    }

    /// On a stream: it is kept for the next start, and it may be lost on the way to who reigns now.
    fn publish(&mut self, input: Input) {
        self.results.push(input.clone());
        self.network.push((None, input));
    }

    /// A scheduler takes what came in: decide, commit, carry out, answer.
    fn run(&mut self, generation: Generation) {
        loop {
            let most = 1 + self.dice.below(BATCH);
            let wall = self.wall;
            let Some(reign) = self.reign(generation).filter(|reign| !reign.inbox.is_empty()) else { return };
            let letters = reign.inbox.drain(..most.min(reign.inbox.len())).collect();
            let mut batch = reign.decide(letters, wall);
            self.rounds += 1;
            if self.is_killed(generation, Moment::Decided) {
                return self.restart();
            }
            self.commit(generation, &mut batch);
            if self.is_killed(generation, Moment::Committed) {
                return self.restart();
            }
            for effect in std::mem::take(&mut batch.effects) {
                self.carry_out(generation, effect);
            }
            if self.is_killed(generation, Moment::CarriedOut) {
                return self.restart();
            }
            self.answer(generation, batch);
        }
    }

    fn is_killed(&self, generation: Generation, moment: Moment) -> bool {
        self.kill_at == Some((self.rounds, moment)) && self.newest().generation == generation
    }

    fn commit(&mut self, generation: Generation, batch: &mut Batch) {
        let is_newest = self.newest().generation == generation;
        let reign = self.reigns.iter_mut().find(|reign| reign.generation == generation).expect("it has just decided");
        let idle = !reign.commit(batch);
        if !idle && is_newest {
            after_commit(reign, batch, &mut self.ledger);
        }
    }

    /// Nobody hears anybody for so many ticks.
    pub fn cut_off(&mut self, ticks: u64) {
        self.cut_off = ticks;
    }

    /// Somebody sets the clock on the wall.
    pub fn set_wall(&mut self, wall: Timestamp) {
        self.wall = wall;
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
        let reign = self.newest();
        let is_done = |id: &BuildId| match self.state_of(*id) {
            Some(BuildState::Succeeded { .. }) => reign.book.builds[id].products().all(|path| self.is_served(path)),
            Some(BuildState::Failed { .. } | BuildState::Blocked { .. }) => true,
            _ => false,
        };
        let settled = self.machines.values().all(Machine::is_settled);
        settled && self.has_taken_up_all() && reign.caught_up && reign.book.builds.keys().all(is_done)
    }

    /// Whether everybody can fetch it, or could before the cache lost it.
    pub fn is_served(&self, path: &StorePath) -> bool {
        self.pool.cache.contains(path) || self.rotten.contains(path)
    }

    pub fn state_of(&self, build: BuildId) -> Option<&BuildState> {
        let reign = self.newest();
        reign.core.state().build(build).or(reign.book.builds.get(&build)).map(|build| &build.state)
    }

    /// How often builders were started.
    pub fn started(&self) -> u64 {
        self.machines.values().map(|machine| machine.started).sum()
    }
}

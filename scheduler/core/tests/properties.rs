//! Whatever is asked of the core, in whatever order: what it keeps step by step is what it would be if it were computed
//! anew. Weights, links, what is blocked, queues, shares, counters and leases are looked at after every step.

#![allow(clippy::unwrap_used)] // Helpers of tests.

#[path = "world/dice.rs"]
mod dice;
#[allow(dead_code)]
mod farm;

use std::collections::{BTreeMap, BTreeSet};

use dice::Dice;
use drover_messages::offer::{Offer, OfferAnswer};
use drover_messages::wish::Wished;
use drover_messages::{AgentId, BuildId, Cause, SubmissionId};
use drover_scheduler_core::input::Answer;
use drover_scheduler_core::plan::Planned;
use drover_scheduler_core::{Input, Limits};
use drover_store::StoreDir;
use farm::{Farm, build, path, planned, submission};

const SEEDS: u64 = 60;
const STEPS: usize = 250;
/// Derivations, of which each may need some of those before it.
const DERIVATIONS: usize = 14;
const AGENTS: usize = 4;
const SUBMISSIONS: usize = 6;

/// A farm, and what was offered in it.
struct Trial {
    farm: Farm,
    dice: Dice,
    offered: Vec<(AgentId, Offer)>,
    submitted: u128,
}

fn name(n: usize) -> String {
    // Some are of one package.
    format!("pkg{}-{n}", n % 5)
}

/// What a derivation needs is the same whenever it is submitted.
fn needs(n: usize) -> BTreeSet<usize> {
    let mut dice = Dice(n as u64);
    (0..dice.below(4)).filter(|_| n > 0).map(|_| dice.below(n)).collect()
}

fn plan(submitted: u128, n: usize, root: bool) -> Planned {
    let needs: Vec<String> = needs(n).into_iter().map(name).collect();
    let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
    let mut planned = planned(submitted, &name(n), &needs, root);
    if n.is_multiple_of(4) {
        planned.recipe.features = BTreeSet::from(["mem:8".to_owned()]);
    }
    planned
}

impl Trial {
    fn new(seed: u64) -> Self {
        let limits = Limits { losses: 3, slots_per_client: 3, ..Limits::default() };
        Self { farm: Farm::with(limits), dice: Dice(seed), offered: Vec::new(), submitted: 0 }
    }

    fn step(&mut self) {
        match self.dice.below(16) {
            0 => self.submit(),
            1 => self.introduce(),
            2..=4 => self.offer(),
            5..=7 => self.succeed(),
            8 => self.fail(),
            9 => self.confirm(),
            10 => self.find(),
            11 => self.wish(),
            12 => self.drain(),
            13 => self.beat(),
            14 => self.forget(),
            _ => {
                let millis = [500, 20_000, 70_000, 3_700_000][self.dice.below(4)];
                self.farm.later(millis);
            }
        }
    }

    /// A few roots, and all that is below them.
    fn submit(&mut self) {
        if self.submitted as usize == SUBMISSIONS {
            return;
        }
        self.submitted += 1;
        let roots: BTreeSet<usize> = (0..3).map(|_| self.dice.below(DERIVATIONS)).collect();
        let mut all = roots.clone();
        for n in (0..DERIVATIONS).rev() {
            if all.contains(&n) {
                all.extend(needs(n));
            }
        }
        let n = self.submitted;
        self.farm.submit(n, all.into_iter().map(|derivation| plan(n, derivation, roots.contains(&derivation))).collect());
    }

    fn introduce(&mut self) {
        let (n, slots) = (self.dice.below(AGENTS) as u128, 1 + self.dice.below(3) as u32);
        let (memory, reaches) = (self.dice.below(20) as u64, self.dice.chance(50));
        self.farm.agent_with(n, slots, |hello| {
            hello.resources = BTreeMap::from([("mem".to_owned(), memory)]);
            hello.servers = reaches.then(|| "https://a".to_owned()).into_iter().collect();
        });
    }

    fn offer(&mut self) {
        for (agent, offer) in self.farm.offered_to() {
            let answer = match self.dice.below(8) {
                0 => Answer::NobodyThere,
                1 => Answer::Silence,
                _ => Answer::Said(OfferAnswer::Accepted),
            };
            self.farm.advance(Input::Answered { agent, build: offer.build, attempt: offer.attempt, answer });
            self.offered.push((agent, offer));
        }
    }

    /// Of any offer, however old.
    fn any_offer(&mut self) -> Option<(AgentId, Offer)> {
        let n = self.dice.below(self.offered.len());
        self.offered.get(n).cloned()
    }

    fn succeed(&mut self) {
        let Some((agent, offer)) = self.any_offer() else { return };
        let millis = 1 << self.dice.below(20);
        self.farm.built(agent, &offer, millis);
    }

    fn fail(&mut self) {
        let Some((agent, offer)) = self.any_offer() else { return };
        let causes = [Cause::BuilderFailed, Cause::DiskFull, Cause::DownloadFailed, Cause::Aborted];
        let cause = causes[self.dice.below(causes.len())].clone();
        self.farm.failed(agent, &offer, cause);
    }

    /// The bucket says what it has.
    fn confirm(&mut self) {
        let items = (0..3).map(|_| (path(&name(self.dice.below(DERIVATIONS))), self.dice.chance(60))).collect();
        self.farm.advance(Input::Confirmed { store_dir: StoreDir::nix(), items, missed_by: None });
    }

    fn find(&mut self) {
        let servers: BTreeSet<String> = self.dice.chance(70).then(|| "https://a".to_owned()).into_iter().collect();
        let found = vec![(path(&name(self.dice.below(DERIVATIONS))), servers)];
        self.farm.advance(Input::Found { store_dir: StoreDir::nix(), found });
    }

    fn wish(&mut self) {
        let n = 1 + self.dice.below(SUBMISSIONS) as u128;
        let change = match self.dice.below(4) {
            0 => Wished::Cancel,
            1 => Wished::Retry,
            _ => Wished::Priority(self.dice.below(9) as i32 - 4),
        };
        match self.dice.chance(50) {
            true => self.farm.wish(n, change, &[n], &[]),
            false => self.farm.wish(n, change, &[], &[build(n, &name(self.dice.below(DERIVATIONS)))]),
        };
    }

    fn drain(&mut self) {
        let agents: Vec<AgentId> = self.farm.core.state().agents().map(|(id, _)| id).collect();
        let Some(agent) = agents.get(self.dice.below(agents.len())) else { return };
        let (drained, deadline) = (self.dice.chance(40), self.dice.chance(50));
        let deadline_millis = deadline.then_some(10_000);
        self.farm.advance(Input::Drain { agents: BTreeSet::from([*agent]), drained, deadline_millis });
    }

    /// An agent that has nothing in its hands.
    fn beat(&mut self) {
        let agents: Vec<AgentId> = self.farm.core.state().agents().map(|(id, _)| id).collect();
        if let Some(agent) = agents.get(self.dice.below(agents.len())) {
            self.farm.beat(*agent);
        }
    }

    /// As after a commit.
    fn forget(&mut self) {
        let builds: Vec<BuildId> = self.farm.core.state().builds().map(|build| build.id).collect();
        let submissions: Vec<SubmissionId> = (1..=self.submitted).map(submission).collect();
        let items: Vec<_> = (0..DERIVATIONS).map(|n| path(&name(n))).collect();
        self.farm.core.state_mut().forget_finished(submissions, builds, items);
    }
}

#[test]
fn what_is_kept_step_by_step_is_as_if_computed_anew() {
    let (mut given, mut succeeded, mut blocked) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut trial = Trial::new(seed);
        for step in 0..STEPS {
            trial.step();
            let audit = trial.farm.core.state().audit();
            assert_eq!(audit, Ok(()), "seed {seed}, step {step}");
            let states = || trial.farm.core.state().builds().map(|build| build.state.name().as_str());
            succeeded += states().filter(|state| *state == "succeeded").count();
            blocked += states().filter(|state| *state == "blocked").count();
        }
        given += trial.offered.len();
    }
    assert!(given > 500 && succeeded > 1_000 && blocked > 100, "nothing much happened: {given} {succeeded} {blocked}");
}

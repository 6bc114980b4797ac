//! The farm in virtual time: the scheduler's core, agents and a pool `publish` that are structs, and an agenda. Nothing
//! waits, and nothing is lost on the way.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use drover_messages::agent::{Held, Phase};
use drover_messages::offer::Offer;
use drover_messages::publish::{Done, Origin, Publish, PublishVerdict};
use drover_messages::report::{self, Report};
use drover_messages::{AgentId, BuildId, ReportId, Timestamp};
use drover_scheduler_core::input::Answer;
use drover_scheduler_core::{Change, Core, Effect, Heard, Input, Limits, Now, Order, Outcome, Package, Took};
use drover_store::StorePath;
use indicatif::ProgressBar;
use uuid::Uuid;

use super::agenda::{Agenda, Event};
use super::bound::took;
use super::dice::Dice;
use super::fleet::Fleet;
use super::graph::Graph;
use super::ledger::{Ledger, Span};
use super::machine::Machine;
use super::outcome::word;
use super::{said, set_up};

/// When nothing was built for so long in virtual time and nothing is being built, nothing will be, in milliseconds.
const STILL_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// What is given.
pub(super) struct Ground<'a> {
    /// What is to be built.
    pub(super) graph: &'a Graph,
    /// By whom.
    pub(super) fleet: &'a Fleet,
    /// What each build takes at speed 1, in milliseconds.
    pub(super) millis: &'a [u64],
    /// What a scheduler that knows the packages has learned.
    pub(super) learned: &'a BTreeMap<Package, Took>,
    /// Of failures.
    pub(super) seed: u64,
}

/// A farm at work.
pub(super) struct Farm<'a> {
    ground: &'a Ground<'a>,
    core: Core,
    now_millis: u64,
    agenda: Agenda,
    machines: Vec<Machine>,
    dice: Dice,
    ledger: Ledger,
    /// For each build, how many outputs cannot be fetched yet, and when the last one could.
    published: Vec<(usize, u64)>,
    /// When each build came.
    arrived: Vec<u64>,
    /// Submissions that are still to come.
    to_come: usize,
    running: usize,
    last_end: u64,
    touched: (BTreeSet<BuildId>, BTreeSet<StorePath>),
    bar: ProgressBar,
}

impl<'a> Farm<'a> {
    /// Every agent has said hello, and what comes at once is entered.
    pub(super) fn new(ground: &'a Ground<'a>, order: Order, beyond_slots: u32, known: bool) -> anyhow::Result<Self> {
        let limits = Limits { offers_beyond_slots: beyond_slots, order, ..Limits::default() };
        let mut farm = Self {
            ground,
            core: Core::new(set_up::state(ground, known), limits),
            now_millis: 0,
            agenda: Agenda::default(),
            machines: ground.fleet.agents().map(|kind| Machine::new(kind.clone(), beyond_slots)).collect(),
            dice: Dice::new(ground.seed, "failures"),
            ledger: Ledger::new(word(order)),
            published: ground.graph.builds.iter().map(|planned| (planned.recipe.outputs.len(), 0)).collect(),
            arrived: ground.graph.arrived(),
            to_come: ground.graph.arrivals.len(),
            running: 0,
            last_end: 0,
            touched: Default::default(),
            bar: set_up::bar(ground.graph.builds.len(), order),
        };
        for input in set_up::inputs(ground, &farm.machines) {
            farm.decide(input)?;
        }
        for (n, arrival) in ground.graph.arrivals.iter().enumerate() {
            match arrival.at_millis {
                0 => farm.arrives(n)?,
                at_millis => farm.agenda.add(at_millis, Event::Arrives { arrival: n }),
            }
        }
        for agent in 0..farm.machines.len() {
            farm.agenda.add(farm.core.limits().beat_every_millis, Event::Beat { agent });
        }
        Ok(farm)
    }

    /// Builds all of it.
    pub(super) fn run(mut self) -> anyhow::Result<Ledger> {
        self.hand_out()?;
        let builds = self.published.len();
        while self.ledger.waits.len() < builds || self.published.iter().any(|(open, _)| *open > 0) {
            let Some(at) = self.agenda.next_millis() else { bail!("nothing will happen any more") };
            self.now_millis = at;
            while let Some(event) = self.agenda.next_until(at) {
                self.happen(event)?;
            }
            self.hand_out()?;
            if self.running == 0 && self.to_come == 0 && at > self.last_end + STILL_MILLIS {
                bail!("nothing was built for a day, with {} builds left", builds - self.ledger.waits.len());
            }
        }
        self.ledger.makespan = self.published.iter().map(|(_, at)| *at).max().unwrap_or(0);
        self.bar.finish_and_clear();
        Ok(self.ledger)
    }

    fn happen(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Arrives { arrival } => self.arrives(arrival),
            Event::Beat { agent } => self.beat(agent),
            Event::Ends { span, held } => self.ends(span, held),
            Event::Uploaded { agent, held } => self.uploaded(agent, held),
            Event::Published { publication, build } => {
                if let Some(n) = self.ground.graph.index.get(&build) {
                    let (open, at) = &mut self.published[*n];
                    (*open, *at) = (open.saturating_sub(1), self.now_millis);
                }
                self.decide(Input::Published(Done { publication, verdict: PublishVerdict::Published })).map(drop)
            }
        }
    }

    fn arrives(&mut self, arrival: usize) -> anyhow::Result<()> {
        let arrival = &self.ground.graph.arrivals[arrival];
        for input in set_up::arrival(self.ground, arrival, |build| self.published[build].0 == 0) {
            self.decide(input)?;
        }
        (self.to_come, self.last_end) = (self.to_come - 1, self.now_millis);
        set_up::all_can_be_built(self.ground, &self.core, arrival)
    }

    fn beat(&mut self, agent: usize) -> anyhow::Result<()> {
        let beat = Box::new(self.machines[agent].beat());
        let outcome = self.decide(Input::Beat { agent: set_up::agent(agent), beat })?;
        self.machines[agent].obey(&outcome.verdicts);
        self.agenda.add(self.now_millis + self.core.limits().beat_every_millis, Event::Beat { agent });
        self.begin(agent);
        Ok(())
    }

    fn ends(&mut self, span: Span, held: Held) -> anyhow::Result<()> {
        self.running -= 1;
        self.last_end = self.now_millis;
        let phase = if span.failed { Phase::Failed } else { Phase::Built };
        let Some(held) = self.machines[span.agent].end(held.attempt, phase) else { return Ok(()) };
        self.ledger.spans.push(span);
        self.begin(span.agent);
        if span.failed {
            return self.report(span.agent, &held, said::failed(span.to - span.from));
        }
        let recipe = &self.ground.graph.builds[span.build].recipe;
        self.report(span.agent, &held, said::built(recipe, span.to - span.from))?;
        self.ledger.waits.push(span.from.saturating_sub(self.ready_at(span.build)));
        self.bar.inc(1);
        match self.machines[span.agent].kind.upload_millis {
            0 => self.uploaded(span.agent, held),
            millis => {
                self.agenda.add(self.now_millis + millis, Event::Uploaded { agent: span.agent, held });
                Ok(())
            }
        }
    }

    /// When it had come and all inputs could be fetched.
    fn ready_at(&self, build: usize) -> u64 {
        let graph = self.ground.graph;
        let at = |maker: &usize| {
            let (open, at) = self.published[*maker];
            if open == 0 { at } else { u64::MAX }
        };
        graph.needs[build]
            .iter()
            .filter_map(|item| graph.makers[*item].iter().map(at).min())
            .max()
            .unwrap_or(0)
            .max(self.arrived[build])
    }

    fn uploaded(&mut self, agent: usize, held: Held) -> anyhow::Result<()> {
        let build = self.ground.graph.index[&held.build];
        if self.core.state().build(held.build).is_none() {
            // Another build has made the same, and the scheduler is done with this one.
            self.published[build] = (0, self.now_millis);
        }
        let Some(held) = self.machines[agent].end(held.attempt, Phase::Uploaded) else { return Ok(()) };
        self.report(agent, &held, said::uploaded(&self.ground.graph.builds[build].recipe))
    }

    fn report(&mut self, agent: usize, held: &Held, outcome: report::Outcome) -> anyhow::Result<()> {
        let report = ReportId::from_uuid(Uuid::nil());
        let report = Report { report, attempt: held.attempt, build: held.build, epoch: held.epoch, outcome };
        self.decide(Input::Report { agent: set_up::agent(agent), report: Box::new(report) }).map(drop)
    }

    /// The scheduler gives what it has to give, and lets go of what is finished.
    fn hand_out(&mut self) -> anyhow::Result<()> {
        let effects = self.decide(Input::Tick)?.effects.into_iter().chain(self.decide(Input::Dispatch)?.effects);
        for effect in effects {
            match effect {
                Effect::Offer { agent, offer } => self.offer(agent, &offer)?,
                Effect::Abort { agent, abort } => {
                    let agent = set_up::number(agent);
                    self.machines[agent].drop(abort.attempt);
                    self.begin(agent);
                }
                Effect::Ask { publish, .. } => self.publish(&publish),
                // Nothing is lost here, and there is no bucket to tidy.
                _ => {}
            }
        }
        let (builds, items) = std::mem::take(&mut self.touched);
        self.core.state_mut().forget_finished([], builds, items);
        Ok(())
    }

    fn offer(&mut self, agent: AgentId, offer: &Offer) -> anyhow::Result<()> {
        let n = set_up::number(agent);
        let answer = Answer::Said(self.machines[n].consider(offer));
        self.decide(Input::Answered { agent, build: offer.build, attempt: offer.attempt, answer })?;
        self.begin(n);
        Ok(())
    }

    /// What waits at an agent takes its free slots.
    fn begin(&mut self, agent: usize) {
        while let Some((slot, held)) = self.machines[agent].begin() {
            let build = self.ground.graph.index[&held.build];
            let kind = &self.machines[agent].kind;
            let failed = self.dice.percent(kind.fails_percent);
            let millis = took(self.ground.millis[build], kind.speed);
            // A machine that fails does so at any time.
            let millis = if failed { (millis as f64 * self.dice.unit()) as u64 } else { millis };
            let (from, to) = (self.now_millis, self.now_millis + millis.max(1));
            self.running += 1;
            self.agenda.add(to, Event::Ends { span: Span { agent, slot, build, from, to, failed }, held });
        }
    }

    fn publish(&mut self, publish: &Publish) {
        if let Origin::Output { build, .. } = publish.origin {
            let publication = publish.publication;
            self.agenda.add(self.now_millis + self.ground.fleet.publish_millis, Event::Published { publication, build });
        }
    }

    fn decide(&mut self, input: Input) -> anyhow::Result<Outcome> {
        let now = Now { heard: Heard(self.now_millis), wall: Timestamp(self.now_millis) };
        let outcome = self.core.advance(now, input);
        if let Some(illegal) = outcome.illegal.first() {
            bail!("the scheduler's tables refuse what it decided; this is a bug: {illegal}");
        }
        for change in &outcome.changes {
            match change {
                Change::Build { build, .. } | Change::Attempt { build, .. } => drop(self.touched.0.insert(*build)),
                Change::Item { path, .. } => drop(self.touched.1.insert(path.clone())),
                _ => {}
            }
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use drover_messages::SubmissionId;
    use drover_store::StoreDir;

    use super::super::graph::Arrival;
    use super::super::graph::tests::graph;
    use super::super::recorded;
    use super::*;

    /// Gives the makespan and all spans.
    fn run(builds: &[(&str, &[&str])], fleet: &str, millis: &[u64], order: Order) -> anyhow::Result<Ledger> {
        let (graph, fleet) = (graph(builds), Fleet::parse(&format!("publish_millis = 0\n{fleet}")).unwrap());
        let learned = recorded::learned(&graph, millis);
        let ground = Ground { graph: &graph, fleet: &fleet, millis, learned: &learned, seed: 1 };
        Farm::new(&ground, order, 0, true)?.run()
    }

    const FAN: &[(&str, &[&str])] = &[("x", &[]), ("y", &[]), ("long", &[]), ("top", &["long"])];

    #[test]
    fn the_long_path_goes_first_by_our_order_and_by_age_it_does_not() {
        let millis = [10_000, 10_000, 10_000, 20_000];
        let of = |order| run(FAN, "[[agents]]\ncount = 2", &millis, order).unwrap().makespan;
        assert_eq!((of(Order::Full), of(Order::FirstComeFirst)), (30_000, 40_000));
    }

    #[test]
    fn what_comes_later_needs_what_was_built_before_it_came() {
        let builds = graph(&[("below", &[]), ("above", &["below", "source"])]).builds;
        let id = |n| SubmissionId::from_uuid(Uuid::from_u128(n));
        let arrival =
            |n, at_millis, build| Arrival { submission: id(n), client: None, at_millis, priority: 0, builds: vec![build] };
        let graph = Graph::arriving(StoreDir::nix(), builds, vec![arrival(1, 0, 0), arrival(2, 100_000, 1)]);
        let fleet = Fleet::parse("publish_millis = 0\n[[agents]]").unwrap();
        let ground = Ground { graph: &graph, fleet: &fleet, millis: &[5_000, 7_000], learned: &BTreeMap::new(), seed: 1 };
        let ledger = Farm::new(&ground, Order::Full, 0, false).unwrap().run().unwrap();
        assert_eq!((ledger.makespan, ledger.waits), (107_000, vec![0, 0]));
    }

    #[test]
    fn what_is_ready_and_has_no_slot_waits() {
        let ledger = run(&[("x", &[]), ("y", &["x"]), ("z", &["x"])], "[[agents]]", &[1_000, 2_000, 3_000], Order::Full).unwrap();
        let mut waits = ledger.waits.clone();
        waits.sort_unstable();
        assert_eq!(waits, [0, 0, 3_000]);
        assert_eq!((ledger.makespan, ledger.busy()), (6_000, 6_000));
    }

    #[test]
    fn slow_agents_take_longer() {
        assert_eq!(run(&[("x", &[])], "[[agents]]\nspeed = 0.5", &[1_000], Order::Full).unwrap().makespan, 2_000);
    }

    #[test]
    fn what_machines_fail_is_built_all_the_same() {
        let names: Vec<String> = (0..40).map(|n| format!("b{n}")).collect();
        let builds: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &[][..])).collect();
        let ledger = run(&builds, "[[agents]]\ncount = 3\nfails_percent = 20", &[5_000; 40], Order::Full).unwrap();
        let failed = ledger.spans.iter().filter(|span| span.failed).count();
        assert!(failed > 0, "nothing failed");
        assert_eq!(ledger.spans.len() - failed, 40);
    }

    #[test]
    fn what_no_agent_can_build_is_said_at_once() {
        let error = run(FAN, "[[agents]]\nsystems = [\"aarch64-linux\"]", &[1; 4], Order::Full).unwrap_err();
        assert!(error.to_string().contains("it does not build for x86_64-linux"), "{error}");
    }
}

//! What is open, in memory, and the one way to change it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use drover_messages::agent::Beat;
use drover_messages::holdings::Holdings;
use drover_messages::{AgentId, BuildId, Cause, ClientId, Generation, PublicationId, StoreId, SubmissionId, WishId};

use crate::Illegal;
use crate::agent::{Agent, KnownAgent};
use crate::attempt::{Attempt, AttemptEvent};
use crate::build::BuildEvent;
use crate::change::Change;
use crate::durations::Durations;
use crate::graph::Affected;
use crate::item::{ItemEvent, ItemState};
use crate::limits::{AGE_STEP_MILLIS, Order, WISHES_REMEMBERED};
use crate::links::{BuildNo, Builds, ItemNo, Items, Node};
use crate::needs::Stores;
use crate::owed::Publication;
use crate::place::Requirement;
use crate::queue::Queue;
use crate::reach::Reach;
use crate::savings::Savings;
use crate::share::Shares;
use crate::submission::{Submission, SubmissionState};
use crate::time::Heard;

/// Everything open. Counters, queues and links are made from what is recorded, never stored.
#[derive(Debug, Default)]
pub struct State {
    pub(crate) generation: Generation,
    pub(crate) next_epoch: u64,
    pub(crate) next_seq: u64,
    pub(crate) caught_up: bool,
    /// No lease is given before.
    pub(crate) leases_from: Heard,
    pub(crate) submissions: BTreeMap<SubmissionId, Submission>,
    pub(crate) members: BTreeMap<SubmissionId, BTreeSet<BuildNo>>,
    pub(crate) builds: Builds,
    pub(crate) items: Items,
    pub(crate) stores: Stores,
    pub(crate) owed: BTreeMap<PublicationId, Box<Owed>>,
    pub(crate) askable: BTreeSet<(std::cmp::Reverse<i32>, u64, PublicationId)>,
    pub(crate) asked: BTreeSet<(Heard, PublicationId)>,
    /// Those of them that lack references, by the pool's word: they take no room from others.
    pub(crate) put_off: BTreeSet<PublicationId>,
    /// Those of them that are large, and not put off.
    pub(crate) large_asked: BTreeSet<PublicationId>,
    /// When it was looked last how urgent publications are.
    pub(crate) debts_weighed: Heard,
    pub(crate) deferred: BTreeSet<(Heard, BuildId)>,
    pub(crate) agents: BTreeMap<AgentId, Agent>,
    /// Agents that were here once.
    pub(crate) absent: BTreeMap<AgentId, KnownAgent>,
    /// The builds in memory that each agent has tried.
    pub(crate) tried_by: BTreeMap<AgentId, BTreeSet<BuildId>>,
    /// Agents that hold something by the records, and have not said hello since this time.
    pub(crate) unheard: BTreeMap<AgentId, Heard>,
    pub(crate) ready: Queue,
    pub(crate) savings: Savings,
    pub(crate) order: Order,
    /// How many builds of each client there are.
    pub(crate) of_client: BTreeMap<ClientId, u64>,
    /// What builds require of agents.
    pub(crate) requirements: BTreeSet<Arc<Requirement>>,
    /// Agents that are to take no builds, and when what they have is stopped.
    pub(crate) drained: BTreeMap<AgentId, Option<Heard>>,
    /// When each ready build counts as more urgent for having waited.
    pub(crate) ageing: BTreeSet<(Heard, BuildId)>,
    pub(crate) durations: Durations,
    pub(crate) shares: Shares,
    /// Submissions that were cancelled before they were heard of.
    pub(crate) cancelled_ahead: BTreeSet<SubmissionId>,
    /// Wishes that were heard by this process, the newest.
    pub(crate) wished: BTreeSet<WishId>,
    pub(crate) reach: Reach,
    /// What is to be looked at because of a change; empty in between.
    pub(crate) affected: Vec<Affected>,
    /// What stores hold, by the word of their agents.
    pub(crate) holdings: BTreeMap<StoreId, Holdings>,
}

/// A publication that is owed, and what is derived of it.
#[derive(Debug)]
pub(crate) struct Owed {
    pub(crate) publication: Arc<Publication>,
    pub(crate) seq: u64,
    pub(crate) urgency: i32,
    pub(crate) missing_references: usize,
    /// The references that were missing when it came to be owed: those that know that it waits for them.
    pub(crate) awaits: Vec<ItemNo>,
    pub(crate) asked: Option<Heard>,
}

impl Owed {
    /// Its place among those that may be asked for.
    pub(crate) fn place(&self) -> (std::cmp::Reverse<i32>, u64, PublicationId) {
        (std::cmp::Reverse(self.urgency), self.seq, self.publication.id)
    }
}

/// A build whose state followed from something else that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) build: BuildId,
    pub(crate) blocked_by: Option<BuildId>,
}

impl State {
    /// The state of a scheduler that starts its reign, with nothing in it.
    pub fn new(generation: Generation) -> Self {
        Self { generation, ..Self::default() }
    }

    /// Mutates, and does nothing else. What follows from the change is derived here as well.
    pub(crate) fn apply(&mut self, change: &Change) -> Result<Vec<Turn>, Illegal> {
        match change {
            Change::Submission(submission) => Ok(self.put_submission(submission.as_ref().clone())),
            Change::BuildCreated(created) => Ok(self.enter(created.build.clone(), &created.inputs)),
            Change::Build { build, event } => self.befall(*build, event.clone()),
            Change::AttemptStarted { build, attempt } => self.start(*build, attempt.as_ref().clone()),
            Change::Attempt { build, attempt, event } => {
                let build = &mut self.builds.get_mut(build).ok_or_else(|| unknown(build))?.build;
                if matches!(event, AttemptEvent::Publish | AttemptEvent::Check) {
                    (build.farm_failures, build.failed_downloads) = (0, 0);
                }
                let attempt = build.attempt_mut(*attempt).ok_or_else(|| unknown(attempt))?;
                attempt.state = attempt.state.next(event.clone())?;
                Ok(Vec::new())
            }
            Change::Told { build, attempt, times, log, already_valid, kept } => {
                let attempt = self.attempt_mut(*build, *attempt)?;
                (attempt.times, attempt.already_valid) = (Some(*times), *already_valid);
                (attempt.log, attempt.kept) = (log.clone(), kept.clone());
                Ok(Vec::new())
            }
            Change::Forgiven { path } => {
                if let Some(entry) = self.items.get_mut(path) {
                    entry.item.losses = 0;
                }
                Ok(Vec::new())
            }
            Change::Differs { build, attempt, kept } => {
                self.attempt_mut(*build, *attempt)?.kept.push(kept.clone());
                Ok(Vec::new())
            }
            Change::Item { store_dir, path, event } => {
                let no = self.enter_item(store_dir, path);
                let Some(entry) = self.items.at_mut(no) else { return Ok(Vec::new()) };
                let next = entry.item.state.next(event.clone())?;
                let before = std::mem::replace(&mut entry.item.state, next);
                entry.item.losses += u32::from(before.can_be_fetched() && entry.item.state == ItemState::Lost);
                let offers_the_same = before.offers_the_same_as(&entry.item.state);
                self.reach.move_item(path, &before, &entry.item.state);
                if let ItemEvent::Build(store) = event {
                    self.store_gains(store, [no]);
                }
                Ok(if offers_the_same { Vec::new() } else { self.item_changed(no) })
            }
            Change::Owed(publication) => {
                self.owe(publication.clone());
                Ok(Vec::new())
            }
            Change::Priority { build, priority } => {
                let node = self.builds.get_mut(build).ok_or_else(|| unknown(build))?;
                node.build.priority = *priority;
                self.weigh(self.builds.number(build));
                Ok(Vec::new())
            }
            Change::OwedDone(id) => {
                self.settle_debt(*id);
                Ok(Vec::new())
            }
            Change::Drain { agent, drained, deadline } => {
                match drained {
                    true => drop(self.drained.insert(*agent, *deadline)),
                    false => drop(self.drained.remove(agent)),
                }
                Ok(Vec::new())
            }
            Change::AgentKnown { agent, known } => {
                match (self.agents.get_mut(agent), known) {
                    (Some(here), Some(known)) => here.breaker = known.breaker.clone(),
                    (None, Some(known)) => drop(self.absent.insert(*agent, known.as_ref().clone())),
                    (_, None) => drop(self.absent.remove(agent)),
                }
                Ok(Vec::new())
            }
            Change::Took { package, millis, memory_mib } => {
                if let Some(package) = self.durations.learn(package, *millis, *memory_mib) {
                    self.expect_anew(package);
                }
                Ok(Vec::new())
            }
            Change::Used { client, slot_millis, heard } => {
                self.shares.charge(*client, *slot_millis, *heard);
                Ok(Vec::new())
            }
            Change::Wished(wish) => {
                self.wished.insert(*wish);
                if self.wished.len() > WISHES_REMEMBERED {
                    self.wished.pop_first();
                }
                Ok(Vec::new())
            }
            Change::CancelledAhead(submission) => {
                self.cancelled_ahead.insert(*submission);
                Ok(Vec::new())
            }
            passing => Ok(self.apply_passing(passing)),
        }
    }

    fn apply_passing(&mut self, change: &Change) -> Vec<Turn> {
        match change {
            Change::Recalled { submissions, builds, items } => {
                for submission in submissions {
                    self.submissions.entry(submission.id).or_insert_with(|| submission.clone());
                }
                return self.recall(builds.iter().cloned(), items.iter().cloned());
            }
            Change::AgentHello { agent, hello, heard } => {
                let absent = self.absent.remove(agent);
                let (leases, breaker, pace) = match (self.agents.remove(agent), absent) {
                    (Some(known), _) => (known.leases, known.breaker, known.pace),
                    (None, Some(known)) => (self.leases_of(*agent), known.breaker, known.pace),
                    (None, None) => (self.leases_of(*agent), Default::default(), Default::default()),
                };
                let not_ready = hello.beat.not_ready.clone();
                self.hear_of_store(&hello.store, &hello.beat);
                let mut hello = hello.as_ref().clone();
                (hello.beat.holds, hello.beat.gained) = (None, Vec::new());
                self.unheard.remove(agent);
                let changed = self.reach.hear(*agent, &hello.store, &hello.servers);
                let (stopping, unlisted, heard) = (BTreeMap::new(), BTreeSet::new(), *heard);
                let known = Agent { hello, heard, alive: true, not_ready, leases, stopping, unlisted, breaker, pace };
                self.agents.insert(*agent, known);
                return self.items_changed(changed);
            }
            Change::AgentBeat { agent, beat, heard } => {
                let listed = |attempt: &Attempt| beat.held.iter().any(|held| held.attempt == attempt.id);
                let unlisted = self.kept_by(*agent).filter(|(_, attempt)| !listed(attempt)).map(|(_, attempt)| attempt.id);
                let unlisted = unlisted.collect();
                if let Some(known) = self.agents.get_mut(agent) {
                    (known.heard, known.alive, known.not_ready) = (*heard, true, beat.not_ready.clone());
                    known.hello.beat.memory_free_mib = beat.memory_free_mib;
                    known.holds(beat, *heard);
                    known.unlisted = unlisted;
                    let store = known.hello.store.clone();
                    self.hear_of_store(&store, beat);
                }
            }
            Change::AgentAway { agent } => {
                if let Some(known) = self.agents.get_mut(agent) {
                    known.alive = false;
                }
            }
            Change::Paced { agent, took_millis, expected_millis } => {
                if let Some(known) = self.agents.get_mut(agent) {
                    known.pace.learn(*took_millis, *expected_millis);
                }
            }
            Change::Kept { build, heard } => {
                if let Some(node) = self.builds.get_mut(build) {
                    node.kept_since = node.kept_since.or(Some(*heard));
                }
            }
            Change::Short { build, heard } => {
                let node = self.builds.get(build);
                node.into_iter().for_each(|node| self.savings.begin(node, *heard));
            }
            Change::SavesUp { build, agent } => {
                let node = self.builds.get(build);
                node.into_iter().for_each(|node| self.savings.save(&node.requirement, *agent));
            }
            Change::Placed { attempt, placement } => {
                let agent = self.agents.get_mut(&placement.chosen.agent);
                if let Some(held) = agent.and_then(|agent| agent.leases.get_mut(attempt)) {
                    held.placement = Some(placement.clone());
                }
            }
            Change::Stopping { agent, attempt, heard } => {
                if let Some(known) = self.agents.get_mut(agent) {
                    known.stopping.insert(*attempt, *heard);
                }
            }
            Change::Aged { build, bonus } => self.grow_old(*build, *bonus),
            Change::Offered { agent, attempt, heard } => self.set_unanswered(*agent, *attempt, Some(*heard)),
            Change::Accepted { agent, attempt } => self.set_unanswered(*agent, *attempt, None),
            Change::Asked { publication, heard } => self.set_asked(*publication, *heard),
            Change::AgentLost { agent } => {
                let store = self.agents.remove(agent).map(|lost| lost.hello.store);
                self.unheard.remove(agent);
                // Others may have the same store.
                let lost = store.filter(|store| self.agents.values().all(|other| other.hello.store != *store));
                lost.map(|store| self.holdings.remove(&store));
                let changed = self.reach.lose(*agent);
                return self.items_changed(changed);
            }
            Change::PutOff { publication } => self.put_off(*publication),
            Change::DebtsWeighed { heard } => self.weigh_debts(*heard),
            Change::CaughtUp => self.caught_up = true,
            _ => {}
        }
        Vec::new()
    }

    /// What an agent says of its store.
    fn hear_of_store(&mut self, store: &StoreId, beat: &Beat) {
        if let Some(holdings) = &beat.holds {
            self.holdings.insert(store.clone(), holdings.clone());
        }
        if let Some(holdings) = self.holdings.get_mut(store) {
            beat.gained.iter().for_each(|item| holdings.insert(*item));
        }
    }

    /// What an agent has built, or fetches for what it builds, is in its store from now on.
    pub(crate) fn store_gains(&mut self, store: &StoreId, items: impl IntoIterator<Item = ItemNo>) {
        let Some(holdings) = self.holdings.get_mut(store) else { return };
        let entries = items.into_iter().filter_map(|item| self.items.at(item));
        entries.for_each(|entry| holdings.insert(entry.fingerprint));
    }

    pub(crate) fn put_submission(&mut self, submission: Submission) -> Vec<Turn> {
        let id = submission.id;
        let lives = matches!(submission.state, SubmissionState::Live { .. } | SubmissionState::Cancelled { .. });
        if matches!(submission.state, SubmissionState::Cancelled { .. }) {
            self.cancelled_ahead.remove(&id);
        }
        self.submissions.insert(id, submission);
        if !lives {
            return Vec::new();
        }
        let sources: Vec<PublicationId> =
            self.owed.values().filter(|o| o.publication.submission() == Some(id)).map(|o| o.publication.id).collect();
        for publication in sources {
            self.queue_debt(publication);
        }
        self.measure(id);
        self.members_changed(id)
    }

    /// A ready build has waited, and will be due again.
    fn grow_old(&mut self, id: BuildId, bonus: i32) {
        let Some(node) = self.builds.get(&id) else { return };
        let due = |bonus: i32| (node.build.entered.plus_millis(AGE_STEP_MILLIS * (bonus as u64 + 1)), id);
        let (before, after) = (due(node.bonus), due(bonus));
        if self.ageing.remove(&before) {
            self.ageing.insert(after);
        }
        self.age(id, bonus);
    }

    /// Something befell a build, by its table.
    fn befall(&mut self, id: BuildId, event: BuildEvent) -> Result<Vec<Turn>, Illegal> {
        let no = self.builds.number(&id).ok_or_else(|| unknown(id))?;
        let build = &mut self.builds.at_mut(no).ok_or_else(|| unknown(id))?.build;
        let next = build.state.next(event.clone())?;
        match event {
            BuildEvent::Defer(_, cause) => {
                build.farm_failures += 1;
                build.failed_downloads += u32::from(cause == Cause::DownloadFailed);
            }
            BuildEvent::Retry(_) => (build.farm_failures, build.failed_downloads) = (0, 0),
            _ => {}
        }
        Ok(self.set_state(no, next))
    }

    pub(crate) fn node(&self, id: BuildId) -> Result<&Node, Illegal> {
        self.builds.get(&id).ok_or_else(|| unknown(id))
    }
}

pub(crate) fn unknown(id: impl std::fmt::Display) -> Illegal {
    Illegal { what: "the state", state: "without it".into(), event: id.to_string() }
}

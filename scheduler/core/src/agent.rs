//! An agent, as the scheduler hears it.

use drover_messages::agent::{self, Beat, Hello, Phase};
use drover_messages::placement::Placement;
use drover_messages::{AttemptId, BuildId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::breaker::Breaker;
use crate::build::Build;
use crate::limits::Limits;
use crate::pace::Pace;
use crate::place::Requirement;
use crate::time::Heard;

/// Agents that are not here and are remembered; those that were seen longest ago go first.
pub(crate) const REMEMBERED: usize = 1_000;

/// An agent that is here. After a start the agents say hello again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// How it introduced itself.
    pub hello: Hello,
    /// When it was last heard.
    pub heard: Heard,
    /// Whether offers reach it, as far as is known.
    pub alive: bool,
    /// Why it takes no builds, by its own word.
    pub not_ready: Option<String>,
    /// The attempts that take its slots, or the places beyond them.
    pub leases: BTreeMap<AttemptId, Held>,
    /// Attempts that it was told to stop, and has not let go of; since when. They take slots as well.
    pub stopping: BTreeMap<AttemptId, Heard>,
    /// Attempts of which only it can bring the outputs, and which its last beat did not name.
    pub unlisted: BTreeSet<AttemptId>,
    /// Whether it is trusted.
    pub breaker: Breaker,
    /// How fast it builds.
    pub pace: Pace,
}

/// An agent as it is recorded: what is known of it while it is not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownAgent {
    /// How it introduced itself last, without what it had then.
    pub hello: Hello,
    /// When it was heard last; nothing, if it was here when that was recorded. Of one that is not here, it is known.
    pub seen: Option<Timestamp>,
    /// Whether it is trusted.
    pub breaker: Breaker,
    /// How fast it builds.
    #[serde(default)]
    pub pace: Pace,
}

impl KnownAgent {
    /// One that is here.
    pub(crate) fn here(hello: &Hello, breaker: Breaker, pace: Pace) -> Self {
        Self { hello: Hello { beat: Beat::default(), ..hello.clone() }, seen: None, breaker, pace }
    }
}

/// Says of agents, by how they introduce themselves, whether they could build this, were they idle.
pub fn could_build(build: &Build) -> impl Fn(&Hello) -> bool {
    let requirement = Requirement::of(build);
    move |hello| requirement.objection(hello).is_none()
}

/// What is known of a lease beyond what is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The build it tries.
    pub build: BuildId,
    /// What the build was expected to take when it was leased, in milliseconds.
    pub expected_millis: u64,
    /// Whether that was known, of others like it.
    pub known: bool,
    /// When it was offered first, in this process.
    pub since: Option<Heard>,
    /// When it was offered last, while there is no answer.
    pub unanswered_since: Option<Heard>,
    /// It was offered more than once, so that the agent may have it although its answer was not heard.
    pub again: bool,
    /// The agent accepted it, and its last beat did not name it.
    pub missed: bool,
    /// Why it got it, where others could have had it.
    pub placement: Option<Box<Placement>>,
}

impl Held {
    /// A lease that was not offered yet.
    pub(crate) fn of(build: BuildId, expected_millis: u64, known: bool) -> Self {
        Self { build, expected_millis, known, since: None, unanswered_since: None, again: false, missed: false, placement: None }
    }
}

impl Agent {
    /// As it is recorded while it is here.
    pub(crate) fn known(&self) -> KnownAgent {
        KnownAgent::here(&self.hello, self.breaker.clone(), self.pace)
    }

    /// How many offers more it would take.
    pub fn room(&self, beyond_slots: u32) -> u32 {
        let taken = self.leases.len() + self.stopping.len();
        self.hello.max_parallel_builds.saturating_add(beyond_slots).saturating_sub(taken as u32)
    }

    /// Whether it did not let go of something for so long that it is not trusted with more.
    pub fn is_stuck(&self, now: Heard, limits: &Limits) -> bool {
        self.stopping.values().any(|since| now.millis_since(*since) > limits.abort_millis)
    }

    /// Takes in which attempts it holds.
    pub(crate) fn holds(&mut self, beat: &Beat, heard: Heard) {
        for (attempt, held) in &mut self.leases {
            held.missed = held.unanswered_since.is_none() && !beat.held.iter().any(|h| h.attempt == *attempt);
        }
        let running = beat.held.iter().filter(|held| held.phase < Phase::Built && !self.leases.contains_key(&held.attempt));
        let since = |held: &agent::Held| (held.attempt, self.stopping.get(&held.attempt).copied().unwrap_or(heard));
        self.stopping = running.map(since).collect();
    }
}

//! What can be seen of the state: by the steps, by the shell that records it, and by whoever asks.

use drover_messages::placement::Placement;
use drover_messages::{AgentId, BuildId, ClientId, PublicationId, SubmissionId};
use drover_store::StorePath;

use crate::agent::{Agent, KnownAgent};
use crate::attempt::{Attempt, AttemptState};
use crate::build::{Build, BuildState, WholeBuild};
use crate::durations::Took;
use crate::item::{Item, ItemState};
use crate::owed::Publication;
use crate::package::Package;
use crate::share::Used;
use crate::state::State;
use crate::submission::{Submission, SubmissionState};
use crate::time::Heard;

impl State {
    /// Whether the builds of a submission may be offered.
    pub fn is_live(&self, submission: SubmissionId) -> bool {
        let lives = |s: &Submission| matches!(s.state, SubmissionState::Live { .. } | SubmissionState::Cancelled { .. });
        self.submissions.get(&submission).is_none_or(lives)
    }

    /// Whether nothing more is to be done about a build that is in memory.
    pub fn is_finished(&self, build: &Build) -> bool {
        match build.state {
            // Another build may have made the same: what this one made is published all the same, and its agent told so.
            BuildState::Succeeded { .. } => {
                build.attempts.iter().all(|attempt| attempt.state.is_settled()) && self.is_all_available(build)
            }
            BuildState::Failed { .. } | BuildState::Cancelled => !self.is_needed(build),
            _ => false,
        }
    }

    /// Whether everything that the build makes can be fetched.
    pub fn is_all_available(&self, build: &Build) -> bool {
        build.products().all(|path| self.item(path).is_some_and(ItemState::is_available))
    }

    /// An open build.
    pub fn build(&self, id: BuildId) -> Option<&Build> {
        self.builds.get(&id).map(|node| &node.build)
    }

    /// All builds in memory, in order of their ids.
    pub fn builds(&self) -> impl DoubleEndedIterator<Item = &Build> {
        self.builds.values().map(|node| &node.build)
    }

    /// The place in the order of making that the next build gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The builds in memory with these ids, in their order.
    pub fn builds_in(&self, ids: std::ops::Range<BuildId>) -> impl DoubleEndedIterator<Item = &Build> {
        self.builds.range(ids).map(|node| &node.build)
    }

    /// The builds in memory of a submission, in the order of their numbers.
    pub fn builds_of(&self, submission: SubmissionId) -> impl Iterator<Item = &Build> {
        let members = self.members.get(&submission).into_iter().flatten();
        members.filter_map(|no| Some(&self.builds.at(*no)?.build))
    }

    /// The priority in force: a build's own, or the highest of those that need it.
    pub fn urgency(&self, id: BuildId) -> Option<i32> {
        self.builds.get(&id).map(|node| node.weight.urgency)
    }

    /// What is expected of a build and of the longest chain of builds that hangs on it, in milliseconds.
    pub fn path_millis(&self, id: BuildId) -> Option<u64> {
        self.builds.get(&id).map(|node| node.weight.path_millis)
    }

    /// A submission in memory.
    pub fn submission(&self, id: SubmissionId) -> Option<&Submission> {
        self.submissions.get(&id)
    }

    /// How the farm has an item, if something open cares.
    pub fn item(&self, path: &StorePath) -> Option<&ItemState> {
        self.items.get(path).map(|entry| &entry.item.state)
    }

    /// The builds in memory that make an item.
    pub fn makers(&self, path: &StorePath) -> impl Iterator<Item = &Build> {
        let makers = self.items.get(path).into_iter().flat_map(|entry| entry.makers());
        makers.filter_map(|no| Some(&self.builds.at(no)?.build))
    }

    /// The builds that make what a build cannot have: none of them may still succeed by itself.
    pub(crate) fn hopeless_below(&self, build: BuildId) -> impl Iterator<Item = &Build> {
        let edges = self.builds.get(&build).into_iter().flat_map(|node| &node.inputs);
        let entries = edges.filter_map(|edge| self.items.at(edge.item)).filter(|entry| entry.offers.blocked_by().is_some());
        entries.flat_map(|entry| entry.makers()).filter_map(|no| Some(&self.builds.at(no)?.build))
    }

    /// What a build in memory needs, in the order of the paths, each with how the farm has it.
    pub fn inputs(&self, build: BuildId) -> impl Iterator<Item = (&StorePath, &Item)> {
        let edges = self.builds.get(&build).into_iter().flat_map(|node| &node.inputs);
        edges.filter_map(|edge| self.items.at(edge.item)).map(|entry| (&entry.path, &entry.item))
    }

    /// A build in memory, with what it needs.
    pub fn whole(&self, id: BuildId) -> Option<WholeBuild> {
        let build = self.build(id)?.clone();
        Some(WholeBuild { build, inputs: self.inputs(id).map(|(path, _)| path.clone()).collect() })
    }

    /// The open builds that need an item.
    pub(crate) fn dependents(&self, path: &StorePath) -> impl Iterator<Item = &Build> {
        let dependents = self.items.get(path).into_iter().flat_map(|entry| entry.dependents.iter());
        dependents.filter_map(|no| Some(&self.builds.at(no)?.build))
    }

    /// How many builds of a client are in memory: all that are not finished.
    pub fn builds_of_client(&self, client: ClientId) -> u64 {
        self.of_client.get(&client).copied().unwrap_or(0)
    }

    /// An item as it is to be recorded.
    pub fn recorded_item(&self, path: &StorePath) -> Option<&Item> {
        self.items.get(path).map(|entry| &entry.item)
    }

    /// The agents that are here.
    pub fn agents(&self) -> impl Iterator<Item = (AgentId, &Agent)> {
        self.agents.iter().map(|(id, agent)| (*id, agent))
    }

    /// Agents that were here once, and are not now.
    pub fn absent(&self) -> impl Iterator<Item = (AgentId, &KnownAgent)> {
        self.absent.iter().map(|(id, known)| (*id, known))
    }

    /// Why the agent that has a build got it, where others could have had it.
    pub fn placement(&self, build: BuildId) -> Option<&Placement> {
        let lease = self.build(build)?.state.lease()?;
        self.agents.get(&lease.agent)?.leases.get(&lease.attempt)?.placement.as_deref()
    }

    /// The builds in memory that an agent has tried.
    pub fn tried_by(&self, agent: AgentId) -> impl Iterator<Item = &Build> {
        self.tried_by.get(&agent).into_iter().flatten().filter_map(|id| self.build(*id))
    }

    /// Attempts of which only this agent can bring the outputs.
    pub(crate) fn kept_by(&self, agent: AgentId) -> impl Iterator<Item = (&Build, &Attempt)> {
        let attempts = self.tried_by(agent).flat_map(|build| build.attempts.iter().map(move |attempt| (build, attempt)));
        let kept = |attempt: &Attempt| matches!(attempt.state, AttemptState::Built | AttemptState::Unloaded);
        attempts.filter(move |(_, attempt)| attempt.agent == agent && kept(attempt))
    }

    /// Publications that are owed.
    pub fn owed(&self) -> impl Iterator<Item = &Publication> {
        self.owed.values().map(|owed| owed.publication.as_ref())
    }

    /// A publication that is owed.
    pub fn publication(&self, id: PublicationId) -> Option<&Publication> {
        self.owed.get(&id).map(|owed| owed.publication.as_ref())
    }

    /// Whether something is leased, so that slots may come free.
    pub fn has_leases(&self) -> bool {
        !self.shares.running().is_empty()
    }

    /// Whether leases are given yet: a new reign hears first who holds what.
    pub fn gives_leases(&self, now: Heard) -> bool {
        now >= self.leases_from
    }

    /// What is remembered of a package, as it is to be recorded.
    pub fn took(&self, package: &Package) -> Option<&Took> {
        self.durations.get(package)
    }

    /// What a client has used, as it is to be recorded.
    pub fn used(&self, client: ClientId) -> Option<Used> {
        self.shares.recorded(client)
    }

    /// Whether an agent is to take no builds, and when what it has is stopped.
    pub fn drained(&self, agent: AgentId) -> Option<Option<Heard>> {
        self.drained.get(&agent).copied()
    }
}

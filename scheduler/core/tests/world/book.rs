//! The database, as a few maps, used as the shell uses redb.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::{AgentId, BuildId, ClientId, Generation, PublicationId, SubmissionId, Timestamp, WishId};
use drover_scheduler_core::{
    Build, Change, Heard, Input, Item, KnownAgent, Limits, OpenBuild, Package, Paths, Publication, State, Submission,
    SubmissionState, Took, Used, WholeBuild,
};
use drover_store::StorePath;

#[derive(Clone, Default)]
pub struct Book {
    pub builds: BTreeMap<BuildId, Build>,
    inputs: BTreeMap<BuildId, Paths>,
    open: BTreeSet<BuildId>,
    items: BTreeMap<StorePath, Item>,
    submissions: BTreeMap<SubmissionId, Submission>,
    owed: BTreeMap<PublicationId, Publication>,
    wishes: BTreeSet<WishId>,
    cancelled_ahead: BTreeSet<SubmissionId>,
    took: BTreeMap<Package, Took>,
    used: BTreeMap<ClientId, Used>,
    drained: BTreeMap<AgentId, Option<Heard>>,
    agents: BTreeMap<AgentId, KnownAgent>,
    /// As the clock that decides stood at the last commit.
    pub heard: Heard,
}

/// What a commit touches, and what was taken back into memory for it.
#[derive(Default)]
pub struct Touched {
    submissions: BTreeSet<SubmissionId>,
    builds: BTreeSet<BuildId>,
    items: BTreeSet<StorePath>,
}

impl Touched {
    /// Finished builds and idle items come back for the input that follows.
    pub fn recalled(&mut self, recall: &Input) {
        if let Input::Recall { submissions, builds, items } = recall {
            self.submissions.extend(submissions.iter().map(|submission| submission.id));
            self.builds.extend(builds.iter().map(|whole| whole.build.id));
            self.items.extend(items.iter().map(|(path, _)| path.clone()));
        }
    }
}

impl Book {
    /// The state that a new reign begins with.
    pub fn state(&self, generation: Generation, limits: &Limits) -> State {
        let mut state = State::new(generation);
        state.remember_drained(self.drained.clone());
        state.remember_agents(self.agents.clone(), Timestamp(0));
        state.remember_usage(self.took.clone(), self.used.clone());
        let mut builds: Vec<WholeBuild> = self.open.iter().filter_map(|id| self.whole(id)).collect();
        builds.sort_by_key(|whole| whole.build.seq);
        let of_builds = builds.iter().map(|whole| whole.build.submission);
        let asked: BTreeSet<SubmissionId> = of_builds.chain(self.owed.values().filter_map(Publication::submission)).collect();
        let submissions = asked.iter().filter_map(|id| self.submissions.get(id)).cloned().collect();
        let of_owed = self.owed.values().flat_map(|owed| owed.references.iter().chain([&owed.path]));
        let paths: BTreeSet<&StorePath> = builds.iter().flat_map(WholeBuild::paths).chain(of_owed).collect();
        let place =
            |path: &StorePath| paths.iter().position(|known| *known == path).expect("a path that a build speaks of") as u32;
        let open =
            builds.iter().map(|WholeBuild { build, inputs }| OpenBuild::new(build.clone(), inputs.iter().map(place).collect()));
        let recorded = paths.iter().map(|path| ((*path).clone(), self.items.get(*path).cloned())).collect();
        state.remember(submissions, recorded, open, self.owed.values().cloned().collect());
        state.remember_cancelled(self.cancelled_ahead.clone());
        state.begin_reign(self.heard, limits);
        state
    }

    fn whole(&self, id: &BuildId) -> Option<WholeBuild> {
        Some(WholeBuild { build: self.builds.get(id)?.clone(), inputs: self.inputs.get(id)?.clone() })
    }

    pub fn item(&self, path: &StorePath) -> Option<&Item> {
        self.items.get(path)
    }

    pub fn has_heard(&self, wish: WishId) -> bool {
        self.wishes.contains(&wish)
    }

    /// Whether a submission was taken up, or turned away: it is not planned again.
    pub fn has_planned(&self, id: SubmissionId) -> bool {
        self.submissions.get(&id).is_some_and(|submission| submission.state != SubmissionState::Planning)
    }

    /// Whether its user does not want it any more, or did not when it came: then it was never made.
    pub fn is_cancelled(&self, id: SubmissionId) -> bool {
        self.submissions.get(&id).is_some_and(|submission| matches!(submission.state, SubmissionState::Cancelled { .. }))
    }

    /// What an input speaks of that is finished, and so not in memory.
    pub fn recall_for(&self, input: &Input, state: &State) -> Input {
        let mut submissions: BTreeSet<SubmissionId> = BTreeSet::new();
        let mut builds: BTreeSet<BuildId> = BTreeSet::new();
        let mut paths: BTreeSet<StorePath> = BTreeSet::new();
        match input {
            Input::Report { report, .. } => drop(builds.insert(report.build)),
            Input::Hello { hello, .. } => builds.extend(hello.beat.held.iter().map(|held| held.build)),
            Input::Beat { beat, .. } => builds.extend(beat.held.iter().map(|held| held.build)),
            Input::Confirmed { items, .. } => {
                paths.extend(items.iter().map(|(path, _)| path.clone()));
                let makers = self.builds.values().filter(|build| build.products().any(|path| paths.contains(path)));
                builds.extend(makers.map(|build| build.id));
            }
            Input::Wish(wanted) => {
                submissions.extend(&wanted.submissions);
                builds.extend(&wanted.builds);
            }
            Input::Found { found, .. } => paths.extend(found.iter().map(|(path, _)| path.clone())),
            Input::AddSources { sources, .. } => paths.extend(sources.iter().map(|source| source.path.clone())),
            Input::AddBuilds { submission, builds: planned } => {
                if self.has_planned(*submission) {
                    builds.extend(planned.iter().map(|planned| planned.id));
                }
                for planned in planned {
                    let outputs = planned.recipe.outputs.values().map(|product| &product.path);
                    paths.extend(planned.inputs.iter().chain(outputs).cloned());
                }
            }
            _ => {}
        }
        let builds: Vec<WholeBuild> =
            builds.iter().filter(|id| state.build(**id).is_none()).filter_map(|id| self.whole(id)).collect();
        submissions.extend(builds.iter().map(|whole| whole.build.submission));
        let unknown = submissions.iter().filter(|id| state.submission(**id).is_none());
        let submissions = unknown.filter_map(|id| self.submissions.get(id)).cloned().collect();
        paths.extend(builds.iter().flat_map(WholeBuild::paths).cloned());
        let unknown = paths.into_iter().filter(|path| state.item(path).is_none());
        let items = unknown.filter_map(|path| self.items.get(&path).cloned().map(|item| (path, item))).collect();
        Input::Recall { submissions, builds, items }
    }

    /// Records what changed, as the core has it now.
    pub fn record(&mut self, changes: &[Change], heard: Heard, state: &State, touched: &mut Touched) {
        let mut written = Touched::default();
        for change in changes {
            match change {
                Change::Submission(submission) => drop(written.submissions.insert(submission.id)),
                Change::BuildCreated(created) => {
                    written.builds.insert(created.build.id);
                    written.items.extend(created.build.products().cloned());
                    self.inputs.insert(created.build.id, created.inputs.clone());
                }
                Change::Build { build, .. }
                | Change::AttemptStarted { build, .. }
                | Change::Attempt { build, .. }
                | Change::Priority { build, .. }
                | Change::Differs { build, .. }
                | Change::Told { build, .. } => drop(written.builds.insert(*build)),
                Change::Item { path, .. } | Change::Forgiven { path } => drop(written.items.insert(path.clone())),
                Change::Owed(publication) => drop(self.owed.insert(publication.id, publication.as_ref().clone())),
                Change::OwedDone(id) => drop(self.owed.remove(id)),
                Change::Wished(wish) => drop(self.wishes.insert(*wish)),
                Change::CancelledAhead(submission) => drop(self.cancelled_ahead.insert(*submission)),
                Change::Took { package, .. } => {
                    self.took.extend(state.took(package).map(|t| (package.as_ref().clone(), t.clone())))
                }
                Change::Used { client, .. } => self.used.extend(state.used(*client).map(|used| (*client, used))),
                Change::Drain { agent, drained: true, deadline } => drop(self.drained.insert(*agent, *deadline)),
                Change::Drain { agent, drained: false, .. } => drop(self.drained.remove(agent)),
                Change::AgentKnown { agent, known: Some(known) } => drop(self.agents.insert(*agent, known.as_ref().clone())),
                Change::AgentKnown { agent, known: None } => drop(self.agents.remove(agent)),
                _ => {}
            }
        }
        // What was taken back may have got something to do.
        written
            .builds
            .extend(touched.builds.iter().filter(|id| state.build(**id).is_some_and(|build| !state.is_finished(build))));
        self.write(&written, state);
        self.heard = heard;
        touched.submissions.extend(written.submissions);
        touched.builds.extend(written.builds);
        touched.items.extend(written.items);
    }

    fn write(&mut self, written: &Touched, state: &State) {
        for build in written.builds.iter().filter_map(|id| state.build(*id)) {
            self.builds.insert(build.id, build.clone());
            if state.is_finished(build) {
                self.open.remove(&build.id)
            } else {
                self.open.insert(build.id)
            };
        }
        for path in &written.items {
            self.items.extend(state.recorded_item(path).map(|item| (path.clone(), item.clone())));
        }
        for submission in written.submissions.iter().filter_map(|id| state.submission(*id)) {
            self.submissions.insert(submission.id, submission.clone());
            self.cancelled_ahead.remove(&submission.id);
        }
    }

    /// Takes what is finished out of memory.
    pub fn forget(touched: Touched, state: &mut State) {
        state.forget_finished(touched.submissions, touched.builds, touched.items);
    }
}

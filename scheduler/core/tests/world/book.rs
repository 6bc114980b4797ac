//! The database, as three maps, used as the shell uses redb.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::{BuildId, Generation, PublicationId, SubmissionId, WishId};
use drover_scheduler_core::{Build, Change, Heard, Input, Item, Limits, Outcome, Publication, State, Submission};
use drover_store::StorePath;

#[derive(Clone, Default)]
pub struct Book {
    pub builds: BTreeMap<BuildId, Build>,
    open: BTreeSet<BuildId>,
    items: BTreeMap<StorePath, Item>,
    submissions: BTreeMap<SubmissionId, Submission>,
    owed: BTreeMap<PublicationId, Publication>,
    pub wishes: BTreeSet<WishId>,
}

impl Book {
    /// The state that a new reign begins with.
    pub fn state(&self, generation: Generation, heard: Heard, limits: &Limits) -> State {
        let mut state = State::new(generation);
        let builds = self.open.iter().map(|id| self.builds[id].clone()).collect();
        let items = self.items.clone().into_iter().collect();
        state.remember(self.submissions.values().cloned().collect(), builds, items, self.owed.values().cloned().collect());
        state.begin_reign(heard, limits);
        state
    }

    pub fn recall_for(&self, input: &Input, state: &State) -> Input {
        let mut builds: Vec<BuildId> = Vec::new();
        let mut paths: Vec<StorePath> = Vec::new();
        match input {
            Input::Report { report, .. } => builds.push(report.build),
            Input::Hello { hello, .. } => builds.extend(hello.beat.held.iter().map(|held| held.build)),
            Input::Beat { beat, .. } => builds.extend(beat.held.iter().map(|held| held.build)),
            Input::Confirmed { items, .. } => {
                for (path, _) in items {
                    paths.push(path.clone());
                    let makers = self.builds.values().filter(|build| build.products().any(|p| p == path));
                    builds.extend(makers.map(|build| build.id));
                }
            }
            Input::Wish(wanted) => builds.extend(&wanted.builds),
            Input::Found { found, .. } => paths.extend(found.iter().map(|(path, _)| path.clone())),
            Input::AddBuilds { builds: planned, .. } => {
                let recipes = planned.iter().map(|planned| &planned.recipe);
                paths.extend(recipes.flat_map(|r| r.inputs.iter().chain(r.outputs.values().map(|p| &p.path))).cloned());
            }
            _ => {}
        }
        let builds: Vec<Build> =
            builds.iter().filter(|id| state.build(**id).is_none()).filter_map(|id| self.builds.get(id)).cloned().collect();
        paths.extend(builds.iter().flat_map(|build| build.products().chain(&build.recipe.inputs)).cloned());
        let items = paths.iter().filter(|path| state.item(path).is_none()).filter_map(|path| {
            let item = self.items.get(path)?;
            Some((path.clone(), item.clone()))
        });
        let items = items.collect();
        let submissions = self.submissions.values().cloned().collect();
        Input::Recall { submissions, builds, items }
    }

    /// Records an outcome and lets go of what is finished.
    pub fn record(&mut self, outcome: &Outcome, state: &mut State) {
        let (mut builds, mut items) = (BTreeSet::new(), BTreeSet::new());
        for change in outcome.changes.iter().filter(|change| change.is_recorded()) {
            match change {
                Change::Submission(submission) => drop(self.submissions.insert(submission.id, submission.as_ref().clone())),
                Change::BuildCreated(build) => {
                    builds.insert(build.id);
                    items.extend(build.products().cloned());
                }
                Change::Build { build, .. }
                | Change::AttemptStarted { build, .. }
                | Change::Attempt { build, .. }
                | Change::Priority { build, .. }
                | Change::Differs { build, .. }
                | Change::Told { build, .. } => drop(builds.insert(*build)),
                Change::Item { path, .. } | Change::Forgiven { path } => drop(items.insert(path.clone())),
                Change::Owed(publication) => drop(self.owed.insert(publication.id, publication.as_ref().clone())),
                Change::Wished(wish) => drop(self.wishes.insert(*wish)),
                Change::OwedDone(id) => drop(self.owed.remove(id)),
                _ => {}
            }
        }
        for build in builds.iter().filter_map(|id| state.build(*id)) {
            self.builds.insert(build.id, build.clone());
            if state.is_finished(build) {
                self.open.remove(&build.id)
            } else {
                self.open.insert(build.id)
            };
        }
        for path in &items {
            if let Some(item) = state.recorded_item(path) {
                self.items.insert(path.clone(), item.clone());
            }
        }
        state.forget_finished([], builds, items);
    }
}

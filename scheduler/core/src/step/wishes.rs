//! What users want changed of what they asked for: cancel, retry, another priority.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::event::What;
use drover_messages::wish::Wished;
use drover_messages::{BuildId, SubmissionId};
use drover_store::StorePath;

use super::Step;
use crate::build::{Build, BuildEvent, BuildState};
use crate::change::Change;
use crate::input::Wanted;
use crate::item::{Item, ItemState};
use crate::outcome::Effect;
use crate::state::State;
use crate::submission::{Submission, SubmissionState};

impl<'a> Step<'a> {
    pub(super) fn wish(&mut self, wanted: Wanted) {
        let Wanted { wish, client, .. } = wanted;
        if self.state.wished.contains(&wish) {
            return;
        }
        self.change(Change::Wished(wish));
        let what = match self.fulfil(&wanted) {
            Ok(builds) => What::WishFulfilled { wish, client, builds },
            Err(why) => What::WishRefused { wish, client, why },
        };
        self.event(what);
    }

    /// Gives the number of builds that it changes, or why it changes none.
    fn fulfil(&mut self, wanted: &Wanted) -> Result<u64, String> {
        if wanted.submissions.is_empty() && wanted.builds.is_empty() {
            return Err(if wanted.by_admin { "no submission has that tag" } else { "no submission of yours has that tag" }.into());
        }
        let named: Vec<&Build> = wanted.builds.iter().filter_map(|id| self.state.build(*id)).collect();
        let of_builds = named.iter().map(|build| build.submission);
        let touched: BTreeSet<SubmissionId> = wanted.submissions.iter().copied().chain(of_builds).collect();
        for id in &touched {
            let is_theirs = self.state.submission(*id).is_some_and(|submission| submission.client == wanted.client);
            let is_known = self.state.submission(*id).is_some();
            if is_known && !is_theirs && !wanted.by_admin {
                return Err(format!("the submission {id} is another user's"));
            }
        }
        match wanted.change {
            Wished::Cancel => self.cancel(wanted, &named),
            Wished::Retry => self.retry(wanted, &named),
            Wished::Priority(priority) => self.prioritise(wanted, &named, priority),
        }
    }

    fn cancel(&mut self, wanted: &Wanted, named: &[&'a Build]) -> Result<u64, String> {
        let mut gone = Gone::new(self, &wanted.submissions);
        for build in wanted.submissions.iter().flat_map(|id| self.state.builds_of(*id)) {
            gone.consider(build);
        }
        for build in named {
            gone.consider(build);
            if let Some(other) = gone.needed_by(build) {
                return Err(format!("{} is needed by {other}: cancel that, or its submission", build.id));
            }
        }
        let gone = gone.ids;
        if gone.is_empty() && wanted.submissions.is_empty() {
            return Err("nothing of it is unfinished".into());
        }
        for build in gone.iter().filter_map(|id| self.state.build(*id)) {
            self.cancel_build(build);
        }
        for id in &wanted.submissions {
            self.cancel_submission(*id);
        }
        Ok(gone.len() as u64)
    }

    fn cancel_build(&mut self, build: &Build) {
        self.abort_running(build, None, "it was cancelled");
        self.build_event(build.id, BuildEvent::Cancel);
        self.event(What::BuildCancelled { build: build.id });
    }

    /// One that is not known yet is not taken up when it comes.
    fn cancel_submission(&mut self, id: SubmissionId) {
        let Some(submission) = self.state.submission(id).cloned() else {
            return self.change(Change::CancelledAhead(id));
        };
        let builds = match submission.state {
            SubmissionState::Live { builds } => builds,
            SubmissionState::Planning => self.state.members.get(&id).map_or(0, |members| members.len() as u64),
            SubmissionState::Cancelled { .. } | SubmissionState::Rejected { .. } => return,
        };
        let state = SubmissionState::Cancelled { builds };
        self.change(Change::Submission(Box::new(Submission { state, ..submission })));
    }

    fn retry(&mut self, wanted: &Wanted, named: &[&'a Build]) -> Result<u64, String> {
        let of_submissions = wanted.submissions.iter().flat_map(|id| self.state.builds_of(*id));
        let all: BTreeMap<BuildId, &'a Build> =
            of_submissions.chain(named.iter().copied()).map(|build| (build.id, build)).collect();
        let stopped = |build: &&&Build| {
            matches!(build.state, BuildState::Failed { .. } | BuildState::Cancelled | BuildState::Deferred { .. })
        };
        let again: Vec<&Build> = all.values().filter(stopped).copied().collect();
        for id in again.iter().map(|build| build.submission).collect::<BTreeSet<_>>() {
            self.revive(id);
        }
        let behind: Vec<&Build> = self.blocking(all.values().copied());
        let again: Vec<&Build> =
            again.into_iter().chain(behind.into_iter().filter(|build| !all.contains_key(&build.id))).collect();
        let given_up = self.given_up(all.values().copied());
        for path in &given_up {
            self.change(Change::Forgiven { path: path.clone() });
            self.make_again(path);
        }
        for build in &again {
            self.retry_build(build);
        }
        match (again.len() + given_up.len()) as u64 {
            0 => Err("nothing of it has failed, was cancelled, or waits for another try".into()),
            builds => Ok(builds),
        }
    }

    /// The builds that failed, or were given up, behind which these are blocked, or will be when they are tried again, whoever has
    /// submitted them: to try them again harms nobody.
    fn blocking(&self, builds: impl Iterator<Item = &'a Build>) -> Vec<&'a Build> {
        let state: &'a State = self.state;
        let wants = |build: &&Build| !matches!(build.state, BuildState::Succeeded { .. });
        let mut stack: Vec<BuildId> = builds.filter(wants).map(|build| build.id).collect();
        let (mut seen, mut blocking) = (BTreeSet::new(), Vec::new());
        while let Some(blocked) = stack.pop() {
            for maker in state.hopeless_below(blocked).filter(|maker| seen.insert(maker.id)) {
                match maker.state {
                    BuildState::Failed { .. } | BuildState::Deferred { .. } => blocking.push(maker),
                    BuildState::Blocked { .. } => stack.push(maker.id),
                    _ => {}
                }
            }
        }
        blocking.sort_unstable_by_key(|build| build.id);
        blocking
    }

    /// Tries a build again. What it needs may have gone with it when it was cancelled: that is planned again.
    pub(super) fn retry_build(&mut self, build: &Build) {
        self.build_event(build.id, BuildEvent::Retry(self.state.inputs_if_reopened(build)));
        self.event(What::BuildRetried { build: build.id });
        let plans = self.state.submission(build.submission).is_some_and(|submission| submission.input_builds);
        if plans && self.state.inputs(build.id).any(|(path, _)| self.is_orphaned(path)) {
            self.effect(Effect::Replan { build: build.id });
        }
    }

    /// What these builds wait for that was lost too often.
    fn given_up(&self, builds: impl Iterator<Item = &'a Build>) -> BTreeSet<StorePath> {
        let waiting = builds.filter(|build| build.state.follows_inputs());
        let inputs = waiting.flat_map(|build| self.state.inputs(build.id));
        let lost = |item: &Item| item.state == ItemState::Lost && item.losses >= self.limits.losses;
        inputs.filter(|(_, item)| lost(item)).map(|(path, _)| path.clone()).collect()
    }

    fn revive(&mut self, id: SubmissionId) {
        let Some(submission) = self.state.submission(id).cloned() else { return };
        if let SubmissionState::Cancelled { builds } = submission.state {
            self.change(Change::Submission(Box::new(Submission { state: SubmissionState::Live { builds }, ..submission })));
        }
    }

    fn prioritise(&mut self, wanted: &Wanted, named: &[&'a Build], priority: i32) -> Result<u64, String> {
        for id in &wanted.submissions {
            if let Some(submission) = self.state.submission(*id).cloned() {
                self.change(Change::Submission(Box::new(Submission { priority, ..submission })));
            }
        }
        let of_submissions = wanted.submissions.iter().flat_map(|id| self.state.builds_of(*id));
        let all: BTreeSet<BuildId> =
            of_submissions.chain(named.iter().copied()).filter(|build| self.may_be_urgent(build)).map(|build| build.id).collect();
        for build in &all {
            self.change(Change::Priority { build: *build, priority });
        }
        match all.len() as u64 {
            0 => Err("nothing of it is unfinished".into()),
            builds => Ok(builds),
        }
    }

    /// Whether something of a build is still to come: the build, or its publication.
    fn may_be_urgent(&self, build: &Build) -> bool {
        let is_to_be_published = || matches!(build.state, BuildState::Succeeded { .. }) && !self.state.is_all_available(build);
        !build.state.is_over() || is_to_be_published()
    }
}

/// Builds that go, with what nobody else needs.
struct Gone<'a> {
    step: &'a Step<'a>,
    submissions: BTreeSet<SubmissionId>,
    ids: BTreeSet<BuildId>,
}

impl<'a> Gone<'a> {
    fn new(step: &'a Step<'_>, submissions: &[SubmissionId]) -> Self {
        Self { step, submissions: submissions.iter().copied().collect(), ids: BTreeSet::new() }
    }

    /// Takes a build, if nothing that stays needs it; then what it needs, if nothing else does.
    fn consider(&mut self, build: &Build) {
        let state = self.step.state;
        let mut candidates = vec![build.id];
        while let Some(build) = candidates.pop().and_then(|id| state.build(id)) {
            if build.state.is_over() || self.ids.contains(&build.id) || self.needed_by(build).is_some() {
                continue;
            }
            self.ids.insert(build.id);
            let makers = state.inputs(build.id).flat_map(|(path, _)| state.makers(path));
            candidates.extend(makers.filter(|maker| self.may_go(maker)).map(|maker| maker.id));
        }
    }

    /// What the user of a submission that stays has named, stays; and so does what is still being planned.
    fn may_go(&self, build: &Build) -> bool {
        let state = self.step.state.submission(build.submission).map(|submission| &submission.state);
        let is_cancelled = matches!(state, Some(SubmissionState::Cancelled { .. }));
        let is_planned = state != Some(&SubmissionState::Planning);
        self.submissions.contains(&build.submission) || is_cancelled || (!build.root && is_planned)
    }

    /// An open build that stays and needs it.
    fn needed_by(&self, build: &Build) -> Option<BuildId> {
        let mut dependents = build.products().flat_map(|path| self.step.state.dependents(path));
        dependents.find(|other| !self.ids.contains(&other.id)).map(|other| other.id)
    }
}

//! Submissions: entered bit by bit, then brought to life.

use std::collections::BTreeSet;
use std::sync::Arc;

use drover_messages::event::What;
use drover_messages::publish::Origin;
use drover_messages::request::SourceNar;
use drover_messages::{Cause, PublicationId, SubmissionId};
use drover_store::{StoreDir, StorePath};

use super::Step;
use crate::build::{Build, BuildEvent, BuildState, WholeBuild};
use crate::change::{Change, Learned};
use crate::item::ItemEvent;
use crate::owed::Publication;
use crate::packs::PackSet;
use crate::plan::{Evidence, Planned};
use crate::submission::{Submission, SubmissionState};

impl Step<'_> {
    pub(super) fn learn(&mut self, packed: Vec<PackSet>, drvs: Vec<Learned>) {
        let packed = packed.into_iter().map(Change::Packed);
        self.out.changes.extend(packed.chain(drvs.into_iter().map(Change::Learned)));
    }

    pub(super) fn found(&mut self, store_dir: &StoreDir, found: Vec<(StorePath, BTreeSet<String>)>) {
        for (path, servers) in found {
            self.change(Change::Item { store_dir: store_dir.clone(), path, event: ItemEvent::Find(servers) });
        }
    }

    pub(super) fn enter(&mut self, submission: Submission) {
        if self.state.submission(submission.id).is_some() {
            return;
        }
        let state = match self.state.cancelled_ahead.contains(&submission.id) {
            true => SubmissionState::Cancelled { builds: 0 },
            false => SubmissionState::Planning,
        };
        self.change(Change::Submission(Box::new(Submission { state, ..submission })));
    }

    /// A submission that is still wanted.
    fn wanted(&self, id: SubmissionId) -> Option<Submission> {
        let wanted = |s: &&Submission| matches!(s.state, SubmissionState::Planning | SubmissionState::Live { .. });
        self.state.submission(id).filter(wanted).cloned()
    }

    /// A submission that is still wanted and not whole.
    fn planning(&self, id: SubmissionId) -> Option<Submission> {
        self.state.submission(id).filter(|submission| submission.state == SubmissionState::Planning).cloned()
    }

    pub(super) fn add_sources(&mut self, id: SubmissionId, sources: Vec<SourceNar>) {
        let Some(submission) = self.planning(id) else { return };
        for source in sources {
            if self.state.item(&source.path).is_some_and(|state| state.is_available()) {
                continue;
            }
            let (store_dir, path) = (submission.store_dir.clone(), source.path.clone());
            self.change(Change::Item { store_dir, path, event: ItemEvent::Upload(None) });
            self.change(Change::Owed(Arc::new(Publication {
                id: PublicationId::of_source(id, &source.path),
                store_dir: submission.store_dir.clone(),
                path: source.path,
                references: source.references,
                nar: source.nar,
                origin: Origin::Source { client: submission.client, submission: id, ca: source.ca },
            })));
        }
    }

    /// Roots always get a build of their own; an input gets one where none is under way.
    pub(super) fn add_builds(&mut self, id: SubmissionId, planned: Vec<Planned>) {
        let Some(submission) = self.wanted(id) else { return };
        let mut seq = self.state.next_seq;
        for planned in planned {
            let known = self.state.build(planned.id);
            match known {
                // It went with what needed it, and that is wanted again.
                Some(build) if !build.root && matches!(build.state, BuildState::Cancelled) => self.retry_build(build),
                _ => {}
            }
            if known.is_some() || (!planned.root && self.is_under_way(&planned)) {
                continue;
            }
            let (id_of_build, drv, known_failure) = (planned.id, planned.recipe.drv.clone(), planned.known_failure);
            let build = Build {
                id: planned.id,
                submission: id,
                root: planned.root,
                seq: planned.seq.unwrap_or(seq),
                created_at: self.now.wall,
                entered: self.now.heard,
                priority: submission.priority,
                state: BuildState::Waiting { missing: planned.inputs.len() as u32 },
                recipe: Arc::new(planned.recipe),
                mode: planned.mode,
                terms: if planned.root { submission.terms.clone() } else { submission.terms.of_inputs() }.into(),
                avoid: planned.avoid.into(),
                attempts: Vec::new(),
                farm_failures: 0,
                failed_downloads: 0,
            };
            self.change(Change::BuildCreated(Box::new(WholeBuild { build, inputs: planned.inputs })));
            if let Some(Evidence { build, attempt, agent }) = known_failure {
                let cause = Cause::KnownFailure { build };
                let message = format!("see the build {build}");
                self.build_event(id_of_build, BuildEvent::KnownToFail(attempt, build));
                self.event(What::BuildFailed { build: id_of_build, attempt, agent, drv, cause, message });
            }
            seq += 1;
        }
    }

    /// Whether living builds that may still succeed make all that this one would make.
    fn is_under_way(&self, planned: &Planned) -> bool {
        planned.recipe.outputs.values().all(|product| {
            let mut living = self.state.makers(&product.path).filter(|b| self.state.is_live(b.submission));
            living.any(|build| build.state.is_hopeful())
        })
    }

    pub(super) fn go_live(&mut self, id: SubmissionId) {
        let Some(submission) = self.planning(id) else { return };
        let builds = self.state.members.get(&id).map_or(0, |members| members.len() as u64);
        let client = submission.client;
        self.change(Change::Submission(Box::new(Submission { state: SubmissionState::Live { builds }, ..submission })));
        self.event(What::SubmissionAccepted { submission: id, client, builds });
    }

    /// What was entered of it before goes.
    pub(super) fn reject(&mut self, submission: Submission, why: String) {
        let (id, client) = (submission.id, submission.client);
        for build in self.state.builds_of(id).filter(|build| !build.state.is_over()) {
            self.build_event(build.id, BuildEvent::Cancel);
            self.event(What::BuildCancelled { build: build.id });
        }
        for publication in self.state.owed().filter(|publication| publication.submission() == Some(id)) {
            self.change(Change::OwedDone(publication.id));
        }
        let state = SubmissionState::Rejected { why: why.clone() };
        self.change(Change::Submission(Box::new(Submission { state, ..submission })));
        self.event(What::SubmissionRejected { submission: id, client, why });
    }
}

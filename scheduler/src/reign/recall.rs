//! What comes back into memory from the book because an input speaks of it.

use std::collections::BTreeSet;

use drover_messages::agent::Held;
use drover_messages::{BuildId, SubmissionId};
use drover_scheduler_core::{Input, SubmissionState, WholeBuild};
use drover_store::StorePath;

use super::Reign;
use crate::book::{BookError, Page};

impl Reign {
    /// What is being written cannot be read yet, and may be forgotten: who would read it waits.
    fn wait_for(&mut self, is_spoken_of: impl FnOnce(&Page) -> bool) -> Result<(), BookError> {
        match &self.writing {
            Some(writing) if is_spoken_of(&writing.page) => self.scribe.wait(),
            _ => Ok(()),
        }
    }

    /// What an input speaks of that is finished, and so not in memory.
    pub(super) fn recall_for(&mut self, input: &Input) -> Result<Option<Input>, BookError> {
        let mut submissions: BTreeSet<SubmissionId> = BTreeSet::new();
        let mut builds: BTreeSet<BuildId> = BTreeSet::new();
        let mut paths: BTreeSet<StorePath> = BTreeSet::new();
        match input {
            Input::Report { report, .. } => drop(builds.insert(report.build)),
            Input::Hello { hello, .. } => builds.extend(self.unsettled(&hello.beat.held)?),
            Input::Beat { beat, .. } => builds.extend(self.unsettled(&beat.held)?),
            Input::Confirmed { items, .. } => {
                for (path, _) in items {
                    builds.extend(self.book.makers(path)?);
                    paths.insert(path.clone());
                }
            }
            Input::Wish(wanted) => {
                submissions.extend(&wanted.submissions);
                builds.extend(&wanted.builds);
            }
            Input::Found { found, .. } => paths.extend(found.iter().map(|(path, _)| path.clone())),
            Input::AddSources { sources, .. } => paths.extend(sources.iter().map(|source| source.path.clone())),
            Input::AddBuilds { submission, builds: planned } => {
                let state = self.core.state().submission(*submission).map(|submission| &submission.state);
                // Of what is planned once more, some may be over.
                if state.is_none_or(|state| *state != SubmissionState::Planning) {
                    builds.extend(planned.iter().map(|planned| planned.id));
                }
                let spoken_of = planned.iter().flat_map(|planned| {
                    let outputs = planned.recipe.outputs.values().map(|product| &product.path);
                    planned.inputs.iter().chain(outputs)
                });
                // Most are inputs of many: what is in memory is not even listed.
                paths.extend(spoken_of.filter(|path| self.core.state().item(path).is_none()).cloned());
            }
            _ => return Ok(None),
        }
        builds.retain(|id| self.core.state().build(*id).is_none());
        if builds.is_empty() && submissions.is_empty() && paths.is_empty() {
            return Ok(None);
        }
        self.wait_for(|page| !page.builds.is_disjoint(&builds))?;
        let recalled: Vec<WholeBuild> = self.book.builds(builds)?;
        submissions.extend(recalled.iter().map(|whole| whole.build.submission));
        submissions.retain(|id| self.core.state().submission(*id).is_none());
        self.wait_for(|page| !page.submissions.is_disjoint(&submissions))?;
        let mut of_old = Vec::new();
        for id in submissions {
            of_old.extend(self.book.submission(id)?);
        }
        paths.extend(recalled.iter().flat_map(WholeBuild::paths).cloned());
        paths.retain(|path| self.core.state().item(path).is_none());
        self.wait_for(|page| !page.items.is_disjoint(&paths))?;
        let items = self.book.items(&paths)?;
        Ok(Some(Input::Recall { submissions: of_old, builds: recalled, items }))
    }

    /// Those finished builds of what an agent holds that the core has to look at: of an attempt that is settled, it says so
    /// without its build.
    fn unsettled(&mut self, held: &[Held]) -> Result<Vec<BuildId>, BookError> {
        let finished: Vec<&Held> = held.iter().filter(|held| self.core.state().build(held.build).is_none()).collect();
        self.wait_for(|page| finished.iter().any(|held| page.builds.contains(&held.build)))?;
        self.book.unsettled(finished.into_iter().map(|held| (held.build, held.attempt)))
    }
}

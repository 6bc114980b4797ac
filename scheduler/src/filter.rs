//! What is asked of builds beyond what an index finds, and of their submissions.

use std::sync::Arc;

use drover_messages::query::AskBuilds;
use drover_messages::{BuildId, SubmissionId};
use drover_scheduler_core::{Build, Submission, WholeBuild};

use crate::book::{Book, BookError};
use crate::pattern::Pattern;

/// Reads builds, and keeps those that fit.
pub(crate) struct Filter {
    book: Book,
    asked: Arc<AskBuilds>,
    name: Option<Pattern>,
    /// The submission that was read last: neighbours mostly share one.
    last: Option<(SubmissionId, Option<Arc<Submission>>)>,
}

impl Filter {
    /// For one question.
    pub(crate) fn new(book: Book, asked: Arc<AskBuilds>) -> Self {
        let name = asked.name.as_deref().map(Pattern::new);
        Self { book, asked, name, last: None }
    }

    /// Those of the builds that fit, but for their state.
    pub(crate) fn read(&mut self, ids: &[BuildId]) -> Result<Vec<WholeBuild>, BookError> {
        let mut fitting = Vec::new();
        for whole in self.book.builds(ids.iter().copied())? {
            let build = &whole.build;
            let is_named = self.name.as_ref().is_none_or(|name| name.fits(build.recipe.drv.name_without_drv()));
            if is_named && is_meant(&self.asked, build) && self.has_submitted(build.submission)? {
                fitting.push(whole);
            }
        }
        Ok(fitting)
    }

    /// A submission, as it is recorded.
    pub(crate) fn submission(&mut self, id: SubmissionId) -> Result<Option<Arc<Submission>>, BookError> {
        if let Some((last, submission)) = &self.last
            && *last == id
        {
            return Ok(submission.clone());
        }
        let submission = self.book.submission(id)?.map(Arc::new);
        self.last = Some((id, submission.clone()));
        Ok(submission)
    }

    fn has_submitted(&mut self, id: SubmissionId) -> Result<bool, BookError> {
        if self.asked.tags.is_empty() && self.asked.client.is_none() {
            return Ok(true);
        }
        let submission = self.submission(id)?;
        Ok(submission.is_some_and(|submission| {
            self.asked.client.is_none_or(|client| submission.client == client)
                && self.asked.tags.iter().all(|(key, value)| submission.tags.get(key) == Some(value))
        }))
    }
}

/// Whether a build itself is what is asked for, but for its state and its name.
pub(crate) fn is_meant(asked: &AskBuilds, build: &Build) -> bool {
    asked.submission.is_none_or(|submission| build.submission == submission)
        && asked.system.as_ref().is_none_or(|system| build.recipe.system == *system)
        && asked.drv.as_ref().is_none_or(|drv| build.recipe.drv == *drv)
        && asked.output.as_ref().is_none_or(|output| build.products().any(|path| path == output))
        && asked.from.is_none_or(|from| build.created_at >= from)
        && asked.to.is_none_or(|to| build.created_at < to)
}

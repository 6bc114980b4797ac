//! Building one derivation.

use std::collections::BTreeSet;

use drover_store::StorePath;

use super::course::Course;
use super::{Connection, operation, verdict};
use crate::channel::Channel;
use crate::wire::{Frame, Refusal, Request, Told};
use crate::{BuildMode, BuildResult, BuildStatus, DaemonError, Event, Job, Options};

/// The most paths that a message names.
const MAX_NAMED: usize = 8;

/// How the daemon's work ended.
enum Ended {
    /// It says well.
    Well,
    /// It says not.
    Refused(Refusal),
    /// It is still at work, but not at what it was asked for: at this derivation.
    Astray(String),
}

impl Connection {
    /// The daemon would build inputs that are missing, so it is asked only when there are none; should one go just
    /// then, the daemon is left as soon as it begins to build it.
    pub(super) async fn build_things(
        &mut self,
        job: &Job<'_>,
        mode: BuildMode,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Result<BuildResult, DaemonError> {
        let options = self.settled_options().await?;
        let missing = self.missing(job.inputs()).await?;
        if !missing.is_empty() {
            return Ok(BuildResult::new(BuildStatus::MiscFailure, format!("inputs are not in the store: {}", names(&missing))));
        }
        let mut request = Request::new(operation::BUILD_THINGS);
        let drv = self.talk.store_dir().path(job.drv());
        request.list([&drv].into_iter()).number(mode.to_wire());
        let mut course = Course::of(drv);
        let channel = self.talk.begin()?;
        let ended = work(channel, &request, &mut course, on_event).await;
        course.finish(on_event);
        match ended {
            Ok(Ended::Astray(drv)) => {
                let message = format!("an input went from the store: the daemon began to build {drv} and was stopped");
                Ok(BuildResult::new(BuildStatus::MiscFailure, message))
            }
            ended => match self.talk.end(ended)? {
                Ended::Refused(refusal) => Ok(verdict::failed(refusal, &course, job, &options)),
                _ => self.confirm(job, &course).await,
            },
        }
    }

    /// Without the settings that we need a daemon tells nothing.
    async fn settled_options(&mut self) -> Result<Options, DaemonError> {
        match &self.options {
            Some(options) => Ok(options.clone()),
            None => {
                self.change_options(&Options::default()).await?;
                Ok(Options::default())
            }
        }
    }

    /// The daemon says that all is well also when it did nothing.
    async fn confirm(&mut self, job: &Job<'_>, course: &Course) -> Result<BuildResult, DaemonError> {
        let missing = self.missing(&job.outputs()).await?;
        if !missing.is_empty() {
            let (drv, names) = (job.drv(), names(&missing));
            return Err(DaemonError::Daemon(format!("{drv} is said to be built, but its outputs are not in the store: {names}")));
        }
        Ok(verdict::succeeded(course))
    }

    pub(super) async fn missing(&mut self, paths: &BTreeSet<StorePath>) -> Result<BTreeSet<StorePath>, DaemonError> {
        if paths.is_empty() {
            return Ok(BTreeSet::new());
        }
        let valid = self.ask_valid(paths).await?;
        Ok(paths.difference(&valid).cloned().collect())
    }
}

async fn work(
    channel: &mut Channel,
    request: &Request,
    course: &mut Course,
    on_event: &mut (dyn FnMut(Event) + Send),
) -> Result<Ended, DaemonError> {
    channel.send(request).await?;
    loop {
        match channel.frame().await? {
            Frame::Told(Told::Text(text)) => course.hear(&text, on_event),
            Frame::Told(_) => {}
            Frame::Error(refusal) => return Ok(Ended::Refused(refusal)),
            Frame::Last => {
                channel.input.number().await?;
                return Ok(Ended::Well);
            }
        }
        if let Some(drv) = course.astray.take() {
            return Ok(Ended::Astray(drv));
        }
    }
}

/// Some names of paths, for a message.
pub(super) fn names(paths: &BTreeSet<StorePath>) -> String {
    let mut names: Vec<&str> = paths.iter().take(MAX_NAMED).map(StorePath::as_str).collect();
    if paths.len() > MAX_NAMED {
        names.push("and others");
    }
    names.join(", ")
}

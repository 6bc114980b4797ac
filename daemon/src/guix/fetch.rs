//! Fetching paths that others have.

use std::collections::BTreeSet;

use drover_store::StorePath;

use super::build::names;
use super::course::Course;
use super::{Connection, operation};
use crate::channel::Channel;
use crate::wire::{Request, Told};
use crate::{BuildMode, DaemonError};

impl Connection {
    /// A refusal says no more than that the path cannot be had; why, the daemon's texts may tell.
    pub(super) async fn fetch(&mut self, path: &StorePath) -> Result<(), DaemonError> {
        let request = self.talk.about(operation::ENSURE_PATH, path);
        let mut course = Course::default();
        self.command(&request, &mut course).await.map_err(|error| with_words(error, &course))
    }

    /// A derivation among many paths the daemon would build, so each is fetched by itself.
    pub(super) async fn fetch_all(&mut self, paths: &BTreeSet<StorePath>) -> Result<(), DaemonError> {
        let (derivations, others) = paths.iter().partition::<BTreeSet<&StorePath>, _>(|path| path.is_derivation());
        let mut outcome = self.fetch_many(others.into_iter().cloned().collect()).await;
        for path in derivations {
            match outcome {
                Err(error) if !error.leaves_in_step() => return Err(error),
                before => outcome = self.fetch(path).await.and(before),
            }
        }
        outcome
    }

    /// The daemon passes over in silence what nobody has.
    async fn fetch_many(&mut self, paths: BTreeSet<StorePath>) -> Result<(), DaemonError> {
        if paths.is_empty() {
            return Ok(());
        }
        let mut request = Request::new(operation::BUILD_THINGS);
        request.list(paths.iter().map(|path| self.talk.store_dir().path(path)));
        request.number(BuildMode::Normal.to_wire());
        let mut course = Course::default();
        self.command(&request, &mut course).await.map_err(|error| with_words(error, &course))?;
        let missing = self.missing(&paths).await?;
        if missing.is_empty() {
            return Ok(());
        }
        Err(with_words(DaemonError::Daemon(format!("nobody has {}", names(&missing))), &course))
    }

    async fn command(&mut self, request: &Request, course: &mut Course) -> Result<(), DaemonError> {
        let channel = self.talk.begin()?;
        let outcome = command(channel, request, course).await;
        course.finish(&mut |_| {});
        self.talk.end(outcome)
    }
}

async fn command(channel: &mut Channel, request: &Request, course: &mut Course) -> Result<(), DaemonError> {
    channel.send(request).await?;
    let mut on_told = |told| match told {
        Told::Text(text) => course.hear(&text, &mut |_| {}),
        Told::Event(_) | Told::Nothing => {}
    };
    channel.await_answer(&mut on_told).await?;
    channel.input.number().await.map(drop)
}

fn with_words(error: DaemonError, course: &Course) -> DaemonError {
    match error {
        DaemonError::Daemon(why) => DaemonError::Daemon(course.words().chain([why.as_str()]).collect::<Vec<_>>().join("\n")),
        other => other,
    }
}

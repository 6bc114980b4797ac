//! Fetching one path.

use drover_store::StorePath;

use super::course::Course;
use super::{Connection, operation};
use crate::DaemonError;
use crate::wire::Told;

impl Connection {
    /// A refusal says no more than that the path cannot be had; why, the daemon's texts may tell.
    pub(super) async fn fetch(&mut self, path: &StorePath) -> Result<(), DaemonError> {
        let request = self.talk.about(operation::ENSURE_PATH, path);
        let mut course = Course::default();
        let channel = self.talk.begin()?;
        let outcome = async {
            channel.send(&request).await?;
            let mut on_told = |told| match told {
                Told::Text(text) => course.hear(&text, &mut |_| {}),
                Told::Event(_) | Told::Nothing => {}
            };
            channel.await_answer(&mut on_told).await?;
            channel.input.number().await.map(drop)
        }
        .await;
        course.finish(&mut |_| {});
        self.talk.end(outcome).map_err(|error| match error {
            DaemonError::Daemon(why) => DaemonError::Daemon(course.words().chain([why.as_str()]).collect::<Vec<_>>().join("\n")),
            other => other,
        })
    }
}

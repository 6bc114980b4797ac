//! A build as its client sees it: how it ended, and every line of its log with the time at which it came.

use std::time::Instant;

use drover_daemon::{BuildMode, BuildResult, BuildStatus, Connection, DaemonError, Event, StoreDaemon};

use crate::support::{Lab, Made, Plan};

/// What a build came to.
pub struct Watched {
    pub result: Result<BuildResult, DaemonError>,
    pub lines: Vec<(String, Instant)>,
}

impl Watched {
    pub fn log(&self) -> Vec<&str> {
        self.lines.iter().map(|(line, _)| line.as_str()).collect()
    }

    /// The status and the message of a build that ended, well or badly.
    pub fn ending(&self) -> (BuildStatus, &str) {
        let result = self.result.as_ref().unwrap_or_else(|error| panic!("{error:?}; log: {:?}", self.log()));
        (result.status, &result.message)
    }

    /// The message of a build that ended so.
    pub fn ended(&self, status: BuildStatus) -> &str {
        let (ended, message) = self.ending();
        assert_eq!(ended, status, "{message}; log: {:?}", self.log());
        message
    }
}

/// Adds the derivation of a plan to the store of a lab, as Guix needs it, and builds it.
pub async fn build(lab: &Lab, connection: &mut Connection, plan: &Plan<'_>) -> (Made, Watched) {
    let made = plan.make(lab);
    made.add(connection).await;
    let watched = watch(connection, &made, &[], BuildMode::Normal).await;
    (made, watched)
}

/// Builds what is in the store.
pub async fn watch(connection: &mut Connection, made: &Made, inputs: &[&Made], mode: BuildMode) -> Watched {
    let mut lines = Vec::new();
    let mut on_event = |event| {
        if let Event::Line(line) = event {
            lines.push((line, Instant::now()));
        }
    };
    let result = connection.build(&made.job(inputs), mode, &mut on_event).await;
    Watched { result, lines }
}

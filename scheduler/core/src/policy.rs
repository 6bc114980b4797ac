//! What each cause that an agent reports means for the build and for the agent. Whose fault it is says the cause itself.

use drover_messages::Cause;

/// What follows from a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The build fails; where it is to be confirmed, when another agent has met the same.
    Fail,
    /// The build is tried again, and fails when that has happened so many times.
    FailAtLast,
    /// The build is tried again.
    TryAgain,
    /// The same, and it says something of the agent.
    DoubtAgent,
    /// The same, and what was missing is looked for in the bucket.
    SuspectInputs,
}

impl Policy {
    pub(crate) fn of(cause: &Cause) -> Self {
        use Cause::*;
        match cause {
            BuilderFailed | TimedOut | Silent | TooLarge | HashMismatch | NotDeterministic | Rejected | KnownFailure { .. } => {
                Self::Fail
            }
            DownloadFailed => Self::FailAtLast,
            DiskFull | UploadFailed | DaemonGone | Killed | Refused => Self::DoubtAgent,
            InputsUnavailable { .. } => Self::SuspectInputs,
            AgentLost | PublicationRefused | Aborted => Self::TryAgain,
        }
    }
}

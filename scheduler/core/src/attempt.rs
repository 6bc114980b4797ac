//! An attempt: one try of a build on one agent.

use drover_messages::report::{Kept, SealedLog, Times};
use drover_messages::{AgentId, AttemptId, Cause, Epoch, StoreId};
use serde::{Deserialize, Serialize};

use crate::Illegal;

/// One try of a build on one agent, kept for as long as the build remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// Who tries.
    pub agent: AgentId,
    /// In which store.
    pub store: StoreId,
    /// Under which lease.
    pub epoch: Epoch,
    /// How far it is.
    pub state: AttemptState,
    /// Where the time went, once it is known.
    pub times: Option<Times>,
    /// Its finished log.
    pub log: Option<SealedLog>,
    /// The store had the outputs already.
    pub already_valid: bool,
    /// Outputs that came out differently, where it was a check.
    #[serde(default)]
    pub kept: Vec<Kept>,
}

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// Offered, accepted, building.
    Running,
    /// The outputs are in its store.
    Built,
    /// The outputs are in the bucket, not verified.
    Uploaded,
    /// They were in the bucket, and are gone: its agent is asked for them again.
    Unloaded,
    /// All its outputs are available: its agent may forget it.
    Published,
    /// It was a check, and everything came out the same.
    Checked,
    /// It came to nothing, and its agent may forget it.
    Ended {
        /// Why.
        cause: Cause,
        /// The agent's or the daemon's words.
        message: String,
    },
    /// Another attempt was first.
    Superseded,
}

/// What can befall an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttemptEvent {
    /// Its agent is found to have it still.
    Resume,
    /// Its outputs are in its store.
    Build,
    /// Its outputs are in the bucket.
    Upload,
    /// What it uploaded is gone, and its agent is asked for it again.
    Unload,
    /// All its outputs are available.
    Publish,
    /// Everything came out the same.
    Check,
    /// It comes to nothing.
    End(Cause, String),
    /// Another attempt was first.
    Supersede,
}

impl Attempt {
    /// One that begins.
    pub fn begin(id: AttemptId, agent: AgentId, store: StoreId, epoch: Epoch) -> Self {
        let state = AttemptState::Running;
        Self { id, agent, store, epoch, state, times: None, log: None, already_valid: false, kept: Vec::new() }
    }
}

impl AttemptState {
    /// The one table: what follows when `event` befalls an attempt in this state.
    ///
    /// What ended by the farm's fault may still come back with a result: a success is never thrown away.
    pub fn next(&self, event: AttemptEvent) -> Result<Self, Illegal> {
        use AttemptEvent as E;
        use AttemptState::*;
        Ok(match (self, event) {
            (Running | Ended { .. }, E::Resume) if !self.is_refused() => Running,
            (Running | Ended { .. } | Built, E::Build) if !self.is_refused() => Built,
            (Running | Ended { .. } | Built | Uploaded | Unloaded, E::Upload) if !self.is_refused() => Uploaded,
            (Uploaded, E::Unload) => Unloaded,
            (Built | Uploaded | Unloaded, E::Publish) => Published,
            (Running | Ended { .. }, E::Check) if !self.is_refused() => Checked,
            (Running | Built | Uploaded | Unloaded | Published | Ended { .. }, E::End(cause, message)) => {
                Ended { cause, message }
            }
            (Running | Built | Uploaded | Unloaded | Published | Ended { .. }, E::Supersede) => Superseded,
            (state, event) => {
                return Err(Illegal { what: "an attempt", state: format!("{state:?}"), event: format!("{event:?}") });
            }
        })
    }

    /// Whether the agent may forget it.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Published | Self::Checked | Self::Ended { .. } | Self::Superseded)
    }

    /// Whether it came to nothing by its agent's own word. Of the others the scheduler has only not heard, or wanted no more.
    pub fn is_told_to_have_failed(&self) -> bool {
        use Cause::{Aborted, AgentLost, Refused};
        matches!(self, Self::Ended { cause, .. } if !matches!(cause, AgentLost | Aborted | Refused))
    }

    /// Whether what it brought was no good. That is no success, and telling of it again makes it none.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Ended { cause: Cause::PublicationRefused, .. })
    }

    /// The state in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Built => "built",
            Self::Uploaded => "uploaded",
            Self::Unloaded => "to be uploaded again",
            Self::Published => "published",
            Self::Checked => "checked",
            Self::Ended { .. } => "ended",
            Self::Superseded => "superseded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_was_given_up_may_come_back_with_a_result() {
        let lost = AttemptState::Ended { cause: Cause::AgentLost, message: String::new() };
        assert_eq!(lost.next(AttemptEvent::Build).unwrap(), AttemptState::Built);
        assert_eq!(lost.next(AttemptEvent::Upload).unwrap(), AttemptState::Uploaded);
    }

    #[test]
    fn what_was_refused_does_not_come_back() {
        let refused = AttemptState::Ended { cause: Cause::PublicationRefused, message: String::new() };
        for event in [AttemptEvent::Resume, AttemptEvent::Build, AttemptEvent::Upload] {
            assert!(refused.next(event).is_err());
        }
    }

    #[test]
    fn a_check_ends_when_everything_came_out_the_same() {
        let checked = AttemptState::Running.next(AttemptEvent::Check).unwrap();
        assert!(checked.is_settled());
        assert!(checked.next(AttemptEvent::Upload).is_err());
        assert!(AttemptState::Built.next(AttemptEvent::Check).is_err());
    }

    #[test]
    fn what_is_superseded_stays_so() {
        assert!(AttemptState::Superseded.next(AttemptEvent::Build).is_err());
        assert!(AttemptState::Superseded.is_settled());
    }
}

//! Who may put unverified bytes where. A corner belongs to one attempt of one agent, or to one submission of one
//! client, and goes away as a whole when that is over.

use std::fmt;

use drover_messages::{AgentId, AttemptId, ClientId, SubmissionId};

use crate::{Key, KeyError};

/// One owner's part of `incoming/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Corner {
    /// What an agent uploads for an attempt.
    Attempt(AgentId, AttemptId),
    /// What a client uploads for a submission.
    Submission(ClientId, SubmissionId),
}

impl Corner {
    /// Reads a key that the corner's owner claims. Anything outside of the corner is refused.
    pub fn claim(&self, text: &str) -> Result<Key, KeyError> {
        let key: Key = text.parse()?;
        if Self::of(&key) == Some(*self) {
            return Ok(key);
        }
        Err(KeyError::OutsideCorner { key: text.into(), corner: self.to_string() })
    }

    /// Where all corners of its owner lie.
    pub(crate) fn side(&self) -> String {
        match self {
            Self::Attempt(owner, _) => format!("incoming/{owner}"),
            Self::Submission(owner, _) => format!("incoming/{owner}"),
        }
    }

    /// The corner that a key lies in.
    pub fn of(key: &Key) -> Option<Self> {
        match key {
            Key::OutputIncoming { agent, attempt, .. } => Some(Self::Attempt(*agent, *attempt)),
            Key::SourceIncoming { client, submission, .. } | Key::SourceManifest { client, submission, .. } => {
                Some(Self::Submission(*client, *submission))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Corner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempt(agent, attempt) => write!(f, "incoming/{agent}/{attempt}"),
            Self::Submission(client, submission) => write!(f, "incoming/{client}/{submission}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: &str = "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy";

    #[test]
    fn only_keys_of_the_owner_are_accepted() {
        let (agent, attempt) = (AgentId::new(), AttemptId::new());
        let corner = Corner::Attempt(agent, attempt);
        assert!(corner.claim(&format!("{corner}/0/{ITEM}.nar.zst")).is_ok());

        let of_another_attempt = format!("incoming/{agent}/{}/0/{ITEM}.nar.zst", AttemptId::new());
        let of_another_agent = format!("incoming/{}/{attempt}/0/{ITEM}.nar.zst", AgentId::new());
        for elsewhere in [of_another_attempt, of_another_agent, "generation/1".into()] {
            assert!(matches!(corner.claim(&elsewhere), Err(KeyError::OutsideCorner { .. })), "{elsewhere}");
        }
        let upwards = format!("{corner}/0/../../{ITEM}.nar.zst");
        assert!(matches!(corner.claim(&upwards), Err(KeyError::Unknown(_))));
    }

    #[test]
    fn a_source_is_not_an_output_even_for_one_who_is_both() {
        let id = "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";
        let corner = Corner::Attempt(id.parse().unwrap(), id.parse().unwrap());
        assert!(corner.claim(&format!("incoming/{id}/{id}/{ITEM}.nar.zst")).is_err());
    }
}

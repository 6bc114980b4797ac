//! What users want changed of what they asked for, on the stream REQ. Who wants it is said by the subject.

use serde::{Deserialize, Serialize};

use crate::{BuildId, Message, SubmissionId, WishId};

/// A wish. The same wish sent again is the same, and is fulfilled once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Its id.
    pub wish: WishId,
    /// What it is about.
    pub target: Target,
    /// What is to become of it.
    pub change: Wished,
}

impl Message for Wish {
    const KIND: &'static str = "wish";
}

/// What a wish is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// One build, and what only it needs.
    Build(BuildId),
    /// All builds of a submission, as a unit.
    Submission(SubmissionId),
    /// All submissions with this tag.
    Tag {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
}

/// What is to become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wished {
    /// It is not wanted any more. What somebody else needs goes on.
    Cancel,
    /// What failed or was cancelled is tried again; what waits for another try is tried at once.
    Retry,
    /// Another priority: higher is sooner. What it needs follows.
    Priority(i32),
}

impl Wished {
    /// Its word in the subject.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Priority(_) => "priority",
        }
    }
}

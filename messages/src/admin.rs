//! Administration, by core request on `rpc.admin.<what>`: logins, copies of the state, messages that were set aside.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Message;

/// What a login may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A build machine.
    Agent,
    /// A user who submits and looks.
    Client,
    /// A user who also administers.
    Admin,
}

/// Make a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLogin {
    /// What it may do.
    pub role: Role,
    /// For people.
    pub name: String,
}

impl Message for NewLogin {
    const KIND: &'static str = "new-login";
}

/// Give a login another password. The old one ends, and connections made with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPassword {
    /// Whose.
    pub id: Uuid,
}

impl Message for NewPassword {
    const KIND: &'static str = "new-password";
}

/// Copy the scheduler's whole state to a file on its machine, while it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeSnapshot {}

impl Message for TakeSnapshot {
    const KIND: &'static str = "take-snapshot";
}

/// The answer to [`TakeSnapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The file, on the scheduler's machine.
    pub file: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub took_millis: u64,
}

impl Message for Snapshot {
    const KIND: &'static str = "snapshot";
}

/// The answer to both.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginAnswer {
    /// Here it is; the password is told this once.
    Made {
        /// The user name.
        id: Uuid,
        /// The secret: 128 random bits, as hex.
        password: String,
    },
    /// No login has this id.
    Unknown,
}

impl Message for LoginAnswer {
    const KIND: &'static str = "login-answer";
}

impl std::fmt::Debug for LoginAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Made { id, .. } => f.debug_struct("Made").field("id", id).finish_non_exhaustive(),
            Self::Unknown => f.write_str("Unknown"),
        }
    }
}

/// The most messages that were set aside, of one request.
pub const MAX_DISPOSED: usize = 500;

/// Decide about messages that were set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispose {
    /// Which, by their numbers on the stream DEAD. At most [`MAX_DISPOSED`].
    pub sequences: BTreeSet<u64>,
    /// What is to become of them.
    pub how: Disposal,
}

impl Message for Dispose {
    const KIND: &'static str = "dispose";
}

/// What is to become of a message that was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposal {
    /// It is sent again where it came from, and set aside no more.
    Retry,
    /// It is thrown away.
    Drop,
}

/// The answer to [`Dispose`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disposed {
    /// Those with which it was done.
    pub done: BTreeSet<u64>,
    /// The others, each with the reason in words.
    pub refused: Vec<(u64, String)>,
}

impl Message for Disposed {
    const KIND: &'static str = "disposed";
}

//! Administration of logins, by core request on `rpc.admin.<what>`.

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

//! Ids, one newtype each, so that a build can never be taken for an attempt.
//!
//! All are UUIDs of version 7. Those that follow from others are *derived*: the time of their origin and a hash in
//! place of the random bits. A scheduler that plans a submission again, from an older copy of its state, therefore
//! finds the same ids, and the agents that hold them are understood.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use drover_store::{DrvPath, StorePath};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, of this moment.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id that a test or a stored record names.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bare UUID.
            pub const fn uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    };
}

id! {
    /// One request from a user.
    SubmissionId
}
id! {
    /// One derivation to be built for some reason.
    BuildId
}
id! {
    /// One try of a build on one agent.
    AttemptId
}
id! {
    /// A build machine's process; also its login.
    AgentId
}
id! {
    /// A person's or a program's login.
    ClientId
}
id! {
    /// One report of an agent. Sent again it keeps its id; the broker's message id is another matter.
    ReportId
}
id! {
    /// One change that a user wants.
    WishId
}
id! {
    /// One publication that the scheduler owes.
    PublicationId
}

impl BuildId {
    /// The build of `drv` that `submission` needs, where the user named none.
    pub fn derived(submission: SubmissionId, drv: &DrvPath) -> Self {
        Self(derive(submission.0, &[b"build", drv.to_string().as_bytes()]))
    }

    /// The build of `drv` that must be there before `submission` can check it.
    pub fn before_check(submission: SubmissionId, drv: &DrvPath) -> Self {
        Self(derive(submission.0, &[b"before check", drv.to_string().as_bytes()]))
    }
}

impl AttemptId {
    /// The attempt of `build` under `epoch`.
    pub fn derived(build: BuildId, epoch: Epoch) -> Self {
        Self(derive(build.0, &[b"attempt", &epoch.generation.0.to_be_bytes(), &epoch.n.to_be_bytes()]))
    }
}

impl PublicationId {
    /// The publication of `path` as `attempt` made it.
    pub fn of_output(attempt: AttemptId, path: &StorePath) -> Self {
        Self(derive(attempt.0, &[b"output", path.to_string().as_bytes()]))
    }

    /// The publication of the source `path` as `submission` brought it.
    pub fn of_source(submission: SubmissionId, path: &StorePath) -> Self {
        Self(derive(submission.0, &[b"source", path.to_string().as_bytes()]))
    }
}

/// The time of `origin` with a hash of `parts` where a fresh UUID has random bits (RFC 9562, section 5.7).
fn derive(origin: Uuid, parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(origin.as_bytes());
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut bytes = *origin.as_bytes();
    bytes[6..].copy_from_slice(&hash.finalize()[..10]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    Uuid::from_bytes(bytes)
}

/// The number of a scheduler's reign. Grows with every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a lease: the scheduler's generation, then a count within it. Grows with every new offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// The reign in which the lease was given.
    pub generation: Generation,
    /// Counts the leases of a generation.
    pub n: u64,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.n)
    }
}

/// One store on one machine, as its agents name it. Two agents of one store share what either has built.
/// Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(from = "String")]
pub struct StoreId(Arc<str>);

impl StoreId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for StoreId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<&str> for StoreId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl Serialize for StoreId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission() -> SubmissionId {
        "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b".parse().unwrap()
    }

    #[test]
    fn a_derived_id_is_the_same_each_time_and_a_valid_version_7() {
        let drv: DrvPath = "0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-hello.drv".parse().unwrap();
        let id = BuildId::derived(submission(), &drv);
        assert_eq!(id, BuildId::derived(submission(), &drv));
        assert_eq!(id.uuid().get_version_num(), 7);
        assert_eq!(id.uuid().as_bytes()[..6], submission().uuid().as_bytes()[..6]);
    }

    #[test]
    fn another_epoch_is_another_attempt() {
        let build = BuildId::from_uuid(submission().uuid());
        let one = AttemptId::derived(build, Epoch { generation: Generation(1), n: 2 });
        let two = AttemptId::derived(build, Epoch { generation: Generation(2), n: 1 });
        assert_ne!(one, two);
    }
}

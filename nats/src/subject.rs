//! Every subject that Drover publishes on: one type writes and parses them.
//!
//! A subject is spelled in one way only: what parses, prints the same. Who a message is from stands in its subject,
//! because the server checks that; see [`crate::permissions`].

use std::fmt;
use std::str::FromStr;

use drover_messages::event::{Event, What};
use drover_messages::wish::Wished;
use drover_messages::{AgentId, AttemptId, BuildId, ClientId, PublicationId, SubmissionId, WishId};
use serde::{Deserialize, Serialize};

/// Stands in the subject of an event that is of several, in place of an id.
pub const SEVERAL: &str = "several";
/// The longest token of a subject, in bytes.
pub const MAX_TOKEN_BYTES: usize = 64;

/// Where a message travels: the table "on the wire" of the design.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The fields are what their names say.
pub enum Subject {
    /// `req.submit.<client>.<submission>`, on the stream REQ.
    Submit { client: ClientId, submission: SubmissionId },
    /// `req.<verb>.<client>.<wish>`, on the stream REQ: about what the client has submitted.
    Wish { verb: WishVerb, client: ClientId, wish: WishId },
    /// `adm.<verb>.<client>.<wish>`, on the stream REQ: an administrator's, about what anybody has submitted.
    AdminWish { verb: WishVerb, client: ClientId, wish: WishId },
    /// `res.<agent>.<build>`, on the stream RES.
    Report { agent: AgentId, build: BuildId },
    /// `done.<pool>.<publication>`, on the stream RES.
    Done { pool: Pool, publication: PublicationId },
    /// `work.<agent>`: an offer, by request.
    Work { agent: AgentId },
    /// `ctl.agent.<agent>.abort`.
    Abort { agent: AgentId },
    /// `rpc.agent.<agent>.hello`, by request.
    Hello { agent: AgentId },
    /// `rpc.agent.<agent>.beat`, by request.
    Beat { agent: AgentId },
    /// `rpc.query.<what>`, by request.
    Query(Query),
    /// `rpc.admin.<what>`, by request.
    Admin(Admin),
    /// `rpc.pool.<pool>`: a question to a pool, by request.
    AskPool { pool: Pool },
    /// `publish.<urgency>.<publication>`, on the stream OWED.
    Publish { urgency: Urgency, publication: PublicationId },
    /// `ev.<noun>.<id>.<verb>`, on the stream EVENTS. An item's id is the hash part of its path.
    Event { noun: Noun, id: String, verb: String },
    /// `log.<agent>.<build>.<attempt>`, on the stream LOGS: plain text.
    Log { agent: AgentId, build: BuildId, attempt: AttemptId },
    /// `dead.<stream>.<sequence>`, on the stream DEAD: what could not be read.
    Dead { stream: String, sequence: u64 },
}

/// Text that is no subject of Drover's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a subject of Drover's: {0:?}")]
pub struct SubjectError(pub String);

/// How soon a publication is wanted: 0 is most urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Urgency(pub u8);

/// A pool of hook workers, by its name: lower-case letters, digits and dashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pool(String);

impl Pool {
    /// The pool that verifies and publishes.
    pub fn publish() -> Self {
        Self("publish".into())
    }

    /// The pool that looks things up at substitute servers beyond the farm's own.
    pub fn substitutes() -> Self {
        Self("substitutes".into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Pool {
    type Err = SubjectError;
    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        match is_token(text) && text.bytes().all(fits) {
            true => Ok(Self(text.into())),
            false => Err(SubjectError(text.into())),
        }
    }
}

impl TryFrom<String> for Pool {
    type Error = SubjectError;
    fn try_from(text: String) -> Result<Self, SubjectError> {
        text.parse()
    }
}

impl From<Pool> for String {
    fn from(pool: Pool) -> Self {
        pool.0
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A closed set of words, each one token of a subject.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The token.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl FromStr for $name {
            type Err = SubjectError;
            fn from_str(text: &str) -> Result<Self, SubjectError> {
                match text { $($word => Ok(Self::$variant),)+ _ => Err(SubjectError(text.into())) }
            }
        }
    };
}

words! {
    /// What the scheduler can be asked.
    Query {
        /// What of a submission the farm lacks.
        Missing = "missing",
        /// How a submission does.
        Submission = "submission",
        /// A page of builds.
        Builds = "builds",
        /// One build in full.
        Build = "build",
        /// All agents.
        Agents = "agents",
        /// What a build waits for.
        Why = "why",
        /// What was built, and of what.
        Records = "records",
    }
}

words! {
    /// What users may want changed of what they asked for.
    WishVerb {
        /// It is not wanted any more.
        Cancel = "cancel",
        /// It is to be tried again.
        Retry = "retry",
        /// It is to be sooner, or later.
        Priority = "priority",
    }
}

impl From<Wished> for WishVerb {
    fn from(wished: Wished) -> Self {
        match wished {
            Wished::Cancel => Self::Cancel,
            Wished::Retry => Self::Retry,
            Wished::Priority(_) => Self::Priority,
        }
    }
}

words! {
    /// What an administrator can ask for.
    Admin {
        /// A login.
        LoginNew = "login-new",
        /// Another password for a login.
        PasswordNew = "password-new",
        /// Agents that take no builds.
        Drain = "drain",
        /// A copy of the scheduler's state.
        Snapshot = "snapshot",
        /// What becomes of messages that were set aside.
        Dispose = "dispose",
    }
}

words! {
    /// What an event speaks of.
    Noun {
        /// A submission.
        Submission = "submission",
        /// A build.
        Build = "build",
        /// A store item.
        Item = "item",
        /// An agent.
        Agent = "agent",
        /// A user's wish.
        Wish = "wish",
    }
}

impl Subject {
    /// Where an event is told.
    pub fn of_event(event: &Event) -> Self {
        let (noun, id, verb) = told(&event.what);
        Self::Event { noun, id, verb: verb.into() }
    }
}

fn told(what: &What) -> (Noun, String, &'static str) {
    use What::*;
    match what {
        SubmissionAccepted { submission, .. } => (Noun::Submission, submission.to_string(), "accepted"),
        SubmissionRejected { submission, .. } => (Noun::Submission, submission.to_string(), "rejected"),
        BuildLeased { build, .. } => (Noun::Build, build.to_string(), "leased"),
        BuildsLeased { .. } => (Noun::Build, SEVERAL.into(), "leased"),
        BuildPlaced { build, .. } => (Noun::Build, build.to_string(), "placed"),
        BuildSucceeded { build, .. } => (Noun::Build, build.to_string(), "succeeded"),
        BuildChecked { build, .. } => (Noun::Build, build.to_string(), "checked"),
        AttemptVoid { build, .. } => (Noun::Build, build.to_string(), "void"),
        BuildFailed { build, .. } => (Noun::Build, build.to_string(), "failed"),
        BuildBlocked { build, .. } => (Noun::Build, build.to_string(), "blocked"),
        BuildReopened { build, .. } => (Noun::Build, build.to_string(), "reopened"),
        BuildDiffers { build, .. } => (Noun::Build, build.to_string(), "differs"),
        BuildCancelled { build } => (Noun::Build, build.to_string(), "cancelled"),
        BuildRetried { build } => (Noun::Build, build.to_string(), "retried"),
        WishFulfilled { wish, .. } => (Noun::Wish, wish.to_string(), "fulfilled"),
        WishRefused { wish, .. } => (Noun::Wish, wish.to_string(), "refused"),
        ItemAvailable { path, .. } => (Noun::Item, path.hash_part().to_string(), "available"),
        ItemsAvailable { .. } => (Noun::Item, SEVERAL.into(), "available"),
        ItemLost { path, .. } => (Noun::Item, path.hash_part().to_string(), "lost"),
        ItemGivenUp { path, .. } => (Noun::Item, path.hash_part().to_string(), "given-up"),
        PublicationRefused { path, .. } => (Noun::Item, path.hash_part().to_string(), "refused"),
        AgentJoined { agent, .. } => (Noun::Agent, agent.to_string(), "joined"),
        AgentQuarantined { agent, .. } => (Noun::Agent, agent.to_string(), "quarantined"),
        AgentReleased { agent } => (Noun::Agent, agent.to_string(), "released"),
        AgentLost { agent } => (Noun::Agent, agent.to_string(), "lost"),
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submit { client, submission } => write!(f, "req.submit.{client}.{submission}"),
            Self::Wish { verb, client, wish } => write!(f, "req.{}.{client}.{wish}", verb.as_str()),
            Self::AdminWish { verb, client, wish } => write!(f, "adm.{}.{client}.{wish}", verb.as_str()),
            Self::Report { agent, build } => write!(f, "res.{agent}.{build}"),
            Self::Done { pool, publication } => write!(f, "done.{pool}.{publication}"),
            Self::Work { agent } => write!(f, "work.{agent}"),
            Self::Abort { agent } => write!(f, "ctl.agent.{agent}.abort"),
            Self::Hello { agent } => write!(f, "rpc.agent.{agent}.hello"),
            Self::Beat { agent } => write!(f, "rpc.agent.{agent}.beat"),
            Self::Query(what) => write!(f, "rpc.query.{}", what.as_str()),
            Self::Admin(what) => write!(f, "rpc.admin.{}", what.as_str()),
            Self::AskPool { pool } => write!(f, "rpc.pool.{pool}"),
            Self::Publish { urgency, publication } => write!(f, "publish.{}.{publication}", urgency.0),
            Self::Event { noun, id, verb } => write!(f, "ev.{}.{id}.{verb}", noun.as_str()),
            Self::Log { agent, build, attempt } => write!(f, "log.{agent}.{build}.{attempt}"),
            Self::Dead { stream, sequence } => write!(f, "dead.{stream}.{sequence}"),
        }
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let tokens: Vec<&str> = text.split('.').collect();
        parse(&tokens).filter(|subject| subject.to_string() == text).ok_or_else(|| SubjectError(text.into()))
    }
}

fn parse(tokens: &[&str]) -> Option<Subject> {
    if !tokens.iter().all(|token| is_token(token)) {
        return None;
    }
    Some(match tokens {
        ["req", "submit", client, submission] => Subject::Submit { client: own(client)?, submission: own(submission)? },
        ["req", verb, client, wish] => Subject::Wish { verb: own(verb)?, client: own(client)?, wish: own(wish)? },
        ["adm", verb, client, wish] => Subject::AdminWish { verb: own(verb)?, client: own(client)?, wish: own(wish)? },
        ["res", agent, build] => Subject::Report { agent: own(agent)?, build: own(build)? },
        ["done", pool, publication] => Subject::Done { pool: own(pool)?, publication: own(publication)? },
        ["work", agent] => Subject::Work { agent: own(agent)? },
        ["ctl", "agent", agent, "abort"] => Subject::Abort { agent: own(agent)? },
        ["rpc", "agent", agent, "hello"] => Subject::Hello { agent: own(agent)? },
        ["rpc", "agent", agent, "beat"] => Subject::Beat { agent: own(agent)? },
        ["rpc", "query", what] => Subject::Query(own(what)?),
        ["rpc", "admin", what] => Subject::Admin(own(what)?),
        ["rpc", "pool", pool] => Subject::AskPool { pool: own(pool)? },
        ["publish", urgency, publication] => Subject::Publish { urgency: Urgency(own(urgency)?), publication: own(publication)? },
        ["ev", noun, id, verb] => Subject::Event { noun: own(noun)?, id: own(id)?, verb: own(verb)? },
        ["log", agent, build, attempt] => Subject::Log { agent: own(agent)?, build: own(build)?, attempt: own(attempt)? },
        ["dead", stream, sequence] => Subject::Dead { stream: own(stream)?, sequence: own(sequence)? },
        _ => return None,
    })
}

fn own<T: FromStr>(token: &str) -> Option<T> {
    token.parse().ok()
}

/// Letters, digits, `-` and `_`: no wildcard, no space, nothing that a terminal or a shell takes badly.
pub(crate) fn is_token(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=MAX_TOKEN_BYTES).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
#[path = "subject_tests.rs"]
mod tests;

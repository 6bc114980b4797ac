//! What can go wrong, by what the caller can do about it.

use std::path::PathBuf;
use std::time::Duration;

/// Why the broker did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// No connection, or no answer: it may have happened, or happen yet. Do it again, with the same id.
    #[error("{what}: no answer from the broker within {} s", .within.as_secs())]
    Timeout {
        /// What was tried.
        what: String,
        /// How long.
        within: Duration,
    },
    /// No stream takes the subject: it is made again by the scheduler. Do it again, later.
    #[error("no stream takes {subject}: the scheduler makes streams when it runs")]
    NoStream {
        /// Where it was to go.
        subject: String,
    },
    /// The broker will not. Trying again does not help until something has changed.
    #[error("{what}: the broker refuses: {why}")]
    Refused {
        /// What was tried.
        what: String,
        /// In the broker's words.
        why: String,
    },
    /// A stream would answer requests in place of whoever is asked. An operator has to change or delete it.
    #[error("the stream {stream} captures {subject:?}, which overlaps {reserved:?}: no stream may; change or delete it")]
    Captures {
        /// The offender.
        stream: String,
        /// Its subject.
        subject: String,
        /// What nobody may capture.
        reserved: String,
    },
    /// The broker's address makes no sense.
    #[error("{url:?} is no address of a NATS server: {why}")]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file of ours cannot be used. An operator has to mend it.
    #[error("{}: {why}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what to do about it.
        why: String,
    },
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nobody listens there. Known at once.
    #[error("nobody answers there")]
    NoResponders,
    /// No connection, or no answer: it may have been taken, or be taken yet.
    #[error("no answer in time")]
    Timeout,
    /// This login may not ask that. Known at once, mostly: the server's word may come while another is refused.
    #[error("this login may not ask that")]
    Forbidden,
    /// Whoever was asked says what is wrong.
    #[error("{0}")]
    Problem(String),
    /// It cannot be sent, or its answer cannot be read.
    #[error("{0}")]
    Broken(String),
}

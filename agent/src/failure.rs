//! Why a stage of an attempt could not be done: what becomes a report of failure.

use std::error::Error;

use drover_messages::Cause;
use drover_messages::report::Kept;

use crate::cause_of::{bounded, words};

/// The end of an attempt, before it is a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why, as far as it decides what is done about it.
    pub cause: Cause,
    /// For people, of a bounded length.
    pub message: String,
    /// Outputs that came out differently, in the bucket.
    pub kept: Vec<Kept>,
}

impl Failure {
    /// With words of our own, or of the daemon.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: bounded(message.into()), kept: Vec::new() }
    }

    /// With the words of an error and its sources.
    pub fn of(cause: Cause, error: &dyn Error) -> Self {
        Self { cause, message: words(error), kept: Vec::new() }
    }
}

//! The scheduler's decisions, as a pure state machine.
//!
//! [`Core::advance`] takes the time and an [`Input`], decides ([`step`]) and returns [`Outcome`]: the changes that it
//! applied, the events to tell and the effects to carry out. [`State::apply`] alone mutates, here, at start-up and in
//! tests. There is no clock in this crate, no randomness, no I/O, and no order that hangs on a hash map: the same
//! inputs give the same outcome anywhere.
//!
//! Memory holds what is open. What is finished lives in the shell's database and is *recalled* when it matters again.

pub mod limits;
pub mod time;

pub mod attempt;
pub mod seldom;
pub mod recipe;
pub mod build;
pub mod package;
pub mod durations;
pub mod share;
pub mod item;
pub mod owed;
pub mod submission;
pub mod packs;

pub mod agent;
pub mod place;
pub mod pace;
mod slots;
mod crew;
mod taker;
mod objections;
mod savings;
mod score;
pub mod breaker;

pub mod change;
pub mod input;
pub mod outcome;

mod arena;
mod roster;
mod needs;
mod links;
mod debts;
mod graph;
mod weight;
mod reach;
mod queue;
pub mod state;
mod tries;
mod views;
mod memory;
mod tally;
pub mod remember;

pub mod closure;
pub mod plan;
mod below;
mod policy;
pub mod step;
pub mod audit;

pub use agent::KnownAgent;
pub use attempt::{Attempt, AttemptEvent, AttemptState};
pub use build::{Build, BuildEvent, BuildState, Lease, Place, WholeBuild};
pub use change::{Change, Learned};
pub use durations::Took;
pub use input::Input;
pub use item::{Item, ItemEvent, ItemState};
pub use limits::{Limits, Order};
pub use outcome::{Effect, Outcome};
pub use owed::{LARGE_NAR_BYTES, Publication, is_large};
pub use package::Package;
pub use packs::{PackSet, PackSetId};
pub use place::Objection;
pub use recipe::{Outputs, Paths, Product, Recipe};
pub use remember::OpenBuild;
pub use seldom::Seldom;
pub use share::Used;
pub use state::State;
pub use step::Core;
pub use submission::{Submission, SubmissionState};
pub use time::{Heard, Now};

/// A transition that the tables do not have. A bug in the core, or two inputs that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} in state {state} cannot take {event}")]
pub struct Illegal {
    /// Build, item or attempt.
    pub what: &'static str,
    /// The state, in words.
    pub state: String,
    /// The event, in words.
    pub event: String,
}

//! What the system tests stand on: a farm of real processes on this machine, each of which a test can kill and start
//! again alone, and an agent that says what a test wants.
//!
//! It decides nothing about builds. It knows the command lines of Drover's programs and where they leave their words.

#![allow(clippy::unwrap_used)] // A harness has nobody to tell but the test.

mod programs;
pub use programs::program;
mod folder;
pub use folder::Folder;
mod keys;
mod command;
pub use command::{Options, in_store};
mod process;
pub use process::Process;
mod until;
pub use until::until;

/// Stores with daemons of their own.
#[path = "../../daemon/tests/support/mod.rs"]
#[allow(missing_docs, clippy::module_inception)] // Shared with the tests of other crates.
pub mod lab;

mod farm;
pub use farm::{Farm, PATIENCE};
mod bare;
pub use bare::Bare;
mod cache;
pub use cache::{Cache, authorise, fetch};
mod agent;
pub use agent::{Agent, Seat};
mod person;
mod build;
pub use build::{Ended, Submitted};
mod audit;
pub use audit::Audit;
mod explain;

mod recipe;
pub use recipe::Recipe;
mod fake_agent;
pub use fake_agent::FakeAgent;

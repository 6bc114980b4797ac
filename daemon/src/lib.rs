//! Clients of the store daemons: what Drover asks of `nix-daemon` and of `guix-daemon`.
//!
//! [`StoreDaemon`] is all that the rest of Drover knows of a daemon, and [`Connection`] is one conversation with
//! whichever answers at a socket: which of the two it is, the daemon's own version tells. Below that are two layers.
//! [`wire`] is the framing that both daemons share: numbers, strings, lists, frames, framed streams. [`nix`] and
//! [`guix`] are the dialects: which operations there are and what stands in them. Nothing here knows of slots, queues
//! or retries, which are the agent's affair.
//!
//! Everything that the daemon sends is bounded by a constant in [`wire`], and nothing it sends can
//! make this crate panic.

pub mod wire;

mod config;
mod error;
mod event;
mod job;
mod options;
mod outcome;
mod path_info;
mod store_daemon;
mod version;

mod channel;
mod connection;
mod dial;
mod worker;
mod conversation;
mod greeting;
pub mod guix;
pub mod nix;

#[cfg(test)]
mod scripted;

pub use config::DaemonConfig;
pub use connection::Connection;
pub use error::DaemonError;
pub use event::{ActivityKind, Event};
pub use job::Job;
pub use options::{Options, Substituters};
pub use outcome::{BuildMode, BuildResult, BuildStatus};
pub use path_info::PathInfo;
pub use store_daemon::StoreDaemon;
pub use version::{Dialect, ProtocolVersion};

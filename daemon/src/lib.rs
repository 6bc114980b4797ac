//! Clients of the store daemons: what Drover asks of `nix-daemon` today and of `guix-daemon` later.
//!
//! The worker protocol has two layers. [`wire`] is the framing that both daemons share: numbers,
//! strings, lists, log frames, framed streams. [`nix`] is the dialect of `nix-daemon`: which
//! operations there are and what stands in them. A [`Connection`] is one conversation; it knows
//! nothing of slots, queues or retries, which are the agent's affair.
//!
//! Everything that the daemon sends is bounded by a constant in [`wire`], and nothing it sends can
//! make this crate panic.

pub mod wire;

mod derivation;
mod error;
mod event;
mod outcome;
mod path_info;
mod version;

pub mod nix;

pub use derivation::BasicDerivation;
pub use error::DaemonError;
pub use event::{ActivityKind, Event};
pub use nix::{Connection, DaemonConfig, Options};
pub use outcome::{BuildMode, BuildResult, BuildStatus};
pub use path_info::PathInfo;
pub use version::ProtocolVersion;

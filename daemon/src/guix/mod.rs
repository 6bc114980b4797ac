//! The dialect of `guix-daemon`, protocols 1.96 (0x160) to 1.100 (0x164, Guix 1.5).
//!
//! It is the protocol of Nix of 2012, grown on its own. What sets it apart: a derivation is built from its `.drv` in
//! the store; success says only that nothing failed, so that outputs must be looked up; and what became of a build,
//! and why, stands in the texts that the daemon sends while it works.
//! Source: `nix/nix-daemon/nix-daemon.cc` and `nix/libstore/build.cc` of Guix, and recorded sessions.

mod build;
mod connection;
mod course;
mod fetch;
mod lines;
mod options;
mod query;
mod trace;
mod verdict;

#[cfg(test)]
mod conversations;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod replays;
#[cfg(test)]
mod scripted;

pub use connection::Connection;

/// The numbers of the operations that are Guix's own, or whose words are.
mod operation {
    pub const ADD_TEXT_TO_STORE: u64 = 8;
    pub const BUILD_THINGS: u64 = 9;
    pub const ENSURE_PATH: u64 = 10;
    pub const SET_OPTIONS: u64 = 19;
    pub const QUERY_PATH_INFO: u64 = 26;
    pub const QUERY_VALID_PATHS: u64 = 31;
}

//! The dialect of `nix-daemon`, protocols 1.34 (Nix 2.8) to 1.38 (Nix 2.34).
//!
//! Source: `src/libstore/worker-protocol.hh`, `daemon.cc` and `remote-store.cc` of Nix 2.8 and 2.26.

pub(crate) mod activity;
mod build;
mod connection;
mod options;
mod query;
mod transfer;

#[cfg(test)]
mod conversations;
#[cfg(test)]
mod scripted;

pub use connection::Connection;
pub(crate) use connection::Welcome;

/// The numbers of the operations that are Nix's own, or whose words are.
mod operation {
    pub const ADD_TO_STORE: u64 = 7;
    pub const SET_OPTIONS: u64 = 19;
    pub const QUERY_PATH_INFO: u64 = 26;
    pub const QUERY_VALID_PATHS: u64 = 31;
    pub const BUILD_DERIVATION: u64 = 36;
    pub const NAR_FROM_PATH: u64 = 38;
    pub const ADD_TO_STORE_NAR: u64 = 39;
}

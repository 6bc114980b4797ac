//! The dialect of `nix-daemon`, protocols 1.34 (Nix 2.8) to 1.38 (Nix 2.34).
//!
//! Source: `src/libstore/worker-protocol.hh`, `daemon.cc` and `remote-store.cc` of Nix 2.8 and 2.26.

mod build;
mod channel;
mod connection;
mod handshake;
mod options;
mod query;
mod transfer;

#[cfg(test)]
mod conversations;
#[cfg(test)]
mod scripted;

pub use connection::{Connection, DaemonConfig};
pub use options::Options;

/// The numbers of the operations.
mod operation {
    pub const IS_VALID_PATH: u64 = 1;
    pub const ADD_TO_STORE: u64 = 7;
    pub const ENSURE_PATH: u64 = 10;
    pub const ADD_TEMP_ROOT: u64 = 11;
    pub const ADD_INDIRECT_ROOT: u64 = 12;
    pub const SET_OPTIONS: u64 = 19;
    pub const QUERY_PATH_INFO: u64 = 26;
    pub const QUERY_VALID_PATHS: u64 = 31;
    pub const BUILD_DERIVATION: u64 = 36;
    pub const NAR_FROM_PATH: u64 = 38;
    pub const ADD_TO_STORE_NAR: u64 = 39;
}

//! What `drover-cache` answers, as the real program behind a real socket: to plain requests, and to a real Nix.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod http;
mod files;
mod logs;
mod requests;

mod real_nix;

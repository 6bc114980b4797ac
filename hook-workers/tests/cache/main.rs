//! What `drover-cache` answers, as the real program behind a real socket: to plain requests, to a real Nix, and to a real Guix.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod http;
mod files;
mod logs;
mod requests;

mod real_guix;
mod real_nix;

//! The pool as it runs in a farm: real processes, a real nats-server, a bucket in a folder.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod farm;

mod work;

//! The pool `substitutes` as it runs in a farm: the real program, a real nats-server, real substitute servers.
#![allow(clippy::unwrap_used)]

mod farm;
mod shelf;

mod questions;

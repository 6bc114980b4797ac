//! What `publish` makes of requests, over a bucket in memory and without a broker: every verdict, and what the bucket
//! holds after it.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;
mod failing_store;
mod fixture;

mod caches;
mod guix;
mod logs;
mod outputs;
mod recipes;
mod repetition;
mod sources;

//! What is to happen when something happened: the pools of hook workers; and `drover-cache`, which shows the world what
//! the pool `publish` has made.
//!
//! `publish` is the only part of Drover that has the signing keys and writes below `cache/` in the bucket. It decides
//! nothing about builds: it looks at bytes, and gives its word on them. `drover-cache` reads there, and has no keys.
//! `substitutes` asks the servers of others, for the scheduler.

pub mod publish;

pub mod substitutes;

pub mod cache;

//! The scheduler: a thin shell around `drover-scheduler-core`.
//!
//! One thread holds the state and does one thing in one order ([`reign`]): take what came in, let the core decide,
//! commit, carry out, acknowledge. Another writes what it commits ([`scribe`]). Everything else here brings things to that
//! thread, or carries them away.

pub mod args;

mod book;
mod clock;
mod fresh;
mod reign;
mod scribe;
mod work;

mod calls;
mod carrier;
mod discards;
mod disposals;
mod effects;
mod filter;
mod intake;
mod leftovers;
mod listing;
mod logins;
mod overthrow;
mod pattern;
mod planning;
mod questions;
mod records;
mod servers;
mod snapshots;
mod status;
mod summaries;
mod telling;
mod together;
mod told;
mod upkeep;
mod why;
mod wishes;

pub mod run;

//! The whole farm, with everything real: nats-server, store daemons, and every process of Drover.

#![allow(clippy::unwrap_used)]

mod journey;
mod failure;
mod reports;
mod killed;
mod superseded;
mod snapshots;

mod both_daemons;
mod check;
mod packs;
mod elsewhere;
mod hello;

mod why;
mod wishes;
mod limits;
mod lists;
mod dead;
mod replay;

mod bench_farm;
mod nats_cli;
mod compose;

//! Simulated agents, many in a process, each with a connection and a login of its own.

mod agent;
mod bench;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;

use crate::children::{self, Seat, Tally};
use crate::graph::Crib;
use agent::Agent;

/// What such a process is told at its start.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The logins of its agents
    #[arg(long, value_name = "FILE")]
    logins: PathBuf,
    /// What derivations make
    #[arg(long, value_name = "FILE")]
    crib: PathBuf,
    /// Slots of each agent
    #[arg(long, value_name = "N")]
    slots: u32,
    /// Each agent ends a build so often, in microseconds; without it, each as soon as it has it
    #[arg(long, value_name = "MICROSECONDS")]
    every: Option<u64>,
}

/// Runs until nobody wants it any more, and all that was built is settled.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let seats: Vec<Seat> = children::read(&args.logins)?;
    let crib: Arc<Crib> = Arc::new(children::read(&args.crib)?);
    let every = args.every.map(Duration::from_micros);
    let all = seats.len().max(1) as u32;
    let joining = seats.iter().enumerate().map(|(n, seat)| {
        // They end their builds in turn.
        let phase = every.map(|every| every * n as u32 / all);
        Agent::join(seat, args.slots, crib.clone(), every.zip(phase))
    });
    let agents = try_join_all(joining).await?;
    children::say_ready();
    children::until_unwanted().await;
    let tallies = try_join_all(agents.into_iter().map(Agent::leave)).await?;
    children::say(&tallies.into_iter().fold(Tally::default(), Tally::and))
}

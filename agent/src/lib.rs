//! Drover's agent: the process on a build machine. It takes leases, lets the store daemon build, streams logs, brings
//! outputs to the bucket, and forgets nothing before the scheduler has settled it.
//!
//! The [`ledger`] is a pure state machine; the `foreman` carries out what it decides; each stage of an attempt is a
//! small file of its own, and the `workshop` says in which order they come. The agent never builds anything itself, and
//! never decides what is to be built.

mod args;
pub mod config;
mod error;
mod backoff;

pub mod ledger;
mod spool;
mod state_dir;
mod foreman;

mod daemon_socket;
mod daemon_pool;
mod temp_roots;
mod output_roots;
mod disk;
mod load;
mod memory;
mod stock;

mod failure;
mod cause_of;
mod recipes;
mod inputs;
mod closure;
mod build_log;
mod peak_memory;
mod build;
mod seal;
pub mod dump;
mod check;
mod output_limit;
mod upload;
mod workshop;

mod outbox;
mod orders;
mod store_id;
mod reach;
mod servers;
mod probe;
mod beat;
mod readiness;

use std::sync::Arc;
use std::time::Duration;

use drover_bucket::Bucket;
use drover_nats::Bus;
use tokio::sync::watch;

pub use args::Args;
pub use config::Config;
pub use error::AgentError;

use beat::Heart;
use daemon_pool::DaemonPool;
use foreman::Foreman;
use ledger::Ledger;
use output_roots::OutputRoots;
use probe::Probe;
use readiness::Readiness;
use servers::Servers;
use state_dir::StateDir;
use stock::Stock;
use workshop::Workshop;

/// Runs an agent until `shutdown`. It stops at once: what is not settled is in the spool, and the next process goes on.
///
/// # Errors
/// Only at the start, and only what an operator must mend. A daemon, broker, scheduler or bucket that is away is waited
/// for.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    let state = StateDir::take(&config.state_dir)?;
    let generation = state.generation()?;
    let bucket = Bucket::open(&config.bucket_url).map_err(AgentError::Bucket)?;
    let servers = Servers::new(&config.extra_substitute_urls, config.store_dir.clone())?;
    tokio::pin!(shutdown);
    let bus = tokio::select! {
        () = &mut shutdown => return Ok(()),
        bus = Bus::connect(&config.login) => bus.map_err(AgentError::Login)?,
    };
    let config = Arc::new(config);
    let daemons = Arc::new(Workshop::building(&config));
    let fetching = Arc::new(DaemonPool::new(config.daemon(), config.fetching(&Default::default()), config.slots));
    let roots = Arc::new(OutputRoots::new(state.roots(), config.store_dir.clone(), daemons.clone()));
    let workshop =
        Arc::new(Workshop::new(config.clone(), bus.clone(), bucket.clone(), daemons.clone(), fetching.clone(), roots.clone()));
    let mut ledger = Ledger::new(config.store_dir.clone(), config.slots, generation);
    ledger.set_ready(Some(readiness::NOT_LOOKED_YET.into()));
    let stock = Arc::new(Stock::new(config.store_dir.clone(), Duration::from_secs(config.store_look_secs)));
    let foreman = Foreman::recover(config.agent, state, roots, workshop, stock.clone(), ledger)?;
    let servers = Arc::new(servers);
    let heart = Heart {
        config: config.clone(),
        bus: bus.clone(),
        foreman: foreman.clone(),
        servers: servers.clone(),
        stock: stock.clone(),
    };
    let probe = Probe::new(config.clone(), bucket);
    let readiness = Readiness { config: config.clone(), daemons, probe, foreman: foreman.clone() };
    let (to_listening, mut listening) = watch::channel(false);
    let beats = async {
        // An error would mean that nobody listens any more, which does not end.
        let _ = listening.wait_for(|is| *is).await;
        heart.beat().await;
    };
    tokio::select! {
        () = shutdown => {}
        () = foreman.outbox.send_all(&bus, config.agent) => {}
        () = orders::listen(&bus, config.agent, &foreman, to_listening) => {}
        () = readiness.watch() => {}
        () = servers.watch(|reached| fetching.set_options(config.fetching(&reached))) => {}
        () = stock.watch() => {}
        () = beats => {}
    }
    Ok(())
}

//! `drover up`: the whole farm on this machine, as one process tree.

mod address;
mod child;
mod first_logins;
mod folder;
mod key;
mod orphans;
mod plans;
mod programs;
mod ready;
mod servers;
mod stores;
mod summary;
mod supervisor;

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use drover_store::StoreDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;
use crate::farm;
use folder::Folder;
use plans::{Facts, Programs, SCHEDULER_READY};
use servers::Servers;
use stores::{Socket, Store};
use supervisor::Supervisor;

/// Run a whole farm on this machine: broker, scheduler, publisher, substitute server, agents.
///
/// Everything it needs and makes lies in one folder: state, bucket, logins, keys, logs. Started again on the same folder
/// it goes on where it was. Ctrl-C stops everything.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The farm's folder [default: ~/.local/state/drover/farm]
    #[arg(long, value_name = "DIR", env = "DROVER_FARM")]
    dir: Option<PathBuf>,
    /// Agents to start on each store daemon of this machine [default: 1 on each that is there]
    #[arg(long, value_name = "N", conflicts_with = "no_agents")]
    agents: Option<usize>,
    /// Start no agents
    #[arg(long)]
    no_agents: bool,
    /// Builds that each agent runs at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    max_parallel_builds: u32,
    /// A system that the agents build for; can be given several times [default: this machine's]
    #[arg(long = "system", value_name = "SYSTEM")]
    systems: Vec<String>,
    /// The socket of a store daemon; can be given once for Nix and once for Guix [default: the usual one of each that is there]
    #[arg(long = "daemon-socket", value_name = "[STORE_DIR=]SOCKET", env = "DROVER_DAEMON_SOCKET")]
    daemon_sockets: Vec<Socket>,
    /// A store directory: only this one is served; can be given once for Nix and once for Guix [default: /nix/store and
    /// /gnu/store]
    #[arg(long = "store-dir", value_name = "DIR", env = "DROVER_STORE_DIR")]
    store_dirs: Vec<StoreDir>,
    /// The address to listen on. Beyond this machine, put TLS in front
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    listen: IpAddr,
    /// The broker's port [default: a free one, kept for the next start]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// The substitute server's port [default: a free one, kept for the next start]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    cache_port: u16,
    /// The nats-server to use, 2.12 or later [default: .cache/tools, ~/.local/share/drover/bin, the PATH]
    #[arg(long, value_name = "PATH", env = "DROVER_NATS_SERVER")]
    nats_server: Option<PathBuf>,
    #[command(flatten)]
    servers: Servers,
}

/// Runs it until it is told to stop. On the main thread of a single-threaded runtime, for [`child::Child::start`].
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let usual_dir = args.dir.is_none();
    let dir = args.dir.clone().map_or_else(farm::default_dir, Ok)?;
    let stores = stores::choose(&args.store_dirs, &args.daemon_sockets, if args.no_agents { Some(0) } else { args.agents })?;
    let programs = find_programs(args, &stores)?;
    let folder = Folder::open(&dir)?;
    for name in orphans::end(&folder.path("run"), folder.dir()) {
        tell(&format!("ended {name}, which an earlier `drover up` had left behind"));
    }
    let facts = prepare(args, &folder, programs, stores)?;
    let mut supervisor = Supervisor::new(folder.folders(), Arc::new(tell));
    let started = tokio::select! {
        started = start(&facts, &mut supervisor) => started.map(|()| true),
        _ = interrupted.recv() => Ok(false),
        _ = terminated.recv() => Ok(false),
    };
    if let Ok(true) = started {
        // The farm runs, whether anybody reads that or not.
        let _ = writeln!(std::io::stdout(), "{}", summary::words(&facts, usual_dir));
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        tell("stopping");
    }
    supervisor.stop().await;
    started.map(|_| Exit::Success.into())
}

fn find_programs(args: &Args, stores: &[Store]) -> anyhow::Result<Programs> {
    Ok(Programs {
        nats_server: programs::nats_server(args.nats_server.as_deref())?,
        scheduler: programs::sibling("drover-scheduler")?,
        hook_worker: programs::sibling("drover-hook-worker")?,
        cache: programs::sibling("drover-cache")?,
        agent: if stores.iter().any(|store| store.agents > 0) { Some(programs::sibling("drover-agent")?) } else { None },
    })
}

fn prepare<'a>(args: &Args, folder: &'a Folder, programs: Programs, stores: Vec<Store>) -> anyhow::Result<Facts<'a>> {
    let agents: Vec<String> = stores.iter().flat_map(Store::agent_names).collect();
    let facts = Facts {
        folder,
        programs,
        logins: first_logins::make(folder, &agents, args.servers.are_some())?,
        addresses: address::choose(folder, args.listen, args.port, args.cache_port)?,
        stores,
        servers: args.servers.clone(),
        systems: args.systems.clone(),
        max_parallel_builds: args.max_parallel_builds,
        public_key: key::public(folder)?,
    };
    summary::write_files(&facts)?;
    Ok(facts)
}

/// Starts the processes in the order in which they need each other, each when the one before serves.
async fn start(facts: &Facts<'_>, supervisor: &mut Supervisor) -> anyhow::Result<()> {
    let folder = facts.folder;
    let ready_file = folder.path(SCHEDULER_READY);
    let _ = std::fs::remove_file(&ready_file);
    supervisor.keep(facts.nats_server())?;
    ready::port("nats-server", facts.addresses.nats, &folder.log("nats-server")).await?;
    supervisor.keep(facts.scheduler())?;
    ready::file("scheduler", &ready_file, &folder.log("scheduler")).await?;
    supervisor.keep(facts.publish())?;
    if let Some(substitutes) = facts.substitutes() {
        supervisor.keep(substitutes)?;
    }
    supervisor.keep(facts.cache())?;
    ready::port("cache", facts.addresses.cache, &folder.log("cache")).await?;
    for agent in facts.agents() {
        supervisor.keep(agent)?;
    }
    Ok(())
}

fn tell(line: &str) {
    eprintln!("drover up: {line}");
}

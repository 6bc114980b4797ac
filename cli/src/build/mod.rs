//! `drover build`: submits derivations with all that the farm lacks of them, and follows them where that is asked for.

mod address;
mod closure;
mod elsewhere;
mod follow;
mod items;
mod lacking;
mod manifests;
mod outcome;
mod packed;
mod progress;
pub(crate) mod roots;
mod sources;
mod submit;
mod terms;
mod upload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use drover_daemon::DaemonConfig;
use drover_messages::request::{Mode, Root, Submit};
use drover_messages::{BuildId, SubmissionId, Timestamp};
use drover_store::StoreDir;
use drover_substituter::ServerUrl;

use crate::ask::Connection;
use crate::daemon_socket;
use crate::exit::Exit;
use crate::farm::{Farm, FarmArgs};
use items::Items;

/// Build derivations on the farm.
///
/// Reads the closure of each .drv from the store of Nix or Guix on this machine, sends what the farm lacks, and prints the UUIDs of the
/// submission and of each build: `submission UUID`, then `build UUID PATH`, one a line.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Args {
    /// Derivations, by their whole paths
    #[arg(value_name = "X.drv", required = true)]
    drvs: Vec<String>,
    /// Higher is sooner
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// A word of yours about the submission, to find it by; can be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = roots::parse_tag)]
    tags: Vec<(String, String)>,
    /// Build only what is named: inputs that are missing get no builds of their own
    #[arg(long)]
    no_input_builds: bool,
    /// Build what is named again although it is built, and compare: what comes out differently fails, and is kept
    #[arg(long)]
    check: bool,
    /// Follow the builds until nothing is left that could change
    #[arg(long)]
    wait: bool,
    /// With --wait: give up after so many seconds. The builds go on
    #[arg(long, value_name = "SECS", requires = "wait")]
    timeout: Option<u64>,
    /// The store directory, where the paths do not say it
    #[arg(long, value_name = "DIR", env = "DROVER_STORE_DIR")]
    store_dir: Option<StoreDir>,
    /// The socket of the store daemon that knows the sources [default: the farm's, or the usual one
    /// of that store]
    #[arg(long, value_name = "SOCKET", env = "DROVER_DAEMON_SOCKET")]
    daemon_socket: Option<PathBuf>,
    /// A substitute server that may have derivations and sources which this machine's store lacks:
    /// https://, http:// or file://; can be given several times. It need not be trusted
    #[arg(
        long = "derivation-substitute-url",
        value_name = "URL",
        env = "DROVER_DERIVATION_SUBSTITUTE_URL",
        value_delimiter = ' '
    )]
    derivation_substitute_urls: Vec<ServerUrl>,
    #[command(flatten)]
    terms: terms::TermsArgs,
    #[command(flatten)]
    farm: FarmArgs,
}

/// Runs it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let tags = roots::tags(&args.tags)?;
    let roots = roots::parse(&args.drvs, args.store_dir.clone())?;
    let items = items(args, &roots.store_dir)?;
    let closure = closure::read(&items, &roots.drvs).await?;
    let connection = Connection::open(&args.farm).await?;
    let submission = SubmissionId::new();
    let daemon = daemon(args, connection.access.farm.as_ref(), &roots.store_dir)?;
    let sent = upload::send(&connection, submission, &items, &closure, daemon).await?;
    let submit = Submit {
        submission,
        roots: roots.drvs.iter().map(|drv| Root { build: BuildId::derived(submission, drv), drv: drv.clone() }).collect(),
        store_dir: roots.store_dir,
        packs: sent.packs,
        sources: sent.manifests,
        priority: args.priority,
        tags,
        input_builds: !args.no_input_builds,
        mode: if args.check { Mode::Check } else { Mode::Build },
        terms: args.terms.terms()?,
        submitted_at: Timestamp::now(),
    };
    submit::publish(&connection, &submit).await?;
    print_ids(&submit);
    if args.wait {
        return follow::run(&connection, &submit, &closure, args.timeout.map(Duration::from_secs)).await;
    }
    Ok(Exit::Success.into())
}

fn items(args: &Args, store_dir: &StoreDir) -> anyhow::Result<Items> {
    let items = Items::of(store_dir.clone());
    match args.derivation_substitute_urls.as_slice() {
        [] => Ok(items),
        urls => items.and(Arc::new(elsewhere::Servers::new(store_dir.clone(), urls)?)),
    }
}

fn daemon(args: &Args, farm: Option<&Farm>, store_dir: &StoreDir) -> anyhow::Result<DaemonConfig> {
    let named = args.daemon_socket.clone().or_else(|| farm?.daemon_socket(store_dir));
    let socket = named.map_or_else(|| daemon_socket::usual(store_dir), Ok)?;
    Ok(DaemonConfig::new(socket, store_dir.clone()))
}

fn print_ids(submit: &Submit) {
    println!("submission {}", submit.submission);
    for root in &submit.roots {
        println!("build {} {}", root.build, submit.store_dir.path(root.drv.as_ref()));
    }
}

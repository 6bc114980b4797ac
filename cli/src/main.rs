//! `drover`: the command for people: run a farm, submit builds, follow them, explain them, administer.

mod exit;
mod farm;

mod ask;
mod human;
mod login;
mod report;
mod sealed;
mod table;

mod agent;
mod build;
mod client;
mod completions;
mod decode;
mod key;
mod list;
mod logs;
mod show;
mod up;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use exit::Exit;
use farm::FarmArgs;

/// Build Nix derivations on many machines, and get signed substitutes.
#[derive(Debug, Parser)]
#[command(name = "drover", version, after_help = exit::HELP)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Up(up::Args),
    Build(With<build::Args>),
    Show(With<show::Args>),
    List(With<list::Args>),
    Logs(With<logs::Args>),
    Agent(With<agent::Args>),
    Client(With<client::Args>),
    Key(key::Args),
    Decode(decode::Args),
    Completions(completions::Args),
}

/// A command that needs a farm.
#[derive(Debug, clap::Args)]
struct With<A: clap::Args> {
    #[command(flatten)]
    args: A,
    #[command(flatten)]
    farm: FarmArgs,
}

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("DROVER_LOG").unwrap_or_else(|_| "error".into()))
        .with_writer(std::io::stderr)
        .init();
    match run(&args.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("drover: {error:#}");
            exit::of_error(&error).into()
        }
    }
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    // One thread is enough, and `up` needs that it is the main thread which starts its children.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Key(args) => key::run(args),
        Command::Decode(args) => decode::run(args),
        Command::Completions(args) => completions::run(args, Args::command()),
        Command::Up(args) => runtime.block_on(up::run(args)),
        command => runtime.block_on(interruptible(command)),
    }
}

async fn interruptible(command: &Command) -> anyhow::Result<ExitCode> {
    tokio::select! {
        ended = on_a_farm(command) => ended,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted.into()),
    }
}

async fn on_a_farm(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Build(with) => build::run(&with.args, &with.farm).await,
        Command::Show(with) => show::run(&with.args, &with.farm).await,
        Command::List(with) => list::run(&with.args, &with.farm).await,
        Command::Logs(with) => logs::run(&with.args, &with.farm).await,
        Command::Agent(with) => agent::run(&with.args, &with.farm).await,
        Command::Client(with) => client::run(&with.args, &with.farm).await,
        _ => unreachable!("it needs no farm"),
    }
}

//! `drover`: the command for people: run a farm, submit builds, follow them, explain them, administer.

#[macro_use]
mod out;
mod exit;
mod farm;

mod ask;
mod daemon_socket;
mod human;
mod login;
mod report;
mod request;
mod sealed;
mod table;

mod admin;
mod agent;
mod build;
mod client;
mod completions;
mod dead;
mod decode;
mod drv;
mod key;
mod list;
mod logs;
mod man;
mod show;
mod simulate;
mod up;
mod why;
mod wish;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use exit::Exit;

/// Build Nix and Guix derivations on many machines, and get signed substitutes.
#[derive(Debug, Parser)]
#[command(name = "drover", version, after_help = exit::HELP)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Up(up::Args),
    Build(build::Args),
    Show(show::Args),
    List(list::Args),
    Logs(logs::Args),
    Why(why::Args),
    Cancel(wish::Cancel),
    Retry(wish::Retry),
    Priority(wish::Priority),
    Agent(agent::Args),
    Client(client::Args),
    Admin(admin::Args),
    Dead(dead::Args),
    Drv(drv::Args),
    Key(key::Args),
    Simulate(simulate::Args),
    Decode(decode::Args),
    Completions(completions::Args),
    Man(man::Args),
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
    match command {
        Command::Drv(args) => drv::run(args),
        Command::Key(args) => key::run(args),
        Command::Simulate(args) if args.is_from_farm() => until_interrupted(simulate::replay(args)),
        Command::Simulate(args) => simulate::run(args),
        Command::Decode(args) => decode::run(args),
        Command::Completions(args) => completions::run(args, Args::command()),
        Command::Man(args) => man::run(args, Args::command()),
        // Stops its children before it ends, so it listens to signals itself.
        Command::Up(args) => runtime()?.block_on(up::run(args)),
        Command::Build(args) => until_interrupted(build::run(args)),
        Command::Show(args) => until_interrupted(show::run(args)),
        Command::List(args) => until_interrupted(list::run(args)),
        Command::Logs(args) => until_interrupted(logs::run(args)),
        Command::Why(args) => until_interrupted(why::run(args)),
        Command::Cancel(args) => until_interrupted(wish::cancel(args)),
        Command::Retry(args) => until_interrupted(wish::retry(args)),
        Command::Priority(args) => until_interrupted(wish::priority(args)),
        Command::Dead(args) => until_interrupted(dead::run(args)),
        Command::Agent(args) => until_interrupted(agent::run(args)),
        Command::Admin(args) => until_interrupted(admin::run(args)),
        Command::Client(args) => until_interrupted(client::run(args)),
    }
}

/// One thread is enough, and `up` needs that it is the main thread which starts its children.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn until_interrupted(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = command => ended,
            _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted.into()),
        }
    });
    // What still reads a large source is not waited for.
    runtime.shutdown_background();
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }
}

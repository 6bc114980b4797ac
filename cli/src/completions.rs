//! `drover completions`: what a shell needs to complete the commands.

use std::process::ExitCode;

use crate::exit::Exit;

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

/// Runs it.
pub(crate) fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<ExitCode> {
    clap_complete::generate(args.shell, &mut command, "drover", &mut crate::out::stdout());
    Ok(Exit::Success.into())
}

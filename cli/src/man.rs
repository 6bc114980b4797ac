//! `drover man`: a page for each command, for `man`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Command;

use crate::exit::{Exit, bad_input};

/// Write manual pages, one for each command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write them, such as /usr/local/share/man/man1. It is made if it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Runs it.
pub(crate) fn run(args: &Args, command: Command) -> anyhow::Result<ExitCode> {
    let written = std::fs::create_dir_all(&args.dir).and_then(|()| clap_mangen::generate_to(command, &args.dir));
    written.map_err(|error| bad_input(format!("{}: {error}", args.dir.display())))?;
    Ok(Exit::Success.into())
}

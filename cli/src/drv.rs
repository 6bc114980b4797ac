//! `drover drv`: look at derivations and verify them, without a farm.

mod show;
mod verify;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use drover_store::{MAX_DRV_BYTES, StoreDir};

/// Look at derivations (.drv) and verify them; needs no farm
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    /// The store directory; guessed from the derivations' own paths if not given
    #[arg(long, global = true, value_name = "DIR", env = "DROVER_STORE_DIR")]
    store_dir: Option<StoreDir>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Show(show::Args),
    Verify(verify::Args),
}

/// Runs it.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Show(show) => show::run(show, args.store_dir.as_ref()),
        Command::Verify(verify) => verify::run(verify, args.store_dir.as_ref()),
    }
}

/// The bytes of a file; of one that is too large to be a derivation only so many that this shows.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_DRV_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

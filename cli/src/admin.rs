//! `drover admin`: what the operator of a farm asks of its scheduler.

use std::process::ExitCode;
use std::time::Duration;

use drover_messages::admin::{Snapshot, TakeSnapshot};
use drover_nats::Admin;

use crate::ask::Connection;
use crate::exit::Exit;
use crate::farm::FarmArgs;
use crate::human;
use crate::table::printable;

/// How long a copy may take. The disk decides: gigabytes take minutes.
const COPIED_WITHIN: Duration = Duration::from_secs(15 * 60);

/// Look after the scheduler's state. For administrators.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    farm: FarmArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Copy the scheduler's whole state, as it is at one moment, while it goes on: a backup. It prints the file
    ///
    /// The file lies on the scheduler's machine, in the folder of `drover-scheduler --snapshots`. To restore it, stop the
    /// scheduler, put it in the place of state.redb and its journal, start the scheduler: docs/deployment.md
    Snapshot {
        /// One JSON document: file, bytes, took_millis
        #[arg(long)]
        json: bool,
    },
}

/// Runs it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&args.farm).await?;
    let Command::Snapshot { json } = args.command;
    let snapshot: Snapshot = connection.administer_once(Admin::Snapshot, &TakeSnapshot {}, COPIED_WITHIN).await?;
    if json {
        println!("{:#}", serde_json::to_value(&snapshot)?);
    } else {
        print!("{}", in_words(&snapshot));
    }
    Ok(Exit::Success.into())
}

/// The file alone on a line of its own, to be copied.
fn in_words(snapshot: &Snapshot) -> String {
    let (size, took) = (human::size(snapshot.bytes), human::duration(snapshot.took_millis));
    format!("{}\n{size} in {took}, on the scheduler's machine.\n", printable(&snapshot.file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_stands_in_the_first_line() {
        let snapshot = Snapshot { file: "/srv/state-1.redb".into(), bytes: 3 << 20, took_millis: 1_200 };
        assert_eq!(in_words(&snapshot), "/srv/state-1.redb\n3.0 MiB in 1.2 s, on the scheduler's machine.\n");
    }
}

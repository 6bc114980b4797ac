//! `drover client`: logins of people and programs that submit builds.

use std::path::PathBuf;
use std::process::ExitCode;

use drover_messages::admin::Role;

use crate::ask::Connection;
use crate::exit::Exit;
use crate::farm::FarmArgs;
use crate::login;

/// Make logins for people and programs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    farm: FarmArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a login: prints its UUID, writes its password to a file
    New {
        /// What it may do: submit and look, or administer as well
        #[arg(long, value_enum)]
        role: ClientRole,
        /// What people call it [default: client]
        #[arg(long, default_value = "client", hide_default_value = true)]
        name: String,
        /// Where to write the password; only its owner can read it
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ClientRole {
    Client,
    Admin,
}

/// Runs it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Command::New { role, name, password_file } = &args.command;
    let role = match role {
        ClientRole::Client => Role::Client,
        ClientRole::Admin => Role::Admin,
    };
    let connection = Connection::open(&args.farm).await?;
    println!("{}", login::new(&connection, role, name, password_file).await?);
    Ok(Exit::Success.into())
}

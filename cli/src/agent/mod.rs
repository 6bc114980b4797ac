//! `drover agent`: logins of build machines, how they do, and whether they take builds.

mod shown;

use std::path::PathBuf;
use std::process::ExitCode;

use drover_messages::admin::Role;
use drover_messages::agent::{Drain, Drained};
use drover_messages::query::{AgentRow, Agents, AskAgents};
use drover_nats::{Admin, Query};
use uuid::Uuid;

use crate::ask::Connection;
use crate::exit::{Exit, bad_input};
use crate::farm::FarmArgs;
use crate::login;

/// Make logins for build machines, see how those do, and let them take no builds.
///
/// `drover agent new`, `drover agent list`, `drover agent drain NAME`, `drover agent ID password new`
#[derive(Debug, clap::Args)]
#[command(override_usage = "drover agent new [--name NAME] --password-file FILE\n       \
    drover agent list [--json]\n       drover agent show ID|NAME [--json]\n       \
    drover agent drain ID|NAME… [--deadline SECS]\n       drover agent undrain ID|NAME…\n       \
    drover agent ID password new --password-file FILE")]
pub(crate) struct Args {
    /// The agent, for `password`
    #[arg(value_name = "ID")]
    id: Option<Uuid>,
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    farm: FarmArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a login: prints the agent's UUID, writes its password to a file
    New {
        /// What people call it [default: agent]
        #[arg(long, default_value = "agent", hide_default_value = true)]
        name: String,
        /// Where to write the password; only its owner can read it
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// List the agents that were ever seen, with what they offer; a feature with a ! is one that builds must require
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show all that is known of one agent
    Show {
        /// Its id, or its name
        #[arg(value_name = "ID|NAME")]
        agent: String,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Let agents take no more builds, and stay with it when they or the scheduler start anew; prints who is meant
    Drain {
        /// Ids, or names with * for any text and ? for one character
        #[arg(value_name = "ID|NAME", required = true)]
        agents: Vec<String>,
        /// Stop what they build after so many seconds; it is built elsewhere. Without this it is awaited
        #[arg(long, value_name = "SECS")]
        deadline: Option<u64>,
    },
    /// Let agents take builds again, those in quarantine as well; prints who is meant
    Undrain {
        /// Ids, or names with * for any text and ? for one character
        #[arg(value_name = "ID|NAME", required = true)]
        agents: Vec<String>,
    },
    /// Give an agent another password; the old one ends, and connections made with it
    Password {
        #[command(subcommand)]
        command: PasswordCommand,
    },
}

#[derive(Debug, clap::Subcommand)]
enum PasswordCommand {
    /// Make a new password
    New {
        /// Where to write it; only its owner can read it
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
}

/// Runs it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match (&args.command, args.id) {
        (Command::Password { command: PasswordCommand::New { password_file } }, Some(id)) => {
            login::new_password(&Connection::open(&args.farm).await?, id, password_file).await?;
        }
        (Command::Password { .. }, None) => return Err(bad_input("whose password? Say: drover agent ID password new")),
        (_, Some(_)) => return Err(bad_input("only `password` takes an ID before it: drover agent ID password new")),
        (command, None) => without_id(command, &Connection::open(&args.farm).await?).await?,
    }
    Ok(Exit::Success.into())
}

async fn without_id(command: &Command, connection: &Connection) -> anyhow::Result<()> {
    match command {
        Command::New { name, password_file } => {
            println!("{}", login::new(connection, Role::Agent, name, password_file).await?);
            Ok(())
        }
        Command::List { json } => shown::list(&all(connection).await?, *json),
        Command::Show { agent, json } => shown::one(&find(all(connection).await?, agent)?, *json),
        Command::Drain { agents, deadline } => drain(connection, agents, true, *deadline).await,
        Command::Undrain { agents } => drain(connection, agents, false, None).await,
        Command::Password { .. } => Ok(()),
    }
}

/// Every agent that the scheduler remembers, here or not.
pub(crate) async fn all(connection: &Connection) -> anyhow::Result<Vec<AgentRow>> {
    let mut all: Vec<AgentRow> = Vec::new();
    loop {
        let after = all.last().map(|agent| agent.agent);
        let Agents { agents, more } = connection.ask(Query::Agents, &AskAgents { after }).await?;
        all.extend(agents);
        if !more {
            return Ok(all);
        }
    }
}

async fn drain(connection: &Connection, agents: &[String], drained: bool, deadline_secs: Option<u64>) -> anyhow::Result<()> {
    let drain = Drain { agents: agents.to_vec(), drained, deadline_secs };
    let meant: Drained = connection.administer(Admin::Drain, &drain).await?;
    for agent in &meant.agents {
        println!("{agent}");
    }
    Ok(())
}

/// The one agent of this id or name.
fn find(agents: Vec<AgentRow>, wanted: &str) -> anyhow::Result<AgentRow> {
    let is_meant = |agent: &AgentRow| agent.agent.to_string() == wanted || agent.name == wanted;
    let mut meant: Vec<AgentRow> = agents.into_iter().filter(is_meant).collect();
    match (meant.pop(), meant.len()) {
        (Some(agent), 0) => Ok(agent),
        (Some(_), others) => Err(bad_input(format!("{} agents are called {wanted}: say the id", others + 1))),
        (None, _) => Err(bad_input(format!("no agent that was ever seen is called {wanted}: `drover agent list` shows them"))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use shown::tests::row;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    const ID: &str = "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";

    fn parsed(words: &[&str]) -> Result<Args, clap::Error> {
        Line::try_parse_from([&["agent"], words].concat()).map(|line| line.args)
    }

    #[test]
    fn an_id_stands_before_password_new() {
        let args = parsed(&[ID, "password", "new", "--password-file", "f"]).unwrap();
        assert_eq!(args.id, Some(ID.parse().unwrap()));
        assert!(matches!(args.command, Command::Password { command: PasswordCommand::New { .. } }));
    }

    #[test]
    fn new_and_list_need_no_id() {
        let args = parsed(&["new", "--name", "a", "--password-file", "f"]).unwrap();
        assert!(args.id.is_none() && matches!(args.command, Command::New { .. }));
        assert!(matches!(parsed(&["list"]).unwrap().command, Command::List { json: false }));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        assert!(parsed(&["mine", "password", "new", "--password-file", "f"]).is_err());
        assert!(parsed(&[ID]).is_err());
    }

    #[test]
    fn the_file_for_a_new_password_is_not_taken_for_the_one_to_log_in_with() {
        let args = parsed(&["new", "--password-file", "new", "--login-password-file", "own"]).unwrap();
        assert!(format!("{:?}", args.farm).contains(r#"login_password_file: Some("own")"#));
        assert!(matches!(args.command, Command::New { password_file, .. } if password_file.ends_with("new")));
    }

    #[tokio::test]
    async fn a_password_without_an_id_is_bad_input() {
        let args = parsed(&["password", "new", "--password-file", "f"]).unwrap();
        let error = run(&args).await.unwrap_err();
        assert_eq!(crate::exit::of_error(&error), Exit::BadInput);
    }

    #[test]
    fn an_agent_is_found_by_its_id_or_by_its_name_if_no_other_has_it() {
        let agents = vec![row("a"), row("b"), row("b")];
        assert_eq!(find(agents.clone(), "a").unwrap(), agents[0]);
        assert_eq!(find(agents.clone(), &agents[2].agent.to_string()).unwrap(), agents[2]);
        for nobody in ["b", "c"] {
            assert_eq!(crate::exit::of_error(&find(agents.clone(), nobody).unwrap_err()), Exit::BadInput);
        }
    }
}

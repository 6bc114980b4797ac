//! `drover agent`: logins of build machines, and how they do.

use std::path::PathBuf;
use std::process::ExitCode;

use drover_messages::admin::Role;
use drover_messages::query::{AgentRow, Agents, AskAgents};
use drover_nats::Query;
use uuid::Uuid;

use crate::ask::Connection;
use crate::exit::{Exit, bad_input};
use crate::farm::FarmArgs;
use crate::table::Table;
use crate::{human, login};

/// Make logins for build machines, and see how those do.
///
/// `drover agent new`, `drover agent list`, `drover agent ID password new`
#[derive(Debug, clap::Args)]
#[command(override_usage = "drover agent new [--name NAME] --password-file FILE\n       \
    drover agent list [--json]\n       drover agent ID password new --password-file FILE")]
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
    /// List the agents that were ever seen
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
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
        (Command::New { name, password_file }, None) => {
            let connection = Connection::open(&args.farm).await?;
            println!("{}", login::new(&connection, Role::Agent, name, password_file).await?);
        }
        (Command::List { json }, None) => {
            print(Connection::open(&args.farm).await?.ask(Query::Agents, &AskAgents {}).await?, *json)?
        }
        (Command::Password { command: PasswordCommand::New { password_file } }, Some(id)) => {
            login::new_password(&Connection::open(&args.farm).await?, id, password_file).await?;
        }
        (Command::Password { .. }, None) => return Err(bad_input("whose password? Say: drover agent ID password new")),
        (Command::New { .. } | Command::List { .. }, Some(_)) => {
            return Err(bad_input("`new` and `list` take no ID before them: drover agent new, drover agent list"));
        }
    }
    Ok(Exit::Success.into())
}

fn print(answer: Agents, json: bool) -> anyhow::Result<()> {
    if json {
        for agent in &answer.agents {
            println!("{}", serde_json::to_string(agent)?);
        }
    } else if answer.agents.is_empty() {
        println!("No agent was ever seen. Make a login by `drover agent new`, then start drover-agent with it.");
    } else {
        print!("{}", table(&answer.agents));
    }
    Ok(())
}

fn table(agents: &[AgentRow]) -> Table {
    let mut table = Table::new(&["AGENT", "NAME", "HEARD", "LEASES", "STORE", "SYSTEMS", "STATE"]);
    for agent in agents {
        table.row([
            agent.agent.to_string(),
            agent.name.clone(),
            agent.silent_millis.map(|millis| format!("{} ago", human::duration(millis))).unwrap_or_else(|| "never".into()),
            format!("{}/{}", agent.leases, agent.max_parallel_builds),
            agent.store_dir.as_ref().map(|dir| dir.to_string()).unwrap_or_default(),
            agent.systems.join(","),
            state(agent),
        ]);
    }
    table
}

fn state(agent: &AgentRow) -> String {
    match (&agent.not_ready, agent.alive) {
        (_, false) => "lost".into(),
        (Some(why), true) => format!("not ready: {why}"),
        (None, true) => "ready".into(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

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
}

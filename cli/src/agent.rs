//! `drover agent`: logins of build machines, how they do, and whether they take builds.

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
use crate::table::{Table, printable};
use crate::{human, login};

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
    /// List the agents that were ever seen
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
    /// Let agents take builds again; prints who is meant
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
        Command::List { json } => print(&all(connection).await?, *json),
        Command::Show { agent, json } => show(&find(all(connection).await?, agent)?, *json),
        Command::Drain { agents, deadline } => drain(connection, agents, true, *deadline).await,
        Command::Undrain { agents } => drain(connection, agents, false, None).await,
        Command::Password { .. } => Ok(()),
    }
}

async fn all(connection: &Connection) -> anyhow::Result<Vec<AgentRow>> {
    let answer: Agents = connection.ask(Query::Agents, &AskAgents {}).await?;
    Ok(answer.agents)
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

fn print(agents: &[AgentRow], json: bool) -> anyhow::Result<()> {
    if json {
        for agent in agents {
            println!("{}", serde_json::to_string(agent)?);
        }
    } else if agents.is_empty() {
        println!("No agent was ever seen. Make a login by `drover agent new`, then start drover-agent with it.");
    } else {
        print!("{}", table(agents));
    }
    Ok(())
}

fn table(agents: &[AgentRow]) -> Table {
    let mut table = Table::new(&["AGENT", "NAME", "HEARD", "LEASES", "STORE", "SYSTEMS", "TAGS", "STATE"]);
    for agent in agents {
        table.row([
            agent.agent.to_string(),
            agent.name.clone(),
            heard(agent),
            leases(agent),
            agent.store_dir.as_ref().map(|dir| dir.to_string()).unwrap_or_default(),
            agent.systems.join(","),
            tags(agent).join(","),
            state(agent),
        ]);
    }
    table
}

fn show(agent: &AgentRow, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{:#}", serde_json::to_value(agent)?);
        return Ok(());
    }
    print!("{}", in_words(agent));
    Ok(())
}

fn in_words(agent: &AgentRow) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<12}{}\n", printable(value)));
    line("agent", &agent.agent.to_string());
    line("name", &agent.name);
    line("state", &state(agent));
    line("heard", &heard(agent));
    line("leases", &format!("{} (it runs {} at once)", agent.leases, agent.max_parallel_builds));
    if let Some(store_dir) = &agent.store_dir {
        line("store", &store_dir.to_string());
    }
    for (name, values) in [("system", &agent.systems), ("feature", &agent.features), ("tag", &tags(agent))] {
        values.iter().for_each(|value| line(name, value));
    }
    agent.servers.iter().for_each(|server| line("server", server));
    text
}

fn heard(agent: &AgentRow) -> String {
    agent.silent_millis.map_or_else(|| "never".into(), |millis| format!("{} ago", human::duration(millis)))
}

fn leases(agent: &AgentRow) -> String {
    format!("{}/{}", agent.leases, agent.max_parallel_builds)
}

fn tags(agent: &AgentRow) -> Vec<String> {
    agent.tags.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// All that keeps builds from it, or that it is ready.
fn state(agent: &AgentRow) -> String {
    let mut words = Vec::new();
    if !agent.alive {
        words.push("lost".to_owned());
    }
    if agent.drained {
        words.push("drained".into());
    }
    words.extend(agent.quarantine.as_ref().map(|why| format!("in quarantine: {why}")));
    words.extend(agent.not_ready.as_ref().filter(|_| agent.alive).map(|why| format!("not ready: {why}")));
    if words.is_empty() { "ready".into() } else { words.join(", ") }
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

    fn row(name: &str) -> AgentRow {
        AgentRow {
            agent: drover_messages::AgentId::new(),
            name: name.into(),
            alive: true,
            not_ready: None,
            store_dir: None,
            systems: vec!["x86_64-linux".into()],
            features: Vec::new(),
            max_parallel_builds: 2,
            servers: Default::default(),
            tags: std::collections::BTreeMap::from([("site".into(), "berlin".into())]),
            drained: false,
            quarantine: None,
            leases: 1,
            silent_millis: Some(1500),
        }
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

    #[test]
    fn all_that_keeps_builds_from_an_agent_is_said() {
        assert_eq!(state(&row("a")), "ready");
        let kept = AgentRow { drained: true, quarantine: Some("its disk is full".into()), ..row("a") };
        assert_eq!(state(&kept), "drained, in quarantine: its disk is full");
        assert!(in_words(&kept).contains("\ntag         site=berlin\n"), "{}", in_words(&kept));
    }
}

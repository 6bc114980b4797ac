//! `drover list`: builds, newest first, as a table or as JSON lines.

use std::collections::BTreeMap;
use std::process::ExitCode;

use drover_messages::query::{AskBuilds, BuildSummary, Builds, MAX_PAGE, StateName};
use drover_messages::{SubmissionId, Timestamp};
use drover_nats::Query;

use crate::ask::Connection;
use crate::build::roots;
use crate::exit::Exit;
use crate::farm::FarmArgs;
use crate::human;
use crate::table::Table;

/// List builds, newest first.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only builds in this state
    #[arg(long, value_name = "STATE", value_parser = parse_state)]
    state: Option<StateName>,
    /// Only builds with this tag; several mean all of them
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = roots::parse_tag)]
    tags: Vec<(String, String)>,
    /// Only builds of this submission
    #[arg(long, value_name = "UUID")]
    submission: Option<SubmissionId>,
    /// At most so many builds
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// One JSON object a line: build, submission, drv, store_dir, state, reason, blocked_by, agent, priority, created_at,
    /// build_millis, available
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    farm: FarmArgs,
}

/// Runs it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let tags = roots::tags(&args.tags)?;
    let connection = Connection::open(&args.farm).await?;
    let mut found = Vec::new();
    let mut ask = question(args, &tags);
    let mut more = true;
    while more && found.len() < args.limit {
        ask.limit = (args.limit - found.len()).min(MAX_PAGE) as u32;
        let page: Builds = connection.ask(Query::Builds, &ask).await?;
        (more, ask.after) = (page.more && page.next.is_some(), page.next);
        if args.json {
            print_lines(&page.builds)?;
        }
        found.extend(page.builds);
    }
    if !args.json {
        print_table(&found, more);
    }
    Ok(Exit::Success.into())
}

fn question(args: &Args, tags: &BTreeMap<String, String>) -> AskBuilds {
    AskBuilds { submission: args.submission, state: args.state, tags: tags.clone(), ..AskBuilds::default() }
}

fn print_lines(builds: &[BuildSummary]) -> anyhow::Result<()> {
    for build in builds {
        println!("{}", serde_json::to_string(build)?);
    }
    Ok(())
}

fn print_table(builds: &[BuildSummary], more: bool) {
    if builds.is_empty() {
        println!("No builds.");
        return;
    }
    print!("{}", table(builds, Timestamp::now()));
    if more {
        println!("… and more: raise --limit, or narrow by --state, --tag or --submission");
    }
}

/// Builds as a table.
pub(crate) fn table(builds: &[BuildSummary], now: Timestamp) -> Table {
    let mut table = Table::new(&["BUILD", "STATE", "TOOK", "MADE", "NAME", ""]);
    for build in builds {
        table.row([
            build.build.to_string(),
            build.state.as_str().to_owned(),
            build.build_millis.map(human::duration).unwrap_or_default(),
            human::ago(build.created_at, now),
            build.drv.name_without_drv().to_owned(),
            remark(build),
        ]);
    }
    table
}

/// What else there is to say about a build.
fn remark(build: &BuildSummary) -> String {
    if build.state == StateName::Succeeded && !build.available {
        return "not published yet".into();
    }
    match build.blocked_by {
        Some(by) if build.reason.is_empty() => format!("behind {by}"),
        _ => build.reason.clone(),
    }
}

fn parse_state(text: &str) -> Result<StateName, String> {
    use StateName::*;
    let all = [Waiting, Ready, Leased, Succeeded, Failed, Blocked, Deferred, Cancelled];
    all.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|state| state.as_str()).collect();
        format!("a state is one of {}", names.join(", "))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use drover_messages::BuildId;
    use drover_store::StoreDir;

    use super::*;

    pub(crate) fn summary(name: &str, state: StateName) -> BuildSummary {
        BuildSummary {
            mode: Default::default(),
            build: BuildId::new(),
            submission: SubmissionId::new(),
            drv: format!("0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-{name}.drv").parse().unwrap(),
            store_dir: StoreDir::nix(),
            state,
            reason: String::new(),
            blocked_by: None,
            agent: None,
            priority: 0,
            created_at: Timestamp(1000),
            build_millis: None,
            available: state == StateName::Succeeded,
        }
    }

    #[test]
    fn a_state_is_named_as_it_is_shown() {
        assert_eq!(parse_state("blocked"), Ok(StateName::Blocked));
        assert!(parse_state("Blocked").unwrap_err().contains("waiting, ready, leased"));
    }

    #[test]
    fn the_table_says_what_a_build_waits_for() {
        let mut late = summary("late", StateName::Succeeded);
        late.available = false;
        let mut held = summary("held", StateName::Blocked);
        held.blocked_by = Some(late.build);
        let shown = table(&[late.clone(), held], Timestamp(6000)).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].ends_with("5 s ago  late  not published yet"), "{shown}");
        assert!(lines[2].ends_with(&format!("held  behind {}", late.build)), "{shown}");
    }

    #[test]
    fn the_next_page_begins_after_the_last_build_and_keeps_to_the_limit() {
        let args = Args { state: None, tags: vec![], submission: None, limit: 3, json: false, farm: FarmArgs::default() };
        let found = [summary("a", StateName::Ready), summary("b", StateName::Ready)];
        let ask = question(&args, &BTreeMap::new(), &found);
        assert_eq!((ask.after, ask.limit), (Some(found[1].build), 1));
    }
}

//! `drover list`: builds, newest first, as a table or as JSON lines.

use std::process::ExitCode;

use clap::builder::RangedU64ValueParser;
use drover_messages::query::{AskBuilds, BuildSummary, Builds, MAX_PAGE, StateName};
use drover_messages::{BuildId, ClientId, SubmissionId, Timestamp};
use drover_nats::Query;
use drover_store::{DrvPath, StorePath};

use crate::ask::Connection;
use crate::build::roots;
use crate::exit::{Exit, bad_input};
use crate::farm::FarmArgs;
use crate::human;
use crate::table::Table;

/// List builds, newest first. Several filters mean all of them.
#[derive(Debug, Default, clap::Args)]
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
    /// Only builds for this system, such as x86_64-linux
    #[arg(long, value_name = "SYSTEM")]
    system: Option<String>,
    /// Only what this client has submitted; `me` is this login
    #[arg(long, value_name = "UUID|me", value_parser = parse_client)]
    client: Option<Whose>,
    /// Only of this derivation, or of those with such a name: hello-2.*, with * for any text and ? for one character
    #[arg(long, value_name = "X.drv|NAME")]
    derivation: Option<String>,
    /// Only builds that make this store path
    #[arg(long, value_name = "PATH")]
    output: Option<String>,
    /// Only what was made then or later: 2026-01-31, 2026-01-31T12:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<Timestamp>,
    /// Only what was made before
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<Timestamp>,
    /// At most so many builds
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    limit: usize,
    /// Only what comes after this build in the list: the next page
    #[arg(long, value_name = "BUILD")]
    after: Option<BuildId>,
    /// One JSON object a line: build, submission, drv, store_dir, mode, state, reason, blocked_by, agent, priority,
    /// created_at, build_millis, available
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    farm: FarmArgs,
}

/// Whose builds are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Mine,
    Of(ClientId),
}

/// Runs it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut ask = question(args)?;
    let connection = Connection::open(&args.farm).await?;
    if args.client == Some(Whose::Mine) {
        ask.client = Some(connection.client());
    }
    let mut found = Vec::new();
    let mut more = true;
    while more && found.len() < args.limit {
        ask.limit = (args.limit - found.len()).min(MAX_PAGE) as u32;
        let page: Builds = connection.ask(Query::Builds, &ask).await?;
        if args.json {
            print_lines(&page.builds)?;
        }
        let last = page.builds.last().map(|last| last.build);
        found.extend(page.builds);
        ask.after = page.next.or(last);
        more = page.more && ask.after.is_some();
    }
    if !args.json {
        print_table(&found, ask.after.filter(|_| more));
    }
    Ok(Exit::Success.into())
}

fn question(args: &Args) -> anyhow::Result<AskBuilds> {
    let (name, drv) = match args.derivation.as_deref().map(base_name) {
        None => (None, None),
        Some(text) => match text.parse::<DrvPath>() {
            Ok(drv) => (None, Some(drv)),
            Err(_) => (Some(text.strip_suffix(".drv").unwrap_or(text).to_owned()), None),
        },
    };
    let output = args.output.as_deref().map(|text| {
        base_name(text).parse::<StorePath>().map_err(|error| bad_input(format!("{text:?} is no store path: {error}")))
    });
    Ok(AskBuilds {
        submission: args.submission,
        state: args.state,
        tags: roots::tags(&args.tags)?,
        system: args.system.clone(),
        client: match args.client {
            Some(Whose::Of(client)) => Some(client),
            Some(Whose::Mine) | None => None,
        },
        name,
        drv,
        output: output.transpose()?,
        from: args.from,
        to: args.to,
        after: args.after,
        limit: 0,
    })
}

/// A path without the store directory.
fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn print_lines(builds: &[BuildSummary]) -> anyhow::Result<()> {
    for build in builds {
        println!("{}", serde_json::to_string(build)?);
    }
    Ok(())
}

/// `next` is after which build to go on, if there are more.
fn print_table(builds: &[BuildSummary], next: Option<BuildId>) {
    if builds.is_empty() {
        println!("No builds.");
        return;
    }
    print!("{}", table(builds, Timestamp::now()));
    if let Some(next) = next {
        println!("… and more: --after {next}, or raise --limit");
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

fn parse_client(text: &str) -> Result<Whose, String> {
    match text {
        "me" => Ok(Whose::Mine),
        id => id.parse().map(Whose::Of).map_err(|_| "a client is a UUID, or `me`".into()),
    }
}

/// A day begins at midnight in UTC.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let whole = if text.len() == "2026-01-31".len() { format!("{text} 00:00:00") } else { text.to_owned() };
    if let Ok(time) = humantime::parse_rfc3339_weak(&whole) {
        let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|_| "a time is after 1970".to_owned())?;
        return Ok(Timestamp(since.as_millis() as u64));
    }
    let ago = humantime::parse_duration(text)
        .map_err(|_| "a time is a day (2026-01-31), a moment (2026-01-31T12:00:00Z), or how long ago (2h)".to_owned())?;
    Ok(Timestamp(Timestamp::now().0.saturating_sub(ago.as_millis() as u64)))
}

#[cfg(test)]
pub(crate) mod tests {
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
    fn a_derivation_is_named_by_its_path_or_by_a_pattern_of_its_name() {
        let asked = |derivation: &str| question(&Args { derivation: Some(derivation.into()), ..Args::default() }).unwrap();
        let path = "/nix/store/0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-hello.drv";
        assert_eq!(asked(path).drv.unwrap().to_string(), base_name(path));
        assert_eq!(asked("hello-*.drv").name.unwrap(), "hello-*");
        assert_eq!(asked("hello").name.unwrap(), "hello");
    }

    #[test]
    fn what_is_no_store_path_is_bad_input() {
        let error = question(&Args { output: Some("/tmp/x".into()), ..Args::default() }).unwrap_err();
        assert_eq!(crate::exit::of_error(&error), Exit::BadInput);
    }

    #[test]
    fn a_time_is_a_day_or_a_moment_or_a_while_ago() {
        assert_eq!(parse_time("1970-01-02"), Ok(Timestamp(86_400_000)));
        assert_eq!(parse_time("1970-01-01T00:01:00Z"), Ok(Timestamp(60_000)));
        let then = parse_time("2h 30m").unwrap();
        let ago = Timestamp::now().millis_since(then);
        assert!((9_000_000..9_060_000).contains(&ago), "{ago}");
        assert!(parse_time("yesterday").is_err());
    }

    #[test]
    fn a_list_of_at_most_none_is_refused() {
        use clap::Args as _;
        let parsed = |n: &str| Args::augment_args(clap::Command::new("list")).try_get_matches_from(["list", "--limit", n]);
        assert_eq!(parsed("0").unwrap_err().exit_code(), 2);
        assert!(parsed("1").is_ok());
    }

    #[test]
    fn a_client_is_an_id_or_oneself() {
        assert_eq!(parse_client("me"), Ok(Whose::Mine));
        assert!(parse_client("somebody").is_err());
    }
}

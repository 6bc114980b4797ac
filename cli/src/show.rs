//! `drover show`: one build, or one submission, in full.

use std::process::ExitCode;

use drover_messages::query::{AttemptDetail, BuildAnswer, BuildDetail, SubmissionAnswer, SubmissionStatus};
use drover_messages::report::Kept;
use drover_messages::request::Mode;
use drover_messages::{BuildId, SubmissionId, Timestamp};
use drover_store::StoreDir;
use uuid::Uuid;

use crate::ask::Connection;
use crate::exit::{Exit, bad_input};
use crate::farm::FarmArgs;
use crate::table::{Table, printable};
use crate::{human, list};

/// Show a build or a submission: its state, what it waits for, what was tried.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The build, or the submission
    #[arg(value_name = "BUILD|SUBMISSION")]
    id: Uuid,
    /// One JSON document: {"build": …} or {"submission": …}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    farm: FarmArgs,
}

enum Found {
    Build(Box<BuildDetail>),
    Submission(SubmissionStatus),
    /// A submission that has no status yet, in words.
    Pending(String),
}

/// Runs it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&args.farm).await?;
    let found = find(&connection, args.id).await?;
    match &found {
        Found::Build(build) if args.json => println!("{:#}", serde_json::json!({ "build": build })),
        Found::Submission(status) if args.json => println!("{:#}", serde_json::json!({ "submission": status })),
        Found::Pending(words) if args.json => println!("{:#}", serde_json::json!({ "pending": words })),
        Found::Build(build) => print!("{}", build_in_words(build, Timestamp::now())),
        Found::Submission(status) => print!("{}", submission_in_words(status, Timestamp::now())),
        Found::Pending(words) => println!("{words}"),
    }
    Ok(Exit::Success.into())
}

async fn find(connection: &Connection, id: Uuid) -> anyhow::Result<Found> {
    if let BuildAnswer::Known(build) = connection.build(BuildId::from_uuid(id)).await? {
        return Ok(Found::Build(build));
    }
    match connection.submission(SubmissionId::from_uuid(id)).await? {
        SubmissionAnswer::Live(status) => Ok(Found::Submission(status)),
        SubmissionAnswer::Planning => Ok(Found::Pending("The scheduler is reading this submission.".into())),
        SubmissionAnswer::Rejected { why } => Ok(Found::Pending(format!("This submission was refused: {}", printable(&why)))),
        SubmissionAnswer::Unknown => Err(bad_input(format!(
            "the scheduler knows neither a build nor a submission {id}. If it was sent just now, it is in the queue: ask again"
        ))),
    }
}

fn build_in_words(build: &BuildDetail, now: Timestamp) -> String {
    let summary = &build.summary;
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<12}{}\n", printable(&value)));
    line("build", summary.build.to_string());
    line("submission", summary.submission.to_string());
    line("derivation", summary.store_dir.path(summary.drv.as_ref()));
    line("system", build.system.clone());
    if build.summary.mode == Mode::Check {
        line("mode", "check: built again, and compared with what it had made".into());
    }
    line("state", with(summary.state.as_str(), &summary.reason));
    if let Some(by) = summary.blocked_by {
        line("blocked by", by.to_string());
    }
    line("priority", summary.priority.to_string());
    line("made", human::ago(summary.created_at, now));
    for (key, value) in &build.tags {
        line("tag", format!("{key}={value}"));
    }
    for (name, (path, state)) in &build.outputs {
        line("output", format!("{name}  {}  {state}", summary.store_dir.path(path)));
    }
    for (path, state) in &build.missing_inputs {
        line("waits for", format!("{}  {state}", summary.store_dir.path(path)));
    }
    if !build.attempts.is_empty() {
        text.push_str(&format!("\n{}", attempts(&build.attempts)));
        text.push_str(&kept(&build.attempts, &summary.store_dir));
    }
    text + &log_hint(build)
}

fn attempts(attempts: &[AttemptDetail]) -> Table {
    let mut table = Table::new(&["ATTEMPT", "AGENT", "STATE", "TOOK", ""]);
    for attempt in attempts {
        let cause = attempt.cause.as_ref().map(|cause| cause.words()).unwrap_or_default();
        table.row([
            attempt.attempt.to_string(),
            attempt.agent.to_string(),
            with(&attempt.state, if attempt.already_valid { "it was there already" } else { "" }),
            attempt.times.map(|times| human::duration(times.build_micros / 1000)).unwrap_or_default(),
            with(cause, attempt.message.lines().next().unwrap_or_default()),
        ]);
    }
    table
}

/// What came out differently, and where its bytes are for whoever compares.
fn kept(attempts: &[AttemptDetail], store_dir: &StoreDir) -> String {
    let kept: Vec<&Kept> = attempts.iter().flat_map(|attempt| &attempt.kept).collect();
    if kept.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["DIFFERENT", "SHOULD BE AS", "KEPT IN THE BUCKET AS"]);
    for kept in kept {
        table.row([kept.name.to_string(), store_dir.path(&kept.path), kept.nar.key.clone()]);
    }
    format!("\n{table}")
}

fn log_hint(build: &BuildDetail) -> String {
    let logged = build.evidence.is_some() || build.attempts.iter().any(|attempt| attempt.log.is_some());
    if logged { format!("\nIts log: drover logs {}\n", build.summary.build) } else { String::new() }
}

fn submission_in_words(status: &SubmissionStatus, now: Timestamp) -> String {
    let mut text = format!("submission  {}\n", status.submission);
    text.push_str(&format!("client      {}\n", status.client));
    text.push_str(&format!("asked       {}\n", human::ago(status.submitted_at, now)));
    if status.cancelled {
        text.push_str("cancelled   by its user\n");
    }
    text.push_str(&format!("builds      {}\n", counts(status)));
    for (title, builds) in [("Roots", &status.roots), ("Failed", &status.failed), ("Blocked", &status.blocked)] {
        if !builds.is_empty() {
            text.push_str(&format!("\n{title}\n{}", list::table(builds, now)));
        }
    }
    text
}

/// `12 succeeded (2 not published yet), 3 ready`.
pub(crate) fn counts(status: &SubmissionStatus) -> String {
    let one = |(state, n): (&drover_messages::query::StateName, &u64)| match state {
        drover_messages::query::StateName::Succeeded if status.unpublished > 0 => {
            format!("{n} {} ({} not published yet)", state.as_str(), status.unpublished)
        }
        _ => format!("{n} {}", state.as_str()),
    };
    let all: Vec<String> = status.counts.iter().filter(|(_, n)| **n > 0).map(one).collect();
    if all.is_empty() { "none".into() } else { all.join(", ") }
}

fn with(word: &str, more: &str) -> String {
    match (word.is_empty(), more.is_empty()) {
        (_, true) => word.to_owned(),
        (true, false) => more.to_owned(),
        (false, false) => format!("{word}: {more}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use drover_messages::query::BuildSummary;
    use drover_messages::query::StateName;
    use drover_messages::request::Nar;
    use drover_messages::{AgentId, AttemptId, Cause, ClientId, Epoch, Generation};

    use super::*;
    use crate::list::tests::summary;

    fn build(mode: Mode, attempt: AttemptDetail) -> BuildDetail {
        BuildDetail {
            summary: BuildSummary { mode, ..summary("hello", StateName::Failed) },
            tags: BTreeMap::new(),
            system: "x86_64-linux".into(),
            outputs: BTreeMap::new(),
            missing_inputs: Vec::new(),
            attempts: vec![attempt],
            evidence: None,
        }
    }

    fn attempt(state: &str, cause: Option<Cause>, message: &str) -> AttemptDetail {
        AttemptDetail {
            attempt: AttemptId::new(),
            agent: AgentId::new(),
            epoch: Epoch { generation: Generation(1), n: 1 },
            state: state.into(),
            cause,
            message: message.into(),
            times: None,
            log: None,
            already_valid: false,
            kept: Vec::new(),
        }
    }

    #[test]
    fn a_failed_build_says_what_was_tried_and_why_it_failed() {
        let failed = attempt("failed", Some(Cause::BuilderFailed), "exit code 1");
        let text = build_in_words(&build(Mode::Build, failed), Timestamp(1000));
        assert!(text.contains("state       failed\n") && !text.contains("mode"), "{text}");
        assert!(text.contains("the builder failed: exit code 1"), "{text}");
    }

    #[test]
    fn what_was_there_already_is_not_taken_for_built() {
        let valid = AttemptDetail { already_valid: true, ..attempt("published", None, "") };
        let text = build_in_words(&build(Mode::Build, valid), Timestamp(1000));
        assert!(text.contains("published: it was there already"), "{text}");
    }

    #[test]
    fn a_check_says_what_came_out_differently_and_where_that_is() {
        let hash = drover_store::Sha256::of(b"nar");
        let key = "checks/b/a/0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx.nar.zst";
        let nar = Nar { key: key.into(), nar_hash: hash, nar_size: 1, file_hash: hash, file_size: 1 };
        let path = "0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-hello".parse().unwrap();
        let kept = vec![Kept { name: "out".parse().unwrap(), path, nar }];
        let differs = AttemptDetail { kept, ..attempt("failed", Some(Cause::NotDeterministic), "") };
        let text = build_in_words(&build(Mode::Check, differs), Timestamp(1000));
        assert!(text.contains("mode        check"), "{text}");
        assert!(text.contains(&format!("out        /nix/store/0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-hello  {key}\n")), "{text}");
    }

    #[test]
    fn a_submission_counts_its_builds_and_says_what_is_not_published() {
        let status = SubmissionStatus {
            submission: SubmissionId::new(),
            client: ClientId::new(),
            submitted_at: Timestamp(1000),
            cancelled: false,
            counts: BTreeMap::from([(StateName::Succeeded, 3), (StateName::Ready, 1), (StateName::Failed, 0)]),
            given_up: 0,
            unpublished: 2,
            roots: Vec::new(),
            failed: Vec::new(),
            blocked: Vec::new(),
        };
        assert_eq!(counts(&status), "1 ready, 3 succeeded (2 not published yet)");
    }
}

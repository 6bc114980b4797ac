//! `drover why`: what a build waits for, down to what must happen first.

use std::collections::BTreeMap;
use std::process::ExitCode;

use drover_messages::placement::Placement;
use drover_messages::query::{BuildSummary, StateName};
use drover_messages::why::{AgentVerdict, AskWhy, RootCause, Why, WhyAnswer};
use drover_messages::{AgentId, BuildId};
use drover_nats::Query;

use crate::ask::Connection;
use crate::exit::{Exit, bad_input};
use crate::farm::FarmArgs;
use crate::human;
use crate::table::printable;

/// Root causes that are told in words.
const CAUSES_SHOWN: usize = 10;
/// Builds of a chain that are told in words: the first, and the last.
const CHAIN_SHOWN: usize = 12;
/// Inputs that cannot be had that are told in words.
const DEAD_ENDS_SHOWN: usize = 10;
/// Agents of which the same is true that are named.
const AGENTS_NAMED: usize = 4;

/// Say what a build waits for, down to the root causes, and what speaks against each agent.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The build
    #[arg(value_name = "BUILD")]
    build: BuildId,
    /// One JSON document: build, causes, more, chain, dead_ends
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    farm: FarmArgs,
}

/// Runs it.
pub(crate) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&args.farm).await?;
    let why = match connection.ask(Query::Why, &AskWhy { build: args.build }).await? {
        WhyAnswer::Known(why) => why,
        WhyAnswer::Unknown => return Err(bad_input(format!("the scheduler knows no build {}", args.build))),
    };
    if args.json {
        println!("{:#}", serde_json::to_value(&why)?);
        return Ok(Exit::Success.into());
    }
    let agents = crate::agent::all(&connection).await?;
    let names = agents.into_iter().map(|agent| (agent.agent, agent.name)).collect();
    print!("{}", in_words(&why, &names));
    Ok(Exit::Success.into())
}

fn in_words(why: &Why, names: &BTreeMap<AgentId, String>) -> String {
    let mut text = format!("{}\n", one(&why.build, names));
    if why.chain.len() > 1 {
        text.push_str("\nWhat it waits for\n");
        text.push_str(&chain(&why.chain));
    }
    // A build that waits for no other is its own cause, and was told.
    let others: Vec<&RootCause> = why.causes.iter().filter(|cause| cause.build.build != why.build.build).collect();
    if !others.is_empty() {
        text.push_str(&format!("\n{}\n", heading(others.len(), why.more)));
    }
    for cause in others.iter().take(CAUSES_SHOWN) {
        text.push_str(&format!("  {}\n{}", one(&cause.build, names), speaks(cause, names, "    ")));
    }
    text.push_str(&and_more(others.len(), CAUSES_SHOWN));
    for own in why.causes.iter().filter(|cause| cause.build.build == why.build.build) {
        text.push_str(&speaks(own, names, "  "));
    }
    if !why.dead_ends.is_empty() {
        text.push_str("\nNo build makes these, and they cannot be had\n");
    }
    for (path, state) in why.dead_ends.iter().take(DEAD_ENDS_SHOWN) {
        text.push_str(&format!("  {}  {}\n", why.build.store_dir.path(path), printable(state)));
    }
    text + &and_more(why.dead_ends.len(), DEAD_ENDS_SHOWN)
}

fn heading(causes: usize, more: bool) -> String {
    let at_least = if more { "at least " } else { "" };
    match causes {
        1 if !more => "What must happen first".into(),
        _ => format!("What must happen first: {at_least}{causes} builds that wait for no other"),
    }
}

/// A build in a line: its name, its id, how it is, and why. Agents go by their names.
fn one(build: &BuildSummary, names: &BTreeMap<AgentId, String>) -> String {
    let agent = build.agent.and_then(|id| Some((id.to_string(), names.get(&id)?)));
    let words = agent.map_or_else(|| build.reason.clone(), |(id, name)| build.reason.replace(&id, name));
    let reason = match (build.state, build.reason.is_empty()) {
        (StateName::Succeeded, true) if !build.available => ": it is built, and waits to be published".into(),
        (StateName::Succeeded, false) if !build.available => {
            format!(": it is built, and waits to be published: {}", printable(&words))
        }
        (StateName::Succeeded, _) => ": it waits for nothing".into(),
        (_, true) => String::new(),
        (_, false) => format!(": {}", printable(&words)),
    };
    format!("{} ({}) {}{reason}", build.drv.name_without_drv(), build.build, build.state.as_str())
}

/// From the build that was asked for downwards; of a long chain both ends.
fn chain(builds: &[BuildSummary]) -> String {
    let left_out = builds.len().saturating_sub(CHAIN_SHOWN);
    let first = CHAIN_SHOWN / 2;
    let mut text = String::new();
    for (depth, build) in builds.iter().enumerate() {
        if left_out > 0 && depth == first {
            text.push_str(&format!("  … {} more\n", left_out));
        }
        if left_out == 0 || depth < first || depth >= first + left_out {
            text.push_str(&format!("  {} ({}) {}\n", build.drv.name_without_drv(), build.build, build.state.as_str()));
        }
    }
    text
}

/// What speaks against each agent, or for the one that has it.
fn speaks(cause: &RootCause, names: &BTreeMap<AgentId, String>, indent: &str) -> String {
    let placed = cause.placement.iter().map(|placement| placed(placement, names, indent));
    verdicts(&cause.agents, names, indent) + &placed.collect::<String>()
}

/// Who has it, and what it would have cost others.
fn placed(Placement { chosen, others }: &Placement, names: &BTreeMap<AgentId, String>, indent: &str) -> String {
    let mut text = format!("{indent}{} has it, which costs least: {}\n", named(&[chosen.agent], names), chosen.score);
    for other in others {
        text.push_str(&format!("{indent}{}: {}\n", named(&[other.agent], names), other.score));
    }
    text
}

/// What speaks against the agents, those that could do it soonest first.
fn verdicts(verdicts: &[AgentVerdict], names: &BTreeMap<AgentId, String>, indent: &str) -> String {
    let line = |verdict: &AgentVerdict| {
        let why_not = if verdict.why_not.is_empty() { "it may get it at once" } else { &verdict.why_not };
        let count = human::count(verdict.agents.len() as u64, "agent");
        format!("{indent}{count} ({}): {}\n", named(&verdict.agents, names), printable(why_not))
    };
    verdicts.iter().map(line).collect()
}

fn named(agents: &[AgentId], names: &BTreeMap<AgentId, String>) -> String {
    let name = |id: &AgentId| names.get(id).map_or_else(|| id.to_string(), |name| printable(name));
    let mut named: Vec<String> = agents.iter().take(AGENTS_NAMED).map(name).collect();
    if agents.len() > AGENTS_NAMED {
        named.push("…".into());
    }
    named.join(", ")
}

fn and_more(all: usize, shown: usize) -> String {
    match all.saturating_sub(shown) {
        0 => String::new(),
        more => format!("  … and {more} more: --json has them\n"),
    }
}

#[cfg(test)]
mod tests {
    use drover_messages::placement::{Candidate, Score};

    use super::*;
    use crate::list::tests::summary;

    fn why(build: BuildSummary) -> Why {
        Why { build, causes: Vec::new(), more: false, chain: Vec::new(), dead_ends: Vec::new() }
    }

    fn with(state: StateName, name: &str, reason: &str) -> BuildSummary {
        BuildSummary { reason: reason.into(), ..summary(name, state) }
    }

    #[test]
    fn a_ready_build_says_what_speaks_against_each_agent() {
        let ready = with(StateName::Ready, "hello", "a slot");
        let (busy, idle) = (AgentId::new(), AgentId::new());
        let verdict = |why_not: &str, agent| AgentVerdict { why_not: why_not.into(), agents: vec![agent] };
        let agents = vec![verdict("", idle), verdict("all of its 4 slots are taken", busy)];
        let why = Why {
            causes: vec![RootCause { build: ready.clone(), agents, placement: None }],
            chain: vec![ready.clone()],
            ..why(ready)
        };
        let text = in_words(&why, &BTreeMap::from([(busy, "busy".into())]));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("hello (") && lines[0].ends_with(") ready: a slot"), "{text}");
        assert_eq!(lines[1], format!("  1 agent ({idle}): it may get it at once"));
        assert_eq!(lines[2], "  1 agent (busy): all of its 4 slots are taken");
    }

    #[test]
    fn a_leased_build_says_why_its_agent_has_it() {
        let (near, far) = (AgentId::new(), AgentId::new());
        let leased = BuildSummary { agent: Some(near), ..with(StateName::Leased, "hello", &format!("on the agent {near}")) };
        let candidate = |agent, inputs_millis| Candidate { agent, score: Score { inputs_millis, ..Score::default() } };
        let placement = Some(Placement { chosen: candidate(near, 0), others: vec![candidate(far, 2_000)] });
        let causes = vec![RootCause { build: leased.clone(), agents: Vec::new(), placement }];
        let text = in_words(&Why { causes, ..why(leased) }, &BTreeMap::from([(near, "near".into()), (far, "far".into())]));
        let placed = ") leased: on the agent near\n  near has it, which costs least: nothing\n  far: inputs 2.0 s\n";
        assert!(text.ends_with(placed), "{text}");
    }

    #[test]
    fn a_waiting_build_names_the_chain_and_what_must_happen_first() {
        let top = with(StateName::Blocked, "top", "an input cannot be had");
        let bottom = with(StateName::Failed, "bottom", "the builder failed");
        let causes = vec![RootCause { build: bottom.clone(), agents: Vec::new(), placement: None }];
        let text = in_words(&Why { causes, chain: vec![top.clone(), bottom.clone()], ..why(top) }, &BTreeMap::new());
        let first = text.split_once("What must happen first\n").unwrap().1;
        assert_eq!(first, format!("  bottom ({}) failed: the builder failed\n", bottom.build));
    }

    #[test]
    fn of_a_long_chain_both_ends_are_shown() {
        let builds: Vec<BuildSummary> = (0..20).map(|n| summary(&format!("b{n}"), StateName::Waiting)).collect();
        let text = chain(&builds);
        assert_eq!(text.lines().count(), CHAIN_SHOWN + 1);
        assert!(text.starts_with("  b0 (") && text.contains("… 8 more\n  b14 (") && text.contains("b19"), "{text}");
    }

    #[test]
    fn what_is_done_waits_for_nothing_unless_it_is_not_published() {
        let done = summary("done", StateName::Succeeded);
        assert!(in_words(&why(done.clone()), &BTreeMap::new()).contains("it waits for nothing"));
        let late = BuildSummary { available: false, ..done };
        assert!(in_words(&why(late), &BTreeMap::new()).contains("waits to be published"));
    }
}

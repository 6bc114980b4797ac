//! Builds and agents as people see them.

use std::collections::BTreeMap;

use drover_messages::agent::Hello;
use drover_messages::query::*;
use drover_messages::{AgentId, Cause, Timestamp};
use drover_scheduler_core::agent::{Agent, KnownAgent, could_build};
use drover_scheduler_core::breaker::Breaker;
use drover_scheduler_core::{AttemptState, Build, BuildState, Heard, ItemState, Place};
use drover_store::StorePath;

use crate::book::BookError;
use crate::reign::Reign;

/// A build in one line.
pub(crate) fn summary(reign: &Reign, build: &Build) -> Result<BuildSummary, BookError> {
    let newest = build.newest_attempt();
    Ok(BuildSummary {
        build: build.id,
        submission: build.submission,
        drv: build.recipe.drv.clone(),
        store_dir: build.recipe.store_dir.clone(),
        mode: build.mode,
        state: build.state.name(),
        reason: reason(reign, build),
        blocked_by: match build.state {
            BuildState::Blocked { by } => Some(by),
            _ => None,
        },
        agent: newest.map(|attempt| attempt.agent),
        priority: reign.core().state().urgency(build.id).unwrap_or(build.priority),
        created_at: build.created_at,
        build_millis: newest.and_then(|attempt| attempt.times).map(|times| times.build_micros / 1000),
        available: is_available(reign, build)?,
    })
}

/// One build in full.
pub(crate) fn detail(reign: &Reign, build: &Build) -> Result<BuildDetail, BookError> {
    let mut outputs = BTreeMap::new();
    for (name, product) in build.recipe.outputs.iter() {
        outputs.insert(name.clone(), (product.path.clone(), item_words(reign, &product.path)?));
    }
    let mut missing_inputs = Vec::new();
    let missing = reign.core().state().inputs(build.id).filter(|(_, item)| !item.state.is_available());
    for (path, _) in missing.take(MAX_PAGE) {
        missing_inputs.push((path.clone(), item_words(reign, path)?));
    }
    Ok(BuildDetail {
        summary: summary(reign, build)?,
        tags: reign.submission(build.submission)?.map(|submission| submission.tags).unwrap_or_default(),
        system: build.recipe.system.clone(),
        outputs,
        missing_inputs,
        attempts: build.attempts.iter().map(attempt).collect(),
        evidence: evidence(build),
    })
}

/// A failure that was known from another build is an attempt of that one.
fn evidence(of: &Build) -> Option<Evidence> {
    match of.state {
        BuildState::Failed { attempt, cause: Cause::KnownFailure { build } } => Some(Evidence { build, attempt }),
        _ => None,
    }
}

fn attempt(attempt: &drover_scheduler_core::Attempt) -> AttemptDetail {
    let (cause, message) = match &attempt.state {
        AttemptState::Ended { cause, message } => (Some(cause.clone()), message.clone()),
        _ => (None, String::new()),
    };
    AttemptDetail {
        attempt: attempt.id,
        agent: attempt.agent,
        epoch: attempt.epoch,
        state: attempt.state.word().into(),
        cause,
        message,
        times: attempt.times,
        log: attempt.log.clone(),
        already_valid: attempt.already_valid,
        kept: attempt.kept.clone(),
    }
}

/// What keeps a build, in words.
fn reason(reign: &Reign, build: &Build) -> String {
    match &build.state {
        BuildState::Waiting { .. } if !reign.core().state().is_live(build.submission) => "its submission is being planned".into(),
        BuildState::Waiting { missing } => waits_for(reign, build, *missing),
        BuildState::Ready(place) => waits_for_slot(reign, build, place),
        BuildState::Leased(lease) => format!("on the agent {}", lease.agent),
        BuildState::Blocked { by } => {
            let blocking = reign.build(*by).ok().flatten();
            let drv = blocking.as_ref().map_or_else(|| "a build".into(), |blocking| blocking.recipe.drv.to_string());
            match blocking.is_some_and(|blocking| blocking.state.is_given_up()) {
                true => format!("an input cannot be had before {drv} ({by}) is retried"),
                false => format!("an input cannot be had while {drv} ({by}) is failed"),
            }
        }
        BuildState::Deferred { cause, until: Heard::NEVER } => {
            format!("{}, after {} tries in a row: `drover retry` has it tried again", cause.words(), build.farm_failures)
        }
        BuildState::Deferred { cause, until } => {
            let secs = until.millis_since(reign.heard()).div_ceil(1000).max(1);
            format!("{}: it is tried again in {secs} s", cause.words())
        }
        BuildState::Failed { cause, .. } => match evidence(build) {
            Some(Evidence { build, .. }) => format!("{}: {build}", cause.words()),
            None => cause.words().into(),
        },
        BuildState::Cancelled => "nobody wants it; `drover retry` has it built after all".into(),
        BuildState::Succeeded { .. } => unpublished(reign, build),
    }
}

/// What can be said of outputs that are not available, while they are in memory.
fn unpublished(reign: &Reign, build: &Build) -> String {
    let state = |path| reign.core().state().item(path).filter(|state| !state.can_be_fetched());
    let first = build.products().find_map(|path| Some((path, state(path)?)));
    first.map_or_else(String::new, |(path, state)| format!("its output {path} is {}", state.words()))
}

fn waits_for(reign: &Reign, build: &Build, missing: u32) -> String {
    let state = reign.core().state();
    let lacking = |state: &ItemState| !state.can_be_fetched();
    let unreached = |state: &ItemState| state.servers().is_some();
    let inputs = || state.inputs(build.id).map(|(path, item)| (path, &item.state));
    let first = |fits: &dyn Fn(&ItemState) -> bool| inputs().find(|(_, state)| fits(state));
    match first(&lacking) {
        Some((path, state)) if missing > 1 => format!("{missing} inputs, such as {path} ({})", state.words()),
        Some((path, state)) => format!("the input {path} ({})", state.words()),
        None => match first(&unreached) {
            Some((path, state)) => {
                format!("the input {path} ({}): no agent of one store reaches all that it needs", state.words())
            }
            None => format!("{missing} inputs"),
        },
    }
}

fn waits_for_slot(reign: &Reign, build: &Build, place: &Place) -> String {
    if !reign.core().state().gives_leases(reign.heard()) {
        return "a slot; a scheduler that has just started hears first what agents hold".into();
    }
    let could = could_build(build);
    if !reign.core().state().agents().any(|(_, agent)| could(&agent.hello)) {
        return nobody_for(reign, build, could);
    }
    if reign.core().state().is_at_limit(build, reign.core().limits()) {
        return "a slot; its client has as many builds under way as it may".into();
    }
    match place {
        Place::Anywhere => "a slot".into(),
        Place::Stores(_) => "a slot on an agent whose store has its inputs, or reaches a server that has them".into(),
    }
}

/// Of agents that were not heard for longer than a lease, the one that was heard last is named, if any could build it.
fn nobody_for(reign: &Reign, build: &Build, could: impl Fn(&Hello) -> bool) -> String {
    let tag = |(key, value): (&String, &String)| format!("the tag {key}={value}");
    let with: Vec<String> = build.recipe.features.iter().cloned().chain(build.terms.on.iter().map(tag)).collect();
    let without: Vec<String> = build.terms.not_on.iter().map(tag).collect();
    let (system, store_dir) = (&build.recipe.system, &build.recipe.store_dir);
    let mut words = format!("no agent for {system} and {store_dir}");
    for (word, things) in [("with", with), ("without", without)] {
        if !things.is_empty() {
            words.push_str(&format!(" {word} {}", things.join(", ")));
        }
    }
    let absent = reign.core().state().absent().filter(|(_, known)| could(&known.hello));
    match absent.map(|(_, known)| (known.seen.unwrap_or_default(), &known.hello.name)).max() {
        None => words + " was ever seen",
        Some((seen, name)) => {
            let secs = Timestamp::now().millis_since(seen) / 1000;
            format!("{words} is here; {name} was, {secs} s ago")
        }
    }
}

/// An agent in one line.
pub(crate) fn agent(reign: &Reign, id: AgentId, agent: &Agent) -> AgentRow {
    let heard = reign.heard();
    AgentRow {
        alive: agent.alive,
        not_ready: agent.not_ready.clone(),
        leases: agent.leases.len() as u32,
        silent_millis: Some(heard.millis_since(agent.heard)),
        ..row(reign, id, &agent.hello, &agent.breaker)
    }
}

/// The same of one that is not here.
pub(crate) fn absent(reign: &Reign, id: AgentId, known: &KnownAgent) -> AgentRow {
    AgentRow { seen: known.seen, ..row(reign, id, &known.hello, &known.breaker) }
}

/// What is the same of all: as if it was not here.
fn row(reign: &Reign, id: AgentId, hello: &Hello, breaker: &Breaker) -> AgentRow {
    let hello = hello.clone();
    AgentRow {
        agent: id,
        name: hello.name,
        alive: false,
        not_ready: None,
        store_dir: Some(hello.store_dir),
        systems: hello.systems,
        features: hello.features,
        mandatory_features: hello.mandatory_features,
        resources: hello.resources,
        max_parallel_builds: hello.max_parallel_builds,
        servers: hello.servers,
        tags: hello.tags,
        drained: reign.core().state().drained(id).is_some(),
        quarantine: breaker.why(reign.heard()),
        leases: 0,
        silent_millis: None,
        seen: None,
    }
}

pub(crate) fn is_available(reign: &Reign, build: &Build) -> Result<bool, BookError> {
    let paths: std::collections::BTreeSet<StorePath> = build.products().cloned().collect();
    let all = paths.len();
    Ok(reign.available(paths)?.len() == all)
}

fn item_words(reign: &Reign, path: &StorePath) -> Result<String, BookError> {
    let known = reign.core().state().item(path).map(ItemState::words);
    let recorded = || Ok::<_, BookError>(reign.book().items::<Vec<_>>([path])?.pop().map(|(_, item)| item.state.words()));
    Ok(match known {
        Some(words) => words,
        None => recorded()?.unwrap_or_else(|| "unknown".into()),
    })
}

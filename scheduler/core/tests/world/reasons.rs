//! Why a build is not done, as `drover why` tells it: from its state, from what its inputs wait for, and from what speaks
//! against each agent. A build for which nothing is found here waits for ever, and nobody could say for what.

use drover_scheduler_core::{AttemptState, Build, BuildState, ItemState};
use drover_store::StorePath;

use super::reign::Reign;

/// What an unfinished build waits for, or why that cannot be said.
pub fn reason(reign: &Reign, build: &Build) -> Result<String, String> {
    let state = reign.core.state();
    match &build.state {
        _ if !state.is_live(build.submission) => Ok("its submission is being planned".into()),
        BuildState::Waiting { .. } => inputs(reign, build),
        BuildState::Ready(_) => agents(reign, build),
        BuildState::Leased(lease) => Ok(format!("{} has it", lease.agent)),
        BuildState::Blocked { by } => Ok(format!("{by} failed")),
        BuildState::Deferred { until, cause } if until.millis_since(reign.heard) <= reign.core.limits().retry_longest_millis => {
            Ok(format!("{}, and it is tried again", cause.words()))
        }
        given_up if given_up.is_given_up() && build.farm_failures >= reign.core.limits().tries => Ok("it is given up".into()),
        other => Err(format!("{other:?}")),
    }
}

/// What speaks against each agent.
fn agents(reign: &Reign, build: &Build) -> Result<String, String> {
    let (state, limits) = (reign.core.state(), reign.core.limits());
    if !state.gives_leases(reign.heard) {
        return Ok("agents are heard first".into());
    }
    if state.is_at_limit(build, limits) {
        return Ok("its client has all the leases that it may have".into());
    }
    let mut words = String::from("no agent is free");
    for (id, _) in state.agents() {
        let objection = state.objection(build, id, reign.heard, limits);
        let objection = objection.ok_or_else(|| format!("it is ready, and nothing speaks against {id}"))?;
        words.push_str(&format!(", {id}: {objection}"));
    }
    Ok(words)
}

fn inputs(reign: &Reign, build: &Build) -> Result<String, String> {
    let state = reign.core.state();
    let mut words = String::new();
    for (path, _) in state.inputs(build.id).filter(|(_, item)| !item.state.is_available()) {
        let why = input(reign, build, path).ok_or_else(|| {
            format!("it waits for {path}, which is {:?}, and nobody brings it: {:?}", state.item(path), makers(reign, path))
        })?;
        words.push_str(&format!("{path}: {why}; "));
    }
    if words.is_empty() { Err("it waits, and lacks nothing".into()) } else { Ok(words) }
}

/// Who brings an input.
fn input(reign: &Reign, build: &Build, path: &StorePath) -> Option<String> {
    let state = reign.core.state();
    let made_by = |wanted: &dyn Fn(&Build) -> bool| state.makers(path).find(|maker| wanted(maker)).map(|maker| maker.id);
    let unfinished = made_by(&|maker| maker.state.is_hopeful() && !maker.state.is_over());
    let by_agent = made_by(&|maker| maker.attempts.iter().any(|attempt| is_brought(&attempt.state)));
    let owed = state.owed().any(|owed| owed.path == *path);
    let given_up = state.recorded_item(path).is_some_and(|item| item.losses >= reign.core.limits().losses);
    let planned = reign.replanned.iter().any(|id| state.inputs(*id).any(|(input, _)| input == path));
    match state.item(path)? {
        item @ ItemState::Elsewhere { .. } => Some(item.words()),
        item @ (ItemState::Built { .. } | ItemState::Uploaded { .. }) if owed || by_agent.is_some() => Some(item.words()),
        _ if unfinished.is_some() => unfinished.map(|maker| format!("{maker} makes it")),
        // What was had and is lost is told again by its agent, where that is what it waits for.
        _ if by_agent.is_some() => by_agent.map(|maker| format!("the agent of {maker} brings it again")),
        ItemState::Lost if given_up => Some("lost too often".into()),
        ItemState::Wanted | ItemState::Lost if planned || !reign.caught_up => Some(format!("it is planned for {}", build.id)),
        _ => None,
    }
}

/// Whether an agent is about to bring what an attempt made.
fn is_brought(state: &AttemptState) -> bool {
    matches!(state, AttemptState::Built | AttemptState::Unloaded)
}

fn makers(reign: &Reign, path: &StorePath) -> Vec<String> {
    reign.core.state().makers(path).map(|build| format!("{:?} {:?}", build.state, build.attempts)).collect()
}

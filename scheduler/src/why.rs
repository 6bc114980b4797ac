//! What a build waits for, down to the builds that wait for no other, and what speaks against each agent for those.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::query::{BuildSummary, MAX_PAGE};
use drover_messages::why::{AgentVerdict, RootCause, Why};
use drover_messages::{AgentId, BuildId};
use drover_scheduler_core::{Build, BuildState, ItemState, Objection};
use drover_store::StorePath;

use crate::book::BookError;
use crate::reign::Reign;
use crate::summaries::summary;

/// Builds that one question looks at.
const LOOKED_AT: usize = 20_000;
/// Root causes for which each agent is looked at.
const WITH_AGENTS: usize = 20;

/// Why a build is not done.
pub(crate) fn why(reign: &Reign, build: &Build) -> Result<Why, BookError> {
    let found = walk(reign, build);
    let mut causes = Vec::new();
    for cause in found.causes.iter().take(MAX_PAGE).filter_map(|id| reign.core().state().build(*id)) {
        let agents = if causes.len() < WITH_AGENTS { verdicts(reign, cause) } else { Vec::new() };
        let placement = reign.core().state().placement(cause.id).cloned();
        causes.push(RootCause { build: summary(reign, cause)?, agents, placement });
    }
    let mut chain: Vec<BuildSummary> = Vec::new();
    for id in found.chain() {
        if let Some(build) = reign.core().state().build(id) {
            chain.push(summary(reign, build)?);
        }
    }
    let more = found.more || found.causes.len() > MAX_PAGE;
    Ok(Why { build: summary(reign, build)?, causes, more, chain, dead_ends: found.dead_ends })
}

/// What lies below a build.
#[derive(Default)]
struct Found {
    /// Builds that wait for no other, the nearest first.
    causes: Vec<BuildId>,
    /// Who needed each build that was met.
    needed_by: BTreeMap<BuildId, Option<BuildId>>,
    dead_ends: Vec<(StorePath, String)>,
    more: bool,
}

impl Found {
    /// From the build that was asked for down to the first cause.
    fn chain(&self) -> Vec<BuildId> {
        let mut chain = Vec::new();
        let mut next = self.causes.first().copied();
        while let Some(id) = next {
            chain.push(id);
            next = self.needed_by.get(&id).copied().flatten();
        }
        chain.reverse();
        chain
    }
}

/// Level by level, so that the nearest causes come first.
fn walk(reign: &Reign, build: &Build) -> Found {
    let state = reign.core().state();
    let mut found = Found { needed_by: BTreeMap::from([(build.id, None)]), ..Found::default() };
    let mut level = vec![build.id];
    while !level.is_empty() {
        let mut below = Vec::new();
        for build in level.iter().filter_map(|id| state.build(*id)) {
            if !matches!(build.state, BuildState::Waiting { .. } | BuildState::Blocked { .. }) {
                found.causes.push(build.id);
                continue;
            }
            let lacking = state.inputs(build.id).map(|(path, item)| (path, &item.state));
            for (path, item) in lacking.filter(|(_, item)| !item.is_available()) {
                below.extend(meet(reign, &mut found, build.id, path, item));
            }
        }
        found.more |= found.needed_by.len() > LOOKED_AT;
        level = if found.more { Vec::new() } else { below };
    }
    found
}

/// The builds that make an input and are met for the first time. An input that none makes is a dead end.
fn meet(reign: &Reign, found: &mut Found, needed_by: BuildId, path: &StorePath, item: &ItemState) -> Vec<BuildId> {
    let state = reign.core().state();
    let makers: Vec<BuildId> =
        state.makers(path).filter(|build| !matches!(build.state, BuildState::Succeeded { .. })).map(|b| b.id).collect();
    if makers.is_empty() && found.dead_ends.len() < MAX_PAGE && found.dead_ends.iter().all(|(known, _)| known != path) {
        found.dead_ends.push((path.clone(), dead_end(reign, path, item)));
    }
    let new: BTreeSet<BuildId> = makers.into_iter().filter(|id| !found.needed_by.contains_key(id)).collect();
    found.needed_by.extend(new.iter().map(|id| (*id, Some(needed_by))));
    new.into_iter().collect()
}

fn dead_end(reign: &Reign, path: &StorePath, item: &ItemState) -> String {
    let losses = reign.core().state().recorded_item(path).map_or(0, |item| item.losses);
    match item {
        ItemState::Lost if losses >= reign.core().limits().losses => {
            format!("lost {losses} times: it is made again when a build that needs it is retried")
        }
        item => item.words(),
    }
}

/// What speaks against each agent, for a build that waits for a slot; the agents of which the same is true together, those
/// that could do it soonest first.
fn verdicts(reign: &Reign, build: &Build) -> Vec<AgentVerdict> {
    if !matches!(build.state, BuildState::Ready(_)) {
        return Vec::new();
    }
    let (state, limits) = (reign.core().state(), reign.core().limits());
    let mut groups: BTreeMap<(bool, String), Vec<AgentId>> = BTreeMap::new();
    for (id, _) in state.agents() {
        let objection = state.objection(build, id, reign.heard(), limits);
        let words = objection.as_ref().map(Objection::to_string).unwrap_or_default();
        let lasting = objection.is_some_and(|objection| !objection.may_pass());
        groups.entry((lasting, words)).or_default().push(id);
    }
    groups.into_iter().map(|((_, why_not), agents)| AgentVerdict { why_not, agents }).collect()
}

#[cfg(test)]
mod tests {
    use drover_messages::ClientId;
    use drover_scheduler_core::{Submission, SubmissionState};

    use super::*;
    use crate::book::samples;

    #[test]
    fn a_build_of_a_submission_that_is_being_planned_says_so() {
        let build = samples::of(1, "early-1", BuildState::Waiting { missing: 0 });
        let planning = Submission { state: SubmissionState::Planning, ..samples::submission(101, ClientId::new()) };
        let (_folder, book) = samples::open(std::slice::from_ref(&build), &[planning]);
        let reign = Reign::over(&book);
        let why = why(&reign, reign.core().state().build(build.id).unwrap()).unwrap();
        assert_eq!(why.build.reason, "its submission is being planned");
    }
}

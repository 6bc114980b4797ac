//! What is always true, looked at after every commit.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::cause::Blame;
use drover_messages::event::What;
use drover_messages::{AgentId, AttemptId, BuildId, Cause, Epoch, SubmissionId};
use drover_scheduler_core::{Build, BuildState, Effect, ItemState};
use drover_store::StorePath;

use super::reasons::reason;
use super::reign::{Batch, Reign};

/// What was promised, whoever reigned.
#[derive(Default)]
pub struct Ledger {
    /// Submissions of which their users were told that they are taken up, and their roots.
    accepted: BTreeMap<SubmissionId, BTreeSet<BuildId>>,
    /// Who was offered what under which number.
    leases: BTreeMap<Epoch, (AttemptId, AgentId)>,
}

/// Each in a line: what is always true of a scheduler, and whether it is.
pub fn after_commit(reign: &Reign, batch: &Batch, ledger: &mut Ledger) {
    ledger.enter(reign, batch);
    check(reign, "what is derived is as if computed anew, and blocked is exact", derived(reign));
    check(reign, "the replayed state is the live one", replayed(reign));
    check(reign, "a build has at most one lease in force", one_lease(reign));
    check(reign, "no number of a lease is given twice", one_number(batch, ledger));
    check(reign, "no success is without outputs", outputs(reign));
    check(reign, "no failure of the farm is one of a derivation", blame(reign));
    check(reign, "nothing accepted is lost", accepted(reign, ledger));
    check(reign, "every unfinished build has a reason", reasons(reign));
}

fn check(reign: &Reign, what: &str, result: Result<(), String>) {
    if let Err(why) = result {
        panic!("it is not true of generation {} at {}: {what}: {why}", reign.generation, reign.heard.0);
    }
}

impl Ledger {
    fn enter(&mut self, reign: &Reign, batch: &Batch) {
        for event in &batch.events {
            let What::SubmissionAccepted { submission, .. } = event else { continue };
            let roots = reign.book.builds.values().filter(|build| build.submission == *submission && build.root);
            self.accepted.entry(*submission).or_insert_with(|| roots.map(|build| build.id).collect());
        }
    }
}

fn derived(reign: &Reign) -> Result<(), String> {
    reign.core.state().audit().map_err(|discrepancy| discrepancy.to_string())
}

fn replayed(reign: &Reign) -> Result<(), String> {
    let state = reign.book.state(reign.generation, reign.core.limits());
    reign.core.state().audit_replay(state).map_err(|discrepancy| discrepancy.to_string())
}

fn one_lease(reign: &Reign) -> Result<(), String> {
    let mut leased = BTreeSet::new();
    let held = reign.core.state().agents().flat_map(|(_, agent)| agent.leases.values());
    let twice = held.map(|held| held.build).find(|build| !leased.insert(*build));
    twice.map_or(Ok(()), |build| Err(format!("{build} has two")))
}

fn one_number(batch: &Batch, ledger: &mut Ledger) -> Result<(), String> {
    for effect in &batch.effects {
        let Effect::Offer { agent, offer } = effect else { continue };
        let lease = (offer.attempt, *agent);
        let before = *ledger.leases.entry(offer.epoch).or_insert(lease);
        if before != lease {
            return Err(format!("{:?} stands for {before:?} and for {lease:?}", offer.epoch));
        }
    }
    Ok(())
}

/// All builds, as they are in memory or else on disk.
fn builds(reign: &Reign) -> impl Iterator<Item = &Build> {
    reign.book.builds.values().map(|build| reign.core.state().build(build.id).unwrap_or(build))
}

fn outputs(reign: &Reign) -> Result<(), String> {
    for build in builds(reign).filter(|build| matches!(build.state, BuildState::Succeeded { .. })) {
        for path in build.products() {
            let (state, item) = (reign.core.state(), item(reign, path));
            let brought = build.attempts.iter().any(|attempt| attempt.state.word() == "to be uploaded again")
                || state.owed().any(|owed| owed.path == *path)
                || state.makers(path).any(|maker| !maker.state.is_over() && maker.state.is_hopeful());
            match item {
                Some((ItemState::Wanted | ItemState::Lost, losses)) if !brought && losses < reign.core.limits().losses => {
                    return Err(format!("{} succeeded, and {path} is gone: {:?}", build.id, build.attempts));
                }
                None => return Err(format!("{} succeeded, and of {path} nothing is known", build.id)),
                Some(_) => {}
            }
        }
    }
    Ok(())
}

fn item<'a>(reign: &'a Reign, path: &StorePath) -> Option<(&'a ItemState, u32)> {
    let item = reign.core.state().recorded_item(path).or_else(|| reign.book.item(path))?;
    Some((&item.state, item.losses))
}

fn blame(reign: &Reign) -> Result<(), String> {
    for build in builds(reign) {
        let BuildState::Failed { cause, .. } = &build.state else { continue };
        let last_download = *cause == Cause::DownloadFailed && build.failed_downloads + 1 >= reign.core.limits().downloads;
        if cause.blame() == Blame::Farm && !last_download {
            return Err(format!("{} failed for {cause:?}", build.id));
        }
    }
    Ok(())
}

/// Once what was queued has been read: what an older copy of the database does not know stands in the stream.
fn accepted(reign: &Reign, ledger: &Ledger) -> Result<(), String> {
    let wanted = |(submission, _): &(&SubmissionId, _)| reign.caught_up && !reign.book.is_cancelled(**submission);
    for (submission, roots) in ledger.accepted.iter().filter(wanted) {
        let lost = roots.iter().find(|root| !reign.book.builds.contains_key(root));
        if !reign.book.has_planned(*submission) || lost.is_some() {
            return Err(format!("{submission} was taken up, and is not known; of its builds {lost:?}"));
        }
    }
    Ok(())
}

fn reasons(reign: &Reign) -> Result<(), String> {
    let unfinished = reign.core.state().builds().filter(|build| !build.state.is_over());
    for build in unfinished {
        let words = reason(reign, build).map_err(|why| format!("{} ({}): {why}", build.id, build.recipe.drv))?;
        if words.is_empty() {
            return Err(format!("{}: no words", build.id));
        }
    }
    Ok(())
}

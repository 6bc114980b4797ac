//! What each cause of a failure means: for the build, for where it is tried next, and for the agent.

#![allow(clippy::unwrap_used)] // Helpers of tests.

#[allow(dead_code)]
mod farm;

use drover_messages::Cause;
use drover_messages::cause::Blame;
use drover_scheduler_core::{BuildState, Effect, Input, Limits};
use farm::{Farm, build, path, planned};

/// What is expected of a cause.
#[derive(Debug, PartialEq, Eq)]
struct Policy {
    blame: Blame,
    /// The build fails after so many; never, where there is none.
    fails_after: Option<u32>,
    /// An agent with which it happens again and again gets no builds for a while.
    doubts_agent: bool,
}

/// Each with a sample. A cause that is added does not compile until it has a row.
macro_rules! policies {
    ($($pattern:pat => $sample:expr, $blame:ident, $fails_after:expr, $doubts:literal;)+) => {
        fn policy(cause: &Cause) -> Policy {
            match cause {
                $($pattern => Policy { blame: Blame::$blame, fails_after: $fails_after, doubts_agent: $doubts },)+
            }
        }

        fn causes() -> Vec<Cause> {
            vec![$($sample),+]
        }
    };
}

policies! {
    Cause::BuilderFailed => Cause::BuilderFailed, Derivation, Some(1), false;
    Cause::TimedOut => Cause::TimedOut, Derivation, Some(1), false;
    Cause::Silent => Cause::Silent, Derivation, Some(1), false;
    Cause::TooLarge => Cause::TooLarge, Derivation, Some(1), false;
    Cause::HashMismatch => Cause::HashMismatch, Derivation, Some(1), false;
    Cause::NotDeterministic => Cause::NotDeterministic, Derivation, Some(1), false;
    Cause::Rejected => Cause::Rejected, Derivation, Some(1), false;
    Cause::KnownFailure { .. } => Cause::KnownFailure { build: build(9, "other") }, Derivation, Some(1), false;
    Cause::DownloadFailed => Cause::DownloadFailed, Farm, Some(4), false;
    Cause::AgentLost => Cause::AgentLost, Farm, None, false;
    Cause::DiskFull => Cause::DiskFull, Farm, None, true;
    Cause::InputsUnavailable { .. } => Cause::InputsUnavailable { missing: vec![path("input")] }, Farm, None, false;
    Cause::UploadFailed => Cause::UploadFailed, Farm, None, true;
    Cause::PublicationRefused => Cause::PublicationRefused, Farm, None, false;
    Cause::DaemonGone => Cause::DaemonGone, Farm, None, true;
    Cause::Killed => Cause::Killed, Farm, None, true;
    Cause::Aborted => Cause::Aborted, Farm, None, false;
    Cause::Refused => Cause::Refused, Farm, None, true;
}

/// Failures in a row after which nobody expects another end.
const MANY: u32 = 12;
/// Longer than the longest delay, in milliseconds.
const A_WHILE: u64 = 400_000;

fn farm() -> Farm {
    Farm::with(Limits { offers_beyond_slots: 0, lease_millis: u64::MAX / 4, ..Limits::default() })
}

/// After how many failures for this cause a build fails.
fn fails_after(cause: &Cause) -> Option<u32> {
    let mut farm = farm();
    // Enough agents for each to be trusted to the end.
    let agents: Vec<_> = (1..=4).map(|n| farm.agent(n, 1)).collect();
    farm.submit(1, vec![planned(1, "top", &[], true)]);
    for n in 1..=MANY {
        let offers = farm.offered_to();
        let (agent, offer) = offers.first().unwrap_or_else(|| panic!("{cause:?} {n}: it is not tried again"));
        assert!(agents.contains(agent));
        farm.failed(*agent, offer, cause.clone());
        if farm.state(build(1, "top")) != "deferred" {
            return Some(n);
        }
        farm.later(A_WHILE);
    }
    None
}

/// Whether an agent is not trusted after builds have failed on it, each for this cause and for the first time.
fn doubts_agent(cause: &Cause) -> bool {
    let mut farm = farm();
    let agent = farm.agent(1, MANY);
    farm.submit(1, (0..MANY).map(|n| planned(1, &format!("build{n}"), &[], true)).collect());
    for offer in farm.offers() {
        farm.failed(agent, &offer, cause.clone());
    }
    farm.distrust(agent).is_some()
}

#[test]
fn every_cause_has_its_policy() {
    for cause in causes() {
        let is = Policy { blame: cause.blame(), fails_after: fails_after(&cause), doubts_agent: doubts_agent(&cause) };
        assert_eq!(is, policy(&cause), "{cause:?}");
    }
}

#[test]
fn what_the_farm_failed_is_tried_by_another_agent_first_and_by_the_same_if_there_is_none() {
    for cause in causes().into_iter().filter(|cause| policy(cause).fails_after != Some(1)) {
        let mut farm = farm();
        farm.agent(1, 1);
        farm.agent(2, 1);
        farm.submit(1, vec![planned(1, "top", &[], true)]);
        let (first, offer) = farm.offered_to().remove(0);
        farm.failed(first, &offer, cause.clone());
        farm.later(A_WHILE);
        let (second, offer) = farm.offered_to().remove(0);
        assert_ne!(first, second, "{cause:?}");
        farm.failed(second, &offer, cause.clone());
        farm.later(A_WHILE);
        assert_eq!(farm.offered(), ["top"], "{cause:?}: both have failed, so that either will do");
    }
}

#[test]
fn delays_after_failures_of_the_farm_grow_to_their_bound_and_begin_anew_after_a_success() {
    for cause in causes().into_iter().filter(|cause| policy(cause).fails_after.is_none()) {
        let mut farm = farm();
        let agents: Vec<_> = (1..=4).map(|n| farm.agent(n, 1)).collect();
        farm.submit(1, vec![planned(1, "top", &[], true)]);
        let mut delays = Vec::new();
        for _ in 0..MANY {
            let (agent, offer) = farm.offered_to().remove(0);
            assert!(agents.contains(&agent));
            farm.failed(agent, &offer, cause.clone());
            let until = match farm.core.state().build(build(1, "top")).unwrap().state {
                BuildState::Deferred { until, .. } => until,
                ref other => panic!("{cause:?}: {other:?}"),
            };
            delays.push(until.millis_since(farm.now.heard));
            farm.later(A_WHILE);
        }
        let doubled: Vec<u64> = (0..MANY).map(|n| (1_000 << n).min(300_000)).collect();
        assert_eq!(delays, doubled, "{cause:?}");
    }
}

#[test]
fn a_missing_input_is_looked_for_in_the_bucket_and_is_only_a_suspicion() {
    let mut farm = farm();
    let agent = farm.agent(1, 1);
    farm.submit(1, vec![planned(1, "top", &[], true)]);
    let offer = farm.offers().remove(0);
    let outcome = farm.report_failed(agent, &offer, Cause::InputsUnavailable { missing: vec![path("input")] });
    let asks = |effect: &Effect| matches!(effect, Effect::Confirm { paths, .. } if *paths == [path("input")]);
    assert!(outcome.effects.iter().any(asks), "{:?}", outcome.effects);
    assert_eq!(farm.core.state().item(&path("input")), None);
}

#[test]
fn a_failure_of_the_farm_that_comes_late_changes_nothing() {
    let mut farm = farm();
    farm.agent(1, 1);
    farm.agent(2, 1);
    farm.submit(1, vec![planned(1, "top", &[], true)]);
    let (first, late) = farm.offered_to().remove(0);
    farm.failed(first, &late, Cause::DiskFull);
    farm.later(A_WHILE);
    farm.offers();
    for cause in causes() {
        farm.failed(first, &late, cause);
        assert_eq!(farm.state(build(1, "top")), "leased", "the other has it");
    }
    farm.advance(Input::Dispatch);
}

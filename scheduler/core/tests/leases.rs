//! Who keeps a lease, and who loses it: agents that do not answer, lose their connection, come back, or do not.

#![allow(clippy::unwrap_used)] // Helpers of tests.

#[allow(dead_code)]
mod farm;

use drover_messages::agent::{Held, Order, Phase};
use drover_messages::offer::{Offer, OfferAnswer};
use drover_messages::{AgentId, AttemptId, Cause, Epoch, Generation};
use drover_scheduler_core::input::Answer;
use drover_scheduler_core::{Effect, Input, Limits, Outcome};
use farm::{Farm, build, drv, held, planned};

const LEASE_MILLIS: u64 = 60_000;

fn farm() -> Farm {
    Farm::with(Limits { offers_beyond_slots: 0, lease_millis: LEASE_MILLIS, ..Limits::default() })
}

/// One agent, to which one build was offered.
fn offered() -> (Farm, AgentId, Offer) {
    let mut farm = farm();
    let agent = farm.agent(1, 1);
    farm.submit(1, vec![planned(1, "top", &[], true)]);
    let offer = farm.offers().remove(0);
    (farm, agent, offer)
}

fn answer(farm: &mut Farm, agent: AgentId, offer: &Offer, answer: Answer) {
    farm.advance(Input::Answered { agent, build: offer.build, attempt: offer.attempt, answer });
}

fn holding(farm: &mut Farm, agent: AgentId, offer: &Offer, generation: u64) -> Outcome {
    farm.beat_with(agent, |beat| (beat.held, beat.generation) = (vec![held(offer, Phase::Building)], Generation(generation)))
}

fn tick(farm: &mut Farm, millis: u64) -> Vec<AgentId> {
    let offers = farm.later(millis).effects.into_iter();
    offers.filter_map(|effect| if let Effect::Offer { agent, .. } = effect { Some(agent) } else { None }).collect()
}

#[test]
fn an_offer_to_nobody_is_void_at_once_and_goes_to_another() {
    let (mut farm, agent, offer) = offered();
    answer(&mut farm, agent, &offer, Answer::NobodyThere);
    assert_eq!(farm.state(build(1, "top")), "ready");
    assert_eq!(farm.objection(build(1, "top"), agent), "it was not heard lately");
    farm.agent(2, 1);
    assert_eq!(farm.offered(), ["top"]);
}

#[test]
fn an_offer_that_is_not_answered_is_made_again_to_the_same_agent() {
    let (mut farm, agent, offer) = offered();
    farm.agent(2, 1);
    answer(&mut farm, agent, &offer, Answer::Silence);
    assert_eq!(tick(&mut farm, 1_000), []);
    assert_eq!(tick(&mut farm, 4_000), [agent]);
    answer(&mut farm, agent, &offer, Answer::Said(OfferAnswer::Accepted));
    assert_eq!(tick(&mut farm, 10_000), []);
}

#[test]
fn an_agent_that_may_have_taken_it_and_lost_its_connection_keeps_it() {
    let (mut farm, agent, offer) = offered();
    farm.agent(2, 1);
    answer(&mut farm, agent, &offer, Answer::Silence);
    assert_eq!(tick(&mut farm, 5_000), [agent]);
    answer(&mut farm, agent, &offer, Answer::NobodyThere);
    assert_eq!(farm.state(build(1, "top")), "leased", "its answer may have been lost, and not the offer");
    assert_eq!(tick(&mut farm, 10_000), [], "nobody offers to who is not there");
    holding(&mut farm, agent, &offer, 1);
    assert_eq!(tick(&mut farm, 0), [agent], "it is there again");
}

#[test]
fn an_agent_that_was_not_heard_for_half_a_lease_gets_nothing_more_and_keeps_what_it_has() {
    let mut farm = farm();
    let agent = farm.agent(1, 2);
    farm.submit(1, vec![planned(1, "top", &[], true)]);
    let offer = farm.offers().remove(0);
    answer(&mut farm, agent, &offer, Answer::Said(OfferAnswer::Accepted));
    farm.later(LEASE_MILLIS / 2 + 1);
    farm.submit(2, vec![planned(2, "next", &[], true)]);
    assert_eq!(farm.offered(), [""; 0]);
    assert_eq!(farm.objection(build(2, "next"), agent), "it was not heard lately");
    assert_eq!(farm.state(build(1, "top")), "leased");
    holding(&mut farm, agent, &offer, 1);
    assert_eq!(farm.offered(), ["next"]);
    farm.later(LEASE_MILLIS / 2 + 1);
    assert_eq!(farm.state(build(1, "top")), "leased", "the beat renewed it");
}

#[test]
fn a_lease_ends_with_the_agent_and_goes_to_another_and_who_comes_back_goes_on_beside_it() {
    let (mut farm, agent, offer) = offered();
    answer(&mut farm, agent, &offer, Answer::Said(OfferAnswer::Accepted));
    farm.later(LEASE_MILLIS + 1);
    assert_eq!(farm.state(build(1, "top")), "deferred");
    let other = farm.agent(2, 1);
    farm.later(2_000);
    assert_eq!(farm.offered_to().into_iter().map(|(agent, _)| agent).collect::<Vec<_>>(), [other]);
    farm.agent(1, 1);
    assert_eq!(holding(&mut farm, agent, &offer, 1).verdicts, [], "the first of the two wins");
    farm.built(agent, &offer, 10);
    assert_eq!(farm.state(build(1, "top")), "succeeded");
}

#[test]
fn an_agent_that_comes_back_in_time_to_a_build_that_nobody_has_gets_its_lease_back() {
    let (mut farm, agent, offer) = offered();
    answer(&mut farm, agent, &offer, Answer::Said(OfferAnswer::Accepted));
    farm.later(LEASE_MILLIS + 1);
    farm.agent(1, 1);
    holding(&mut farm, agent, &offer, 1);
    assert_eq!(farm.state(build(1, "top")), "leased");
}

#[test]
fn what_the_scheduler_does_not_know_is_aborted_once_it_has_read_all_that_was_queued() {
    let (mut farm, agent, offer) = offered();
    let unknown = Offer { build: build(9, "other"), ..offer };
    assert_eq!(holding(&mut farm, agent, &unknown, 1).verdicts, []);
    farm.advance(Input::CaughtUp);
    let verdicts = holding(&mut farm, agent, &unknown, 1).verdicts;
    assert_eq!(verdicts.into_iter().map(|verdict| verdict.order).collect::<Vec<_>>(), [Order::Abort]);
}

#[test]
fn of_two_earlier_attempts_of_a_build_that_an_agent_holds_both_go_on_and_one_has_the_lease() {
    let mut farm = farm();
    farm.submit(1, vec![planned(1, "top", &[], true)]);
    let top = build(1, "top");
    let of_old = |n: u64| {
        let epoch = Epoch { generation: Generation(0), n };
        Held { attempt: AttemptId::derived(top, epoch), build: top, drv: drv("top"), epoch, phase: Phase::Building }
    };
    farm.agent_with(1, 2, |hello| hello.beat.held = vec![of_old(1), of_old(2)]);
    let leased = farm.core.state().build(top).unwrap();
    assert_eq!(leased.attempts.iter().map(|attempt| attempt.id).collect::<Vec<_>>(), [1, 2].map(|n| of_old(n).attempt));
    assert_eq!(leased.state.lease().unwrap().attempt, of_old(1).attempt);
}

#[test]
fn a_scheduler_of_which_an_agent_knows_a_newer_one_gives_up() {
    let (mut farm, agent, offer) = offered();
    assert_eq!(holding(&mut farm, agent, &offer, 1).effects, []);
    assert_eq!(holding(&mut farm, agent, &offer, 2).effects, [Effect::Abdicate(Generation(2))]);
}

#[test]
fn what_was_done_when_the_time_of_a_drain_was_over_is_no_less_a_success() {
    let (mut farm, agent, offer) = offered();
    farm.advance(Input::Drain { agents: [agent].into(), drained: true, deadline_millis: Some(1_000) });
    farm.later(1_500);
    assert_eq!(farm.state(build(1, "top")), "deferred");
    let beaten = farm.beat_with(agent, |beat| beat.held = vec![held(&offer, Phase::Built)]);
    assert_eq!(beaten.verdicts.iter().map(|verdict| verdict.order).collect::<Vec<_>>(), [Order::ReportAgain]);
    farm.built(agent, &offer, 10);
    assert_eq!(farm.state(build(1, "top")), "succeeded");
    assert_eq!(farm.beat_with(agent, |beat| beat.held = vec![held(&offer, Phase::Built)]).verdicts, []);
}

#[test]
fn another_attempt_that_is_under_way_is_stopped_when_the_build_fails() {
    let (mut farm, first, offer) = offered();
    farm.later(LEASE_MILLIS + 1);
    let second = farm.agent(2, 1);
    farm.later(2_000);
    let again = farm.offers().remove(0);
    farm.agent_with(1, 1, |hello| hello.beat.held = vec![held(&offer, Phase::Building)]);
    let failed = farm.report_failed(second, &again, Cause::BuilderFailed);
    let stopped = failed.effects.iter().filter_map(|effect| match effect {
        Effect::Abort { agent, abort } => Some((*agent, abort.attempt)),
        _ => None,
    });
    assert_eq!(stopped.collect::<Vec<_>>(), [(first, offer.attempt)]);
    let beaten = farm.beat_with(first, |beat| beat.held = vec![held(&offer, Phase::Building)]);
    assert_eq!(beaten.verdicts.iter().map(|verdict| verdict.order).collect::<Vec<_>>(), [Order::Abort]);
}

#[test]
fn what_is_built_and_cannot_be_uploaded_is_built_again_later() {
    let (mut farm, agent, offer) = offered();
    farm.built(agent, &offer, 10);
    // Its report may be lost: the next beat tells.
    let beaten = farm.beat_with(agent, |beat| beat.held = vec![held(&offer, Phase::Failed)]);
    assert_eq!(beaten.verdicts.iter().map(|verdict| verdict.order).collect::<Vec<_>>(), [Order::ReportAgain]);
    farm.failed(agent, &offer, Cause::UploadFailed);
    assert_eq!(farm.state(build(1, "top")), "deferred");
    let beaten = farm.beat_with(agent, |beat| beat.held = vec![held(&offer, Phase::Failed)]);
    assert_eq!(beaten.verdicts.iter().map(|verdict| verdict.order).collect::<Vec<_>>(), [Order::Settled]);
    farm.later(2_000);
    assert_eq!(farm.offered(), ["top"]);
    // The stream is read again at each start, and an agent that starts again tells all it has.
    farm.built(agent, &offer, 10);
    farm.failed(agent, &offer, Cause::UploadFailed);
    assert_eq!((farm.state(build(1, "top")), farm.core.state().build(build(1, "top")).unwrap().farm_failures), ("leased", 1));
}

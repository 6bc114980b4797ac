//! What the ledger promises, as sentences.

use std::collections::BTreeMap;

use drover_messages::agent::Phase;
use drover_messages::report::{Built, Checked, Failed, Outcome, Report, Times, Uploaded};
use drover_messages::request::Mode;
use drover_messages::{BuildId, Cause, Epoch, ReportId};
use drover_store::PackId;

use super::*;

fn offer(n: u64) -> Offer {
    let epoch = Epoch { generation: Generation(5), n };
    let build = BuildId::new();
    Offer {
        generation: Generation(5),
        epoch,
        attempt: AttemptId::derived(build, epoch),
        build,
        store_dir: StoreDir::nix(),
        drv: "0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-hello.drv".parse().unwrap(),
        pack: PackId::of(b"pack"),
        closure: Vec::new(),
        inputs: Vec::new(),
        mode: Mode::Build,
    }
}

fn ledger(slots: usize) -> Ledger {
    Ledger::new(StoreDir::nix(), slots, Generation(5))
}

fn accepted(ledger: &mut Ledger, n: u64) -> Offer {
    let offer = offer(n);
    assert_eq!(ledger.offer(offer.clone()).0, OfferAnswer::Accepted);
    offer
}

fn built(offer: &Offer) -> Report {
    let built = Built { outputs: BTreeMap::new(), already_valid: false, times: Times::default(), log: None };
    report(offer, ReportId::new(), Outcome::Built(built))
}

fn uploaded(offer: &Offer) -> Report {
    report(offer, ReportId::new(), Outcome::Uploaded(Uploaded { outputs: Vec::new(), upload_micros: 1 }))
}

fn checked(offer: &Offer) -> Report {
    report(offer, ReportId::new(), Outcome::Checked(Checked { times: Times::default(), log: None }))
}

fn failed(offer: &Offer, cause: Cause) -> Report {
    let failed = Failed { cause, message: String::new(), times: Times::default(), log: None, kept: Vec::new() };
    report(offer, ReportId::new(), Outcome::Failed(failed))
}

fn phase(ledger: &Ledger, offer: &Offer) -> Option<Phase> {
    ledger.get(offer.attempt).map(|attempt| attempt.stage.phase())
}

#[test]
fn an_offer_is_accepted_saved_and_started() {
    let mut ledger = ledger(1);
    let offer = offer(1);
    let id = offer.attempt;
    let (answer, effects) = ledger.offer(offer);
    assert_eq!(answer, OfferAnswer::Accepted);
    assert_eq!(effects, [Effect::Save(id), Effect::Start(id)]);
}

#[test]
fn the_same_offer_again_is_accepted_and_starts_nothing() {
    let mut ledger = ledger(1);
    let offer = accepted(&mut ledger, 1);
    assert_eq!(ledger.offer(offer.clone()), (OfferAnswer::Accepted, Vec::new()));
    ledger.note(offer.attempt, Event::Failed(failed(&offer, Cause::BuilderFailed)));
    assert_eq!(ledger.offer(offer), (OfferAnswer::Accepted, Vec::new()));
}

#[test]
fn one_offer_waits_beyond_the_slots_and_the_next_is_refused() {
    let mut ledger = ledger(2);
    let first = accepted(&mut ledger, 1);
    accepted(&mut ledger, 2);
    accepted(&mut ledger, 3);
    assert_eq!(ledger.offer(offer(4)).0, OfferAnswer::Refused(Refusal::Full));
    ledger.note(first.attempt, Event::SlotTaken);
    assert_eq!(ledger.offer(offer(5)).0, OfferAnswer::Refused(Refusal::Full));
    ledger.note(first.attempt, Event::Built(built(&first)));
    accepted(&mut ledger, 6);
}

#[test]
fn an_offer_of_a_lower_generation_is_refused_by_the_higher_one() {
    let mut ledger = ledger(1);
    let old = Offer { generation: Generation(4), ..offer(1) };
    let refused = OfferAnswer::Refused(Refusal::Superseded(Generation(5)));
    assert_eq!(ledger.offer(old), (refused, Vec::new()));
}

#[test]
fn a_higher_generation_is_remembered_before_its_offer_is_saved() {
    let mut ledger = ledger(1);
    let new = Offer { generation: Generation(6), ..offer(1) };
    let (_, effects) = ledger.offer(new);
    assert_eq!(effects[0], Effect::Remember(Generation(6)));
    assert_eq!(ledger.hear(Generation(5)), Err(Generation(6)));
}

#[test]
fn an_offer_for_another_store_directory_is_refused() {
    let offer = Offer { store_dir: StoreDir::guix(), ..offer(1) };
    assert!(matches!(ledger(1).offer(offer).0, OfferAnswer::Refused(Refusal::NotReady(_))));
}

#[test]
fn an_agent_that_is_not_ready_says_why_but_stands_by_what_it_accepted() {
    let mut ledger = ledger(1);
    let held = accepted(&mut ledger, 1);
    assert!(ledger.set_ready(Some("the disk is full".into())));
    assert!(!ledger.set_ready(Some("the disk is full".into())));
    let refused = OfferAnswer::Refused(Refusal::NotReady("the disk is full".into()));
    assert_eq!(ledger.offer(offer(2)).0, refused);
    assert_eq!(ledger.offer(held).0, OfferAnswer::Accepted);
}

#[test]
fn built_is_saved_then_reported_then_uploaded() {
    let mut ledger = ledger(1);
    let offer = accepted(&mut ledger, 1);
    let id = offer.attempt;
    assert_eq!(ledger.note(id, Event::SlotTaken), []);
    let effects = ledger.note(id, Event::Built(built(&offer)));
    assert_eq!(effects, [Effect::Save(id), Effect::Report(id), Effect::Upload(id)]);
    assert_eq!(ledger.note(id, Event::Uploaded(uploaded(&offer))), [Effect::Save(id), Effect::Report(id)]);
    assert_eq!(phase(&ledger, &offer), Some(Phase::Uploaded));
}

#[test]
fn both_reports_of_a_success_are_kept_until_it_is_settled() {
    let mut ledger = ledger(1);
    let offer = accepted(&mut ledger, 1);
    let id = offer.attempt;
    let (first, second) = (built(&offer), uploaded(&offer));
    ledger.note(id, Event::Built(first.clone()));
    ledger.note(id, Event::Uploaded(second.clone()));
    assert_eq!(ledger.get(id).unwrap().stage.reports(), [&first, &second]);
    assert_eq!(ledger.order(id, Order::ReportAgain), [Effect::ReportAgain(id)]);
    assert_eq!(ledger.order(id, Order::Settled), [Effect::Stop(id), Effect::Forget(id)]);
    assert!(ledger.held().is_empty());
}

#[test]
fn a_check_that_found_nothing_is_reported_until_it_is_settled_and_has_nothing_to_upload() {
    let mut ledger = ledger(1);
    let offer = accepted(&mut ledger, 1);
    let (id, report) = (offer.attempt, checked(&offer));
    ledger.note(id, Event::SlotTaken);
    assert_eq!(ledger.note(id, Event::Checked(report.clone())), [Effect::Save(id), Effect::Report(id)]);
    assert_eq!(phase(&ledger, &offer), Some(Phase::Checked));
    assert_eq!(ledger.get(id).unwrap().stage.reports(), [&report]);
    for order in [Order::ReportAgain, Order::UploadAgain] {
        assert_eq!(ledger.order(id, order), [Effect::ReportAgain(id)]);
    }
    accepted(&mut ledger, 2);

    let mut second = self::ledger(1);
    assert_eq!(second.recover(vec![ledger.get(id).unwrap().clone()]), [Effect::ReportAgain(id)]);
    assert_eq!(second.order(id, Order::Settled), [Effect::Stop(id), Effect::Forget(id)]);
}

#[test]
fn uploading_again_takes_the_next_try() {
    let mut ledger = ledger(1);
    let offer = accepted(&mut ledger, 1);
    let id = offer.attempt;
    ledger.note(id, Event::Built(built(&offer)));
    assert_eq!(ledger.order(id, Order::UploadAgain), [], "the upload is under way");
    ledger.note(id, Event::Uploaded(uploaded(&offer)));
    assert_eq!(ledger.order(id, Order::UploadAgain), [Effect::Save(id), Effect::Upload(id)]);
    assert!(matches!(ledger.get(id).unwrap().stage, Stage::Built { upload_try: 1, .. }));
}

#[test]
fn an_abort_stops_the_build_whose_failure_is_then_reported() {
    let mut ledger = ledger(1);
    let offer = accepted(&mut ledger, 1);
    let id = offer.attempt;
    ledger.note(id, Event::SlotTaken);
    assert_eq!(ledger.order(id, Order::Abort), [Effect::Stop(id)]);
    let effects = ledger.note(id, Event::Failed(failed(&offer, Cause::Aborted)));
    assert_eq!(effects, [Effect::Save(id), Effect::Report(id)]);
    assert_eq!(ledger.order(id, Order::Abort), [Effect::Stop(id), Effect::Forget(id)]);
}

#[test]
fn a_success_that_comes_before_the_abort_takes_hold_is_reported_as_one() {
    let mut ledger = ledger(1);
    let offer = accepted(&mut ledger, 1);
    ledger.order(offer.attempt, Order::Abort);
    ledger.note(offer.attempt, Event::Built(built(&offer)));
    assert_eq!(phase(&ledger, &offer), Some(Phase::Built));
}

#[test]
fn outputs_that_are_lost_before_the_upload_fail_the_attempt() {
    let mut ledger = ledger(1);
    let offer = accepted(&mut ledger, 1);
    ledger.note(offer.attempt, Event::Built(built(&offer)));
    ledger.note(offer.attempt, Event::Failed(failed(&offer, Cause::UploadFailed)));
    assert_eq!(ledger.get(offer.attempt).unwrap().stage.reports().len(), 2);
}

#[test]
fn news_that_cannot_follow_changes_nothing() {
    let mut ledger = ledger(1);
    let offer = accepted(&mut ledger, 1);
    let id = offer.attempt;
    assert_eq!(ledger.note(id, Event::Uploaded(uploaded(&offer))), []);
    assert_eq!(phase(&ledger, &offer), Some(Phase::Accepted));
    ledger.note(id, Event::Failed(failed(&offer, Cause::Killed)));
    assert_eq!(ledger.note(id, Event::Built(built(&offer))), []);
    assert_eq!(phase(&ledger, &offer), Some(Phase::Failed));
}

#[test]
fn news_of_an_attempt_that_is_settled_is_ignored() {
    let mut ledger = ledger(1);
    let offer = accepted(&mut ledger, 1);
    ledger.note(offer.attempt, Event::Built(built(&offer)));
    ledger.order(offer.attempt, Order::Settled);
    assert_eq!(ledger.note(offer.attempt, Event::Uploaded(uploaded(&offer))), []);
}

#[test]
fn what_was_building_when_the_process_died_starts_anew_and_what_was_built_is_uploaded() {
    let mut first = ledger(2);
    let (one, two, three) = (accepted(&mut first, 1), accepted(&mut first, 2), accepted(&mut first, 3));
    first.note(one.attempt, Event::SlotTaken);
    first.note(two.attempt, Event::Built(built(&two)));
    first.note(three.attempt, Event::Failed(failed(&three, Cause::BuilderFailed)));
    let spooled = [&one, &two, &three].map(|offer| first.get(offer.attempt).unwrap().clone());

    let mut second = ledger(2);
    let effects = second.recover(spooled.to_vec());
    let expected = [
        Effect::Start(one.attempt),
        Effect::ReportAgain(two.attempt),
        Effect::Upload(two.attempt),
        Effect::ReportAgain(three.attempt),
    ];
    assert_eq!(effects, expected);
    assert_eq!(phase(&second, &one), Some(Phase::Accepted));
}

#[test]
fn a_beat_tells_every_attempt_with_its_lease() {
    let mut ledger = ledger(1);
    let offer = accepted(&mut ledger, 7);
    let held = ledger.held();
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].attempt, held[0].epoch, held[0].phase), (offer.attempt, offer.epoch, Phase::Accepted));
}

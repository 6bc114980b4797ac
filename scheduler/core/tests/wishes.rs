//! What becomes of builds when users change their minds.

#![allow(clippy::unwrap_used)] // Helpers of tests.

#[allow(dead_code)]
mod farm;

use drover_messages::event::What;
use drover_messages::request::Terms;
use drover_messages::wish::Wished;
use drover_messages::{Cause, WishId};
use drover_scheduler_core::input::Wanted;
use drover_scheduler_core::{Input, Outcome, SubmissionState};
use farm::{Farm, build, client, planned, submission, uuid};

fn changed(what: &What) -> u64 {
    match what {
        What::WishFulfilled { builds, .. } => *builds,
        other => panic!("refused: {other:?}"),
    }
}

/// `top` needs `left` and `right`, which need `base`; another user's `other` needs `right`.
fn shared() -> Farm {
    let mut farm = Farm::new();
    farm.submit(
        1,
        vec![
            planned(1, "base", &[], false),
            planned(1, "left", &["base"], false),
            planned(1, "right", &["base"], false),
            planned(1, "top", &["left", "right"], true),
        ],
    );
    farm.submit(2, vec![planned(2, "other", &["right"], true)]);
    farm
}

#[test]
fn what_nobody_else_needs_goes_with_a_submission_and_the_rest_goes_on() {
    let mut farm = shared();
    assert_eq!(changed(&farm.wish(1, Wished::Cancel, &[1], &[])), 2);
    assert_eq!(
        ["top", "left", "right", "base"].map(|name| farm.state(build(1, name))),
        ["cancelled", "cancelled", "waiting", "ready"]
    );
    assert_eq!(farm.state(build(2, "other")), "waiting");
    assert_eq!(changed(&farm.wish(2, Wished::Cancel, &[2], &[])), 3, "the last who needed the rest has gone");
    assert_eq!(farm.state(build(1, "base")), "cancelled");
}

#[test]
fn a_build_that_others_need_is_not_cancelled_alone() {
    let mut farm = shared();
    let refused = farm.wish(1, Wished::Cancel, &[], &[build(1, "right")]);
    assert!(matches!(&refused, What::WishRefused { why, .. } if why.contains("is needed by")), "{refused:?}");
    assert_eq!(farm.state(build(1, "right")), "waiting");
}

#[test]
fn what_is_anothers_is_left_to_them() {
    let mut farm = shared();
    let refused = farm.wish(2, Wished::Cancel, &[1], &[]);
    assert!(matches!(&refused, What::WishRefused { why, .. } if why.contains("another user's")), "{refused:?}");
    assert_eq!(farm.state(build(1, "top")), "waiting");
}

#[test]
fn a_wish_that_speaks_of_nothing_is_refused() {
    for change in [Wished::Cancel, Wished::Retry, Wished::Priority(1)] {
        let refused = shared().wish(1, change, &[], &[]);
        assert!(matches!(&refused, What::WishRefused { why, .. } if why.contains("of yours has that tag")), "{refused:?}");
    }
}

#[test]
fn what_was_cancelled_goes_on_when_it_is_wanted_again() {
    let mut farm = shared();
    farm.wish(1, Wished::Cancel, &[1], &[]);
    assert_eq!(changed(&farm.wish(1, Wished::Retry, &[1], &[])), 2);
    assert_eq!(["top", "left", "base"].map(|name| farm.state(build(1, name))), ["waiting", "waiting", "ready"]);
}

#[test]
fn a_cancel_that_overtakes_its_submission_is_remembered() {
    let mut farm = Farm::new();
    farm.wish(1, Wished::Cancel, &[1], &[]);
    farm.submit(1, vec![planned(1, "top", &[], true)]);
    assert_eq!(farm.state(build(1, "top")), "forgotten", "it was never made");
    assert!(matches!(farm.core.state().submission(submission(1)).unwrap().state, SubmissionState::Cancelled { .. }));
}

#[test]
fn a_submission_that_cannot_be_taken_up_leaves_nothing_behind() {
    let mut farm = Farm::new();
    let rejected = farm.enter(1, Terms::default(), vec![planned(1, "base", &[], false), planned(1, "top", &["base"], true)]);
    assert_eq!(farm.core.state().builds_of_client(client(1)), 2);
    farm.advance(Input::Reject { submission: rejected, why: "its packs are gone".into() });
    let builds = ["base", "top"].map(|name| build(1, name));
    assert_eq!(builds.map(|build| farm.state(build)), ["cancelled", "cancelled"]);
    farm.core.state_mut().forget_finished([submission(1)], builds, []);
    assert_eq!(farm.core.state().builds_of_client(client(1)), 0);
    assert_eq!(farm.core.state().submission(submission(1)), None);
}

#[test]
fn a_priority_is_handed_down_and_taken_back() {
    let mut farm = shared();
    let urgency = |farm: &Farm, n, name: &str| farm.core.state().urgency(build(n, name)).unwrap();
    assert_eq!(changed(&farm.wish(1, Wished::Priority(9), &[1], &[])), 4);
    assert_eq!(urgency(&farm, 1, "base"), 9);
    farm.wish(2, Wished::Priority(20), &[], &[build(2, "other")]);
    assert_eq!((urgency(&farm, 1, "right"), urgency(&farm, 1, "base"), urgency(&farm, 1, "left")), (20, 20, 9));
    farm.wish(2, Wished::Priority(-1), &[], &[build(2, "other")]);
    assert_eq!((urgency(&farm, 1, "right"), urgency(&farm, 1, "base")), (9, 9));
}

#[test]
fn what_a_cancelled_build_needed_is_as_urgent_as_the_others_want_it() {
    let mut farm = shared();
    farm.wish(1, Wished::Priority(9), &[], &[build(1, "top")]);
    assert_eq!(farm.core.state().urgency(build(1, "base")), Some(9));
    farm.wish(1, Wished::Cancel, &[1], &[]);
    assert_eq!(farm.core.state().urgency(build(1, "base")), Some(0));
}

#[test]
fn a_wish_that_is_heard_twice_is_fulfilled_once() {
    let mut farm = shared();
    let wanted = Wanted {
        wish: WishId::from_uuid(uuid(7)),
        client: client(1),
        by_admin: false,
        change: Wished::Cancel,
        submissions: vec![submission(1)],
        builds: Vec::new(),
    };
    farm.advance(Input::Wish(Box::new(wanted.clone())));
    farm.wish(1, Wished::Retry, &[1], &[]);
    assert_eq!(farm.advance(Input::Wish(Box::new(wanted))), Outcome::default());
    assert_eq!(farm.state(build(1, "top")), "waiting");
}

#[test]
fn who_is_blocked_by_what_another_has_submitted_has_that_tried_again() {
    let mut farm = Farm::new();
    farm.submit(1, vec![planned(1, "base", &[], false), planned(1, "middle", &["base"], false)]);
    farm.submit(2, vec![planned(2, "other", &["middle"], true)]);
    let agent = farm.agent(1, 1);
    for named in [(&[2][..], &[][..]), (&[], &[build(2, "other")])] {
        let offer = farm.offers().remove(0);
        farm.failed(agent, &offer, Cause::BuilderFailed);
        assert_eq!(farm.state(build(2, "other")), "blocked");
        assert_eq!(changed(&farm.wish(2, Wished::Retry, named.0, named.1)), 1);
        assert_eq!(["base", "middle"].map(|name| farm.state(build(1, name))), ["ready", "waiting"]);
        assert_eq!(farm.state(build(2, "other")), "waiting");
    }
}

#[test]
fn what_the_user_of_a_cancelled_submission_had_named_goes_with_the_last_who_needs_it() {
    let mut farm = Farm::new();
    farm.submit(1, vec![planned(1, "shared", &[], true)]);
    farm.submit(2, vec![planned(2, "top", &["shared"], true)]);
    assert_eq!(changed(&farm.wish(1, Wished::Cancel, &[1], &[])), 0);
    assert_eq!(farm.state(build(1, "shared")), "ready");
    assert_eq!(changed(&farm.wish(2, Wished::Cancel, &[2], &[])), 2);
    assert_eq!(farm.state(build(1, "shared")), "cancelled");
}

#[test]
fn only_what_blocks_is_tried_again_for_who_is_blocked() {
    let mut farm = Farm::new();
    let agent = farm.agent(1, 4);
    farm.submit(1, vec![planned(1, "lib", &[], true)]);
    farm.submit(2, vec![planned(2, "bad", &[], true)]);
    farm.submit(3, vec![planned(3, "top", &["lib", "bad"], true)]);
    farm.offers().iter().for_each(|offer| drop(farm.failed(agent, offer, Cause::BuilderFailed)));
    farm.submit(4, vec![planned(4, "lib", &[], true)]);
    assert_eq!(changed(&farm.wish(3, Wished::Retry, &[3], &[])), 1);
    assert_eq!(["lib", "bad"].map(|name| farm.state(build(if name == "lib" { 1 } else { 2 }, name))), ["failed", "ready"]);
}

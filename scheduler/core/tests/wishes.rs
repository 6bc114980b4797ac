//! What becomes of builds when users change their minds.

#![allow(clippy::unwrap_used)] // Helpers of tests.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::event::What;
use drover_messages::wish::Wished;
use drover_messages::{BuildId, ClientId, Generation, SubmissionId, Timestamp, WishId};
use drover_scheduler_core::build::{Product, Recipe};
use drover_scheduler_core::input::Wanted;
use drover_scheduler_core::plan::Planned;
use drover_scheduler_core::{Core, Input, Limits, Now, Outcome, State, Submission, SubmissionState};
use drover_store::{DrvPath, OutputName, PackId, Sha256, StoreDir, StorePath};
use uuid::Uuid;

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128((0x0193_a1b2_c3d4_7e5f_8000 << 48) | n)
}

fn submission(n: u128) -> SubmissionId {
    SubmissionId::from_uuid(uuid(n))
}

fn client(n: u128) -> ClientId {
    ClientId::from_uuid(uuid(100 + n))
}

fn path(name: &str) -> StorePath {
    let digest = Sha256::of(name.as_bytes());
    StorePath::from_parts(digest.as_bytes()[..20].try_into().unwrap(), name).unwrap()
}

fn drv(name: &str) -> DrvPath {
    path(&format!("{name}.drv")).try_into().unwrap()
}

fn build(submitted: u128, name: &str) -> BuildId {
    BuildId::derived(submission(submitted), &drv(name))
}

/// A build of a submission, by its name and what it needs.
fn planned(submitted: u128, name: &str, needs: &[&str], root: bool) -> Planned {
    let out: OutputName = "out".parse().unwrap();
    let recipe = Recipe {
        drv: drv(name),
        pack: PackId::of(b"pack"),
        store_dir: StoreDir::nix(),
        system: "x86_64-linux".into(),
        features: BTreeSet::new(),
        outputs: BTreeMap::from([(out, Product { path: path(name), ca: None })]),
        inputs: needs.iter().map(|needed| path(needed)).collect(),
    };
    Planned { id: build(submitted, name), root, recipe, mode: Default::default() }
}

struct Farm {
    core: Core,
    wishes: u128,
}

impl Farm {
    fn new() -> Self {
        Self { core: Core::new(State::new(Generation(1)), Limits::default()), wishes: 0 }
    }

    fn advance(&mut self, input: Input) -> Outcome {
        let outcome = self.core.advance(Now::default(), input);
        assert_eq!(outcome.illegal, []);
        outcome
    }

    /// Each submission is of a client of its own.
    fn submit(&mut self, n: u128, builds: Vec<Planned>) {
        let submission = Submission {
            id: submission(n),
            client: client(n),
            store_dir: StoreDir::nix(),
            roots: Vec::new(),
            priority: 0,
            tags: BTreeMap::new(),
            submitted_at: Timestamp(0),
            state: SubmissionState::Planning,
        };
        let id = submission.id;
        self.advance(Input::Enter(submission));
        self.advance(Input::AddBuilds { submission: id, builds });
        self.advance(Input::GoLive { submission: id });
    }

    fn wish(&mut self, by: u128, change: Wished, submissions: &[u128], builds: &[BuildId]) -> What {
        self.wishes += 1;
        let wanted = Wanted {
            wish: WishId::from_uuid(uuid(1000 + self.wishes)),
            client: client(by),
            by_admin: false,
            change,
            submissions: submissions.iter().map(|n| submission(*n)).collect(),
            builds: builds.to_vec(),
        };
        let outcome = self.advance(Input::Wish(Box::new(wanted)));
        outcome.events.into_iter().find(|what| matches!(what, What::WishFulfilled { .. } | What::WishRefused { .. })).unwrap()
    }

    fn state(&self, id: BuildId) -> &'static str {
        self.core.state().build(id).map_or("forgotten", |build| build.state.name().as_str())
    }
}

fn changed(what: &What) -> u64 {
    match what {
        What::WishFulfilled { builds, .. } => *builds,
        other => panic!("refused: {other:?}"),
    }
}

/// `top` needs `left` and `right`, which need `base`; another user's `other` needs `right`.
fn farm() -> Farm {
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
    let mut farm = farm();
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
    let mut farm = farm();
    let refused = farm.wish(1, Wished::Cancel, &[], &[build(1, "right")]);
    assert!(matches!(&refused, What::WishRefused { why, .. } if why.contains("is needed by")), "{refused:?}");
    assert_eq!(farm.state(build(1, "right")), "waiting");
}

#[test]
fn what_is_anothers_is_left_to_them() {
    let mut farm = farm();
    let refused = farm.wish(2, Wished::Cancel, &[1], &[]);
    assert!(matches!(&refused, What::WishRefused { why, .. } if why.contains("another user's")), "{refused:?}");
    assert_eq!(farm.state(build(1, "top")), "waiting");
}

#[test]
fn what_was_cancelled_goes_on_when_it_is_wanted_again() {
    let mut farm = farm();
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
fn a_priority_is_handed_down_and_taken_back() {
    let mut farm = farm();
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
    let mut farm = farm();
    farm.wish(1, Wished::Priority(9), &[], &[build(1, "top")]);
    assert_eq!(farm.core.state().urgency(build(1, "base")), Some(9));
    farm.wish(1, Wished::Cancel, &[1], &[]);
    assert_eq!(farm.core.state().urgency(build(1, "base")), Some(0));
}

#[test]
fn a_wish_that_is_heard_twice_is_fulfilled_once() {
    let mut farm = farm();
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

//! Which builds a submission gets, for small closures.

#![allow(clippy::unwrap_used)] // Helpers of tests.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::request::{Mode, Root};
use drover_messages::{BuildId, SubmissionId};
use drover_scheduler_core::closure::Closure;
use drover_scheduler_core::plan::{How, Known, Plan, Unplannable, plan};
use drover_store::{Derivation, DrvPath, Output, OutputName, PackId, Sha256, StoreDir, StorePath};

fn path(name: &str) -> StorePath {
    let digest = Sha256::of(name.as_bytes());
    StorePath::from_parts(digest.as_bytes()[..20].try_into().unwrap(), name).unwrap()
}

fn drv(name: &str) -> DrvPath {
    path(&format!("{name}.drv")).try_into().unwrap()
}

/// A derivation with the output `out`, which needs that of each of these, and one source.
fn derivation(name: &str, needs: &[&str]) -> (DrvPath, (Derivation, PackId)) {
    let out: OutputName = "out".parse().unwrap();
    let derivation = Derivation {
        outputs: BTreeMap::from([(out.clone(), Output { path: path(name), fixed: None })]),
        input_drvs: needs.iter().map(|needed| (drv(needed), BTreeSet::from([out.clone()]))).collect(),
        input_srcs: BTreeSet::from([path(&format!("{name}.c"))]),
        system: "x86_64-linux".into(),
        builder: b"/bin/sh".to_vec(),
        args: Vec::new(),
        env: BTreeMap::new(),
    };
    (drv(name), (derivation, PackId::of(b"pack")))
}

fn submission() -> SubmissionId {
    "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b".parse().unwrap()
}

fn closure(derivations: &BTreeMap<DrvPath, (Derivation, PackId)>) -> Closure {
    let mut closure = Closure::default();
    for (drv, (derivation, pack)) in derivations {
        closure.add(drv, derivation, *pack);
    }
    closure
}

fn planned(
    derivations: &BTreeMap<DrvPath, (Derivation, PackId)>,
    root: &str,
    input_builds: bool,
    available: &[&str],
) -> Result<Plan, Unplannable> {
    let available: BTreeSet<StorePath> = available.iter().map(|name| path(name)).collect();
    let is_available = |path: &StorePath| available.contains(path);
    let known =
        Known { store_dir: &StoreDir::nix(), closure: &closure(derivations), available: &is_available, whole_closures: false };
    let root = Root { build: BuildId::from_uuid(submission().uuid()), drv: drv(root) };
    plan(submission(), &[root], How { mode: Mode::Build, input_builds }, &known)
}

/// As Guix wants it.
fn planned_whole(derivations: &BTreeMap<DrvPath, (Derivation, PackId)>, root: &str, mode: Mode, available: &[&str]) -> Plan {
    let available: BTreeSet<StorePath> = available.iter().map(|name| path(name)).collect();
    let is_available = |path: &StorePath| available.contains(path);
    let known =
        Known { store_dir: &StoreDir::guix(), closure: &closure(derivations), available: &is_available, whole_closures: true };
    let root = Root { build: BuildId::from_uuid(submission().uuid()), drv: drv(root) };
    plan(submission(), &[root], How { mode, input_builds: true }, &known).unwrap()
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.builds.iter().map(|build| build.recipe.drv.name_without_drv()).collect()
}

/// `a` needs `b` and `c`, which both need `d`.
fn diamond() -> BTreeMap<DrvPath, (Derivation, PackId)> {
    BTreeMap::from([derivation("a", &["b", "c"]), derivation("b", &["d"]), derivation("c", &["d"]), derivation("d", &[])])
}

#[test]
fn each_derivation_is_built_once_and_after_what_it_needs() {
    let plan = planned(&diamond(), "a", true, &[]).unwrap();
    let order = names(&plan);
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 4);
    let place = |name| order.iter().position(|n| *n == name).unwrap();
    assert!(place("d") < place("b") && place("d") < place("c") && place("b") < place("a") && place("c") < place("a"));
}

#[test]
fn the_walk_stops_at_what_is_available() {
    let plan = planned(&diamond(), "a", true, &["b", "c"]).unwrap();
    assert_eq!(names(&plan), ["a"]);
    assert_eq!(plan.sources, BTreeSet::from([path("a.c")]), "sources of what is not built are not needed");
}

#[test]
fn a_root_is_built_although_it_is_available() {
    assert_eq!(names(&planned(&diamond(), "a", true, &["a", "b", "c", "d"]).unwrap()), ["a"]);
}

#[test]
fn without_input_builds_only_the_root_is_built() {
    assert_eq!(names(&planned(&diamond(), "a", false, &[]).unwrap()), ["a"]);
}

#[test]
fn the_root_keeps_the_id_that_the_user_knows_and_the_others_follow_from_it() {
    let plan = planned(&diamond(), "a", true, &[]).unwrap();
    for build in &plan.builds {
        let root = build.recipe.drv == drv("a");
        assert_eq!(build.root, root);
        let expected =
            if root { BuildId::from_uuid(submission().uuid()) } else { BuildId::derived(submission(), &build.recipe.drv) };
        assert_eq!(build.id, expected);
    }
}

#[test]
fn a_missing_derivation_is_named_with_who_needs_it() {
    let mut derivations = diamond();
    derivations.remove(&drv("d"));
    let error = planned(&derivations, "a", true, &[]).unwrap_err();
    assert!(
        matches!(&error, Unplannable::Absent { drv: d, needed_by } if *d == drv("d") && (*needed_by == drv("b") || *needed_by == drv("c"))),
        "{error}"
    );
}

#[test]
fn a_closure_of_twenty_thousand_levels_needs_no_stack() {
    let name = |n: usize| format!("n{n}");
    let mut derivations = BTreeMap::from([derivation("n0", &[])]);
    derivations.extend((1..20_000).map(|n| derivation(&name(n), &[&name(n - 1)])));
    assert_eq!(planned(&derivations, "n19999", true, &[]).unwrap().builds.len(), 20_000);
}

#[test]
fn sources_below_what_is_available_are_waited_for_where_daemons_want_whole_closures() {
    let plan = planned_whole(&diamond(), "a", Mode::Build, &["b", "d", "d.c"]);
    assert_eq!(names(&plan), ["c", "a"]);
    assert_eq!(plan.sources, BTreeSet::from(["a.c", "b.c", "c.c"].map(path)));
    let inputs = |name: &str| &plan.builds.iter().find(|b| b.recipe.drv == drv(name)).unwrap().inputs;
    assert!(inputs("a").contains(&path("b.c")));
    assert!(!inputs("a").contains(&path("c.c")), "c has waited for its own");
}

#[test]
fn sources_that_are_available_below_are_not_waited_for() {
    let plan = planned_whole(&diamond(), "a", Mode::Build, &["b", "c", "b.c", "c.c", "d.c"]);
    assert_eq!(plan.sources, BTreeSet::from([path("a.c")]));
}

#[test]
fn what_is_checked_is_needed_and_not_made() {
    let plan = planned_whole(&diamond(), "a", Mode::Check, &["a", "b", "c", "d", "b.c", "c.c", "d.c"]);
    assert_eq!(names(&plan), ["a"]);
    let check = &plan.builds[0];
    assert_eq!((check.mode, check.root), (Mode::Check, true));
    assert!(check.inputs.contains(&path("a")));
}

#[test]
fn what_is_to_be_checked_and_is_missing_is_built_first_under_another_id() {
    let plan = planned_whole(&diamond(), "a", Mode::Check, &["b", "c", "d", "b.c", "c.c", "d.c"]);
    assert_eq!(names(&plan), ["a", "a"]);
    assert_eq!(plan.builds.iter().map(|build| build.mode).collect::<Vec<_>>(), [Mode::Build, Mode::Check]);
    assert_eq!(plan.builds.iter().map(|build| build.root).collect::<Vec<_>>(), [false, true]);
    assert_ne!(plan.builds[0].id, plan.builds[1].id);
}

#[test]
fn a_check_of_what_is_available_builds_the_inputs_that_are_not() {
    let plan = planned_whole(&diamond(), "a", Mode::Check, &["a", "b", "d", "b.c", "d.c"]);
    assert_eq!(names(&plan), ["c", "a"]);
}

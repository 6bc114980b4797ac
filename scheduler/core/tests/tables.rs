//! The three transition tables, whole: each kind of state against each kind of event, beside what is written here. A kind
//! that is added later does not compile until it has a sample, and fails until it has a row or a column.

#![allow(clippy::unwrap_used)] // Helpers of tests.

use std::collections::BTreeSet;

use drover_messages::{AgentId, AttemptId, BuildId, Cause, Epoch, Generation, StoreId};
use drover_scheduler_core::build::Inputs;
use drover_scheduler_core::{AttemptEvent, AttemptState, BuildEvent, BuildState, Heard, ItemEvent, ItemState, Lease, Place};

/// A function that names each kind, and one that gives its samples. What follows from some kinds hangs on what is in them:
/// they have a sample for each case.
macro_rules! kinds {
    ($of:ident, $name:ident, $samples:ident: $($pattern:pat => [$($word:literal = $sample:expr),+],)+) => {
        /// Its kind, as samples of it are named before the first space.
        fn $name(it: &$of) -> &'static str {
            match it {
                $($pattern => [$($word),+][0].split(' ').next().unwrap(),)+
            }
        }

        fn $samples() -> Vec<(&'static str, $of)> {
            vec![$($(($word, $sample)),+),+]
        }
    };
}

fn build_id() -> BuildId {
    BuildId::from_uuid("0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b".parse().unwrap())
}

fn epoch(n: u64) -> Epoch {
    Epoch { generation: Generation(1), n }
}

fn attempt(n: u64) -> AttemptId {
    AttemptId::derived(build_id(), epoch(n))
}

/// Of the first attempt.
fn lease() -> Lease {
    let agent = AgentId::from_uuid(build_id().uuid());
    Lease { attempt: attempt(1), agent, epoch: epoch(1), until: Heard(9) }
}

fn store(name: &str) -> StoreId {
    StoreId::from(name)
}

fn at(names: &[&str]) -> BTreeSet<StoreId> {
    names.iter().map(|name| store(name)).collect()
}

fn server() -> BTreeSet<String> {
    BTreeSet::from(["https://a".to_owned()])
}

fn ended(cause: Cause) -> AttemptState {
    AttemptState::Ended { cause, message: String::new() }
}

kinds! { BuildState, build_state, build_states:
    BuildState::Waiting { .. } => ["waiting" = BuildState::Waiting { missing: 3 }],
    BuildState::Ready(_) => ["ready" = BuildState::Ready(Place::Anywhere)],
    BuildState::Leased(_) => ["leased" = BuildState::Leased(lease())],
    BuildState::Succeeded { .. } => ["succeeded" = BuildState::Succeeded { attempt: attempt(2) }],
    BuildState::Failed { .. } => ["failed" = BuildState::Failed { attempt: attempt(1), cause: Cause::BuilderFailed }],
    BuildState::Blocked { .. } => ["blocked" = BuildState::Blocked { by: build_id() }],
    BuildState::Deferred { .. } => ["deferred" = BuildState::Deferred { until: Heard(5), cause: Cause::DiskFull }],
    BuildState::Cancelled => ["cancelled" = BuildState::Cancelled],
}

kinds! { BuildEvent, build_event, build_events:
    BuildEvent::Inputs(_) => ["inputs" = BuildEvent::Inputs(Inputs::Missing(2))],
    BuildEvent::Lease(_) => ["lease" = BuildEvent::Lease(lease())],
    BuildEvent::Succeed(_) => ["succeed" = BuildEvent::Succeed(attempt(2))],
    BuildEvent::Fail(..) => [
        "fail own" = BuildEvent::Fail(attempt(1), Cause::BuilderFailed),
        "fail old" = BuildEvent::Fail(attempt(2), Cause::BuilderFailed)
    ],
    BuildEvent::KnownToFail(..) => ["known" = BuildEvent::KnownToFail(attempt(2), build_id())],
    BuildEvent::Void(_) => ["void" = BuildEvent::Void(Inputs::Missing(2))],
    BuildEvent::Defer(..) => ["defer" = BuildEvent::Defer(Heard(7), Cause::AgentLost)],
    BuildEvent::Due(_) => ["due" = BuildEvent::Due(Inputs::BlockedBy(build_id()))],
    BuildEvent::Reopen(_) => ["reopen" = BuildEvent::Reopen(Inputs::AtHand(Place::Anywhere))],
    BuildEvent::Cancel => ["cancel" = BuildEvent::Cancel],
    BuildEvent::Retry(_) => ["retry" = BuildEvent::Retry(Inputs::AtHand(Place::Anywhere))],
}

/// What follows; `-` where nothing may. The inputs of samples are: missing with `inputs` and `void`, blocked with `due`, at
/// hand with `reopen` and `retry`.
const BUILDS: &str = "
            inputs    lease     succeed   fail own  fail old  known     void      defer     due       reopen    cancel    retry
waiting     waiting   leased    succeeded -         -         failed    -         -         -         -         cancelled -
ready       waiting   leased    succeeded -         -         failed    -         -         -         -         cancelled -
leased      -         -         succeeded failed    -         -         waiting   deferred  -         -         cancelled -
succeeded   -         -         -         -         -         -         -         deferred  -         ready     -         -
failed      -         -         -         -         -         -         -         -         -         -         -         ready
blocked     waiting   leased    succeeded -         -         failed    -         -         -         -         cancelled -
deferred    -         leased    succeeded -         -         -         -         -         blocked   -         cancelled ready
cancelled   -         -         -         -         -         -         -         -         -         -         -         ready
";

kinds! { ItemState, item_state, item_states:
    ItemState::Wanted => ["wanted" = ItemState::Wanted],
    ItemState::Built { .. } => [
        "built a" = ItemState::Built { at: at(&["a"]) },
        "built ab" = ItemState::Built { at: at(&["a", "b"]) }
    ],
    ItemState::Uploaded { .. } => [
        "uploaded a" = ItemState::Uploaded { at: at(&["a"]) },
        "uploaded -" = ItemState::Uploaded { at: at(&[]) }
    ],
    ItemState::Available => ["available" = ItemState::Available],
    ItemState::Elsewhere { .. } => ["elsewhere" = ItemState::Elsewhere { servers: server() }],
    ItemState::Lost => ["lost" = ItemState::Lost],
}

kinds! { ItemEvent, item_event, item_events:
    ItemEvent::Build(_) => ["build" = ItemEvent::Build(store("a"))],
    ItemEvent::Upload(_) => ["upload" = ItemEvent::Upload(Some(store("a")))],
    ItemEvent::Publish => ["publish" = ItemEvent::Publish],
    ItemEvent::Find(_) => ["find" = ItemEvent::Find(server()), "find -" = ItemEvent::Find(BTreeSet::new())],
    ItemEvent::Forget(_) => ["forget" = ItemEvent::Forget(store("a"))],
    ItemEvent::Unload => ["unload" = ItemEvent::Unload],
    ItemEvent::Lose => ["lose" = ItemEvent::Lose],
}

/// What may befall an item may befall it in any state.
const ITEMS: &str = "
            build     upload    publish   find      find -    forget    unload    lose
wanted      built     uploaded  available elsewhere wanted    wanted    wanted    wanted
built a     built     uploaded  available built     built     lost      built     lost
built ab    built     uploaded  available built     built     built     built     lost
uploaded a  uploaded  uploaded  available uploaded  uploaded  uploaded  built     lost
uploaded -  uploaded  uploaded  available uploaded  uploaded  uploaded  lost      lost
available   available available available available available available available lost
elsewhere   built     uploaded  available elsewhere lost      elsewhere elsewhere lost
lost        built     uploaded  available elsewhere lost      lost      lost      lost
";

kinds! { AttemptState, attempt_state, attempt_states:
    AttemptState::Running => ["running" = AttemptState::Running],
    AttemptState::Built => ["built" = AttemptState::Built],
    AttemptState::Uploaded => ["uploaded" = AttemptState::Uploaded],
    AttemptState::Unloaded => ["unloaded" = AttemptState::Unloaded],
    AttemptState::Published => ["published" = AttemptState::Published],
    AttemptState::Checked => ["checked" = AttemptState::Checked],
    AttemptState::Ended { .. } => [
        "ended" = ended(Cause::AgentLost),
        "ended refused" = ended(Cause::PublicationRefused)
    ],
    AttemptState::Superseded => ["superseded" = AttemptState::Superseded],
}

kinds! { AttemptEvent, attempt_event, attempt_events:
    AttemptEvent::Resume => ["resume" = AttemptEvent::Resume],
    AttemptEvent::Build => ["build" = AttemptEvent::Build],
    AttemptEvent::Upload => ["upload" = AttemptEvent::Upload],
    AttemptEvent::Unload => ["unload" = AttemptEvent::Unload],
    AttemptEvent::Publish => ["publish" = AttemptEvent::Publish],
    AttemptEvent::Check => ["check" = AttemptEvent::Check],
    AttemptEvent::End(..) => ["end" = AttemptEvent::End(Cause::Aborted, String::new())],
    AttemptEvent::Supersede => ["supersede" = AttemptEvent::Supersede],
}

const ATTEMPTS: &str = "
              resume     build      upload     unload     publish    check      end        supersede
running       running    built      uploaded   -          -          checked    ended      superseded
built         -          built      uploaded   -          published  -          ended      superseded
uploaded      -          -          uploaded   unloaded   published  -          ended      superseded
unloaded      -          -          uploaded   -          published  -          ended      superseded
published     -          -          -          -          -          -          ended      superseded
checked       -          -          -          -          -          -          -          -
ended         running    built      uploaded   -          -          checked    ended      superseded
ended refused -          -          -          -          -          -          ended      superseded
superseded    -          -          -          -          -          -          -          -
";

/// The rows of a table, each with its name, and the columns, all cut at where the columns begin.
fn read(table: &'static str) -> (Vec<&'static str>, Vec<(&'static str, Vec<&'static str>)>) {
    let mut lines = table.lines().filter(|line| !line.trim().is_empty());
    let head = lines.next().unwrap();
    let starts = |at: &usize| head[..*at].ends_with("  ") && head.as_bytes().get(*at).is_some_and(|byte| *byte != b' ');
    let starts: Vec<usize> = (1..head.len()).filter(starts).collect();
    let cells = |line: &'static str| -> Vec<&'static str> {
        let ends = starts[1..].iter().copied().chain([line.len()]);
        starts.iter().zip(ends).map(|(start, end)| line[*start..end].trim()).collect()
    };
    (cells(head), lines.map(|line| (line[..starts[0]].trim(), cells(line))).collect())
}

/// Walks every pair, and compares with what is written.
fn compare<S, E: Clone, I: std::fmt::Debug>(
    table: &'static str,
    states: Vec<(&str, S)>,
    events: Vec<(&str, E)>,
    next: impl Fn(&S, E) -> Result<S, I>,
    name: impl Fn(&S) -> &'static str,
) {
    let (columns, rows) = read(table);
    let names = |samples: &[&str]| samples.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&columns), events.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>(), "columns");
    let rows_named: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    assert_eq!(names(&rows_named), states.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>(), "rows");
    for ((state, sample), (_, cells)) in states.iter().zip(rows) {
        for ((event, befalls), expected) in events.iter().zip(cells) {
            let follows = next(sample, befalls.clone());
            let word = follows.as_ref().map_or("-", &name);
            assert_eq!(word, expected, "{state}, when it has to {event}");
        }
    }
}

#[test]
fn builds_go_where_the_table_says_and_nowhere_else() {
    assert!(build_events().iter().all(|(word, event)| word.starts_with(build_event(event))));
    compare(BUILDS, build_states(), build_events(), |state, event| state.next(event), build_state);
}

#[test]
fn items_go_where_the_table_says_and_nowhere_else() {
    assert!(item_events().iter().all(|(word, event)| word.starts_with(item_event(event))));
    compare(ITEMS, item_states(), item_events(), |state, event| state.next(event), item_state);
}

#[test]
fn attempts_go_where_the_table_says_and_nowhere_else() {
    assert!(attempt_events().iter().all(|(word, event)| word.starts_with(attempt_event(event))));
    compare(ATTEMPTS, attempt_states(), attempt_events(), |state, event| state.next(event), attempt_state);
}

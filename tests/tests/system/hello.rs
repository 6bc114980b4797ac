//! GNU Hello from its bootstrap binaries, as Guix itself describes it. Its agent finds no server, so nothing of it can be
//! built; what a farm makes of that is the test.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_messages::Cause;
use drover_messages::query::{BuildSummary, StateName};
use drover_tests::lab::Kind;
use drover_tests::{Farm, Options};

/// In the closure of the package as Guix 1.5.0 has it.
const DERIVATIONS: usize = 228;
/// A hundred downloads, each of which starts a Guile twice.
const ALL_FAIL_WITHIN: Duration = Duration::from_secs(600);

#[tokio::test]
async fn the_closure_of_hello_is_planned_and_what_cannot_be_downloaded_blocks_what_is_above_it_by_name() {
    let options = Options { download_tries: 2, ..Options::default() };
    let Some(mut farm) = Farm::without_agents(&[Kind::Guix], options).await else { return };
    let Some(seat) = farm.seat(Kind::Guix) else { return };
    seat.store.forget_hosts();
    farm.seat_agent(&seat.slots(8)).await;
    let drv = farm.dev(Kind::Guix).guix(&["build", "--no-grafts", "-d", "hello"]);
    let ended = farm.submit(&[&drv]).end_within(ALL_FAIL_WITHIN).await;
    assert_eq!(ended.code, 1, "{}", ended.said);

    let builds = farm.summaries(ended.submission).await;
    assert_eq!(builds.len(), DERIVATIONS);
    let by_id: BTreeMap<_, &BuildSummary> = builds.iter().map(|build| (build.build, build)).collect();
    let mut failed = 0;
    for build in &builds {
        match build.state {
            StateName::Failed => failed += 1,
            StateName::Blocked => {
                let by = by_id[&build.blocked_by.expect("a blocked build names what blocks it")];
                assert_eq!(by.state, StateName::Failed, "{by:#?}");
            }
            _ => panic!("{build:#?}"),
        }
    }
    for build in builds.iter().filter(|build| build.state == StateName::Failed) {
        let detail = farm.detail(build.build).await;
        let cause = detail.attempts.last().and_then(|attempt| attempt.cause.clone());
        assert_eq!(cause, Some(Cause::DownloadFailed), "{detail:#?}");
    }
    assert!(failed > 0);
    println!("{failed} downloads failed, {} builds are blocked", builds.len() - failed);
}

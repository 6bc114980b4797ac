//! What a farm lets one client have. The agent is the test's: nothing is built.

use std::time::Duration;

use drover_messages::query::StateName;
use drover_messages::report::{Failed, Outcome, Times};
use drover_messages::{BuildId, Cause, SubmissionId};
use drover_tests::{FakeAgent, Farm, Options, PATIENCE, Recipe};

/// What `drover show` says of a submission once it is taken up or refused.
async fn answer(farm: &Farm, submission: SubmissionId) -> String {
    let answered = async {
        loop {
            let shown = farm.drover(&["show", &submission.to_string()]).await;
            let said = String::from_utf8(shown.stdout).unwrap();
            if shown.status.success() && !said.contains("is reading this submission") {
                return said;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("it is taken up or refused")
}

#[tokio::test]
async fn a_client_that_queues_more_than_it_may_is_refused_with_the_numbers_until_its_builds_are_over() {
    let words = vec!["--builds-per-client", "2"];
    let Some(mut farm) = Farm::without_stores(Options { words, ..Options::default() }).await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let first = Recipe::new("first", &[]);
    farm.submit_recipes(&[&first]).await;
    let offer = agent.offer().await;

    let below = Recipe::new("below", &[]);
    let above = Recipe::new("above", &[&below]);
    let refused = farm.submit_recipes(&[&below, &above]).await;
    let words = "This submission was refused: it needs 2 builds, and 1 of this client are unfinished; 2 is the limit";
    let said = answer(&farm, refused).await;
    assert!(said.contains(words), "{said}");

    let message = "exit code 1".into();
    let failed = Failed { cause: Cause::BuilderFailed, message, times: Times::default(), log: None, kept: Vec::new() };
    agent.report(&offer, Outcome::Failed(failed)).await;
    farm.until_why(offer.build, |why| why.build.state == StateName::Failed).await;
    let accepted = farm.submit_recipes(&[&below, &above]).await;
    assert_eq!(agent.offer().await.build, BuildId::derived(accepted, &below.drv));
}

#[tokio::test]
async fn of_submissions_that_come_together_only_those_are_taken_for_which_there_is_room() {
    let words = vec!["--builds-per-client", "3"];
    let Some(farm) = Farm::without_stores(Options { words, ..Options::default() }).await else { return };
    let below = [(); 8].map(|()| Recipe::new("below", &[]));
    let above = below.each_ref().map(|below| Recipe::new("above", &[below]));
    let mut submissions = Vec::new();
    for (below, above) in below.iter().zip(&above) {
        submissions.push(farm.submit_recipes(&[below, above]).await);
    }
    let mut taken = 0;
    for submission in submissions {
        taken += usize::from(!answer(&farm, submission).await.contains("3 is the limit"));
    }
    assert_eq!(taken, 1);
}

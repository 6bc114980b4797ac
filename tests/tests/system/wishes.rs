//! What users want changed of what they asked for. The agents are the test's: nothing is built.

use drover_messages::query::StateName;
use drover_messages::report::{Failed, Outcome, Times};
use drover_messages::request::Submit;
use drover_messages::{BuildId, Cause, ClientId, SubmissionId};
use drover_nats::permissions::Who;
use drover_tests::{FakeAgent, Farm, Options, Recipe};

async fn ground() -> Option<(Farm, FakeAgent)> {
    let mut farm = Farm::without_stores(Options::default()).await?;
    let agent = FakeAgent::join(&mut farm).await;
    Some((farm, agent))
}

async fn submit(farm: &Farm, name: &str) -> (Recipe, BuildId) {
    let recipe = Recipe::new(name, &[]);
    let submission = farm.submit_recipes(&[&recipe]).await;
    let build = BuildId::derived(submission, &recipe.drv);
    (recipe, build)
}

fn builder_failed() -> Outcome {
    let message = "exit code 1".into();
    Outcome::Failed(Failed { cause: Cause::BuilderFailed, message, times: Times::default(), log: None, kept: Vec::new() })
}

async fn until_state(farm: &Farm, build: BuildId, state: StateName) {
    farm.until_why(build, |why| why.build.state == state).await;
}

#[tokio::test]
async fn a_running_build_that_is_cancelled_is_stopped_and_its_slot_is_free_when_the_agent_lets_go() {
    let Some((farm, mut agent)) = ground().await else { return };
    let (_, running) = submit(&farm, "running").await;
    let offer = agent.offer().await;
    agent.cling();
    let told = farm.told(&["cancel", &running.to_string()]).await;
    assert_eq!(told, "1 build is cancelled.\n");
    assert_eq!(agent.abort().await, offer.attempt);
    until_state(&farm, running, StateName::Cancelled).await;

    let (_, beyond) = submit(&farm, "beyond").await;
    assert_eq!(agent.offer().await.build, beyond);
    let (_, next) = submit(&farm, "next").await;
    farm.until_objection(next, agent.id, "all of its 1 slots are taken").await;
    agent.let_go();
    assert_eq!(agent.offer().await.build, next);
}

#[tokio::test]
async fn what_another_submission_needs_goes_on_when_one_is_cancelled() {
    let Some((farm, mut agent)) = ground().await else { return };
    let shared = Recipe::new("shared", &[]);
    let [left, right] = ["left", "right"].map(|name| Recipe::new(name, &[&shared]));
    let first = farm.submit_recipes(&[&shared, &left]).await;
    let offer = agent.offer().await;
    let second = farm.submit_recipes(&[&shared, &right]).await;
    until_state(&farm, BuildId::derived(second, &right.drv), StateName::Waiting).await;
    let refused = farm.drover(&["cancel", &offer.build.to_string()]).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is needed by"), "{refused:?}");

    assert_eq!(farm.told(&["cancel", &first.to_string()]).await, "1 build is cancelled.\n");
    until_state(&farm, BuildId::derived(first, &left.drv), StateName::Cancelled).await;
    agent.report(&offer, shared.built()).await;
    assert_eq!(agent.offer().await.build, BuildId::derived(second, &right.drv));
}

#[tokio::test]
async fn a_cancellation_that_overtakes_its_submission_is_remembered() {
    let Some((mut farm, mut agent)) = ground().await else { return };
    let (unwanted, wanted) = (Recipe::new("unwanted", &[]), Recipe::new("wanted", &[]));
    let submission = SubmissionId::new();
    let told = farm.told(&["cancel", &submission.to_string()]).await;
    assert_eq!(told, "It is cancelled, and no build with it: none was to be done yet, or others need them.\n");
    farm.scheduler.kill();
    farm.run_scheduler().await;
    let build = BuildId::derived(submission, &unwanted.drv);
    farm.submit_altered(&[&unwanted], |submit| {
        submit.submission = submission;
        submit.roots[0].build = build;
    })
    .await;
    let later = farm.submit_recipes(&[&wanted]).await;
    assert_eq!(agent.offer().await.build, BuildId::derived(later, &wanted.drv));
    let shown = farm.told(&["show", &submission.to_string()]).await;
    assert!(shown.contains("cancelled   by its user"), "{shown}");
}

#[tokio::test]
async fn a_failed_build_that_is_tried_again_lets_what_it_blocked_go_on() {
    let Some((farm, mut agent)) = ground().await else { return };
    let below = Recipe::new("below", &[]);
    let above = Recipe::new("above", &[&below]);
    let submission = farm.submit_recipes(&[&below, &above]).await;
    let offer = agent.offer().await;
    agent.report(&offer, builder_failed()).await;
    let build = BuildId::derived(submission, &above.drv);
    until_state(&farm, build, StateName::Blocked).await;

    assert_eq!(farm.told(&["retry", &submission.to_string()]).await, "1 build is tried again.\n");
    let again = agent.offer().await;
    assert_eq!(again.build, offer.build);
    agent.report(&again, below.built()).await;
    assert_eq!(agent.offer().await.build, build);
}

#[tokio::test]
async fn what_is_cancelled_can_be_wanted_again() {
    let Some((farm, mut agent)) = ground().await else { return };
    farm.told(&["agent", "drain", "*"]).await;
    let (_, build) = submit(&farm, "doubted").await;
    until_state(&farm, build, StateName::Ready).await;
    farm.told(&["cancel", &build.to_string()]).await;
    until_state(&farm, build, StateName::Cancelled).await;
    assert_eq!(farm.told(&["retry", &build.to_string()]).await, "1 build is tried again.\n");
    farm.told(&["agent", "undrain", "*"]).await;
    assert_eq!(agent.offer().await.build, build);
    let nothing = farm.drover(&["retry", &build.to_string()]).await;
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
}

#[tokio::test]
async fn a_submission_counts_what_was_cancelled_and_what_failed_for_what_nobody_needs_any_more() {
    let Some((mut farm, mut agent)) = ground().await else { return };
    let bad = Recipe::new("bad", &[]);
    let above = Recipe::new("above", &[&bad]);
    let submission = farm.submit_recipes(&[&bad, &above]).await;
    let offer = agent.offer().await;
    agent.report(&offer, builder_failed()).await;
    until_state(&farm, BuildId::derived(submission, &above.drv), StateName::Blocked).await;
    farm.told(&["agent", "drain", "*"]).await;
    let below = Recipe::new("below", &[]);
    let unwanted = farm.submit_recipes(&[&below, &Recipe::new("unwanted", &[&below])]).await;
    until_state(&farm, BuildId::derived(unwanted, &below.drv), StateName::Ready).await;
    assert_eq!(farm.told(&["cancel", &submission.to_string()]).await, "1 build is cancelled.\n");
    assert_eq!(farm.told(&["cancel", &unwanted.to_string()]).await, "2 builds are cancelled.\n");
    for _ in 0..2 {
        let shown = farm.told(&["show", &submission.to_string()]).await;
        assert!(shown.contains("\nbuilds      1 failed, 1 cancelled\n"), "{shown}");
        let (_, failed) = shown.split_once("\nFailed\n").expect("it names what failed");
        assert!(failed.contains(&offer.build.to_string()), "{shown}");
        let shown = farm.told(&["show", &unwanted.to_string()]).await;
        assert!(shown.contains("\nbuilds      2 cancelled\n"), "{shown}");
        farm.scheduler.kill();
        farm.run_scheduler().await;
    }
}

#[tokio::test]
async fn a_build_of_higher_priority_goes_first_with_what_it_needs() {
    let Some((farm, mut agent)) = ground().await else { return };
    // One more fits: what is offered together comes in any order.
    submit(&farm, "filler").await;
    agent.offer().await;
    farm.told(&["agent", "drain", "*"]).await;
    let (_, early) = submit(&farm, "early").await;
    until_state(&farm, early, StateName::Ready).await;
    let below = Recipe::new("below", &[]);
    let urgent = Recipe::new("urgent", &[&below]);
    let submission = farm.submit_recipes(&[&below, &urgent]).await;
    let build = BuildId::derived(submission, &urgent.drv);
    until_state(&farm, build, StateName::Waiting).await;
    assert_eq!(farm.told(&["priority", "7", &build.to_string()]).await, "1 build of priority 7 now.\n");
    let needed = BuildId::derived(submission, &below.drv);
    assert_eq!(farm.until_why(needed, |why| why.build.priority == 7).await.build.state, StateName::Ready);
    farm.told(&["agent", "undrain", "*"]).await;
    let first = agent.offer().await;
    assert_eq!(first.build, needed);
    agent.report(&first, builder_failed()).await;
    assert_eq!(agent.offer().await.build, early);
}

#[tokio::test]
async fn all_submissions_with_a_tag_are_cancelled_together() {
    let Some((farm, _agent)) = ground().await else { return };
    farm.told(&["agent", "drain", "*"]).await;
    let mut builds = Vec::new();
    for branch in ["old", "old", "new"] {
        let recipe = Recipe::new(branch, &[]);
        let tagged = |submit: &mut Submit| drop(submit.tags.insert("branch".into(), branch.into()));
        builds.push(BuildId::derived(farm.submit_altered(&[&recipe], tagged).await, &recipe.drv));
    }
    for build in &builds {
        until_state(&farm, *build, StateName::Ready).await;
    }
    assert_eq!(farm.told(&["cancel", "--tag", "branch=old"]).await, "2 builds are cancelled.\n");
    for (build, state) in builds.iter().zip([StateName::Cancelled, StateName::Cancelled, StateName::Ready]) {
        until_state(&farm, *build, state).await;
    }
}

#[tokio::test]
async fn a_tag_means_what_one_has_submitted_oneself_unless_an_administrator_says_any() {
    let Some((mut farm, _agent)) = ground().await else { return };
    farm.told(&["agent", "drain", "*"]).await;
    let stranger = farm.nats.login(Who::Client(ClientId::new())).await;
    let password = farm.folder.password_file(&stranger);
    let as_stranger = ["--login", &stranger.user, "--login-password-file", password.to_str().unwrap()];
    let bus = drover_nats::Bus::connect(&stranger).await.unwrap();
    let tagged = |submit: &mut Submit| drop(submit.tags.insert("branch".into(), "main".into()));
    let [mine, theirs] = ["mine", "theirs"].map(|name| Recipe::new(name, &[]));
    let first = BuildId::derived(farm.submit_altered(&[&mine], tagged).await, &mine.drv);
    let of_stranger = farm.submit_as(&bus, stranger.user.parse().unwrap(), &[&theirs], tagged).await;
    let second = BuildId::derived(of_stranger, &theirs.drv);
    until_state(&farm, first, StateName::Ready).await;
    until_state(&farm, second, StateName::Ready).await;

    for (words, told) in [
        (&["priority", "7"][..], "1 build of priority 7 now.\n"),
        (&["cancel"], "1 build is cancelled.\n"),
        (&["retry"], "1 build is tried again.\n"),
    ] {
        let ended = farm.drover(&[words, &["--tag", "branch=main"], &as_stranger[..]].concat()).await;
        assert_eq!(String::from_utf8_lossy(&ended.stdout), told, "{ended:?}");
    }
    assert_eq!(farm.until_why(first, |_| true).await.build.priority, 0);
    assert_eq!(farm.told(&["cancel", "--tag", "branch=main"]).await, "1 build is cancelled.\n");
    until_state(&farm, second, StateName::Ready).await;
    assert_eq!(farm.told(&["cancel", "--any", "--tag", "branch=main"]).await, "1 build is cancelled.\n");
    let unknown = farm.drover(&["cancel", "--tag", "branch=none"]).await;
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no submission of yours has that tag"), "{unknown:?}");
}

#[tokio::test]
async fn only_an_administrator_changes_what_others_have_submitted() {
    let Some((mut farm, _agent)) = ground().await else { return };
    farm.told(&["agent", "drain", "*"]).await;
    let stranger = farm.nats.login(Who::Client(ClientId::new())).await;
    let password = farm.folder.password_file(&stranger);
    let as_stranger = ["--login", &stranger.user, "--login-password-file", password.to_str().unwrap()];
    let (_, build) = submit(&farm, "mine").await;
    let id = build.to_string();
    until_state(&farm, build, StateName::Ready).await;

    let refused = farm.drover(&[&["cancel", &id], &as_stranger[..]].concat()).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another user's; an administrator may say --any"), "{refused:?}");
    until_state(&farm, build, StateName::Ready).await;

    let theirs = Recipe::new("theirs", &[]);
    let bus = drover_nats::Bus::connect(&stranger).await.unwrap();
    let submission = farm.submit_as(&bus, stranger.user.parse().unwrap(), &[&theirs], |_| {}).await;
    until_state(&farm, BuildId::derived(submission, &theirs.drv), StateName::Ready).await;
    assert_eq!(farm.told(&["cancel", "--any", &submission.to_string()]).await, "1 build is cancelled.\n");
}

#[tokio::test]
async fn a_wish_waits_at_the_broker_for_a_scheduler_that_is_away() {
    let Some((mut farm, mut agent)) = ground().await else { return };
    let (recipe, build) = submit(&farm, "unwanted").await;
    let offer = agent.offer().await;
    assert_eq!((offer.build, &offer.drv), (build, &recipe.drv));
    let submission = farm.until_why(build, |_| true).await.build.submission;
    farm.scheduler.kill();
    let told = farm.told(&["cancel", "--submission", &submission.to_string(), "--no-wait"]).await;
    assert!(told.starts_with("wish "), "{told}");
    farm.run_scheduler().await;
    until_state(&farm, build, StateName::Cancelled).await;
    assert_eq!(agent.abort().await, offer.attempt);
}

#[tokio::test]
async fn a_drain_with_a_deadline_stops_what_still_runs_and_it_is_built_elsewhere() {
    let Some((mut farm, mut agent)) = ground().await else { return };
    let (_, build) = submit(&farm, "long").await;
    let offer = agent.offer().await;
    farm.told(&["agent", "drain", &agent.id.to_string(), "--deadline", "1"]).await;
    assert_eq!(agent.abort().await, offer.attempt);
    let mut other = FakeAgent::join(&mut farm).await;
    assert_eq!(other.offer().await.build, build);
}

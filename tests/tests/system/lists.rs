//! `drover list`, by everything that it can look for, and page by page.

use std::collections::BTreeSet;

use drover_messages::query::{BuildSummary, StateName};
use drover_messages::report::{Failed, Outcome, Times};
use drover_messages::request::Submit;
use drover_messages::{BuildId, Cause, ClientId};
use drover_nats::permissions::Who;
use drover_tests::{FakeAgent, Farm, Options, Recipe};

/// The builds that a list has, newest first.
async fn listed(farm: &Farm, flags: &[&str]) -> Vec<BuildId> {
    let told = farm.told(&[&["list", "--json"], flags].concat()).await;
    told.lines().map(|line| serde_json::from_str::<BuildSummary>(line).unwrap().build).collect()
}

async fn submit(farm: &Farm, recipe: &Recipe, branch: &str) -> BuildId {
    let tagged = |submit: &mut Submit| drop(submit.tags.insert("branch".into(), branch.into()));
    let build = BuildId::derived(farm.submit_altered(&[recipe], tagged).await, &recipe.drv);
    farm.until_why(build, |_| true).await;
    build
}

#[tokio::test]
async fn builds_are_found_by_name_system_tag_output_client_state_and_time() {
    let Some(mut farm) = Farm::without_stores(Options::default()).await else { return };
    let hello = Recipe::new("hello-2.12", &[]);
    let hello_build = submit(&farm, &hello, "main").await;
    let help = submit(&farm, &Recipe::new("help-1.0", &[]), "next").await;
    let foreign = submit(&farm, &Recipe::requiring("hello-2.13", &[], "riscv64-linux", ""), "main").await;
    let other = farm.nats.login(Who::Client(ClientId::new())).await;
    let theirs = Recipe::new("theirs", &[]);
    let bus = drover_nats::Bus::connect(&other).await.unwrap();
    let submission = farm.submit_as(&bus, other.user.parse().unwrap(), &[&theirs], |_| {}).await;
    let theirs = BuildId::derived(submission, &theirs.drv);
    farm.until_why(theirs, |_| true).await;
    farm.told(&["cancel", &help.to_string()]).await;

    assert_eq!(listed(&farm, &[]).await, [theirs, foreign, help, hello_build]);
    let out = format!("/nix/store/{}", hello.out);
    let drv = hello.drv.to_string();
    let found: &[(&[&str], &[BuildId])] = &[
        (&["--derivation", "hello-*"], &[foreign, hello_build]),
        (&["--derivation", "hel*"], &[foreign, help, hello_build]),
        (&["--derivation", "*-2.1?"], &[foreign, hello_build]),
        (&["--derivation", "hello"], &[]),
        (&["--derivation", &drv], &[hello_build]),
        (&["--output", &out], &[hello_build]),
        (&["--system", "riscv64-linux"], &[foreign]),
        (&["--tag", "branch=main"], &[foreign, hello_build]),
        (&["--tag", "branch=main", "--system", "x86_64-linux"], &[hello_build]),
        (&["--client", "me"], &[foreign, help, hello_build]),
        (&["--client", &other.user], &[theirs]),
        (&["--client", &other.user, "--derivation", "hello*"], &[]),
        (&["--state", "cancelled"], &[help]),
        (&["--state", "ready"], &[theirs, foreign, hello_build]),
        (&["--state", "ready", "--system", "riscv64-linux"], &[foreign]),
        (&["--state", "ready", "--tag", "branch=next"], &[]),
        (&["--submission", &submission.to_string()], &[theirs]),
        (&["--from", "1h"], &[theirs, foreign, help, hello_build]),
        (&["--to", "1h"], &[]),
        (&["--from", "2999-01-01"], &[]),
    ];
    for (flags, builds) in found {
        assert_eq!(listed(&farm, flags).await, *builds, "{flags:?}");
    }

    let table = farm.told(&["list", "--derivation", "help*"]).await;
    assert!(table.starts_with("BUILD ") && table.contains("cancelled") && table.contains("help-1.0"), "{table}");
    farm.scheduler.kill();
    farm.run_scheduler().await;
    assert_eq!(listed(&farm, &["--state", "ready"]).await, [theirs, foreign, hello_build]);
}

#[tokio::test]
async fn pages_follow_each_other_and_nothing_is_missed_or_shown_twice() {
    let Some(farm) = Farm::without_stores(Options::default()).await else { return };
    let inputs: Vec<Recipe> = (0..7).map(|n| Recipe::new(&format!("input-{n}"), &[])).collect();
    let top = Recipe::new("top", &inputs.iter().collect::<Vec<_>>());
    let recipes: Vec<&Recipe> = inputs.iter().chain([&top]).collect();
    let submission = farm.submit_recipes(&recipes).await;
    farm.until_why(BuildId::derived(submission, &top.drv), |why| why.build.state == StateName::Waiting).await;
    let all: BTreeSet<BuildId> = recipes.iter().map(|recipe| BuildId::derived(submission, &recipe.drv)).collect();
    let newest_first: Vec<BuildId> = all.into_iter().rev().collect();

    for flags in [&["--client", "me"][..], &["--derivation", "*"], &["--state", "ready"], &[]] {
        let first = listed(&farm, &[&["--limit", "3"], flags].concat()).await;
        let mut pages = first.clone();
        while let Some(last) = pages.last().map(BuildId::to_string) {
            let page = listed(&farm, &[&["--limit", "3", "--after", &last], flags].concat()).await;
            if page.is_empty() {
                break;
            }
            pages.extend(page);
        }
        assert_eq!(first.len(), 3);
        let waiting = BuildId::derived(submission, &top.drv);
        let expected: Vec<BuildId> =
            newest_first.iter().copied().filter(|build| !flags.contains(&"ready") || *build != waiting).collect();
        assert_eq!(pages, expected, "{flags:?}");
    }
    let table = farm.told(&["list", "--limit", "3"]).await;
    assert!(table.ends_with(&format!("… and more: --after {}, or raise --limit\n", newest_first[2])), "{table}");
}

#[tokio::test]
async fn failed_builds_are_listed_until_they_are_tried_again() {
    let Some(mut farm) = Farm::without_stores(Options::default()).await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let build = submit(&farm, &Recipe::new("broken", &[]), "main").await;
    let offer = agent.offer().await;
    let message = "exit code 1".into();
    let failed = Failed { cause: Cause::BuilderFailed, message, times: Times::default(), log: None, kept: Vec::new() };
    agent.report(&offer, Outcome::Failed(failed)).await;
    farm.until_why(build, |why| why.build.state == StateName::Failed).await;
    assert_eq!(listed(&farm, &["--state", "failed"]).await, [build]);
    farm.told(&["retry", &build.to_string()]).await;
    agent.offer().await;
    assert_eq!(listed(&farm, &["--state", "failed"]).await, []);
    assert_eq!(listed(&farm, &["--state", "leased"]).await, [build]);
}

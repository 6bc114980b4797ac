//! Building again what was built, to see whether it comes out the same: by another agent, which never had it.

use drover_bucket::Key;
use drover_messages::Cause;
use drover_messages::event::What;
use drover_messages::query::StateName;
use drover_tests::lab::{Kind, Plan};
use drover_tests::{Farm, Options};

async fn what_differs_fails_and_is_kept(kind: Kind) {
    let Some(mut farm) = Farm::of(&[kind], Options::default()).await else { return };
    let same = farm.write(kind, Plan::new("same", "echo always the same > $out")).await;
    let random = Plan::new("random", "echo the same > $doc; cat /proc/sys/kernel/random/uuid > $out").outputs(&["out", "doc"]);
    let random = farm.write(kind, random).await;
    let [same_path, random_path] = [&same, &random].map(|made| kind.store_dir().path(&made.drv).to_string());
    farm.build(&[&same_path, &random_path]).await.succeeded();
    farm.agents[0].process.kill();
    if farm.add_agent(kind).await.is_none() {
        return;
    }

    let checked = farm.submit_by(&["--check"], &[&same_path]).end().await;
    checked.succeeded();
    let events = farm.events().await;
    let is_it =
        |what: &What| matches!(what, What::BuildChecked { build, drv, .. } if *build == checked.builds[0] && *drv == same.drv);
    assert!(events.iter().any(|event| is_it(&event.what)), "{events:#?}");

    let checked = farm.submit_by(&["--check"], &[&random_path]).end().await;
    assert_eq!(checked.code, 1, "{}", checked.said);
    let build = farm.detail(checked.builds[0]).await;
    assert_eq!(build.summary.state, StateName::Failed);
    let attempt = build.attempts.last().unwrap();
    assert_eq!((&attempt.cause, attempt.agent), (&Some(Cause::NotDeterministic), farm.agents[1].id));
    let [kept] = &attempt.kept[..] else { panic!("{attempt:#?}") };
    assert_eq!(&kept.path, random.out());
    let key = Key::Kept { build: build.summary.build, attempt: attempt.attempt, item: (&kept.path).into() };
    assert_eq!(kept.nar.key, key.to_string());
    let nar = zstd::decode_all(std::fs::File::open(farm.folder.bucket().join(&kept.nar.key)).unwrap()).unwrap();
    let first = std::fs::read(farm.agents[0].store.file(random.out())).unwrap();
    assert!(nar.len() > first.len() && !nar.windows(first.len()).any(|part| part == first), "it is what was built first");
    let shown = farm.told(&["show", &build.summary.build.to_string()]).await;
    assert!(shown.contains(&kept.nar.key), "{shown}");
}

#[tokio::test]
async fn a_check_by_nix_finds_what_differs_and_keeps_it() {
    what_differs_fails_and_is_kept(Kind::Nix).await;
}

#[tokio::test]
async fn a_check_by_guix_finds_what_differs_and_keeps_it() {
    what_differs_fails_and_is_kept(Kind::Guix).await;
}

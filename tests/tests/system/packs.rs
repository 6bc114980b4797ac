//! A closure whose derivations came with several submissions, and so lie in several packs.

use drover_tests::lab::{Kind, Plan};
use drover_tests::{Farm, Options};

#[tokio::test]
async fn a_closure_over_three_packs_comes_whole_to_a_guix_that_had_none_of_it() {
    let Some(mut farm) = Farm::of(&[Kind::Guix], Options::default()).await else { return };
    let step = |name| Plan::new(name, "echo $name > $out");
    let bottom = farm.write(Kind::Guix, step("bottom")).await;
    let middle = farm.write(Kind::Guix, step("middle").input("below", &bottom)).await;
    let top = farm.write(Kind::Guix, step("top").input("below", &middle)).await;
    let [bottom_path, middle_path, top_path] = [&bottom, &middle, &top].map(|made| Kind::Guix.store_dir().path(&made.drv));
    farm.build(&[&bottom_path.to_string()]).await.succeeded();
    farm.build(&[&middle_path.to_string()]).await.succeeded();
    farm.agents[0].process.kill();
    if farm.add_agent(Kind::Guix).await.is_none() {
        return;
    }

    let ended = farm.build(&[&top_path.to_string()]).await;
    ended.succeeded();
    assert_eq!(std::fs::read_dir(farm.folder.bucket().join("packs")).unwrap().count(), 3);
    assert_eq!(farm.detail(ended.builds[0]).await.summary.agent, Some(farm.agents[1].id));
    let store = &farm.agents[1].store;
    for made in [&bottom, &middle, &top] {
        assert!(store.file(&made.drv).exists(), "{} is not there", made.drv);
    }
    assert!(!store.file(bottom.out()).exists(), "what nobody needs was fetched");
}

//! What another substitute server has is not built, and what needs it goes only to agents that reach that server.

use drover_messages::query::StateName;
use drover_tests::lab::{Kind, Plan};
use drover_tests::{Farm, Options};

async fn what_another_server_has_is_not_built(kind: Kind) {
    let Some(other) = Farm::of(&[kind], Options::default()).await else { return };
    let servers = vec![other.cache.clone()];
    let Some(mut farm) = Farm::of(&[kind], Options { servers: servers.clone(), ..Options::default() }).await else { return };
    let plan = Plan::new("theirs", "echo theirs > $out").variable("salt", "one");
    let theirs = plan.make(other.dev(kind));
    for dev in [other.dev(kind), farm.dev(kind)] {
        plan.make(dev).add(&mut dev.connect().await).await;
    }
    let ours = farm.write(kind, Plan::new("ours", "cat $theirs > $out").input("theirs", &theirs)).await;
    let path = |made: &drover_tests::lab::Made| kind.store_dir().path(&made.drv).to_string();
    other.build(&[&path(&theirs)]).await.succeeded();

    farm.until_ready(1).await;
    let submission = farm.hand_in(&[&path(&ours)]).await;
    let builds = farm.until_planned(submission).await;
    let [waiting] = &builds[..] else { panic!("more is to be built than what nobody has: {builds:#?}") };
    assert_eq!((&waiting.drv, waiting.agent), (&ours.drv, None));
    let shown = farm.told(&["show", &waiting.build.to_string()]).await;
    let why = format!("{} (available at {} only)", theirs.out(), servers[0].url(&kind.store_dir()));
    assert!(shown.contains(&why), "{why}: {shown}");

    let Some(seat) = farm.seat(kind) else { return };
    farm.seat_agent(&seat.reaching(&servers)).await;
    farm.until_available(submission).await;
    let built = farm.detail(waiting.build).await.summary;
    assert_eq!((built.state, built.agent), (StateName::Succeeded, Some(farm.agents[1].id)));
    assert_eq!(std::fs::read_to_string(farm.agents[1].store.file(ours.out())).unwrap(), "theirs\n");
}

#[tokio::test]
async fn what_another_server_of_nix_has_is_not_built_and_only_who_reaches_it_gets_what_needs_it() {
    what_another_server_has_is_not_built(Kind::Nix).await;
}

#[tokio::test]
async fn what_another_server_of_guix_has_is_not_built_and_only_who_reaches_it_gets_what_needs_it() {
    what_another_server_has_is_not_built(Kind::Guix).await;
}

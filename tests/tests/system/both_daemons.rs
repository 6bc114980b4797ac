//! One farm, an agent on a Nix store and one on a Guix store: neither knows of the other, and each kind of user is served.

use drover_daemon::StoreDaemon;
use drover_tests::lab::{Kind, Lab, Made, Plan};
use drover_tests::{Farm, Options, authorise, fetch};

/// Two builds from one source, and one that needs both.
struct Diamond {
    left: Made,
    both: Made,
    path: String,
}

impl Diamond {
    async fn write(farm: &Farm, kind: Kind) -> Self {
        let source = farm.dev(kind).connect().await.add_text("words.txt", b"words that travel", &[]).await.unwrap();
        let path = kind.store_dir().path(&source).to_string();
        let half = |name| Plan::new(name, "echo \"$(cat $words), $name\" > $out").source(source.clone()).variable("words", &path);
        let left = farm.write(kind, half("left")).await;
        let right = farm.write(kind, half("right")).await;
        let join = "mkdir $out; cat $left $right > $out/words; ln -s $left $out/left";
        let both = farm.write(kind, Plan::new("both", join).input("left", &left).input("right", &right)).await;
        let path = kind.store_dir().path(&both.drv).to_string();
        Self { left, both, path }
    }

    /// All of it is in this store.
    fn is_in(&self, store: &Lab) {
        let words = std::fs::read_to_string(store.file(self.both.out()).join("words")).unwrap();
        assert_eq!(words, "words that travel, left\nwords that travel, right\n");
        assert_eq!(std::fs::read_to_string(store.file(self.left.out())).unwrap(), "words that travel, left\n");
    }
}

#[tokio::test]
async fn a_nix_agent_and_a_guix_agent_build_side_by_side_and_both_kinds_of_users_fetch() {
    let kinds = [Kind::Nix, Kind::Guix];
    let Some(farm) = Farm::of(&kinds, Options::default()).await else { return };
    let graphs = [Diamond::write(&farm, Kind::Nix).await, Diamond::write(&farm, Kind::Guix).await];
    let submitted = [0, 1].map(|n| farm.submit(&[&graphs[n].path]));
    for (submitted, agent) in submitted.into_iter().zip(&farm.agents) {
        let ended = submitted.end().await;
        ended.succeeded();
        let audit = farm.audit(ended.submission).await;
        audit.all_succeeded_once(3);
        audit.nothing_was_tried_in_vain();
        assert!(audit.builds.iter().all(|build| build.summary.agent == Some(agent.id)), "{:#?}", audit.builds);
    }
    for (kind, graph) in kinds.into_iter().zip(&graphs) {
        let Some(third) = farm.empty_store(kind) else { return };
        fetch(&third, graph.both.out()).unwrap();
        graph.is_in(&third);
    }
}

#[tokio::test]
async fn a_guix_takes_nothing_until_it_trusts_the_key() {
    let Some(farm) = Farm::of(&[Kind::Guix], Options::default()).await else { return };
    let Some(third) = farm.empty_store(Kind::Guix) else { return };
    let graph = Diamond::write(&farm, Kind::Guix).await;
    farm.build(&[&graph.path]).await.succeeded();
    authorise(&third, &[]);
    fetch(&third, graph.both.out()).unwrap_err();
    authorise(&third, &[&farm.cache.guix_key]);
    fetch(&third, graph.both.out()).unwrap();
    graph.is_in(&third);
    third.guix(&["gc", "--verify=contents"]);
}

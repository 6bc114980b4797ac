//! One build through every process, and into a store that had nothing.

use drover_store::{SecretKey, StoreDir};
use drover_tests::Farm;
use drover_tests::lab::{Kind, Lab};

#[tokio::test]
async fn the_journey() {
    let Some(farm) = Farm::start(2).await else { return };
    let substituters = format!("substituters = {}", farm.cache.url(&StoreDir::nix()));
    let Some(third) = Lab::start(&[&substituters, "require-sigs = true"]) else { return };
    let drv = farm.instantiate("travel", &[]);

    let ended = farm.build(&[&drv]).await;
    ended.succeeded();
    let audit = farm.audit(ended.submission).await;
    audit.all_succeeded_once(3);
    audit.nothing_was_tried_in_vain();
    let builders: std::collections::BTreeSet<_> = audit.builds.iter().map(|build| build.summary.agent).collect();
    assert_eq!(builders.len(), 2, "one agent built everything, so that no input travelled");

    let out = farm.dev(Kind::Nix).run(&["nix-store", "--query", "--outputs", &drv]);
    let wrong = SecretKey::generate(farm.cache.nix_key.split_once(':').unwrap().0).unwrap().public().to_string();
    let refused = realise(&third, &out, &wrong).unwrap_err();
    assert!(refused.contains("lacks a valid signature") || refused.contains("not signed by any of the keys"), "{refused}");
    assert!(!third.scratch().join(out.trim_start_matches('/')).exists());

    realise(&third, &out, &farm.cache.nix_key).unwrap();
    let words = third.run(&["cat", &format!("{out}/words")]);
    assert_eq!(words, "words that travel, left\nwords that travel, right");
    assert_eq!(third.run(&["cat", &format!("{out}/left")]), "words that travel, left");
}

fn realise(store: &Lab, out: &str, key: &str) -> Result<String, String> {
    store.try_run(&["nix-store", "--realise", out, "--option", "trusted-public-keys", key])
}

//! What builders said, shown to the world by the names of derivations.

use drover_bucket::Key;
use drover_messages::publish::{Origin, Publish, PublishVerdict};
use drover_messages::{AttemptId, BuildId};
use drover_store::{DrvPath, StoreDir};

use crate::common::{file, path_of};
use crate::fixture::Farm;

fn shown() -> Key {
    Key::PublicLog(StoreDir::nix(), DrvPath::try_from(path_of("recipe.drv")).unwrap())
}

/// An output whose attempt has this log; `None` is one that is said to be there and is not.
async fn logged(farm: &Farm, name: &str, words: Option<&'static str>) -> Publish {
    let mut request = farm.output(&path_of(name), &file(name), &[], &[]).await;
    let Origin::Output { build, attempt, log, .. } = &mut request.origin else { unreachable!() };
    let key = Key::Log { build: *build, attempt: *attempt };
    *log = Some(key.to_string());
    if let Some(words) = words {
        farm.bucket.put(&key, words.into()).await.unwrap();
    }
    request
}

#[tokio::test]
async fn the_log_of_a_derivation_is_the_first_that_came() {
    let farm = Farm::new();
    for (name, words) in [("out", "compiling"), ("doc", "compiling again")] {
        let request = logged(&farm, name, Some(words)).await;
        assert_eq!(farm.publish(&request).await, PublishVerdict::Published);
        assert_eq!(farm.bucket.get(&shown(), 100).await.unwrap(), "compiling");
    }
}

#[tokio::test]
async fn a_log_that_is_not_there_or_of_another_attempt_keeps_nothing_from_being_published() {
    let farm = Farm::new();
    let absent = logged(&farm, "absent", None).await;
    let mut foreign = logged(&farm, "foreign", Some("mine")).await;
    let Origin::Output { log, .. } = &mut foreign.origin else { unreachable!() };
    let others = Key::Log { build: BuildId::new(), attempt: AttemptId::new() };
    farm.bucket.put(&others, "somebody else's".into()).await.unwrap();
    *log = Some(others.to_string());
    for request in [absent, foreign] {
        assert_eq!(farm.publish(&request).await, PublishVerdict::Published);
        assert!(!farm.bucket.exists(&shown()).await.unwrap());
    }
}

//! Work that is shared, interrupted, and asked for by the wrong one.

use std::time::{Duration, Instant};

use drover_bucket::Key;
use drover_messages::Generation;
use drover_messages::publish::PublishVerdict;
use drover_store::StoreDir;

use crate::common::{file, output, path_of};
use crate::farm::{Farm, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn all_is_published_though_workers_are_killed_in_the_middle_of_it() {
    let Some(mut farm) = Farm::start().await else { return };
    let (first, _second) = (farm.worker(), farm.worker());
    let mut requests = Vec::new();
    for n in 0..200 {
        let path = path_of(&format!("item-{n}"));
        requests.push(output(&farm.bucket, &path, &file(format!("item {n}")), &[], &[]).await);
    }
    let begin = Instant::now();
    for request in &requests[..100] {
        farm.ask(request).await;
    }
    drop(first);
    let _third = farm.worker();
    for request in &requests[100..] {
        farm.ask(request).await;
    }
    let words = farm.words(requests.len()).await;
    eprintln!("200 requests, one worker of two killed: {:?}", begin.elapsed());
    for request in &requests {
        let verdict = &words[&request.publication];
        assert!(matches!(verdict, PublishVerdict::Published | PublishVerdict::AlreadyThere), "{verdict:?}");
        assert!(farm.is_served(&request.path).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superseded_scheduler_is_not_served() {
    let Some(mut farm) = Farm::start().await else { return };
    let _worker = farm.worker();
    let mut request = output(&farm.bucket, &path_of("new"), &file("new"), &[], &[]).await;
    request.generation = Generation(5);
    farm.ask(&request).await;
    assert_eq!(farm.word().await.verdict, PublishVerdict::Published);

    let mut old = output(&farm.bucket, &path_of("old"), &file("old"), &[], &[]).await;
    old.generation = Generation(4);
    farm.ask(&old).await;
    let mut after = output(&farm.bucket, &path_of("after"), &file("after"), &[], &[]).await;
    after.generation = Generation(5);
    farm.ask(&after).await;
    assert_eq!(farm.word().await.publication, after.publication);
    assert!(!farm.is_served(&old.path).await);

    old.generation = Generation(6);
    farm.ask(&old).await;
    assert_eq!(farm.word().await.publication, old.publication);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_starts_knows_which_schedulers_are_superseded() {
    let Some(mut farm) = Farm::start().await else { return };
    farm.bucket.mint_generation().await.unwrap();
    farm.bucket.mint_generation().await.unwrap();
    let old = output(&farm.bucket, &path_of("old"), &file("old"), &[], &[]).await;
    let mut new = output(&farm.bucket, &path_of("new"), &file("new"), &[], &[]).await;
    new.generation = Generation(2);
    farm.ask(&old).await;
    farm.ask(&new).await;
    let _worker = farm.worker();
    assert_eq!(farm.word().await.publication, new.publication);
    assert!(!farm.is_served(&old.path).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_starts_makes_its_cache_known_before_anything_is_asked_for() {
    let Some(farm) = Farm::start().await else { return };
    let _worker = farm.worker();
    let probe = Key::Probe(StoreDir::nix());
    let begin = Instant::now();
    while !farm.bucket.exists(&probe).await.unwrap() {
        assert!(begin.elapsed() < PATIENCE, "there is no probe");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let path = farm.bucket.get(&probe, 1000).await.unwrap();
    let path = StoreDir::nix().parse(std::str::from_utf8(&path).unwrap().trim()).unwrap();
    assert!(farm.is_served(&path).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_again_is_answered_again() {
    let Some(mut farm) = Farm::start().await else { return };
    let _worker = farm.worker();
    let mut request = output(&farm.bucket, &path_of("hello"), &file("hello"), &[], &[]).await;
    farm.ask(&request).await;
    assert_eq!(farm.word().await.verdict, PublishVerdict::Published);
    request.generation = Generation(2);
    farm.ask(&request).await;
    assert_eq!(farm.word().await.verdict, PublishVerdict::AlreadyThere);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_fails_for_a_while_delays_the_word_and_does_not_change_it() {
    let Some(mut farm) = Farm::start().await else { return };
    let request = output(&farm.bucket, &path_of("hello"), &file("hello"), &[], &[]).await;
    // Where the cache should be, there is a file: nothing can be put there.
    let cache = farm.folder.path().join("bucket/cache");
    std::fs::write(&cache, "").unwrap();
    let _worker = farm.worker();
    farm.ask(&request).await;
    let early = tokio::time::timeout(Duration::from_secs(2), farm.word()).await;
    assert!(early.is_err(), "a verdict without a bucket: {early:?}");
    std::fs::remove_file(&cache).unwrap();
    let late = tokio::time::timeout(PATIENCE, farm.word()).await.unwrap();
    assert_eq!(late.verdict, PublishVerdict::Published);
}

//! Asked again, interrupted, or contradicted: the cache serves one thing of a path, whole or not at all.

use drover_bucket::Key;
use drover_hook_workers::publish::PublishError;
use drover_messages::publish::PublishVerdict;
use drover_store::StoreDir;

use crate::common::{directory, file, path_of};
use crate::fixture::{Farm, nar_key};

#[tokio::test]
async fn what_is_asked_twice_is_done_once() {
    let mut farm = Farm::new();
    let request = farm.output(&path_of("hello"), &file("hello"), &[], &[]).await;
    assert_eq!(farm.publish(&request).await, PublishVerdict::Published);
    let narinfo = farm.served(&request.path).await;
    assert_eq!(farm.publish(&request).await, PublishVerdict::AlreadyThere);
    farm.restart();
    assert_eq!(farm.publish(&request).await, PublishVerdict::AlreadyThere);
    assert_eq!(farm.served(&request.path).await, narinfo);
}

#[tokio::test]
async fn what_is_there_needs_no_upload_any_more() {
    let farm = Farm::new();
    let request = farm.output(&path_of("hello"), &file("hello"), &[], &[]).await;
    farm.publish(&request).await;
    farm.bucket.delete(&request.nar.key.parse().unwrap()).await.unwrap();
    assert_eq!(farm.publish(&request).await, PublishVerdict::AlreadyThere);
}

#[tokio::test]
async fn what_differs_from_what_is_there_is_kept_beside_it_and_changes_nothing() {
    let farm = Farm::new();
    let path = path_of("hello");
    farm.publish(&farm.output(&path, &file("one result"), &[], &[]).await).await;
    let narinfo = farm.served(&path).await;
    let another = farm.output(&path, &file("another result"), &[], &[]).await;
    let PublishVerdict::Differs { there, kept } = farm.publish(&another).await else { panic!("not told apart") };
    assert_eq!((there, kept.nar_hash), (narinfo.as_ref().unwrap().nar_hash, another.nar.nar_hash));
    assert_eq!(farm.served(&path).await, narinfo);
    assert!(!farm.has_nar(&another).await, "it is in the cache");
    let object = farm.bucket.get(&kept.key.parse().unwrap(), 1000).await.unwrap();
    assert_eq!(zstd::decode_all(&object[..]).unwrap(), file("another result"));
    assert!(kept.key.starts_with("checks/"), "{}", kept.key);

    // What is kept is as it was said to be.
    let mut false_claim = farm.output(&path, &file("a third result"), &[], &[]).await;
    false_claim.nar.nar_hash = drover_store::Sha256::of(b"a fourth");
    farm.assert_refused(&false_claim, "nar has the hash").await;
}

#[tokio::test]
async fn the_same_bytes_with_other_references_are_refused() {
    let farm = Farm::new();
    let (path, input) = (path_of("hello"), path_of("zlib"));
    farm.publish(&farm.output(&path, &file("bytes"), &[], &[]).await).await;
    let request = farm.output(&path, &file("bytes"), &[&input], &[&input]).await;
    let verdict = farm.publish(&request).await;
    assert!(matches!(&verdict, PublishVerdict::Refused { why } if why.contains("other references")), "{verdict:?}");
}

#[tokio::test]
async fn a_narinfo_whose_nar_is_gone_is_made_whole() {
    let farm = Farm::new();
    let request = farm.output(&path_of("hello"), &directory("hello"), &[], &[]).await;
    farm.publish(&request).await;
    farm.bucket.delete(&nar_key(&request)).await.unwrap();
    assert_eq!(farm.publish(&request).await, PublishVerdict::Published);
    assert!(farm.served(&request.path).await.is_some());
}

#[tokio::test]
async fn a_narinfo_whose_nar_is_gone_is_made_whole_by_the_same_nar_compressed_otherwise() {
    let farm = Farm::new();
    let nar = directory("hello ".repeat(10_000));
    let first = farm.output(&path_of("hello"), &nar, &[], &[]).await;
    farm.publish(&first).await;
    farm.bucket.delete(&nar_key(&first)).await.unwrap();

    let object = zstd::encode_all(&nar[..], 19).unwrap();
    let mut second = farm.output(&path_of("hello"), &nar, &[], &[]).await;
    second.nar.file_hash = drover_store::Sha256::of(&object);
    second.nar.file_size = object.len() as u64;
    farm.bucket.put(&second.nar.key.parse().unwrap(), object.into()).await.unwrap();
    assert_ne!(first.nar.file_hash, second.nar.file_hash);
    assert_eq!(farm.publish(&second).await, PublishVerdict::Published);
    assert_eq!(farm.served(&first.path).await.unwrap().files[0].file_hash, Some(second.nar.file_hash));
}

#[tokio::test]
async fn a_narinfo_that_cannot_be_read_is_replaced() {
    let farm = Farm::new();
    let request = farm.output(&path_of("hello"), &file("hello"), &[], &[]).await;
    let key = Key::NarInfo(StoreDir::nix(), (&request.path).into());
    farm.bucket.put(&key, "half a narin".into()).await.unwrap();
    assert_eq!(farm.publish(&request).await, PublishVerdict::Published);
    assert!(farm.served(&request.path).await.is_some());
}

#[tokio::test]
async fn killed_at_any_step_it_leaves_what_the_next_worker_completes() {
    for steps in 0.. {
        let mut farm = Farm::new();
        let request = farm.output(&path_of("hello"), &file("hello"), &[], &[]).await;
        farm.store.fail_after(steps);
        let interrupted = farm.publisher.publish(&request).await;
        farm.store.fail_after(i64::MAX);
        // A narinfo that is there is right, and so is its nar: this looks.
        let was_served = farm.served(&request.path).await.is_some();
        farm.restart();
        let completed = farm.publish(&request).await;
        assert!(farm.served(&request.path).await.is_some(), "after {steps} steps");
        match interrupted {
            Ok(verdict) => {
                assert_eq!((verdict, completed), (PublishVerdict::Published, PublishVerdict::AlreadyThere));
                assert!(steps > 2, "only {steps} steps were tried");
                return;
            }
            Err(error) => {
                assert!(matches!(&error, PublishError::Bucket(error) if error.is_transient()), "{error}");
                assert!(!was_served);
                assert_eq!(completed, PublishVerdict::Published);
            }
        }
    }
}

#[tokio::test]
async fn many_workers_asked_at_once_agree() {
    let farm = Farm::new();
    let request = farm.output(&path_of("hello"), &file("hello"), &[], &[]).await;
    let verdicts = futures::future::join_all((0..8).map(|_| farm.publish(&request))).await;
    assert!(verdicts.iter().all(|verdict| matches!(verdict, PublishVerdict::Published | PublishVerdict::AlreadyThere)));
    assert!(verdicts.contains(&PublishVerdict::Published));
    assert!(farm.served(&request.path).await.is_some());
}

//! What Drover asks of any store, run against each kind of store there is here: memory, a folder, and S3 where
//! `DROVER_TEST_S3_URL` names a bucket.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::future::Future;

use bytes::Bytes;
use drover_bucket::{Bucket, BucketError, Corner, HashPart, Key, PART_BYTES, Put};
use drover_messages::{AgentId, AttemptId, ClientId, Generation, SubmissionId, Timestamp};
use drover_store::{Sha256, StoreDir};
use futures::TryStreamExt;

/// Runs one contract on every store.
async fn everywhere<F: Future<Output = ()>>(contract: impl Fn(Bucket) -> F) {
    contract(Bucket::open("memory://").unwrap()).await;

    let folder = tempfile::tempdir().unwrap();
    for query in ["", "?fsync=true"] {
        contract(Bucket::open(&format!("file://{}/b{query}", folder.path().display())).unwrap()).await;
        std::fs::remove_dir_all(folder.path().join("b")).unwrap();
    }

    match std::env::var("DROVER_TEST_S3_URL") {
        Ok(url) => contract(Bucket::open(&format!("{url}/test-{}", AttemptId::new())).unwrap()).await,
        Err(_) => eprintln!("SKIPPED on S3: DROVER_TEST_S3_URL names no bucket"),
    }
}

fn item() -> HashPart {
    "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy".parse().unwrap()
}

fn narinfo() -> Key {
    Key::NarInfo(StoreDir::nix(), item())
}

fn output(agent: AgentId, attempt: AttemptId, upload: u32) -> Key {
    Key::OutputIncoming { agent, attempt, upload, item: item() }
}

/// Two parts and a bit, of bytes that differ from one another.
fn large() -> Bytes {
    (0..2 * PART_BYTES + 12345).map(|n| (n * 7 + n / 251) as u8).collect::<Vec<u8>>().into()
}

async fn upload(bucket: &Bucket, key: &Key, bytes: &Bytes) -> Result<Put, BucketError> {
    let mut upload = bucket.upload(key);
    for piece in bytes.chunks(1_000_000) {
        upload.write(bytes.slice_ref(piece)).await?;
    }
    upload.finish().await
}

#[tokio::test]
async fn an_object_is_written_once_and_stays_as_it_was() {
    everywhere(|bucket| async move {
        assert_eq!(bucket.put_once(&narinfo(), "first".into()).await.unwrap(), Put::Created);
        assert_eq!(bucket.put_once(&narinfo(), "second".into()).await.unwrap(), Put::Existed);
        assert_eq!(bucket.get(&narinfo(), 5).await.unwrap(), "first");
    })
    .await;
}

#[tokio::test]
async fn what_is_meant_to_be_replaced_is_replaced() {
    everywhere(|bucket| async move {
        bucket.put(&narinfo(), "first".into()).await.unwrap();
        bucket.put(&narinfo(), "second".into()).await.unwrap();
        assert_eq!(bucket.get(&narinfo(), 100).await.unwrap(), "second");
    })
    .await;
}

#[tokio::test]
async fn what_is_absent_is_said_to_be_absent() {
    everywhere(|bucket| async move {
        assert!(bucket.get(&narinfo(), 100).await.unwrap_err().is_not_found());
        assert_eq!(bucket.size(&narinfo()).await.unwrap(), None);
        bucket.delete(&narinfo()).await.unwrap();
        bucket.put_once(&narinfo(), "here".into()).await.unwrap();
        assert_eq!(bucket.size(&narinfo()).await.unwrap(), Some(4));
        bucket.delete(&narinfo()).await.unwrap();
        assert!(!bucket.exists(&narinfo()).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn an_object_larger_than_its_reader_expects_is_not_read() {
    everywhere(|bucket| async move {
        bucket.put_once(&narinfo(), "123456".into()).await.unwrap();
        let error = bucket.get(&narinfo(), 5).await.unwrap_err();
        assert!(matches!(error, BucketError::TooLarge { size: 6, max_bytes: 5, .. }), "{error}");
    })
    .await;
}

#[tokio::test]
async fn uploads_of_any_size_appear_once_and_whole() {
    everywhere(|bucket| async move {
        let (agent, attempt) = (AgentId::new(), AttemptId::new());
        for (n, bytes) in [Bytes::new(), "small".into(), large().slice(..PART_BYTES), large()].iter().enumerate() {
            let key = output(agent, attempt, n as u32);
            assert_eq!(upload(&bucket, &key, bytes).await.unwrap(), Put::Created, "{} bytes", bytes.len());
            assert_eq!(upload(&bucket, &key, &large()).await.unwrap(), Put::Existed, "{} bytes", bytes.len());
            let object = bucket.stream(&key).await.unwrap();
            assert_eq!(object.size(), bytes.len() as u64);
            let read: Vec<Bytes> = object.stream().try_collect().await.unwrap();
            assert!(read.concat() == bytes[..], "{} bytes came back changed", bytes.len());
        }
    })
    .await;
}

#[tokio::test]
async fn an_upload_may_get_its_key_at_its_end() {
    everywhere(|bucket| async move {
        let (first, last) = (output(AgentId::new(), AttemptId::new(), 0), output(AgentId::new(), AttemptId::new(), 1));
        for (bytes, put) in [(large(), Put::Created), ("another".into(), Put::Existed)] {
            let mut upload = bucket.upload(&first);
            upload.write(bytes).await.unwrap();
            assert_eq!(upload.finish_at(&last).await.unwrap(), put);
        }
        assert!(!bucket.exists(&first).await.unwrap());
        assert!(bucket.get(&last, 1 << 30).await.unwrap() == large());
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing_at_its_key() {
    everywhere(|bucket| async move {
        let key = output(AgentId::new(), AttemptId::new(), 0);
        for dropped in [false, true] {
            let mut upload = bucket.upload(&key);
            upload.write(large()).await.unwrap();
            match dropped {
                true => drop(upload),
                false => upload.abort().await,
            }
            assert!(!bucket.exists(&key).await.unwrap());
        }
        assert_eq!(upload(&bucket, &key, &large()).await.unwrap(), Put::Created);
    })
    .await;
}

#[tokio::test]
async fn a_part_of_an_object_can_be_read() {
    everywhere(|bucket| async move {
        bucket.put_once(&narinfo(), "0123456789".into()).await.unwrap();
        let object = bucket.stream_range(&narinfo(), 3..7).await.unwrap();
        assert_eq!((object.size(), object.range()), (10, 3..7));
        let read: Vec<Bytes> = object.stream().try_collect().await.unwrap();
        assert_eq!(read.concat(), b"3456");
    })
    .await;
}

/// What a user uploaded, who may go by an agent's id.
fn source(client: AgentId, submission: SubmissionId) -> Key {
    Key::SourceIncoming { client: ClientId::from_uuid(client.uuid()), submission, item: item() }
}

#[tokio::test]
async fn corners_go_away_as_a_whole_and_alone() {
    everywhere(|bucket| async move {
        let (one, other) = (AgentId::new(), AgentId::new());
        let settled = [AttemptId::new(), AttemptId::new(), AttemptId::new()];
        let (done, under_way) = (SubmissionId::new(), SubmissionId::new());
        let kept = [output(one, AttemptId::new(), 0), output(other, settled[0], 0), source(one, under_way), source(other, done)];
        let attempts = settled.map(|attempt| Corner::Attempt(one, attempt));
        let submission = Corner::Submission(ClientId::from_uuid(one.uuid()), done);
        for corners in [&attempts[..], &attempts[..1], &[submission], &[attempts[0], submission], &[]] {
            let lies_in_one = |key: &Key| corners.contains(&Corner::of(key).unwrap());
            let all = settled.iter().flat_map(|attempt| (0..3).map(|n| output(one, *attempt, n))).chain([source(one, done)]);
            let gone: Vec<Key> = all.filter(lies_in_one).collect();
            for key in kept.iter().chain(&gone) {
                bucket.put(key, "bytes".into()).await.unwrap();
            }
            for _ in 0..2 {
                bucket.delete_corners(corners.iter().copied().collect()).await.unwrap();
            }
            for key in &gone {
                assert!(!bucket.exists(key).await.unwrap(), "{key}");
            }
            for key in &kept {
                assert!(bucket.exists(key).await.unwrap(), "{key}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn corners_are_found_by_what_was_uploaded_before_a_moment() {
    everywhere(|bucket| async move {
        let keys = [output(AgentId::new(), AttemptId::new(), 0), source(AgentId::new(), SubmissionId::new())];
        let corners: BTreeSet<Corner> = keys.iter().filter_map(Corner::of).collect();
        for key in &keys {
            bucket.put_once(key, "bytes".into()).await.unwrap();
        }
        bucket.put_once(&narinfo(), "no upload".into()).await.unwrap();
        // Clocks differ, but not by that much.
        let (an_hour_ago, in_an_hour) = (Timestamp(Timestamp::now().0 - 3_600_000), Timestamp(Timestamp::now().0 + 3_600_000));
        assert_eq!(bucket.corners_before(|_| in_an_hour, 9).await.unwrap(), corners);
        assert_eq!(bucket.corners_before(|_| in_an_hour, 1).await.unwrap().len(), 1);
        assert_eq!(bucket.corners_before(|_| an_hour_ago, 9).await.unwrap(), BTreeSet::new());
        let by_kind = |corner: &Corner| if matches!(corner, Corner::Attempt(..)) { in_an_hour } else { an_hour_ago };
        assert_eq!(bucket.corners_before(by_kind, 9).await.unwrap(), corners.into_iter().take(1).collect());
    })
    .await;
}

#[tokio::test]
async fn no_two_schedulers_get_one_generation() {
    everywhere(|bucket| async move {
        assert_eq!(bucket.newest_generation().await.unwrap(), Generation(0));
        let minted = futures::future::join_all((0..12).map(|_| bucket.mint_generation())).await;
        let mut minted: Vec<u64> = minted.into_iter().map(|generation| generation.unwrap().0).collect();
        minted.sort_unstable();
        assert_eq!(minted, (1..=12).collect::<Vec<_>>());
        assert_eq!(bucket.newest_generation().await.unwrap(), Generation(12));
        assert!(bucket.is_superseded(Generation(11)).await.unwrap());
        assert!(!bucket.is_superseded(Generation(12)).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn two_writers_of_one_key_agree_on_who_was_first() {
    everywhere(|bucket| async move {
        let key =
            Key::Nar { store_dir: StoreDir::nix(), file_hash: Sha256::of(b""), compression: drover_bucket::Compression::Zstd };
        let writers = (0..8).map(|n| bucket.put_once(&key, format!("writer {n}").into()));
        let puts: Vec<Put> = futures::future::join_all(writers).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(puts.iter().filter(|put| **put == Put::Created).count(), 1);
        let first = puts.iter().position(|put| *put == Put::Created).unwrap();
        assert_eq!(bucket.get(&key, 100).await.unwrap(), format!("writer {first}"));
    })
    .await;
}

#[tokio::test]
async fn a_folder_shows_nothing_of_an_upload_whose_process_died() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let key = output(AgentId::new(), AttemptId::new(), 0);
    let mut unfinished = Bucket::open(&url).unwrap().upload(&key);
    unfinished.write(large()).await.unwrap();
    std::mem::forget(unfinished); // what kill -9 leaves
    let bucket = Bucket::open(&url).unwrap();
    assert!(!bucket.exists(&key).await.unwrap());
    assert_eq!(upload(&bucket, &key, &large()).await.unwrap(), Put::Created);
}

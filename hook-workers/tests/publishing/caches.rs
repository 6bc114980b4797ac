//! What a cache is before anything is in it.

use drover_bucket::{Bucket, Key};
use drover_hook_workers::publish::{Keys, Packing};
use drover_store::{NarInfo, SecretKey, StoreDir, StorePath, guix};

use crate::fixture::publisher_of;

async fn text(bucket: &Bucket, key: Key) -> String {
    String::from_utf8(bucket.get(&key, 10_000).await.unwrap().to_vec()).unwrap()
}

/// The probe that agents of a store are told of, and what the cache says of it.
async fn probe(bucket: &Bucket, store: &StoreDir) -> (StorePath, NarInfo) {
    let path = store.parse(text(bucket, Key::Probe(store.clone())).await.trim()).unwrap();
    let narinfo = text(bucket, Key::NarInfo(store.clone(), (&path).into())).await;
    (path, NarInfo::parse(store, &narinfo).unwrap())
}

#[tokio::test]
async fn a_new_cache_says_what_it_is_who_signs_and_what_to_try() {
    let bucket = Bucket::open("memory://").unwrap();
    let (nix, guix) = (SecretKey::generate("farm-1").unwrap(), guix::SecretKey::generate());
    let publisher = publisher_of(&bucket, Keys::new(vec![nix.clone()], Some(guix.clone())), Packing::default());
    for store in [StoreDir::nix(), StoreDir::guix()] {
        publisher.introduce(&store).await.unwrap();
        let info = text(&bucket, Key::CacheInfo(store.clone())).await;
        assert_eq!(info, format!("StoreDir: {store}\nWantMassQuery: 1\nPriority: 30\n"));
        let (path, narinfo) = probe(&bucket, &store).await;
        assert_eq!((path.name(), narinfo.ca, narinfo.references.len()), ("drover-probe", None, 0));
        let nar = format!("cache/{}/{}", store.slug(), narinfo.files[0].url).parse().unwrap();
        assert!(bucket.exists(&nar).await.unwrap());
    }
    assert_eq!(text(&bucket, Key::PublicKeys(StoreDir::nix())).await, format!("{}\n", nix.public()));
    assert_eq!(text(&bucket, Key::PublicKeys(StoreDir::guix())).await, guix.public().to_string());
    let (_, of_nix) = probe(&bucket, &StoreDir::nix()).await;
    assert!(nix.public().verify(&of_nix.fingerprint(&StoreDir::nix()), &of_nix.sigs[0]));
    let (_, of_guix) = probe(&bucket, &StoreDir::guix()).await;
    assert!(guix::Acl::from_iter([guix.public()]).accepts(&of_guix.signature.unwrap()));
}

#[tokio::test]
async fn other_keys_are_told_and_make_another_probe() {
    let bucket = Bucket::open("memory://").unwrap();
    let mut probes = Vec::new();
    for name in ["farm-1", "farm-2", "farm-2"] {
        let key = SecretKey::generate(name).unwrap();
        let publisher = publisher_of(&bucket, Keys::new(vec![key.clone()], None), Packing::default());
        publisher.introduce(&StoreDir::nix()).await.unwrap();
        assert_eq!(text(&bucket, Key::PublicKeys(StoreDir::nix())).await, format!("{}\n", key.public()));
        probes.push(probe(&bucket, &StoreDir::nix()).await.0);
    }
    assert!(probes[0] != probes[1] && probes[1] != probes[2]);
}

#[tokio::test]
async fn the_same_keys_make_the_same_probe() {
    let bucket = Bucket::open("memory://").unwrap();
    let keys = Keys::new(Vec::new(), Some(guix::SecretKey::generate()));
    publisher_of(&bucket, keys.clone(), Packing::default()).introduce(&StoreDir::guix()).await.unwrap();
    let first = probe(&bucket, &StoreDir::guix()).await;
    publisher_of(&bucket, keys, Packing::default()).introduce(&StoreDir::guix()).await.unwrap();
    assert_eq!(probe(&bucket, &StoreDir::guix()).await, first);
}

//! What Guix's clients get: narinfos in their own form, signed in their own way, and nars compressed as they like.

use std::io::Read;

use drover_bucket::{Bucket, Key};
use drover_hook_workers::publish::{Keys, Packing, PublishError, Publisher};
use drover_messages::publish::{Publish, PublishVerdict};
use drover_store::{NarInfo, SecretKey, Sha256, StoreDir, StorePath, guix};

use crate::common::{self, directory, file, path_of};
use crate::fixture::{MAX_NAR_BYTES, publisher_of};

/// A farm for Guix, with a key of each kind.
pub struct GuixFarm {
    pub bucket: Bucket,
    key: guix::SecretKey,
    pub publisher: Publisher,
}

impl GuixFarm {
    pub fn new(ways: &[&str]) -> Self {
        let (bucket, key) = (Bucket::open("memory://").unwrap(), guix::SecretKey::generate());
        let keys = Keys::new(vec![SecretKey::generate("farm-1").unwrap()], Some(key.clone()));
        let packing = Packing::new(ways.iter().map(|way| Packing::parse(way).unwrap()));
        Self { publisher: publisher_of(&bucket, keys, packing), bucket, key }
    }

    pub async fn output(&self, path: &StorePath, nar: &[u8], references: &[StorePath]) -> Publish {
        let request = common::output(&self.bucket, path, nar, references, references).await;
        Publish { store_dir: StoreDir::guix(), ..request }
    }

    async fn publish(&self, request: &Publish) -> PublishVerdict {
        self.publisher.publish(request).await.unwrap()
    }

    /// What is served of a path, as text and as read.
    pub async fn served(&self, path: &StorePath) -> Option<(String, NarInfo)> {
        let text = self.bucket.get(&Key::NarInfo(StoreDir::guix(), path.into()), 10_000).await.ok()?;
        let text = String::from_utf8(text.to_vec()).unwrap();
        let narinfo = NarInfo::parse(&StoreDir::guix(), &text).unwrap();
        let signature = narinfo.signature.as_ref().expect("it is not signed, or something else is");
        assert!(guix::Acl::from_iter([self.key.public()]).accepts(signature));
        Some((text, narinfo))
    }

    /// The nar in each of its files, by their ways.
    async fn nars(&self, narinfo: &NarInfo) -> Vec<(String, Vec<u8>)> {
        let mut nars = Vec::new();
        for served in &narinfo.files {
            let key = format!("cache/gnu-store/{}", served.url).parse().unwrap();
            let object = self.bucket.get(&key, MAX_NAR_BYTES).await.expect("a nar that is not there");
            assert_eq!(served.file_size, Some(object.len() as u64));
            let mut nar = Vec::new();
            let mut reader: Box<dyn Read> = match served.compression.as_str() {
                "zstd" => Box::new(zstd::Decoder::new(&object[..]).unwrap()),
                "gzip" => Box::new(flate2::read::GzDecoder::new(&object[..])),
                "lzip" => Box::new(lzma_rust2::LzipReader::new(&object[..])),
                "none" => Box::new(&object[..]),
                other => panic!("{other}"),
            };
            reader.read_to_end(&mut nar).unwrap();
            nars.push((served.compression.clone(), nar));
        }
        nars
    }
}

#[tokio::test]
async fn a_narinfo_of_guix_has_its_order_and_its_signature() {
    let farm = GuixFarm::new(&["zstd"]);
    let path = path_of("hello");
    let request = farm.output(&path, &file(path.hash_part()), std::slice::from_ref(&path)).await;
    assert_eq!(farm.publish(&request).await, PublishVerdict::Published);
    let (text, _) = farm.served(&path).await.unwrap();
    let fields: Vec<&str> = text.lines().map(|line| line.split_once(": ").unwrap().0).collect();
    let expected = ["StorePath", "NarHash", "NarSize", "References", "Deriver", "Signature", "URL", "Compression", "FileSize"];
    assert_eq!(fields, expected);
    assert_eq!(farm.publish(&request).await, PublishVerdict::AlreadyThere);
}

#[tokio::test]
async fn a_nar_is_served_in_every_way_that_was_asked_for() {
    for ways in [&["lzip", "zstd", "gzip", "none"][..], &["gzip"]] {
        let farm = GuixFarm::new(ways);
        let large: Vec<u8> = (0..50_000u32).flat_map(|n| *Sha256::of(&n.to_le_bytes()).as_bytes()).collect();
        for (name, nar) in [("small", directory("x")), ("large", file([large, vec![0; 5 << 20]].concat()))] {
            let request = farm.output(&path_of(name), &nar, &[]).await;
            assert_eq!(farm.publish(&request).await, PublishVerdict::Published);
            let (_, narinfo) = farm.served(&request.path).await.unwrap();
            let nars = farm.nars(&narinfo).await;
            assert_eq!(nars.iter().map(|(way, _)| way.as_str()).collect::<Vec<_>>(), ways);
            assert!(nars.iter().all(|(_, served)| *served == nar), "{name}");
        }
    }
}

#[tokio::test]
async fn nix_gets_the_first_way_only() {
    let farm = GuixFarm::new(&["gzip", "zstd"]);
    let request = common::output(&farm.bucket, &path_of("hello"), &file("hello"), &[], &[]).await;
    assert_eq!(farm.publish(&request).await, PublishVerdict::Published);
    let text = farm.bucket.get(&Key::NarInfo(StoreDir::nix(), (&request.path).into()), 10_000).await.unwrap();
    let narinfo = NarInfo::parse(&StoreDir::nix(), std::str::from_utf8(&text).unwrap()).unwrap();
    assert_eq!((narinfo.files.len(), narinfo.files[0].compression.as_str()), (1, "gzip"));
    assert_eq!((narinfo.sigs.len(), narinfo.signature), (1, None));
}

#[tokio::test]
async fn a_wrong_nar_appears_in_no_way() {
    let farm = GuixFarm::new(&["zstd", "lzip"]);
    farm.publisher.introduce(&StoreDir::guix()).await.unwrap();
    let mut request = farm.output(&path_of("hello"), &file(vec![7; 3 << 20]), &[]).await;
    request.nar.nar_hash = Sha256::of(b"another");
    let verdict = farm.publish(&request).await;
    assert!(matches!(&verdict, PublishVerdict::Refused { why } if why.contains("nar has the hash")), "{verdict:?}");
    let claimed =
        Key::Nar { store_dir: StoreDir::guix(), file_hash: request.nar.file_hash, compression: drover_bucket::Compression::Zstd };
    assert!(!farm.bucket.exists(&claimed).await.unwrap());
    assert!(farm.served(&request.path).await.is_none());
}

#[tokio::test]
async fn a_nar_that_is_gone_in_one_way_is_brought_again_in_all() {
    let farm = GuixFarm::new(&["zstd", "gzip"]);
    let request = farm.output(&path_of("hello"), &file("hello"), &[]).await;
    farm.publish(&request).await;
    let (_, narinfo) = farm.served(&request.path).await.unwrap();
    farm.bucket.delete(&format!("cache/gnu-store/{}", narinfo.files[1].url).parse().unwrap()).await.unwrap();
    assert_eq!(farm.publish(&request).await, PublishVerdict::Published);
    assert_eq!(farm.nars(&narinfo).await.len(), 2);
}

#[tokio::test]
async fn without_a_key_for_guix_nothing_is_published_for_it() {
    let bucket = Bucket::open("memory://").unwrap();
    let keys = Keys::new(vec![SecretKey::generate("farm-1").unwrap()], None);
    let publisher = publisher_of(&bucket, keys, Packing::default());
    let request = common::output(&bucket, &path_of("hello"), &file("hello"), &[], &[]).await;
    let request = Publish { store_dir: StoreDir::guix(), ..request };
    assert!(matches!(publisher.publish(&request).await, Err(PublishError::NoKey(_))));
    assert!(!bucket.exists(&Key::CacheInfo(StoreDir::guix())).await.unwrap());
}

//! A farm without a broker: a bucket, a publisher, and things to publish.

use std::sync::Arc;

use drover_bucket::{Bucket, Compression, Key};
use drover_hook_workers::publish::{Keys, Limits, Packing, Publisher};
use drover_messages::publish::{Origin, Publish, PublishVerdict};
use drover_messages::{ClientId, SubmissionId};
use drover_store::{ContentAddress, NarInfo, PublicKey, SecretKey, Sha256, StoreDir, StorePath};

use crate::common;
use crate::failing_store::FailingStore;

pub const MAX_NAR_BYTES: u64 = 100 << 20;

pub struct Farm {
    pub store: Arc<FailingStore>,
    pub bucket: Bucket,
    pub publisher: Publisher,
    pub public_key: PublicKey,
    secret_key: SecretKey,
}

impl Farm {
    pub fn new() -> Self {
        let store = Arc::new(FailingStore::new());
        let bucket = Bucket::of_store(store.clone());
        let secret_key = SecretKey::generate("farm-1").unwrap();
        let publisher = publisher(&bucket, &secret_key);
        Self { public_key: secret_key.public(), store, bucket, publisher, secret_key }
    }

    /// As after the death of the worker: nothing is remembered.
    pub fn restart(&mut self) {
        self.publisher = publisher(&self.bucket, &self.secret_key);
    }

    pub async fn publish(&self, request: &Publish) -> PublishVerdict {
        self.publisher.publish(request).await.unwrap()
    }

    /// An output with these bytes as its nar, uploaded by an agent in an attempt of its own.
    pub async fn output(&self, path: &StorePath, nar: &[u8], references: &[&StorePath], candidates: &[&StorePath]) -> Publish {
        common::output(&self.bucket, path, nar, &cloned(references), &cloned(candidates)).await
    }

    /// A source with these bytes as its nar, uploaded by a client.
    pub async fn source(&self, path: &StorePath, nar: &[u8], references: &[&StorePath], ca: ContentAddress) -> Publish {
        let (client, submission) = (ClientId::new(), SubmissionId::new());
        let key = Key::SourceIncoming { client, submission, item: path.into() };
        let nar = common::upload(&self.bucket, &key, nar).await;
        common::request(path, &cloned(references), nar, Origin::Source { client, submission, ca })
    }

    /// The narinfo that the cache serves for a path. Its signature must be the farm's, and its nar must be there and be
    /// what it says.
    pub async fn served(&self, path: &StorePath) -> Option<NarInfo> {
        let store = StoreDir::nix();
        let text = match self.bucket.get(&Key::NarInfo(store.clone(), path.into()), 10_000).await {
            Ok(text) => text,
            Err(error) if error.is_not_found() => return None,
            Err(error) => panic!("{error}"),
        };
        let narinfo = NarInfo::parse(&store, std::str::from_utf8(&text).unwrap()).unwrap();
        assert!(self.public_key.verify(&narinfo.fingerprint(&store), &narinfo.sigs[0]), "signature");
        let url = format!("cache/nix-store/{}", narinfo.files[0].url).parse().unwrap();
        let object = self.bucket.get(&url, MAX_NAR_BYTES).await.expect("a narinfo is served whose nar is not there");
        assert_eq!(narinfo.files[0].file_hash, Some(Sha256::of(&object)));
        assert_eq!(narinfo.nar_hash, Sha256::of(&zstd::decode_all(&object[..]).unwrap()));
        Some(narinfo)
    }

    /// Whether the cache has the nar that a request speaks of.
    pub async fn has_nar(&self, request: &Publish) -> bool {
        self.bucket.exists(&nar_key(request)).await.unwrap()
    }

    pub async fn assert_refused(&self, request: &Publish, because: &str) {
        match self.publish(request).await {
            PublishVerdict::Refused { why } => assert!(why.contains(because), "refused, but because {why:?}"),
            verdict => panic!("expected a refusal because {because:?}, got {verdict:?}"),
        }
        assert!(!self.has_nar(request).await, "a refused nar is in the cache");
    }
}

fn publisher(bucket: &Bucket, key: &SecretKey) -> Publisher {
    publisher_of(bucket, Keys::new(vec![key.clone()], None), Packing::default())
}

pub fn publisher_of(bucket: &Bucket, keys: Keys, packing: Packing) -> Publisher {
    Publisher::new(bucket.clone(), keys, packing, Limits { max_nar_bytes: MAX_NAR_BYTES })
}

pub fn nar_key(request: &Publish) -> Key {
    Key::Nar { store_dir: StoreDir::nix(), file_hash: request.nar.file_hash, compression: Compression::Zstd }
}

fn cloned(paths: &[&StorePath]) -> Vec<StorePath> {
    paths.iter().map(|path| (*path).clone()).collect()
}

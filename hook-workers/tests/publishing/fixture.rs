//! A farm without a broker: a bucket, a publisher, and things to publish.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use drover_bucket::{Bucket, Compression, Key};
use drover_hook_workers::publish::{Limits, Publisher};
use drover_messages::publish::{Origin, Publish, PublishVerdict};
use drover_messages::request::Nar;
use drover_messages::{AgentId, AttemptId, BuildId, ClientId, Generation, PublicationId, SubmissionId};
use drover_store::{ContentAddress, NarInfo, PublicKey, SecretKey, Sha256, StoreDir, StorePath, nar};

use crate::failing_store::FailingStore;

pub const MAX_NAR_BYTES: u64 = 100 << 20;

pub struct Farm {
    pub store: Arc<FailingStore>,
    pub bucket: Bucket,
    pub publisher: Publisher,
    pub public_key: PublicKey,
    secret_key: SecretKey,
    agent: AgentId,
    client: ClientId,
}

impl Farm {
    pub fn new() -> Self {
        let store = Arc::new(FailingStore::new());
        let bucket = Bucket::of_store(store.clone());
        let secret_key = SecretKey::generate("farm-1").unwrap();
        let publisher = publisher(&bucket, &secret_key);
        Self {
            public_key: secret_key.public(),
            store,
            bucket,
            publisher,
            secret_key,
            agent: AgentId::new(),
            client: ClientId::new(),
        }
    }

    /// As after the death of the worker: nothing is remembered.
    pub fn restart(&mut self) {
        self.publisher = publisher(&self.bucket, &self.secret_key);
    }

    pub async fn publish(&self, request: &Publish) -> PublishVerdict {
        self.publisher.publish(request).await.unwrap()
    }

    /// An output with these bytes as its nar, uploaded by the agent in an attempt of its own.
    pub async fn output(&self, path: &StorePath, nar: &[u8], references: &[&StorePath], candidates: &[&StorePath]) -> Publish {
        let attempt = AttemptId::new();
        let key = Key::OutputIncoming { agent: self.agent, attempt, upload: 0, item: path.into() };
        let origin = Origin::Output {
            agent: self.agent,
            build: BuildId::new(),
            attempt,
            deriver: path_of("recipe.drv"),
            system: "x86_64-linux".into(),
            candidates: cloned(candidates),
            ca: None,
        };
        self.request(path, nar, references, key, origin).await
    }

    /// A source with these bytes as its nar, uploaded by the client.
    pub async fn source(&self, path: &StorePath, nar: &[u8], references: &[&StorePath], ca: ContentAddress) -> Publish {
        let (client, submission) = (self.client, SubmissionId::new());
        let key = Key::SourceIncoming { client, submission, item: path.into() };
        self.request(path, nar, references, key, Origin::Source { client, submission, ca }).await
    }

    async fn request(&self, path: &StorePath, nar: &[u8], references: &[&StorePath], key: Key, origin: Origin) -> Publish {
        Publish {
            publication: PublicationId::new(),
            generation: Generation(1),
            store_dir: StoreDir::nix(),
            path: path.clone(),
            references: cloned(references),
            nar: self.upload(key, nar).await,
            origin,
        }
    }

    async fn upload(&self, key: Key, nar: &[u8]) -> Nar {
        let object = Bytes::from(zstd::encode_all(nar, 3).unwrap());
        let uploaded = Nar {
            key: key.to_string(),
            nar_hash: Sha256::of(nar),
            nar_size: nar.len() as u64,
            file_hash: Sha256::of(&object),
            file_size: object.len() as u64,
        };
        let mut upload = self.bucket.upload(&key);
        upload.write(object).await.unwrap();
        upload.finish().await.unwrap();
        uploaded
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
        let url = format!("cache/nix-store/{}", narinfo.url).parse().unwrap();
        let object = self.bucket.get(&url, MAX_NAR_BYTES).await.expect("a narinfo is served whose nar is not there");
        assert_eq!(narinfo.file_hash, Some(Sha256::of(&object)));
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
    Publisher::new(bucket.clone(), vec![key.clone()], Limits { max_nar_bytes: MAX_NAR_BYTES })
}

pub fn nar_key(request: &Publish) -> Key {
    Key::Nar { store_dir: StoreDir::nix(), file_hash: request.nar.file_hash, compression: Compression::Zstd }
}

fn cloned(paths: &[&StorePath]) -> Vec<StorePath> {
    paths.iter().map(|path| (*path).clone()).collect()
}

/// A store path of this name.
pub fn path_of(name: &str) -> StorePath {
    let hash: [u8; 20] = Sha256::of(name.as_bytes()).as_bytes()[..20].try_into().unwrap();
    StorePath::from_parts(&hash, name).unwrap()
}

pub fn dump(path: &Path) -> Vec<u8> {
    let mut nar = Vec::new();
    nar::dump(path, &mut nar).unwrap();
    nar
}

/// The nar of a plain file.
pub fn file(contents: impl AsRef<[u8]>) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, contents).unwrap();
    dump(&path)
}

/// The nar of a directory with a file and a link in it.
pub fn directory(contents: impl AsRef<[u8]>) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), contents).unwrap();
    std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
    dump(dir.path())
}

//! Things to publish, for all tests of this crate.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::Path;

use bytes::Bytes;
use drover_bucket::{Bucket, Key};
use drover_messages::publish::{Origin, Publish};
use drover_messages::request::Nar;
use drover_messages::{AgentId, AttemptId, BuildId, Generation, PublicationId};
use drover_store::{Sha256, StoreDir, StorePath, nar};

/// A store path of this name, which nothing but a signature vouches for.
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

/// Compresses a nar and puts it at a key.
pub async fn upload(bucket: &Bucket, key: &Key, nar: &[u8]) -> Nar {
    let object = Bytes::from(zstd::encode_all(nar, 3).unwrap());
    let uploaded = Nar {
        key: key.to_string(),
        nar_hash: Sha256::of(nar),
        nar_size: nar.len() as u64,
        file_hash: Sha256::of(&object),
        file_size: object.len() as u64,
    };
    let mut upload = bucket.upload(key);
    upload.write(object).await.unwrap();
    upload.finish().await.unwrap();
    uploaded
}

/// An output with these bytes as its nar, uploaded by an agent in an attempt of its own.
pub async fn output(
    bucket: &Bucket,
    path: &StorePath,
    nar: &[u8],
    references: &[StorePath],
    candidates: &[StorePath],
) -> Publish {
    let (agent, attempt) = (AgentId::new(), AttemptId::new());
    let key = Key::OutputIncoming { agent, attempt, upload: 0, item: path.into() };
    let origin = Origin::Output {
        agent,
        build: BuildId::new(),
        attempt,
        deriver: path_of("recipe.drv"),
        system: "x86_64-linux".into(),
        candidates: candidates.to_vec(),
        ca: None,
        log: None,
    };
    request(path, references, upload(bucket, &key, nar).await, origin)
}

/// A request of the first scheduler.
pub fn request(path: &StorePath, references: &[StorePath], nar: Nar, origin: Origin) -> Publish {
    Publish {
        publication: PublicationId::new(),
        generation: Generation(1),
        store_dir: StoreDir::nix(),
        path: path.clone(),
        references: references.to_vec(),
        elsewhere: Vec::new(),
        nar,
        origin,
        closure: Vec::new(),
    }
}

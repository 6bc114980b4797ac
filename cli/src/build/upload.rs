//! Brings what the farm lacks of a closure to the bucket: derivations in packs, sources as compressed nars.
//!
//! All of it lies where only this submission points at, or under its own hash: what breaks off half-way harms nobody.

use std::collections::BTreeSet;
use std::io::Read;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use drover_bucket::{Bucket, HashPart, Key};
use drover_daemon::DaemonConfig;
use drover_messages::request::{MAX_PACKS, Nar, SourceNar};
use drover_messages::{ClientId, SubmissionId};
use drover_store::{DrvPath, PackId, PackWriter};
use futures::{StreamExt, TryStreamExt, stream};
use tempfile::SpooledTempFile;
use tokio::task::spawn_blocking;

use super::address;
use super::closure::Closure;
use super::items::Items;
use super::lacking::lacking;
use super::manifests;
use super::packed::Packed;
use super::progress::Upload as Progress;
use super::sources::{self, Source};
use crate::ask::Connection;
use crate::exit::bad_input;

/// Sources that are dumped and uploaded at once.
const SOURCES_AT_ONCE: usize = 4;
/// What is read of it at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What was brought to the bucket.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// With the derivations.
    pub(crate) packs: Vec<PackId>,
    /// The keys of the lists of sources, if there are any.
    pub(crate) manifests: Vec<String>,
}

/// Whose corner of the bucket it is.
#[derive(Clone)]
struct Corner {
    bucket: Bucket,
    client: ClientId,
    submission: SubmissionId,
    items: Items,
}

/// Sends what the farm lacks of the closure.
pub(crate) async fn send(
    connection: &Connection,
    submission: SubmissionId,
    items: &Items,
    closure: &Closure,
    daemon: DaemonConfig,
) -> anyhow::Result<Sent> {
    let lacks = lacking(connection, items.store_dir(), &closure.drvs, &closure.sources).await;
    let sources = sources::look_up(connection, items, daemon, lacks.sources).await?;
    if lacks.drvs.is_empty() && sources.is_empty() {
        return Ok(Sent::default());
    }
    let bucket = connection.bucket()?;
    let corner = Corner { bucket, client: connection.client(), submission, items: items.clone() };
    let progress = Progress::new(lacks.drvs.len() + sources.len());
    let packs = send_drvs(&corner, lacks.drvs, &progress).await?;
    let manifests = send_sources(&corner, sources, &progress).await?;
    progress.done();
    Ok(Sent { packs, manifests })
}

async fn send_drvs(corner: &Corner, drvs: BTreeSet<DrvPath>, progress: &Progress) -> anyhow::Result<Vec<PackId>> {
    let mut packs = Vec::new();
    let mut left: Vec<DrvPath> = drvs.into_iter().rev().collect();
    while !left.is_empty() {
        let before = left.len();
        let items = corner.items.clone();
        let (rest, bytes) = spawn_blocking(move || pack(&items, left)).await??;
        left = rest;
        let id = PackId::of(&bytes);
        corner.bucket.put_once(&Key::Pack(id), bytes).await.context("the bucket does not take the derivations")?;
        progress.add(before - left.len());
        packs.push(id);
    }
    if packs.len() > MAX_PACKS {
        return Err(bad_input(format!("the closure fills more than {MAX_PACKS} packs: submit parts of it")));
    }
    Ok(packs)
}

/// Packs derivations from the end of the list until the pack is full; returns those that are left.
fn pack(items: &Items, mut left: Vec<DrvPath>) -> anyhow::Result<(Vec<DrvPath>, Bytes)> {
    let mut pack = PackWriter::new();
    while let Some(drv) = left.pop() {
        let text = items.text(&drv)?.ok_or_else(|| items.nowhere(&drv))?;
        pack.push(&drv, text)?;
        if pack.is_full() {
            break;
        }
    }
    Ok((left, pack.finish()?))
}

async fn send_sources(corner: &Corner, sources: Vec<Source>, progress: &Progress) -> anyhow::Result<Vec<String>> {
    let sent: Vec<SourceNar> = stream::iter(sources)
        .map(|source| send_source(corner, source, progress))
        .buffer_unordered(SOURCES_AT_ONCE)
        .try_collect()
        .await?;
    let mut keys = Vec::new();
    for (n, manifest) in manifests::of(sent)?.into_iter().enumerate() {
        let key = Key::SourceManifest { client: corner.client, submission: corner.submission, n: n as u32 };
        corner.bucket.put_once(&key, manifest).await.context("the bucket does not take the list of sources")?;
        keys.push(key.to_string());
    }
    Ok(keys)
}

async fn send_source(corner: &Corner, source: Source, progress: &Progress) -> anyhow::Result<SourceNar> {
    let held = corner.items.hold(&source.path).await?;
    let on_disk = held.file.clone();
    let packed = spawn_blocking(move || Packed::of(&on_disk)).await?;
    let packed = packed.map_err(|error| bad_input(format!("{}: {error}", held.file.display())))?;
    let store_dir = corner.items.store_dir();
    let name = store_dir.path(&source.path);
    let ca = match source.ca {
        Some(ca) => ca,
        None => address::find(store_dir, &source.path, &source.references, &packed.content())
            .ok_or_else(|| bad_input(format!("{name} is no source: its name does not follow from its content")))?,
    };
    let item = HashPart::from(&source.path);
    let key = Key::SourceIncoming { client: corner.client, submission: corner.submission, item };
    let nar = Nar {
        key: key.to_string(),
        nar_hash: packed.nar.sha256,
        nar_size: packed.nar.size,
        file_hash: packed.file.sha256,
        file_size: packed.file.size,
    };
    put(&corner.bucket, &key, packed.bytes).await.with_context(|| format!("{name} cannot be uploaded"))?;
    progress.add(1);
    Ok(SourceNar { path: source.path, ca, references: source.references.into_iter().collect(), nar })
}

async fn put(bucket: &Bucket, key: &Key, mut bytes: SpooledTempFile) -> anyhow::Result<()> {
    let mut upload = bucket.upload(key);
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        if (&mut bytes).take(CHUNK_BYTES as u64).read_to_end(&mut chunk)? == 0 {
            break;
        }
        upload.write(chunk.into()).await?;
    }
    match upload.finish().await? {
        drover_bucket::Put::Created => Ok(()),
        drover_bucket::Put::Existed => Err(anyhow!("{key} is there already")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use drover_store::Sha256;

    use super::super::closure::tests::{Server, Store};
    use super::*;

    #[test]
    fn a_pack_takes_all_derivations_when_they_fit() {
        let store = Store::new();
        let drvs = vec![store.drv("one", &[], &[]), store.drv("two", &[], &[])];
        let (left, bytes) = pack(&store.items(), drvs.clone()).unwrap();
        assert!(left.is_empty());
        let pack = drover_store::Pack::open(bytes).unwrap();
        assert!(drvs.iter().all(|drv| pack.get(drv).unwrap() == store.items().text(drv).unwrap().unwrap()));
    }

    #[tokio::test]
    async fn an_uploaded_source_is_a_zstd_nar_of_the_hashes_that_are_told() {
        let store = Store::new();
        let path = store.source("setup.sh", "echo");
        let corner = Corner {
            bucket: Bucket::open("memory:///").unwrap(),
            client: ClientId::new(),
            submission: SubmissionId::new(),
            items: store.items(),
        };
        let source = Source { path: path.clone(), references: BTreeSet::new(), ca: None };
        let sent = send_source(&corner, source, &Progress::new(1)).await.unwrap();
        assert_eq!(sent.ca, drover_store::ContentAddress::Text(Sha256::of(b"echo")));
        let bytes = corner.bucket.get(&sent.nar.key.parse().unwrap(), 1 << 20).await.unwrap();
        assert_eq!((Sha256::of(&bytes), bytes.len() as u64), (sent.nar.file_hash, sent.nar.file_size));
        let nar = zstd::decode_all(&bytes[..]).unwrap();
        assert_eq!((Sha256::of(&nar), nar.len() as u64), (sent.nar.nar_hash, sent.nar.nar_size));
    }

    #[tokio::test]
    async fn an_item_that_is_no_source_is_not_sent() {
        let store = Store::new();
        let path = drover_store::StorePath::from_parts(&[5; 20], "built").unwrap();
        std::fs::write(store.store_dir.path(&path), "built").unwrap();
        let bucket = Bucket::open("memory:///").unwrap();
        let corner = Corner { bucket, client: ClientId::new(), submission: SubmissionId::new(), items: store.items() };
        let source = Source { path, references: BTreeSet::new(), ca: None };
        let error = send_source(&corner, source, &Progress::new(1)).await.unwrap_err();
        assert!(error.to_string().contains("is no source"), "{error}");
    }

    #[tokio::test]
    async fn a_source_from_elsewhere_is_sent_and_nothing_of_it_is_left_behind() {
        let here = Store::new();
        let there = here.elsewhere();
        let path = there.source("setup.sh", "echo");
        let items = here.items().and(Arc::new(Server(there))).unwrap();
        let bucket = Bucket::open("memory:///").unwrap();
        let corner = Corner { bucket, client: ClientId::new(), submission: SubmissionId::new(), items: items.clone() };
        let source = items.source(&path).await.unwrap().unwrap();
        let sent = send_source(&corner, source, &Progress::new(1)).await.unwrap();
        assert!(corner.bucket.get(&sent.nar.key.parse().unwrap(), 1 << 20).await.is_ok());
        assert!(!items.file(&path).exists());
    }
}

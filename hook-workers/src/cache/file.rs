//! `/CACHE/file/NAME/sha256/HASH`: a file by its own hash, as Guix asks its servers for sources whose home is gone. The store path
//! follows from the name and the hash; its nar is unpacked while it is sent.

use std::io::{self, Read};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Method;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use drover_bucket::{BucketError, Key, Object};
use drover_store::nar::{NarParser, NarSink};
use drover_store::{Digest, FixedHash, MAX_NARINFO_BYTES, NarInfo, StoreDir, StorePath, fixed_output_path};
use drover_substituter::Compression;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Cache;
use super::answer::{IMMUTABLE, busy, failed, not_found};
use super::unpack::{Out, PIECE_BYTES, unpacked};

/// Answers with the file.
pub async fn file(
    State(cache): State<Arc<Cache>>,
    Path((slug, name, algo, hash)): Path<(String, String, String, String)>,
    method: Method,
) -> Response {
    let Some((store, path)) = named(&slug, &name, &algo, &hash) else { return not_found() };
    let Some(permit) = cache.admit() else { return busy() };
    let key = Key::NarInfo(store.clone(), (&path).into());
    match find(&cache, &store, &key).await {
        Ok(Some((object, way))) => send(object, way, permit, method).await.unwrap_or_else(not_found),
        Ok(None) => not_found(),
        Err(error) => failed(&key, &error),
    }
}

/// The store, and the path that a plain file of this name and hash has there.
fn named(slug: &str, name: &str, algo: &str, hash: &str) -> Option<(StoreDir, StorePath)> {
    let store = store_of(slug)?;
    let digest = Digest::parse(algo.parse().ok()?, hash).ok()?;
    let path = fixed_output_path(&store, name, &FixedHash { recursive: false, digest }).ok()?;
    Some((store, path))
}

/// The store whose cache an address names.
pub fn store_of(slug: &str) -> Option<StoreDir> {
    match format!("cache/{slug}/nix-cache-info").parse() {
        Ok(Key::CacheInfo(store)) => Some(store),
        _ => None,
    }
}

/// The narinfo at a key, if there is one that can be read.
pub async fn narinfo(cache: &Cache, store: &StoreDir, key: &Key) -> Result<Option<NarInfo>, BucketError> {
    match cache.bucket.get(key, MAX_NARINFO_BYTES as u64).await {
        Ok(text) => Ok(NarInfo::parse(store, &String::from_utf8_lossy(&text)).ok()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The nar, in the way that is unpacked best.
async fn find(cache: &Cache, store: &StoreDir, key: &Key) -> Result<Option<(Object, Compression)>, BucketError> {
    let Some(narinfo) = narinfo(cache, store, key).await? else { return Ok(None) };
    let ways = narinfo.files.iter().filter_map(|file| Some((Compression::of(&file.compression)?, &file.url)));
    let Some((way, url)) = ways.min_by_key(|(way, _)| *way) else { return Ok(None) };
    let Ok(nar) = format!("cache/{}/{url}", store.slug()).parse() else { return Ok(None) };
    Ok(Some((cache.bucket.stream(&nar).await?, way)))
}

/// Sends the one file in a nar; `None` if there is none.
async fn send(object: Object, way: Compression, permit: OwnedSemaphorePermit, method: Method) -> Option<Response> {
    let (size, known) = oneshot::channel();
    let content = unpacked(object, way, permit, move |nar, out| unpack(nar, &mut OneFile { size: Some(size), out }));
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CACHE_CONTROL, IMMUTABLE.to_owned()),
        (CONTENT_LENGTH, known.await.ok()?.to_string()),
    ];
    Some(match method {
        Method::HEAD => headers.into_response(),
        _ => (headers, Body::from_stream(content)).into_response(),
    })
}

fn unpack(nar: &mut dyn Read, file: &mut OneFile<'_>) -> io::Result<()> {
    let (mut parser, mut chunk) = (NarParser::new(), vec![0; PIECE_BYTES]);
    while !parser.is_done() {
        match nar.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => parser.feed(&chunk[..read], file).map_err(io::Error::other)?,
        };
    }
    Ok(())
}

/// Tells the size of a file, and sends its content.
struct OneFile<'a> {
    size: Option<oneshot::Sender<u64>>,
    out: &'a Out,
}

impl NarSink for OneFile<'_> {
    fn directory(&mut self) -> io::Result<()> {
        Err(io::Error::other("not a file"))
    }

    fn symlink(&mut self, _target: &[u8]) -> io::Result<()> {
        Err(io::Error::other("not a file"))
    }

    fn regular(&mut self, _executable: bool, size: u64) -> io::Result<()> {
        let told = self.size.take().is_some_and(|tell| tell.send(size).is_ok());
        if told { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    fn contents(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.send(bytes)
    }
}

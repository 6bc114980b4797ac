//! One request, from the address asked for to the answer's headers and bytes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use drover_bucket::{BucketError, Key, Object};
use drover_messages::Generation;
use drover_store::StoreDir;
use futures::StreamExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::Cache;
use super::answer::{IMMUTABLE, NO_STORE, SHORT, busy, failed, not_found};
use super::range::{Wanted, wanted};

/// A bucket that takes longer to say anything, in seconds, is not well.
const HEALTH_TIMEOUT_SECS: u64 = 5;

pub async fn index(State(cache): State<Arc<Cache>>) -> Response {
    ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CACHE_CONTROL, SHORT)], cache.index.clone()).into_response()
}

/// Whether the bucket answers.
pub async fn health(State(cache): State<Arc<Cache>>) -> Response {
    let probe = cache.bucket.exists(&Key::Generation(Generation(1)));
    let (status, words) = match timeout(Duration::from_secs(HEALTH_TIMEOUT_SECS), probe).await {
        Ok(Ok(_)) => (StatusCode::OK, "ok\n".to_owned()),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, format!("the bucket did not answer within {HEALTH_TIMEOUT_SECS} s\n")),
    };
    (status, [(CACHE_CONTROL, NO_STORE)], words).into_response()
}

pub async fn object(State(cache): State<Arc<Cache>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let Some((key, kind)) = key(uri.path()) else { return not_found() };
    announced(&cache, method, &headers, &key, &kind).await
}

/// The key of Guix's cache, where Guix's own publisher has it: there is no more than one such cache.
pub async fn guix_key(State(cache): State<Arc<Cache>>, method: Method, headers: HeaderMap) -> Response {
    let key = Key::PublicKeys(StoreDir::guix());
    announced(&cache, method, &headers, &key, &KEYS).await
}

async fn announced(cache: &Cache, method: Method, headers: &HeaderMap, key: &Key, kind: &Kind) -> Response {
    let Some(permit) = cache.admit() else { return busy() };
    let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let answer = match method {
        Method::HEAD => head(cache, key, kind).await,
        _ => whole_or_part(cache, key, kind, range, permit).await,
    };
    answer.unwrap_or_else(|error| failed(key, &error))
}

/// How an object is announced.
struct Kind {
    content_type: &'static str,
    cache_control: &'static str,
}

const KEYS: Kind = Kind { content_type: "text/plain; charset=utf-8", cache_control: SHORT };

/// The key that an address names, if it is one of a cache.
fn key(path: &str) -> Option<(Key, Kind)> {
    let key: Key = format!("cache{path}").parse().ok()?;
    let (content_type, cache_control) = match key {
        Key::CacheInfo(_) => ("text/x-nix-cache-info", SHORT),
        Key::PublicKeys(_) => return Some((key, KEYS)),
        Key::NarInfo(..) => ("text/x-nix-narinfo", SHORT),
        Key::Nar { .. } => ("application/x-nix-nar", IMMUTABLE),
        _ => return None,
    };
    Some((key, Kind { content_type, cache_control }))
}

async fn head(cache: &Cache, key: &Key, kind: &Kind) -> Result<Response, BucketError> {
    match cache.bucket.size(key).await? {
        Some(size) => Ok((announce(kind, size), ()).into_response()),
        None => Ok(not_found()),
    }
}

async fn whole_or_part(
    cache: &Cache,
    key: &Key,
    kind: &Kind,
    range: Option<&str>,
    permit: OwnedSemaphorePermit,
) -> Result<Response, BucketError> {
    let object = cache.bucket.stream(key).await?;
    let size = object.size();
    match wanted(range, size) {
        Wanted::Whole => Ok((announce(kind, size), body(object, permit)).into_response()),
        Wanted::Part(range) => {
            let object = cache.bucket.stream_range(key, range.clone()).await?;
            let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            let headers = announce(kind, range.end - range.start);
            Ok((StatusCode::PARTIAL_CONTENT, headers, [(CONTENT_RANGE, content_range)], body(object, permit)).into_response())
        }
        Wanted::Nothing => {
            let headers = [(CONTENT_RANGE, format!("bytes */{size}")), (CACHE_CONTROL, NO_STORE.into())];
            Ok((StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response())
        }
    }
}

fn announce(kind: &Kind, length: u64) -> [(axum::http::HeaderName, String); 4] {
    [
        (CONTENT_TYPE, kind.content_type.into()),
        (CACHE_CONTROL, kind.cache_control.into()),
        (ACCEPT_RANGES, "bytes".into()),
        (CONTENT_LENGTH, length.to_string()),
    ]
}

/// The request counts until its last byte is sent.
fn body(object: Object, permit: OwnedSemaphorePermit) -> Body {
    Body::from_stream(object.stream().map(move |piece| {
        let _ = &permit;
        piece
    }))
}

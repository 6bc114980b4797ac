//! `/CACHE/log/NAME`: what the builder said, of a derivation or of an item that it made, by the last part of their paths. For those
//! who do not read Zstandard it is unpacked while it is sent.

use std::io::{self, Read};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use drover_bucket::{BucketError, Key};
use drover_store::{DrvPath, StoreDir, StorePath};
use drover_substituter::Compression;
use futures::StreamExt;

use super::Cache;
use super::answer::{SHORT, busy, failed, not_found};
use super::file::{narinfo, store_of};
use super::unpack::{Out, PIECE_BYTES, unpacked};

/// Answers with the log.
pub async fn log(
    State(cache): State<Arc<Cache>>,
    Path((slug, name)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let Some((store, path)) = store_of(&slug).zip(name.parse::<StorePath>().ok()) else { return not_found() };
    let key = match key(&cache, &store, path).await {
        Ok(Some(key)) => key,
        Ok(None) => return not_found(),
        Err(error) => return failed(&Key::CacheInfo(store), &error),
    };
    send(&cache, &key, method, takes_zstd(&headers)).await.unwrap_or_else(|error| failed(&key, &error))
}

/// Where the log of a derivation is, or that of what made an item.
async fn key(cache: &Cache, store: &StoreDir, path: StorePath) -> Result<Option<Key>, BucketError> {
    let deriver = if path.is_derivation() {
        Some(path)
    } else {
        let item = Key::NarInfo(store.clone(), (&path).into());
        narinfo(cache, store, &item).await?.filter(|info| info.store_path == path).and_then(|info| info.deriver)
    };
    let drv = deriver.and_then(|deriver| DrvPath::try_from(deriver).ok());
    Ok(drv.map(|drv| Key::PublicLog(store.clone(), drv)))
}

async fn send(cache: &Cache, key: &Key, method: Method, as_it_is: bool) -> Result<Response, BucketError> {
    let Some(permit) = cache.admit() else { return Ok(busy()) };
    let object = cache.bucket.stream(key).await?;
    // Whatever a builder said, it is words.
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, SHORT),
        (VARY, "accept-encoding"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let zstd = [(CONTENT_ENCODING, "zstd")];
    Ok(match (method, as_it_is) {
        (Method::HEAD, true) => (headers, zstd).into_response(),
        (Method::HEAD, false) => headers.into_response(),
        (_, true) => {
            let pieces = object.stream().map(move |piece| {
                let _ = &permit;
                piece
            });
            (headers, zstd, Body::from_stream(pieces)).into_response()
        }
        (_, false) => (headers, Body::from_stream(unpacked(object, Compression::Zstd, permit, pass_on))).into_response(),
    })
}

fn pass_on(log: &mut dyn Read, out: &Out) -> io::Result<()> {
    let mut chunk = vec![0; PIECE_BYTES];
    loop {
        match log.read(&mut chunk)? {
            0 => return Ok(()),
            read => out.send(&chunk[..read])?,
        }
    }
}

/// Whether the client says that it reads Zstandard.
fn takes_zstd(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("zstd") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_zstd_only_if_it_says_that_it_takes_it() {
        let takes = |value: &'static str| takes_zstd(&HeaderMap::from_iter([(ACCEPT_ENCODING, value.parse().unwrap())]));
        assert!(takes("gzip, zstd") && takes("ZSTD;q=0.5, br"));
        assert!(!takes("gzip") && !takes("zstd;q=0") && !takes("zstd;q=0.000") && !takes("xzstd"));
        assert!(!takes_zstd(&HeaderMap::new()));
    }
}

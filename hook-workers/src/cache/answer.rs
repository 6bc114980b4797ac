//! What all answers share: how long they may be remembered, and how failures are told.

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use drover_bucket::{BucketError, Key};

/// What is not there now may be there soon. Guix's clients remember that something is absent for as long as
/// `max-age` says, and for hours if it is not said.
pub const NO_STORE: &str = "no-store, max-age=0";
/// What is named by a hash of its content.
pub const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// A narinfo is replaced only when it is repaired.
pub const SHORT: &str = "public, max-age=60";
/// When a client that was turned away may come again, in seconds.
const RETRY_AFTER_SECS: &str = "2";

/// It is not there.
pub fn not_found() -> Response {
    (StatusCode::NOT_FOUND, [(CACHE_CONTROL, NO_STORE)], "not here\n").into_response()
}

/// More is asked for than is answered at once.
pub fn busy() -> Response {
    later("too many requests at once\n".into())
}

/// The bucket gives no answer, or says that it is not there.
pub fn failed(key: &Key, error: &BucketError) -> Response {
    if error.is_not_found() {
        return not_found();
    }
    tracing::warn!(%key, %error, "cannot serve");
    later(format!("{error}\n"))
}

fn later(words: String) -> Response {
    let headers = [(CACHE_CONTROL, NO_STORE), (RETRY_AFTER, RETRY_AFTER_SECS)];
    (StatusCode::SERVICE_UNAVAILABLE, headers, words).into_response()
}

//! `drover-cache`: the bucket's cache prefix over HTTP, so that Nix and Guix can fetch from it: items, and what Guix's own
//! publisher gives besides, fixed-output files by their hashes and the logs of builds. It reads, and it reads
//! there only: whatever is not a key of a cache is not there. It does not look at signatures: its clients do.

mod index;
mod range;
mod answer;
mod serve;
mod unpack;
mod file;
mod log;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use drover_bucket::Bucket;
use drover_store::PublicKey;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Answers that are under way at once; what comes beyond is told to come again.
pub const MAX_REQUESTS: usize = 1024;

/// What all requests share.
pub struct Cache {
    bucket: Bucket,
    index: String,
    requests: Arc<Semaphore>,
}

impl Cache {
    /// The right to be answered, which lasts until the last byte is sent.
    fn admit(&self) -> Option<OwnedSemaphorePermit> {
        self.requests.clone().try_acquire_owned().ok()
    }
}

/// The server's routes over a bucket. The keys are shown to people, and used for nothing else.
pub fn router(bucket: Bucket, public_keys: &[PublicKey]) -> Router {
    let cache = Cache { bucket, index: index::page(public_keys), requests: Arc::new(Semaphore::new(MAX_REQUESTS)) };
    Router::new()
        .route("/", get(serve::index))
        .route("/healthz", get(serve::health))
        .route("/signing-key.pub", get(serve::guix_key))
        .route("/{cache}/file/{name}/{algo}/{hash}", get(file::file))
        .route("/{cache}/log/{name}", get(log::log))
        .fallback(get(serve::object))
        .with_state(Arc::new(cache))
}

/// Listens; with port 0 on any that is free.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `shutdown`.
pub async fn run(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    // Answers are small and waited for.
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

/// Tells whoever started this where it listens, by a file that appears whole.
pub fn write_port_file(path: &Path, address: SocketAddr) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, format!("{address}\n"))?;
    std::fs::rename(&beside, path)
}

//! What a listing costs is asked of the store: how often it is asked to list.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use drover_bucket::{Bucket, Corner, Key};
use drover_messages::{AgentId, AttemptId};
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};

/// Memory that counts requests which are not about one object.
#[derive(Debug, Default)]
struct CountingStore {
    inner: InMemory,
    listings: AtomicUsize,
    deletions: AtomicUsize,
}

impl fmt::Display for CountingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CountingStore")
    }
}

#[async_trait::async_trait]
impl ObjectStore for CountingStore {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.deletions.fetch_add(1, Ordering::Relaxed);
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listings.fetch_add(1, Ordering::Relaxed);
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.listings.fetch_add(1, Ordering::Relaxed);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn all_attempts_of_an_agent_go_away_with_one_listing_and_one_deletion() {
    let store = Arc::new(CountingStore::default());
    let bucket = Bucket::of_store(store.clone());
    let (agent, item) = (AgentId::new(), "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy".parse().unwrap());
    let mut corners = BTreeSet::new();
    for _ in 0..500 {
        let key = Key::OutputIncoming { agent, attempt: AttemptId::new(), upload: 0, item };
        bucket.put_once(&key, "bytes".into()).await.unwrap();
        corners.extend(Corner::of(&key));
    }
    bucket.delete_corners(corners).await.unwrap();
    let counted = [&store.listings, &store.deletions].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counted, [1, 1]);
}

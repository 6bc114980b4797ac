//! A store that stops working after a number of changes, as it looks to a process that is killed there.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// Memory whose changes are counted.
#[derive(Debug)]
pub struct FailingStore {
    inner: InMemory,
    changes_left: AtomicI64,
}

impl FailingStore {
    pub fn new() -> Self {
        Self { inner: InMemory::new(), changes_left: AtomicI64::new(i64::MAX) }
    }

    /// After so many changes every call fails, until this is called again.
    pub fn fail_after(&self, changes: i64) {
        self.changes_left.store(changes, Ordering::SeqCst);
    }

    fn check(&self, cost: i64) -> Result<()> {
        match self.changes_left.fetch_sub(cost, Ordering::SeqCst) {
            left if left >= cost.max(1) => Ok(()),
            _ => {
                self.changes_left.store(0, Ordering::SeqCst);
                Err(Error::Generic { store: "failing", source: "injected".into() })
            }
        }
    }
}

impl fmt::Display for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FailingStore")
    }
}

#[async_trait::async_trait]
impl ObjectStore for FailingStore {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.check(1)?;
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.check(1)?;
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.check(0)?;
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check(1)?;
        self.inner.copy_opts(from, to, options).await
    }
}

//! An object of any size, written piece by piece, that appears once and whole.
//!
//! What fits into one part is put in one call. What does not is written to `staging/`, where nobody looks, and then
//! copied to its key by the store, if nothing is there: no kind of store can make the end of a large upload depend on
//! that by itself. A process that dies leaves its key untouched, and at most a staged object, named by a UUID whose
//! time says how old it is.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, WriteMultipart};
use uuid::Uuid;

use crate::bucket::{bounded, timed};
use crate::{Bucket, BucketError, Key, Put};

/// The size of all parts of a large upload but the last, in bytes. Stores take 10,000 parts: about 80 GB.
pub const PART_BYTES: usize = 8 << 20;
/// Parts that are on their way at once.
pub const PARTS_IN_FLIGHT: usize = 3;

/// An upload that has not been finished. Dropped, it leaves nothing at its key.
pub struct Upload {
    bucket: Bucket,
    name: String,
    held: Vec<Bytes>,
    held_bytes: usize,
    staged: Option<Staged>,
}

struct Staged {
    path: Path,
    writer: WriteMultipart,
}

impl Upload {
    pub(crate) fn new(bucket: Bucket, name: String) -> Self {
        Self { bucket, name, held: Vec::new(), held_bytes: 0, staged: None }
    }

    /// Adds bytes. Waits while enough parts are on their way.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), BucketError> {
        if self.staged.is_none() && self.held_bytes + bytes.len() > PART_BYTES {
            self.stage().await?;
        }
        match &mut self.staged {
            Some(staged) => {
                bounded(&self.name, staged.writer.wait_for_capacity(PARTS_IN_FLIGHT)).await?;
                staged.writer.put(bytes);
            }
            None => {
                self.held_bytes += bytes.len();
                self.held.push(bytes);
            }
        }
        Ok(())
    }

    /// Begins a large upload with what is held so far.
    async fn stage(&mut self) -> Result<(), BucketError> {
        let path = self.bucket.path(&format!("staging/{}", Uuid::now_v7()));
        let upload = bounded(&self.name, self.bucket.store.put_multipart(&path)).await?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        for bytes in self.held.drain(..) {
            writer.put(bytes);
        }
        self.held_bytes = 0;
        self.staged = Some(Staged { path, writer });
        Ok(())
    }

    /// Makes the object appear, if none is there.
    pub async fn finish(mut self) -> Result<Put, BucketError> {
        let (bucket, name) = (self.bucket.clone(), std::mem::take(&mut self.name));
        match self.staged.take() {
            Some(staged) => publish(&bucket, &name, staged).await,
            None => put(&bucket, &name, std::mem::take(&mut self.held)).await,
        }
    }

    /// Makes the object appear at another key than was said at first, if none is there: for what is named by its content, which
    /// is known only now.
    pub async fn finish_at(mut self, key: &Key) -> Result<Put, BucketError> {
        self.name = key.to_string();
        self.finish().await
    }

    /// Gives up, and waits until the store has thrown the parts away. Dropping does the same in the background.
    pub async fn abort(mut self) {
        if let Some(staged) = self.staged.take() {
            discard(&self.name, staged.writer).await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (Some(staged), Ok(runtime)) = (self.staged.take(), tokio::runtime::Handle::try_current()) else { return };
        let name = std::mem::take(&mut self.name);
        runtime.spawn(async move { discard(&name, staged.writer).await });
    }
}

async fn put(bucket: &Bucket, name: &str, bytes: Vec<Bytes>) -> Result<Put, BucketError> {
    let (key, payload, options) = (bucket.path(name), bytes.into_iter().collect(), PutMode::Create.into());
    created(name, timed(name, bucket.store.put_opts(&key, payload, options)).await?.map(drop))
}

async fn publish(bucket: &Bucket, name: &str, Staged { path, writer }: Staged) -> Result<Put, BucketError> {
    bounded(name, writer.finish()).await?;
    let copied = timed(name, bucket.store.copy_if_not_exists(&path, &bucket.path(name))).await;
    if let Err(error) = bounded(name, bucket.store.delete(&path)).await {
        tracing::warn!(%path, %error, "a staged object could not be deleted");
    }
    created(name, copied?)
}

async fn discard(name: &str, writer: WriteMultipart) {
    if let Err(error) = bounded(name, writer.abort()).await {
        tracing::warn!(key = name, %error, "the parts of an aborted upload may be left behind");
    }
}

fn created(name: &str, result: object_store::Result<()>) -> Result<Put, BucketError> {
    match result {
        Ok(()) => Ok(Put::Created),
        Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::Existed),
        Err(error) => Err(BucketError::of(name, error)),
    }
}

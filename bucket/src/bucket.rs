//! One object at a time: get, ask for, put once, delete. Every call ends within a bounded time.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::{BucketError, Key, Object, Upload, location};

/// How long any one call may take, in seconds, the store's own retries included.
pub const CALL_TIMEOUT_SECS: u64 = 60;

/// The farm's objects. Cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    pub(crate) store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// What came of a write-once put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is there now.
    Created,
    /// An object was there before; it stays as it was.
    Existed,
}

impl Bucket {
    /// Opens the bucket at a URL: `file:///path` (made if missing), `s3://bucket/prefix`, `gs://…`, `az://…`, or
    /// `memory://` for tests, which is new and empty each time. Nothing is read yet.
    pub fn open(url: &str) -> Result<Self, BucketError> {
        let (store, prefix) = location::open(url)?;
        Ok(Self { store, prefix })
    }

    /// A bucket in a store that the caller made: for tests that make a store fail.
    pub fn of_store(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, prefix: Path::default() }
    }

    /// A small object as a whole. More than `max_bytes` is an error, and is not read.
    pub async fn get(&self, key: &Key, max_bytes: u64) -> Result<Bytes, BucketError> {
        let object = self.stream(key).await?;
        object.bytes(max_bytes).await
    }

    /// An object, its size known, its bytes still to be read.
    pub async fn stream(&self, key: &Key) -> Result<Object, BucketError> {
        self.read(key, GetOptions::default()).await
    }

    /// A part of an object, in bytes. A range that lies wholly outside is an error.
    pub async fn stream_range(&self, key: &Key, range: std::ops::Range<u64>) -> Result<Object, BucketError> {
        self.read(key, GetOptions::new().with_range(Some(range))).await
    }

    async fn read(&self, key: &Key, options: GetOptions) -> Result<Object, BucketError> {
        let name = key.to_string();
        let result = bounded(&name, self.store.get_opts(&self.path(&name), options)).await?;
        Ok(Object::new(name, result))
    }

    /// The size of an object in bytes, if it is there.
    pub async fn size(&self, key: &Key) -> Result<Option<u64>, BucketError> {
        let name = key.to_string();
        match bounded(&name, self.store.head(&self.path(&name))).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether an object is there.
    pub async fn exists(&self, key: &Key) -> Result<bool, BucketError> {
        Ok(self.size(key).await?.is_some())
    }

    /// Puts a small object, if none is there. It appears whole or not at all, whenever this process dies.
    pub async fn put_once(&self, key: &Key, bytes: Bytes) -> Result<Put, BucketError> {
        let name = key.to_string();
        let options = PutOptions::from(PutMode::Create);
        match timed(&name, self.store.put_opts(&self.path(&name), bytes.into(), options)).await? {
            Ok(_) => Ok(Put::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::Existed),
            Err(error) => Err(BucketError::of(&name, error)),
        }
    }

    /// Puts a small object in the place of whatever was there. Only for what is meant to be replaced.
    pub async fn put(&self, key: &Key, bytes: Bytes) -> Result<(), BucketError> {
        let name = key.to_string();
        bounded(&name, self.store.put(&self.path(&name), bytes.into())).await.map(drop)
    }

    /// Starts to put an object of any size, if none is there. It appears when [`Upload::finish`] is called.
    pub fn upload(&self, key: &Key) -> Upload {
        Upload::new(self.clone(), key.to_string())
    }

    /// Deletes an object. It is no error if it was not there.
    pub async fn delete(&self, key: &Key) -> Result<(), BucketError> {
        let name = key.to_string();
        match bounded(&name, self.store.delete(&self.path(&name))).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    pub(crate) fn path(&self, name: &str) -> Path {
        // Keys and the names of staged objects have no character that a path would have to escape.
        match self.prefix.as_ref() {
            "" => Path::from(name),
            prefix => Path::from(format!("{prefix}/{name}")),
        }
    }

    /// The key of an object that was listed; of none, where it is not ours.
    pub(crate) fn key_at(&self, location: &Path) -> Option<Key> {
        let below = match self.prefix.as_ref() {
            "" => location.as_ref(),
            prefix => location.as_ref().strip_prefix(prefix)?.strip_prefix('/')?,
        };
        below.parse().ok()
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({}, {:?})", self.store, self.prefix.as_ref())
    }
}

/// A call's result, or a timeout.
pub(crate) async fn timed<T>(name: &str, call: impl Future<Output = T>) -> Result<T, BucketError> {
    tokio::time::timeout(Duration::from_secs(CALL_TIMEOUT_SECS), call)
        .await
        .map_err(|_| BucketError::Timeout { key: name.into(), secs: CALL_TIMEOUT_SECS })
}

/// A call's result in this crate's own words, or a timeout.
pub(crate) async fn bounded<T>(name: &str, call: impl Future<Output = object_store::Result<T>>) -> Result<T, BucketError> {
    timed(name, call).await?.map_err(|error| BucketError::of(name, error))
}

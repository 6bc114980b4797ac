//! From a URL to an object store. Credentials come from the environment (`AWS_…`, `GOOGLE_…`, `AZURE_…`), as the
//! stores' own tools read them.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3CopyIfNotExists};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme, RetryConfig};
use url::Url;

use crate::BucketError;

/// The most times one request to a remote store is sent again.
const MAX_RETRIES: usize = 4;
/// How long a request to a remote store is sent again, in seconds. Less than the timeout of a call.
const RETRY_SECS: u64 = 20;

/// The store that `url` names, and the prefix in it.
pub(crate) fn open(url: &str) -> Result<(Arc<dyn ObjectStore>, Path), BucketError> {
    let parsed = Url::parse(url).map_err(|error| BucketError::config(url, error))?;
    match parsed.scheme() {
        "memory" => Ok((Arc::new(InMemory::new()), Path::default())),
        "file" => Ok((folder(&parsed).map_err(|error| BucketError::config(url, error))?, Path::default())),
        _ => remote(&parsed).map_err(|error| BucketError::config(url, error)),
    }
}

/// A folder, made if it is missing. With `?fsync=true` every object is on the disk before it is said to be there:
/// that outlives a loss of power, and costs some milliseconds an object.
fn folder(url: &Url) -> Result<Arc<dyn ObjectStore>, Box<dyn std::error::Error + Send + Sync>> {
    let path = url.to_file_path().map_err(|()| "a folder is written file:///absolute/path")?;
    let fsync = match url.query() {
        None | Some("fsync=false") => false,
        Some("fsync=true") => true,
        Some(_) => return Err("the only option of a folder is ?fsync=true".into()),
    };
    std::fs::create_dir_all(&path)?;
    let store = LocalFileSystem::new_with_prefix(path)?.with_automatic_cleanup(true).with_fsync(fsync);
    Ok(Arc::new(store))
}

fn remote(url: &Url) -> object_store::Result<(Arc<dyn ObjectStore>, Path)> {
    let (scheme, prefix) = ObjectStoreScheme::parse(url)?;
    let retry =
        RetryConfig { max_retries: MAX_RETRIES, retry_timeout: Duration::from_secs(RETRY_SECS), ..RetryConfig::default() };
    let store: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::AmazonS3 => Arc::new(
            AmazonS3Builder::from_env()
                .with_url(url.as_str())
                .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
                .with_retry(retry)
                .build()?,
        ),
        ObjectStoreScheme::GoogleCloudStorage => {
            Arc::new(GoogleCloudStorageBuilder::from_env().with_url(url.as_str()).with_retry(retry).build()?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            Arc::new(MicrosoftAzureBuilder::from_env().with_url(url.as_str()).with_retry(retry).build()?)
        }
        other => {
            let source = format!("{other:?} cannot be a bucket: use file, s3, gs or az").into();
            return Err(object_store::Error::NotSupported { source });
        }
    };
    Ok((store, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_if_it_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a b/c");
        open(Url::from_file_path(&folder).unwrap().as_str()).unwrap();
        assert!(folder.is_dir());
    }

    #[test]
    fn what_is_no_bucket_is_said_to_be_none() {
        for url in ["", "relative/path", "ftp://host/", "https://example.com/x", "file:///tmp?sync=1"] {
            assert!(matches!(open(url), Err(BucketError::Config { .. })), "{url:?} was opened");
        }
    }
}

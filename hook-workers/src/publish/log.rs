//! What a builder said, for the world to read: beside the items, by the name of the derivation.

use drover_bucket::{Bucket, BucketError, Key};
use drover_messages::publish::{Origin, Publish};
use drover_store::DrvPath;
use futures::StreamExt;

/// The largest log that is shown, in bytes, compressed.
pub const MAX_SHOWN_LOG_BYTES: u64 = 256 << 20;

/// Copies the log of an attempt, if it has one and none is shown yet. Logs are not verified: they are words.
pub(super) async fn show_log(bucket: &Bucket, request: &Publish) -> Result<(), BucketError> {
    let Some((from, to)) = places(request) else { return Ok(()) };
    if bucket.exists(&to).await? {
        return Ok(());
    }
    let object = match bucket.stream(&from).await {
        Ok(object) if object.size() <= MAX_SHOWN_LOG_BYTES => object,
        Ok(object) => {
            tracing::warn!(key = %from, bytes = object.size(), "a log is too large to be shown");
            return Ok(());
        }
        Err(error) if error.is_not_found() => {
            tracing::warn!(key = %from, "a log is not there, and cannot be shown");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let mut upload = bucket.upload(&to);
    let mut pieces = object.stream();
    while let Some(bytes) = pieces.next().await.transpose()? {
        upload.write(bytes).await?;
    }
    upload.finish().await.map(drop)
}

/// Where it is, and where it shall be; only the attempt's own.
fn places(request: &Publish) -> Option<(Key, Key)> {
    let Origin::Output { build, attempt, deriver, log: Some(log), .. } = &request.origin else { return None };
    let from = Key::Log { build: *build, attempt: *attempt };
    if *log != from.to_string() {
        tracing::warn!(log, expected = %from, "a log that is not the attempt's is not shown");
        return None;
    }
    let drv = DrvPath::try_from(deriver.clone()).ok()?;
    Some((from, Key::PublicLog(request.store_dir.clone(), drv)))
}

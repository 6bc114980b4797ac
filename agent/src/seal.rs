//! A finished log on its way to the bucket. One that cannot be brought there does not fail its build.

use drover_bucket::{Bucket, Key};
use drover_messages::report::SealedLog;

use crate::backoff::Backoff;
use crate::build_log::{BuildLog, Finished};

/// How often it is tried, before the build is reported without it.
const TRIES: u32 = 5;

/// Brings the log to `key`. `None` where nothing was said, or the log is lost.
pub async fn seal(bucket: &Bucket, key: &Key, log: BuildLog) -> Option<SealedLog> {
    let Finished { compressed, bytes } = match log.finish() {
        Ok(finished) => finished?,
        Err(error) => {
            tracing::error!(%error, "a log is lost");
            return None;
        }
    };
    let mut backoff = Backoff::default();
    for _ in 0..TRIES {
        // An attempt that a killed agent began, and this one began anew, replaces its log.
        match bucket.put(key, compressed.clone()).await {
            Ok(()) => return Some(SealedLog { key: key.to_string(), bytes }),
            Err(error) => tracing::warn!(%key, %error, "a log could not be brought to the bucket"),
        }
        backoff.wait().await;
    }
    None
}

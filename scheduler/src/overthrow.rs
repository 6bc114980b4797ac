//! Whether another scheduler has begun a reign since: then this one is over.

use std::time::Duration;

use drover_bucket::Bucket;
use drover_messages::Generation;

/// How often the bucket is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn watch(bucket: Bucket, generation: Generation) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match bucket.is_superseded(generation).await {
            Ok(false) => {}
            Ok(true) => anyhow::bail!("another scheduler has begun a reign after this one ({generation}): this one is over"),
            Err(error) => tracing::warn!(%error, "cannot see whether the reign is over"),
        }
    }
}

//! How much one build may make: what is too large is found out from the daemon, and nothing of it is uploaded.

use std::collections::BTreeMap;

use drover_messages::Cause;
use drover_store::{OutputName, StorePath};

use crate::backoff::Backoff;
use crate::cause_of::words;
use crate::daemon_pool::DaemonPool;
use crate::failure::Failure;

/// Fails where the nars of all outputs of a build have more bytes together than this; 0 is no limit. Outputs that were in the
/// store before count as well: they would be uploaded like the others, and what was too large once would pass when it is
/// tried again.
pub async fn check_outputs(
    daemons: &DaemonPool,
    outputs: &BTreeMap<OutputName, StorePath>,
    most_bytes: u64,
) -> Result<(), Failure> {
    if most_bytes == 0 {
        return Ok(());
    }
    let mut bytes = 0_u64;
    for path in outputs.values() {
        bytes = bytes.saturating_add(nar_bytes(daemons, path).await);
    }
    if bytes <= most_bytes {
        return Ok(());
    }
    let message = format!("the nars of its outputs have {bytes} bytes together, and {most_bytes} is the most");
    Err(Failure::new(Cause::TooLarge, message))
}

/// A daemon that is away is waited for: what is built is not given up. What the store has lost is for the upload to tell.
async fn nar_bytes(daemons: &DaemonPool, path: &StorePath) -> u64 {
    let mut backoff = Backoff::default();
    loop {
        match daemons.path_info(path).await {
            Ok(info) => return info.map_or(0, |info| info.nar_size),
            Err(error) => tracing::warn!(%path, error = words(&error), "the daemon does not say how large an output is"),
        }
        backoff.wait().await;
    }
}

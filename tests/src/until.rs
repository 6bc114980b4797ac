//! Waiting for something that cannot be waited for.

use std::time::Duration;

use crate::PATIENCE;

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until something is so.
///
/// # Panics
/// When that does not come within [`PATIENCE`].
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "it never came: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

//! Asking again what a server did not answer.

use std::future::Future;
use std::time::Duration;

use crate::SubstituterError;

/// How often a question is asked before the server counts as unreachable.
pub(crate) const TRIES: u32 = 3;
/// The wait before the second try; the third waits four times as long.
const FIRST_DELAY: Duration = Duration::from_millis(250);

/// Does it until it is done, or a last time.
pub(crate) async fn retrying<T, F>(mut ask: impl FnMut() -> F) -> Result<T, SubstituterError>
where
    F: Future<Output = Result<T, SubstituterError>>,
{
    let mut delay = FIRST_DELAY;
    for _ in 1..TRIES {
        match ask().await {
            Err(error) if error.is_transient() => tracing::debug!(%error, "asking again"),
            answer => return answer,
        }
        // Never in step with others.
        tokio::time::sleep(delay.mul_f64(rand::random_range(0.5..1.0))).await;
        delay *= 4;
    }
    ask().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn tries(error: fn() -> SubstituterError) -> u32 {
        let mut tries = 0;
        let ended = retrying(|| {
            tries += 1;
            async { Err::<(), _>(error()) }
        });
        ended.await.unwrap_err();
        tries
    }

    #[tokio::test(start_paused = true)]
    async fn only_silence_is_asked_again() {
        assert_eq!(tries(|| SubstituterError::unreachable("u", "silent")).await, TRIES);
        assert_eq!(tries(|| SubstituterError::broken("u", "wrong")).await, 1);
        assert_eq!(tries(|| SubstituterError::Absent { url: "u".into() }).await, 1);
    }
}

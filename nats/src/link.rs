//! Whether the broker can be reached: what is told to others about it, how long to wait, what an operator must hear.

use std::time::Duration;

use async_nats::{ClientError, Event, ServerError};
use tokio::sync::watch;

/// The connection to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Gone; it comes back by itself.
    Down,
    /// There.
    Up {
        /// Grows each time that it comes back. Whoever sees it grow makes sure again of what the broker may have lost.
        times: u64,
    },
}

impl Link {
    /// Whether it is there.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Up { .. })
    }
}

const FIRST_DELAY: Duration = Duration::from_millis(50);
const MAX_DELAY: Duration = Duration::from_secs(4);

/// How long to wait before try number `attempt`: doubling, with jitter, so that a farm does not come back as one.
pub(crate) fn backoff(attempt: usize) -> Duration {
    if attempt <= 1 {
        return FIRST_DELAY.mul_f64(rand::random_range(0.0..1.0));
    }
    let full = FIRST_DELAY.saturating_mul(1 << attempt.min(10)).min(MAX_DELAY);
    full.mul_f64(rand::random_range(0.5..1.0))
}

/// Tells one event of the connection to whoever watches, and to the log.
pub(crate) fn heard(event: &Event, user: &str, link: &watch::Sender<Link>, times: &mut u64) {
    match event {
        Event::Connected => {
            *times += 1;
            link.send_replace(Link::Up { times: *times });
            tracing::info!(user, times = *times, "connected to nats");
        }
        Event::Disconnected | Event::Closed => {
            link.send_replace(Link::Down);
            tracing::warn!(user, "lost the connection to nats; trying again for ever");
        }
        Event::ServerError(ServerError::AuthorizationViolation) => refused(user),
        Event::ServerError(error) if error.to_string().contains("ermissions Violation") => {
            tracing::error!(user, %error, "nats did not let this login do that: check what its role may do");
        }
        Event::ClientError(ClientError::Other(error)) if error.contains("authorization") => refused(user),
        Event::SlowConsumer(_) => tracing::error!(user, "messages were dropped: this process reads too slowly"),
        other => tracing::warn!(user, event = %other, "nats"),
    }
}

/// The subject on which the server did not let this login publish, if the event says that. In its words:
/// `Permissions Violation for Publish to "rpc.admin.drain"`.
pub(crate) fn forbidden(event: &Event) -> Option<String> {
    let Event::ServerError(ServerError::Other(words)) = event else { return None };
    let (_, behind) = words.split_once("ermissions Violation for Publish to \"")?;
    behind.split_once('"').map(|(subject, _)| subject.to_owned())
}

/// Says what an operator should look at. The server does not tell clients why it refuses them.
pub(crate) fn refused(user: &str) {
    tracing::error!(
        user,
        "nats refused this login; trying again for ever. Check that the login exists, that its password is the newest, \
         and that the server has read its logins; the reason stands only in the server's own log"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_to_a_bound_and_differs_from_one_process_to_the_next() {
        assert!(backoff(1) <= FIRST_DELAY);
        for attempt in [10, 100, usize::MAX] {
            assert!((MAX_DELAY / 2..=MAX_DELAY).contains(&backoff(attempt)));
        }
        let delays: std::collections::HashSet<_> = (0..50).map(|_| backoff(9)).collect();
        assert!(delays.len() > 1);
    }

    #[test]
    fn where_nobody_may_publish_is_read_from_the_servers_words() {
        let said = |words: &str| forbidden(&Event::ServerError(ServerError::Other(words.into())));
        let subject = Some("rpc.admin.drain".to_owned());
        assert_eq!(said("Permissions Violation for Publish to \"rpc.admin.drain\""), subject);
        assert_eq!(said("Permissions Violation for Subscription to \"ev.>\""), None);
    }

    #[test]
    fn the_count_grows_with_each_return() {
        let (sender, receiver) = watch::channel(Link::Down);
        let mut times = 0;
        for event in [Event::Connected, Event::Disconnected, Event::Connected] {
            heard(&event, "a", &sender, &mut times);
        }
        assert_eq!(*receiver.borrow(), Link::Up { times: 2 });
    }
}

//! Hands requests to the broker, again until it has them. From then on they are safe: the scheduler may be down.

use std::any::Any;
use std::time::Duration;

use anyhow::anyhow;
use drover_messages::Message;
use drover_nats::{NatsError, Subject};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::ask::Connection;

/// How long to try while the broker does not take it.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Publishes, and returns when the broker has it.
pub(crate) async fn publish<M: Message + Any>(connection: &Connection, subject: &Subject, request: &M) -> anyhow::Result<()> {
    let until = Instant::now() + TAKEN_WITHIN;
    loop {
        match publish_once(connection, subject, request).await {
            Ok(()) => return Ok(()),
            Err(NatsError::Timeout { .. } | NatsError::NoStream { .. }) if Instant::now() < until => sleep(TRY_AGAIN_AFTER).await,
            Err(error) => return Err(anyhow!("the broker did not take the request: {error}")),
        }
    }
}

/// Publishes once. Each time under an id of its own: the broker must deliver it again where the scheduler does not know
/// it; that it is the same, the scheduler sees by the id in it.
pub(crate) async fn publish_once<M: Message + Any>(
    connection: &Connection,
    subject: &Subject,
    request: &M,
) -> Result<(), NatsError> {
    connection.bus.publish(subject, request, &Uuid::now_v7().to_string()).await.map(|_| ())
}

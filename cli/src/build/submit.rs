//! Hands a submission to the broker, again until it has it. From then on it is safe: the scheduler may be down.

use std::time::Duration;

use anyhow::anyhow;
use drover_messages::request::Submit;
use drover_nats::{NatsError, Subject};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::ask::Connection;

/// How long to try while the broker does not take it.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Publishes, and returns when the broker has it.
pub(crate) async fn publish(connection: &Connection, submit: &Submit) -> anyhow::Result<()> {
    let until = Instant::now() + TAKEN_WITHIN;
    loop {
        match publish_once(connection, submit).await {
            Ok(()) => return Ok(()),
            Err(NatsError::Timeout { .. } | NatsError::NoStream { .. }) if Instant::now() < until => sleep(TRY_AGAIN_AFTER).await,
            Err(error) => return Err(anyhow!("the submission was not taken: {error}")),
        }
    }
}

/// Publishes once. Each time under an id of its own: the broker must deliver it again where the scheduler does not know
/// it; that it is the same, the scheduler sees by the submission's id.
pub(crate) async fn publish_once(connection: &Connection, submit: &Submit) -> Result<(), NatsError> {
    let subject = Subject::Submit { client: connection.client(), submission: submit.submission };
    connection.bus.publish(&subject, submit, &Uuid::now_v7().to_string()).await.map(|_| ())
}

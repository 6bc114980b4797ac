//! A submission as a request, to be handed to the broker.

use drover_messages::request::Submit;
use drover_nats::{NatsError, Subject};

use crate::ask::Connection;
use crate::request;

/// Publishes, and returns when the broker has it.
pub(crate) async fn publish(connection: &Connection, submit: &Submit) -> anyhow::Result<()> {
    request::publish(connection, &subject(connection, submit), submit).await
}

/// Publishes once more.
pub(crate) async fn publish_once(connection: &Connection, submit: &Submit) -> Result<(), NatsError> {
    request::publish_once(connection, &subject(connection, submit), submit).await
}

fn subject(connection: &Connection, submit: &Submit) -> Subject {
    Subject::Submit { client: connection.client(), submission: submit.submission }
}

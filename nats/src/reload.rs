//! Makes a running nats-server read its logins again: new ones can connect, ended ones are cut off.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::timeout;

use crate::{Bus, Login, NatsError};

/// How long the server may take.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection with the login [`crate::permissions::Who::System`].
#[derive(Clone)]
pub struct ServerControl {
    bus: Bus,
}

#[derive(Deserialize)]
struct Answer {
    server: Server,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Server {
    id: String,
}

#[derive(Deserialize)]
struct Fault {
    description: String,
}

impl ServerControl {
    /// Connects, for ever.
    pub async fn connect(login: &Login) -> Result<Self, NatsError> {
        Ok(Self { bus: Bus::connect(login).await? })
    }

    /// Connects and reloads, once.
    pub async fn reload_with(login: &Login) -> Result<(), NatsError> {
        let connected = timeout(RELOAD_TIMEOUT, Self::connect(login)).await;
        let late = |_| NatsError::Timeout { what: "connecting to reload the logins".into(), within: RELOAD_TIMEOUT };
        connected.map_err(late)??.reload().await
    }

    /// Makes the server that this is connected to read its configuration again.
    pub async fn reload(&self) -> Result<(), NatsError> {
        let server = self.ask("$SYS.REQ.SERVER.PING").await?.server.id;
        match self.ask(&format!("$SYS.REQ.SERVER.{server}.RELOAD")).await?.error {
            None => Ok(()),
            Some(fault) => Err(refused(fault.description)),
        }
    }

    async fn ask(&self, subject: &str) -> Result<Answer, NatsError> {
        let asked = self.bus.raw_request(subject.into(), async_nats::HeaderMap::new(), Bytes::new(), RELOAD_TIMEOUT).await;
        let answer = asked.map_err(|error| refused(error.to_string()))?;
        serde_json::from_slice(&answer.payload).map_err(|error| refused(error.to_string()))
    }
}

fn refused(why: String) -> NatsError {
    NatsError::Refused { what: "reloading the logins".into(), why }
}

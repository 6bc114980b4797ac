//! Logins, made and renewed on request. They are kept in the folder that nats-server's configuration includes.

use std::path::PathBuf;

use drover_messages::admin::{LoginAnswer, NewLogin, NewPassword};
use drover_nats::Login;
use drover_nats::logins::Logins;
use drover_nats::permissions::Who;
use drover_nats::reload::ServerControl;
use uuid::Uuid;

/// Where logins are made, if anywhere, and who makes the broker read them.
#[derive(Debug, Clone)]
pub(crate) struct Office {
    folder: Option<PathBuf>,
    system: Option<Login>,
}

impl Office {
    pub(crate) fn new(folder: Option<PathBuf>, system: Option<Login>) -> Self {
        Self { folder, system }
    }

    /// Makes the broker read the logins again. Where that does not work, its operator has to.
    pub(crate) async fn publish(&self) {
        let Some(system) = &self.system else { return };
        if let Err(error) = ServerControl::reload_with(system).await {
            tracing::warn!(%error, "nats-server could not be made to read the logins: reload it by hand");
        }
    }

    /// Makes a login.
    pub(crate) fn make(&self, new: &NewLogin) -> Result<LoginAnswer, String> {
        let id = Uuid::now_v7();
        let password = self.open()?.add(Who::of(new.role, id), &new.name).map_err(|error| error.to_string())?;
        Ok(LoginAnswer::Made { id, password })
    }

    /// Gives a login another password.
    pub(crate) fn renew(&self, asked: &NewPassword) -> Result<LoginAnswer, String> {
        let renewed = self.open()?.renew(&asked.id.to_string()).map_err(|error| error.to_string())?;
        Ok(renewed.map_or(LoginAnswer::Unknown, |password| LoginAnswer::Made { id: asked.id, password }))
    }

    fn open(&self) -> Result<Logins, String> {
        let folder = self.folder.as_deref().ok_or("this scheduler was started without --logins: it can make none")?;
        Logins::open(folder).map_err(|error| error.to_string())
    }
}

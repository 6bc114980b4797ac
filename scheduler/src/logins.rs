//! Logins, made and renewed on request. They are kept in the folder that nats-server's configuration includes.

use std::path::{Path, PathBuf};

use drover_messages::admin::{LoginAnswer, NewLogin, NewPassword};
use drover_nats::logins::Logins;
use drover_nats::permissions::Who;
use uuid::Uuid;

/// Where logins are made, if anywhere.
#[derive(Debug, Clone)]
pub(crate) struct Office {
    folder: Option<PathBuf>,
}

impl Office {
    pub(crate) fn new(folder: Option<&Path>) -> Self {
        Self { folder: folder.map(Path::to_path_buf) }
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

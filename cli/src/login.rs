//! Makes logins and passwords by asking the scheduler, and writes the secret where only its owner can read it.
//!
//! The commands `agent` and `client` share it. The secret is told once; it is never printed.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, anyhow};
use drover_messages::admin::{LoginAnswer, NewLogin, NewPassword, Role};
use drover_nats::Admin;
use uuid::Uuid;

use crate::ask::Connection;
use crate::exit::bad_input;

/// Makes a login; returns its id.
pub(crate) async fn new(connection: &Connection, role: Role, name: &str, password_file: &Path) -> anyhow::Result<Uuid> {
    let file = reserve(password_file)?;
    let asked: anyhow::Result<LoginAnswer> =
        connection.administer(Admin::LoginNew, &NewLogin { role, name: name.to_owned() }).await;
    match asked? {
        LoginAnswer::Made { id, password } => file.fill(&password).map(|()| id),
        LoginAnswer::Unknown => Err(anyhow!("the scheduler did not make the login, and does not say why")),
    }
}

/// Gives a login another password.
pub(crate) async fn new_password(connection: &Connection, id: Uuid, password_file: &Path) -> anyhow::Result<()> {
    let file = reserve(password_file)?;
    let asked: anyhow::Result<LoginAnswer> = connection.administer(Admin::PasswordNew, &NewPassword { id }).await;
    match asked? {
        LoginAnswer::Made { password, .. } => file.fill(&password),
        LoginAnswer::Unknown => Err(bad_input(format!("no login has the id {id}: `drover agent list` shows the agents"))),
    }
}

/// A file next to the wanted one, made before the scheduler is asked: a secret that cannot be written would be lost.
struct Reserved<'a> {
    wanted: &'a Path,
    beside: std::path::PathBuf,
    file: std::fs::File,
}

fn reserve(wanted: &Path) -> anyhow::Result<Reserved<'_>> {
    let beside = wanted.with_added_extension("new");
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside);
    let file = file.map_err(|error| bad_input(format!("{} cannot be written: {error}", wanted.display())))?;
    Ok(Reserved { wanted, beside, file })
}

impl Reserved<'_> {
    fn fill(mut self, password: &str) -> anyhow::Result<()> {
        let write = writeln!(self.file, "{password}").and_then(|()| self.file.sync_all());
        let moved = write.and_then(|()| std::fs::rename(&self.beside, self.wanted));
        moved.with_context(|| format!("{}: the new password could not be kept; make another", self.wanted.display()))
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        // Gone already where it was filled.
        let _ = std::fs::remove_file(&self.beside);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_password_is_written_whole_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("agent.password");
        reserve(&wanted).unwrap().fill("secret").unwrap();
        assert_eq!(std::fs::read_to_string(&wanted).unwrap(), "secret\n");
        assert_eq!(std::fs::metadata(&wanted).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn without_an_answer_the_old_password_stays() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("agent.password");
        std::fs::write(&wanted, "old\n").unwrap();
        drop(reserve(&wanted).unwrap());
        assert_eq!(std::fs::read_to_string(&wanted).unwrap(), "old\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_found_out_before_the_scheduler_is_asked() {
        let error = reserve(Path::new("/nonexistent/agent.password")).map(|_| ()).unwrap_err();
        assert_eq!(crate::exit::of_error(&error), crate::exit::Exit::BadInput);
    }
}

//! The logins, in a folder that nats-server's configuration includes.
//!
//! `logins.json` is what we know; `users.conf` and `system.conf` are made from it, each replaced as a whole. Passwords
//! are 128 random bits, made here and told once. They are stored as bcrypt of the lowest cost: against guessing the
//! randomness is enough, a slow hash would only slow down a farm that reconnects; the hash is there so that whoever
//! reads the file or its backup cannot log in.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::permissions::{Permissions, Who, permissions};
use crate::{NatsError, header};

const LOGINS: &str = "logins.json";
const USERS: &str = "users.conf";
const SYSTEM: &str = "system.conf";
/// The lowest that there is: about a millisecond for each connection.
const BCRYPT_COST: u32 = 4;
const PASSWORD_BYTES: usize = 16;
/// The most logins, so that the server's configuration stays readable in one go.
const MAX_LOGINS: usize = 10_000;

/// A login, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginEntry {
    /// Who, and so what it may do.
    pub who: Who,
    /// For people.
    pub name: String,
    /// bcrypt of the password.
    pub password_hash: String,
}

/// All logins of a farm. One process at a time may change them.
#[derive(Debug)]
pub struct Logins {
    folder: PathBuf,
    entries: Vec<LoginEntry>,
}

impl Logins {
    /// The logins in a folder, which is made where it is missing.
    pub fn open(folder: &Path) -> Result<Self, NatsError> {
        let path = folder.join(LOGINS);
        let entries = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| unusable(&path, &error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(unusable(&path, &error)),
        };
        std::fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
        let logins = Self { folder: folder.into(), entries };
        logins.save()?;
        Ok(logins)
    }

    /// All of them.
    pub fn entries(&self) -> &[LoginEntry] {
        &self.entries
    }

    /// Makes a login, or makes it anew, and tells its password this once. The server has to read it: see
    /// [`crate::reload`].
    pub fn add(&mut self, who: Who, name: &str) -> Result<String, NatsError> {
        if self.entries.len() >= MAX_LOGINS {
            return Err(NatsError::File { path: self.folder.clone(), why: format!("there are {MAX_LOGINS} logins: the limit") });
        }
        let password = new_password();
        let password_hash = self.hash(&password)?;
        self.entries.retain(|entry| entry.who.user() != who.user());
        self.entries.push(LoginEntry { who, name: header::words(name), password_hash });
        self.save()?;
        Ok(password)
    }

    /// Gives a login another password and tells it this once; `None` where there is no such user.
    pub fn renew(&mut self, user: &str) -> Result<Option<String>, NatsError> {
        let password = new_password();
        let hash = self.hash(&password)?;
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.who.user() == user) else { return Ok(None) };
        entry.password_hash = hash;
        self.save()?;
        Ok(Some(password))
    }

    /// Ends a login. Whether there was one.
    pub fn remove(&mut self, user: &str) -> Result<bool, NatsError> {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.who.user() != user);
        self.save()?;
        Ok(self.entries.len() < before)
    }

    fn hash(&self, password: &str) -> Result<String, NatsError> {
        // The server takes a password for hashed by this prefix alone; newer ones mean the same.
        bcrypt::hash_with_result(password, BCRYPT_COST)
            .map(|parts| parts.format_for_version(bcrypt::Version::TwoA))
            .map_err(|error| unusable(&self.folder, &error))
    }

    fn save(&self) -> Result<(), NatsError> {
        let json = serde_json::to_vec_pretty(&self.entries).map_err(|error| unusable(&self.folder, &error))?;
        let (system, users): (Vec<_>, Vec<_>) = self.entries.iter().partition(|entry| entry.who == Who::System);
        let files = [(LOGINS, json), (USERS, users_conf(&users).into()), (SYSTEM, users_conf(&system).into())];
        for (name, bytes) in files {
            let path = self.folder.join(name);
            replace(&path, &bytes).map_err(|error| unusable(&path, &error))?;
        }
        Ok(())
    }
}

/// A new secret, as hex.
pub fn new_password() -> String {
    rand::random::<[u8; PASSWORD_BYTES]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The users of one account, as nats-server's configuration writes them. There is always one: an account without users
/// would let anybody in.
pub fn users_conf(entries: &[&LoginEntry]) -> String {
    let mut conf = String::from("# Written by Drover, from logins.json. Changes here are lost.\nusers: [\n");
    for entry in entries {
        conf += &format!("  # {}\n  {{ user: \"{}\", password: \"{}\"", entry.name, entry.who.user(), entry.password_hash);
        if let Some(permissions) = permissions(&entry.who) {
            conf += &format!(", permissions: {}", permissions_conf(&permissions));
        }
        conf += " }\n";
    }
    if entries.is_empty() {
        conf += &format!("  # Nobody: the password is thrown away.\n  {{ user: nobody, password: \"{}\" }}\n", new_password());
    }
    conf + "]\n"
}

fn permissions_conf(permissions: &Permissions) -> String {
    let list = |subjects: &[String]| subjects.iter().map(|subject| format!("\"{subject}\"")).collect::<Vec<_>>().join(", ");
    let respond = if permissions.respond { ", allow_responses: { max: 1, expires: \"1m\" }" } else { "" };
    let (publish, subscribe) = (list(&permissions.publish), list(&permissions.subscribe));
    format!("{{ publish: {{ allow: [{publish}] }}, subscribe: {{ allow: [{subscribe}] }}{respond} }}")
}

/// A reader sees the old file or the new one; so does whoever comes after a crash.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(new, path)
}

fn unusable(path: &Path, error: &impl std::fmt::Display) -> NatsError {
    NatsError::File { path: path.into(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_there_again_after_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut logins = Logins::open(folder.path()).unwrap();
        let first = logins.add(Who::Scheduler, "the scheduler").unwrap();
        let second = logins.renew("scheduler").unwrap().unwrap();
        assert_ne!(first, second);
        let again = Logins::open(folder.path()).unwrap();
        assert_eq!(again.entries(), logins.entries());
        assert!(bcrypt::verify(&second, &again.entries()[0].password_hash).unwrap());
        assert!(!bcrypt::verify(&first, &again.entries()[0].password_hash).unwrap());
    }

    #[test]
    fn no_file_holds_a_password_and_none_can_be_read_by_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let password = Logins::open(folder.path()).unwrap().add(Who::Publish, "").unwrap();
        for name in [LOGINS, USERS, SYSTEM] {
            let path = folder.path().join(name);
            assert!(!std::fs::read_to_string(&path).unwrap().contains(&password), "{name}");
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "{name}");
        }
    }

    #[test]
    fn a_name_cannot_write_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let mut logins = Logins::open(folder.path()).unwrap();
        logins.add(Who::Publish, "x\n] include \"/etc/passwd\"").unwrap();
        let conf = std::fs::read_to_string(folder.path().join(USERS)).unwrap();
        assert!(conf.lines().all(|line| !line.trim_start().starts_with("] include")), "{conf}");
    }

    #[test]
    fn renewing_and_removing_nobody_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut logins = Logins::open(folder.path()).unwrap();
        assert_eq!(logins.renew("nobody").unwrap(), None);
        assert!(!logins.remove("nobody").unwrap());
    }
}

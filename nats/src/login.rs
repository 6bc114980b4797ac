//! Who a process is to the broker, and how it is told: by flags, by environment, and a secret in a file.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::{NatsError, subject::is_token};

/// The largest file of a password, in bytes.
const MAX_PASSWORD_FILE_BYTES: u64 = 4096;

/// All that is needed to connect.
#[derive(Clone)]
pub struct Login {
    /// `nats://host:port`, or several with commas.
    pub url: String,
    /// The user: a UUID for agents and people, a word for Drover's own processes. One token of a subject.
    pub user: String,
    /// The secret.
    pub password: String,
    /// What the broker's lists of connections show.
    pub name: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("url", &self.url)
            .field("user", &self.user)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The flags that every process has in common.
#[derive(Debug, Clone, clap::Args)]
pub struct NatsArgs {
    /// Where NATS is
    #[arg(long, env = "DROVER_NATS_URL", default_value = "nats://127.0.0.1:4222", value_name = "URL")]
    pub nats_url: String,
    /// Who this is: the UUID that `drover agent new` printed
    #[arg(long, env = "DROVER_UUID", value_name = "UUID")]
    pub uuid: String,
    /// A file with the password, which only its owner may read
    #[arg(long, env = "DROVER_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: PathBuf,
}

impl NatsArgs {
    /// Reads the secret. `kind` is what the process is, for the broker's lists: `agent`, `scheduler`.
    pub fn login(&self, kind: &str) -> Result<Login, NatsError> {
        Login::read(&self.nats_url, &self.uuid, &self.password_file, kind)
    }
}

impl Login {
    /// A login whose secret is in a file.
    pub fn read(url: &str, user: &str, password_file: &Path, kind: &str) -> Result<Self, NatsError> {
        if !is_token(user) {
            let why = format!("the login {user:?} is no name: letters, digits, '-' and '_' only");
            return Err(NatsError::File { path: password_file.into(), why });
        }
        let password = read_password(password_file)?;
        Ok(Self { url: url.into(), user: user.into(), password, name: format!("{kind}/{}/{user}", host()) })
    }
}

/// The secret in a file, without the newline. A file that others may read is refused.
pub fn read_password(path: &Path) -> Result<String, NatsError> {
    let unusable = |why: String| NatsError::File { path: path.into(), why };
    let meta = std::fs::metadata(path).map_err(|e| unusable(format!("cannot read the password: {e}")))?;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(unusable(format!("mode {mode:03o} lets others read the password: chmod 600 it")));
    }
    if meta.len() > MAX_PASSWORD_FILE_BYTES {
        return Err(unusable(format!("larger than {MAX_PASSWORD_FILE_BYTES} bytes: not a password")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| unusable(format!("cannot read the password: {e}")))?;
    match text.trim() {
        "" => Err(unusable("empty: it should hold a password".into())),
        password => Ok(password.into()),
    }
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "host".into(), |name| name.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_password_is_read_without_its_newline() {
        assert_eq!(read_password(file("secret\n", 0o600).path()).unwrap(), "secret");
    }

    #[test]
    fn a_password_that_others_may_read_is_refused_and_the_error_says_what_to_do() {
        for mode in [0o640, 0o604, 0o644] {
            let error = read_password(file("secret", mode).path()).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn an_empty_password_and_a_missing_file_are_errors() {
        assert!(read_password(file("\n", 0o600).path()).is_err());
        assert!(read_password(Path::new("/nonexistent/password")).is_err());
    }

    #[test]
    fn a_login_that_would_widen_a_permission_is_refused() {
        let secret = file("secret", 0o600);
        for user in ["", "*", ">", "a.b", "a b"] {
            assert!(Login::read("nats://localhost", user, secret.path(), "agent").is_err(), "{user:?}");
        }
    }

    #[test]
    fn the_password_is_not_in_the_debug_output() {
        let login = Login { url: "u".into(), user: "a".into(), password: "hunter2".into(), name: "n".into() };
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}

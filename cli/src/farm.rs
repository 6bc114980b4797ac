//! Which farm a command speaks to: the folder that `drover up` wrote, or flags that name each thing.
//!
//! It knows `farm.json` and the flags. It does not connect to anything.

use std::path::{Path, PathBuf};

use anyhow::Context;
use drover_nats::Login;
use drover_store::StoreDir;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::exit::bad_input;

/// The file in a farm's folder that says where everything is.
pub(crate) const FILE: &str = "farm.json";

/// The farm that a command is for.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which farm")]
pub(crate) struct FarmArgs {
    /// The folder of a farm, as `drover up` made it [default: ~/.local/state/drover/farm]
    #[arg(long, value_name = "DIR", env = "DROVER_FARM", global = true)]
    farm: Option<PathBuf>,
    /// The broker, in place of the folder's
    #[arg(long, value_name = "URL", env = "DROVER_NATS_URL", global = true)]
    nats_url: Option<String>,
    /// The login to use, in place of the folder's
    #[arg(long, value_name = "UUID", env = "DROVER_UUID", global = true)]
    login: Option<Uuid>,
    /// The file with its password
    // Not `--password-file`, which names a file to write where passwords are made.
    #[arg(long, value_name = "FILE", env = "DROVER_PASSWORD_FILE", global = true)]
    login_password_file: Option<PathBuf>,
    /// The bucket, in place of the folder's: a URL such as file:///srv/drover or s3://name
    #[arg(long, value_name = "URL", env = "DROVER_BUCKET", global = true)]
    bucket: Option<String>,
}

/// What `farm.json` says. Paths are relative to the folder, or absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Farm {
    /// The broker.
    pub(crate) nats_url: String,
    /// Where the bytes lie.
    pub(crate) bucket: String,
    /// The stores that it serves here.
    #[serde(default)]
    pub(crate) stores: Vec<FarmStore>,
    /// One more, among the other fields: so it was written before there could be several.
    #[serde(flatten, skip_serializing)]
    pub(crate) only: Option<FarmStore>,
    /// The login of the person at this machine.
    pub(crate) uuid: Uuid,
    /// The file with its password.
    pub(crate) password_file: PathBuf,
}

/// What `farm.json` says of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FarmStore {
    /// Where its items live.
    pub(crate) store_dir: StoreDir,
    /// Its substitute server, with the store directory's part.
    pub(crate) cache_url: String,
    /// Its daemon on this machine, if there is one.
    pub(crate) daemon_socket: Option<PathBuf>,
}

/// All that a command needs to reach a farm.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    /// How to log in at the broker.
    pub(crate) login: Login,
    /// Who that is.
    pub(crate) id: Uuid,
    /// Where the bytes lie, if that is known.
    pub(crate) bucket: Option<String>,
    /// What the folder says, if there is one.
    pub(crate) farm: Option<Farm>,
}

/// Where a farm's folder is when nobody says: `~/.local/state/drover/farm`.
pub(crate) fn default_dir() -> anyhow::Result<PathBuf> {
    if let Some(state) = std::env::var_os("XDG_STATE_HOME").filter(|dir| Path::new(dir).is_absolute()) {
        return Ok(Path::new(&state).join("drover/farm"));
    }
    let home = std::env::var_os("HOME").ok_or_else(|| bad_input("HOME is not set: name the farm's folder"))?;
    Ok(Path::new(&home).join(".local/state/drover/farm"))
}

impl Farm {
    /// Reads the folder's `farm.json`; `None` where there is none.
    pub(crate) fn read(dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = dir.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let mut farm: Self = serde_json::from_slice(&bytes).map_err(|error| bad_input(format!("{}: {error}", path.display())))?;
        farm.password_file = dir.join(&farm.password_file);
        farm.stores.extend(farm.only.take());
        Ok(Some(farm))
    }

    /// The daemon of this store on this machine, if there is one.
    pub(crate) fn daemon_socket(&self, store_dir: &StoreDir) -> Option<PathBuf> {
        self.stores.iter().find(|store| store.store_dir == *store_dir).and_then(|store| store.daemon_socket.clone())
    }
}

impl FarmArgs {
    /// The folder that is named, or the usual one.
    pub(crate) fn dir(&self) -> anyhow::Result<PathBuf> {
        match &self.farm {
            Some(dir) => Ok(dir.clone()),
            None => default_dir(),
        }
    }

    /// The farm's folder, if it can be read: for defaults such as a store directory.
    pub(crate) fn folder(&self) -> anyhow::Result<Option<Farm>> {
        match self.dir() {
            Ok(dir) => Farm::read(&dir),
            Err(error) if self.farm.is_some() => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Everything needed to reach the farm: flags first, then the folder.
    pub(crate) fn access(&self) -> anyhow::Result<Access> {
        let farm = self.folder()?;
        let of_farm = farm.as_ref();
        let url = self.nats_url.clone().or(of_farm.map(|farm| farm.nats_url.clone())).ok_or_else(|| self.no_farm())?;
        let id = self.login.or(of_farm.map(|farm| farm.uuid)).ok_or_else(|| self.no_farm())?;
        let file =
            self.login_password_file.clone().or(of_farm.map(|farm| farm.password_file.clone())).ok_or_else(|| self.no_farm())?;
        let login = Login::read(&url, &id.to_string(), &file, "drover").map_err(|error| bad_input(error.to_string()))?;
        let bucket = self.bucket.clone().or(of_farm.map(|farm| farm.bucket.clone()));
        Ok(Access { login, id, bucket, farm })
    }

    fn no_farm(&self) -> anyhow::Error {
        let dir = self.dir().map(|dir| dir.display().to_string()).unwrap_or_default();
        bad_input(format!(
            "no farm at {dir}: start one by `drover up`, name another's folder by --farm, \
             or say --nats-url, --login, --login-password-file and --bucket"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(store_dir: StoreDir, socket: &str) -> FarmStore {
        let cache_url = format!("http://127.0.0.1:8080/{}", store_dir.slug());
        FarmStore { store_dir, cache_url, daemon_socket: Some(socket.into()) }
    }

    fn farm() -> Farm {
        Farm {
            nats_url: "nats://127.0.0.1:4222".into(),
            bucket: "file:///farm/bucket".into(),
            stores: vec![store(StoreDir::nix(), "/run/nix"), store(StoreDir::guix(), "/run/guix")],
            only: None,
            uuid: "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b".parse().unwrap(),
            password_file: "secrets/up".into(),
        }
    }

    #[test]
    fn the_folder_is_read_as_it_was_written_and_paths_are_made_whole() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), serde_json::to_vec(&farm()).unwrap()).unwrap();
        let read = Farm::read(dir.path()).unwrap().unwrap();
        assert_eq!(read, Farm { password_file: dir.path().join("secrets/up"), ..farm() });
    }

    #[test]
    fn a_farm_of_both_daemons_and_an_older_one_of_one_store_say_where_a_daemon_is() {
        assert_eq!(farm().daemon_socket(&StoreDir::guix()), Some("/run/guix".into()));
        let mut older = serde_json::to_value(farm()).unwrap();
        let only = older["stores"].take()[1].take();
        let fields = older.as_object_mut().unwrap();
        fields.remove("stores");
        fields.extend(only.as_object().unwrap().clone());
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), older.to_string()).unwrap();
        let read = Farm::read(dir.path()).unwrap().unwrap();
        assert_eq!(read.daemon_socket(&StoreDir::guix()), Some("/run/guix".into()));
        assert_eq!(read.daemon_socket(&StoreDir::nix()), None);
    }

    #[test]
    fn without_a_folder_the_error_says_how_to_get_one() {
        let dir = tempfile::tempdir().unwrap();
        let args = FarmArgs { farm: Some(dir.path().join("none")), ..FarmArgs::default() };
        let error = args.access().unwrap_err();
        assert!(error.to_string().contains("`drover up`"), "{error}");
        assert_eq!(crate::exit::of_error(&error), crate::exit::Exit::BadInput);
    }
}

//! Where the store daemon listens: as the operator says, as Guix's own clients are told, or where it usually does.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use drover_store::{Family, StoreDir};

use crate::AgentError;

/// Guix's own way to name its daemon's socket.
pub const GUIX_VARIABLE: &str = "GUIX_DAEMON_SOCKET";

const USUAL_OF_NIX: &str = "/nix/var/nix/daemon-socket/socket";
const USUAL_OF_GUIX: &str = "/var/guix/daemon-socket/socket";

/// The socket of this store's daemon. `named` comes first; `by_guix` counts for Guix's store only.
pub fn find(named: Option<String>, by_guix: Option<OsString>, store_dir: &StoreDir) -> Result<PathBuf, AgentError> {
    if let Some(named) = named {
        return read(&named);
    }
    match (store_dir.family(), by_guix.filter(|named| !named.is_empty())) {
        (Family::Nix, _) => Ok(USUAL_OF_NIX.into()),
        (Family::Guix, None) => Ok(USUAL_OF_GUIX.into()),
        (Family::Guix, Some(named)) => read(&named.to_string_lossy()),
    }
}

/// A path, or a URL of one, as in `GUIX_DAEMON_SOCKET`.
fn read(named: &str) -> Result<PathBuf, AgentError> {
    let path = match named.split_once("://") {
        Some(("unix" | "file", path)) => Some(path),
        Some(_) => None,
        None => Some(named),
    };
    path.map(PathBuf::from).filter(|path| path.is_absolute()).ok_or_else(|| AgentError::Socket(named.into()))
}

/// What helps where nobody answers at `socket`: there may be the other daemon.
pub fn hint(socket: &Path, store_dir: &StoreDir) -> Option<&'static str> {
    let only_guix = socket == Path::new(USUAL_OF_NIX) && !socket.exists() && Path::new(USUAL_OF_GUIX).exists();
    (store_dir.family() == Family::Nix && only_guix)
        .then_some("there is a guix-daemon on this machine: to build with it, run the agent with --store-dir /gnu/store")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_where_somebody_says_or_where_its_daemon_usually_listens() {
        let found = |named: Option<&str>, by_guix: Option<&str>, dir| {
            find(named.map(Into::into), by_guix.map(Into::into), &dir).unwrap().display().to_string()
        };
        let (nix, guix) = (StoreDir::nix, StoreDir::guix);
        assert_eq!(found(None, Some("/g"), nix()), USUAL_OF_NIX);
        assert_eq!(found(None, None, guix()), USUAL_OF_GUIX);
        assert_eq!(found(None, Some(""), guix()), USUAL_OF_GUIX);
        assert_eq!(found(None, Some("unix:///g"), guix()), "/g");
        assert_eq!(found(Some("/named"), Some("/g"), guix()), "/named");
        assert_eq!(found(Some("file:///named"), None, nix()), "/named");
    }

    #[test]
    fn a_daemon_on_another_machine_is_refused() {
        for named in ["guix://builder:44146", "ssh://root@builder", "relative/socket"] {
            let error = find(None, Some(named.into()), &StoreDir::guix()).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}

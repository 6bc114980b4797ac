//! Where a store daemon listens, when nobody says.

use std::env::var_os;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use drover_store::{Family, StoreDir};

use crate::exit::bad_input;

/// Guix's own way to name its daemon's socket.
const GUIX_VARIABLE: &str = "GUIX_DAEMON_SOCKET";

/// Where the daemon of this store usually listens; for Guix's, where its clients are told to look.
pub(crate) fn usual(store_dir: &StoreDir) -> anyhow::Result<PathBuf> {
    match store_dir.family() {
        Family::Nix => Ok("/nix/var/nix/daemon-socket/socket".into()),
        Family::Guix => guix(var_os(GUIX_VARIABLE)),
    }
}

fn guix(named: Option<OsString>) -> anyhow::Result<PathBuf> {
    let Some(named) = named.filter(|named| !named.is_empty()) else {
        return Ok("/var/guix/daemon-socket/socket".into());
    };
    let words = named.to_string_lossy();
    let path = match words.split_once("://") {
        Some(("file" | "unix", path)) => PathBuf::from(path),
        Some(_) => PathBuf::new(),
        None => PathBuf::from(&named),
    };
    if path.is_absolute() {
        return Ok(path);
    }
    let usual = Path::new("/var/guix/daemon-socket/socket").display();
    Err(bad_input(format!(
        "{GUIX_VARIABLE} is {words}, and Drover reaches a daemon only through a socket on this machine: name that by \
         --daemon-socket, such as {usual}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guix_may_name_its_socket_by_path_or_by_url() {
        let path = Path::new("/run/guix/socket");
        assert_eq!(guix(Some("/run/guix/socket".into())).unwrap(), path);
        assert_eq!(guix(Some("unix:///run/guix/socket".into())).unwrap(), path);
        assert_eq!(guix(Some("file:///run/guix/socket".into())).unwrap(), path);
        assert_eq!(guix(None).unwrap(), guix(Some("".into())).unwrap());
    }

    #[test]
    fn a_daemon_on_another_machine_is_refused_with_what_to_say_instead() {
        for url in ["guix://localhost:44146", "ssh://root@builder", "socket"] {
            let error = guix(Some(url.into())).unwrap_err();
            assert!(error.to_string().contains("--daemon-socket"), "{error}");
        }
    }
}

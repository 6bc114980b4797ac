//! Where the programs of the farm are: Drover's own beside this one, others in the PATH, and a nats-server that is new
//! enough. It starts nothing but `nats-server --version`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow};

use crate::exit::bad_input;

/// The oldest nats-server whose features Drover uses.
const OLDEST_NATS_SERVER: (u32, u32) = (2, 12);

/// A program in the PATH.
pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_program(file))
}

/// One of Drover's own programs: beside this one, else in the PATH.
pub(crate) fn sibling(name: &str) -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe().context("where this program is cannot be told")?;
    let beside = here.with_file_name(name);
    if is_program(&beside) {
        return Ok(beside);
    }
    in_path(name).ok_or_else(|| {
        bad_input(format!("{name} is neither beside {} nor in the PATH: build or install the whole of Drover", here.display()))
    })
}

/// A nats-server of [`OLDEST_NATS_SERVER`] or later: the one that is named, else the first one found.
pub(crate) fn nats_server(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        return checked(path);
    }
    let mut too_old = Vec::new();
    for candidate in usual_places().into_iter().filter(|path| is_program(path)) {
        match checked(&candidate) {
            Ok(path) => return Ok(path),
            Err(error) => too_old.push(format!("\n  {error}")),
        }
    }
    let (major, minor) = OLDEST_NATS_SERVER;
    Err(bad_input(format!(
        "no nats-server {major}.{minor} or later was found.{} Get one by `setup/install` in Drover's source tree, or from \
         https://nats.io/download, and name it by --nats-server or put it in the PATH.",
        too_old.concat()
    )))
}

fn usual_places() -> Vec<PathBuf> {
    let at_home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share/drover/bin/nats-server"));
    drover_nats::server::find().into_iter().chain(at_home).chain(in_path("nats-server")).collect()
}

/// The path made absolute, if the program there is new enough.
fn checked(path: &Path) -> anyhow::Result<PathBuf> {
    let output = Command::new(path).arg("--version").output();
    let output = output.map_err(|error| bad_input(format!("{} cannot be run: {error}", path.display())))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = version(&said).ok_or_else(|| bad_input(format!("{} is no nats-server: it says {said:?}", path.display())))?;
    if version < OLDEST_NATS_SERVER {
        let ((major, minor), (need_major, need_minor)) = (version, OLDEST_NATS_SERVER);
        let path = path.display();
        return Err(bad_input(format!(
            "{path} is nats-server {major}.{minor}; Drover needs {need_major}.{need_minor} or later."
        )));
    }
    std::path::absolute(path).map_err(|error| anyhow!("{}: {error}", path.display()))
}

/// Major and minor of `nats-server: v2.15.1`.
fn version(said: &str) -> Option<(u32, u32)> {
    let numbers = said.trim().rsplit_once('v')?.1;
    let mut parts = numbers.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Put there by another process: what this one writes to, a child that another test starts meanwhile may hold as
    /// well, and while it does nobody can run it.
    fn fake(dir: &Path, says: &str) -> PathBuf {
        let (script, path) = (dir.join("script"), dir.join("nats-server"));
        std::fs::write(&script, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
        assert!(Command::new("install").arg(script).arg(&path).status().unwrap().success());
        path
    }

    #[test]
    fn the_version_is_read_from_what_nats_server_says() {
        assert_eq!(version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(version("nats-server: v2.12.0-RC.3"), Some((2, 12)));
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn an_old_server_is_refused_with_what_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let error = nats_server(Some(&fake(dir.path(), "nats-server: v2.9.10"))).unwrap_err();
        assert!(error.to_string().contains("is nats-server 2.9; Drover needs 2.12 or later"), "{error}");
    }

    #[test]
    fn a_named_server_that_is_new_enough_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = fake(dir.path(), "nats-server: v2.15.1");
        assert_eq!(nats_server(Some(&path)).unwrap(), path);
    }

    #[test]
    fn a_named_server_that_is_absent_is_the_users_to_mend() {
        let error = nats_server(Some(Path::new("/nonexistent/nats-server"))).unwrap_err();
        assert_eq!(crate::exit::of_error(&error), crate::exit::Exit::BadInput);
    }
}

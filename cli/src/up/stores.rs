//! The stores whose substitutes a farm serves here, and which of their daemons the agents of this machine build with.

use std::path::PathBuf;
use std::str::FromStr;

use drover_store::{Family, StoreDir};

use crate::daemon_socket::usual;
use crate::exit::bad_input;

/// A store, as `drover up` sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Store {
    /// Its directory.
    pub(crate) dir: StoreDir,
    /// Its daemon's socket, where there is a daemon on this machine.
    pub(crate) daemon_socket: Option<PathBuf>,
    /// Agents to start on that.
    pub(crate) agents: usize,
}

/// `[STORE_DIR=]SOCKET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Socket {
    store_dir: Option<StoreDir>,
    path: PathBuf,
}

impl FromStr for Socket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (store_dir, path) = match text.split_once('=') {
            Some((store_dir, path)) => (Some(store_dir.parse::<StoreDir>().map_err(|error| error.to_string())?), path),
            None => (None, text),
        };
        if path.is_empty() {
            return Err("the socket's path is empty".into());
        }
        Ok(Self { store_dir, path: path.into() })
    }
}

/// The stores that are named, else both usual ones. `agents` is how many for each daemon; `None` means one where there is
/// a daemon.
pub(crate) fn choose(dirs: &[StoreDir], sockets: &[Socket], agents: Option<usize>) -> anyhow::Result<Vec<Store>> {
    let named = named(dirs, sockets)?;
    let is_named = !named.is_empty();
    let stores = if is_named { named } else { usual_stores()? };
    let store = |(dir, socket): (StoreDir, PathBuf)| {
        let found = socket.exists();
        let agents = match agents {
            // A daemon that is named may come up later; one that is only usual may never be meant.
            Some(wanted) if found || is_named => wanted,
            Some(_) => 0,
            None => usize::from(found),
        };
        Store { dir, daemon_socket: (found || agents > 0).then_some(socket), agents }
    };
    let stores: Vec<Store> = stores.into_iter().map(store).collect();
    if agents.is_some_and(|wanted| wanted > 0) && stores.iter().all(|store| store.agents == 0) {
        return Err(bad_input(
            "there is no store daemon at the usual places for agents to build with: name one by --daemon-socket",
        ));
    }
    Ok(stores)
}

fn usual_stores() -> anyhow::Result<Vec<(StoreDir, PathBuf)>> {
    [StoreDir::nix(), StoreDir::guix()].into_iter().map(|dir| Ok((dir.clone(), usual(&dir)?))).collect()
}

/// What the flags name, each store once.
fn named(dirs: &[StoreDir], sockets: &[Socket]) -> anyhow::Result<Vec<(StoreDir, PathBuf)>> {
    let mut stores: Vec<(StoreDir, Option<PathBuf>)> = Vec::new();
    let of_sockets = sockets.iter().map(|socket| {
        let dir = socket.store_dir.clone().or_else(|| dirs.first().cloned()).unwrap_or_else(StoreDir::nix);
        (dir, Some(socket.path.clone()))
    });
    for (dir, socket) in of_sockets.chain(dirs.iter().map(|dir| (dir.clone(), None))) {
        match stores.iter().find(|(known, _)| known.family() == dir.family()) {
            Some((known, _)) if *known == dir && socket.is_none() => {}
            Some((known, _)) if *known == dir => return Err(bad_input(format!("{dir} is given two daemons: name one"))),
            Some((known, _)) => return Err(bad_input(format!("{known} and {dir} are two stores of one kind: start two farms"))),
            None => stores.push((dir, socket)),
        }
    }
    stores.into_iter().map(|(dir, socket)| Ok((dir.clone(), socket.map_or_else(|| usual(&dir), Ok)?))).collect()
}

impl Store {
    /// What the agents on its daemon are called, here and in the farm's folder.
    pub(crate) fn agent_names(&self) -> Vec<String> {
        let kind = match self.dir.family() {
            Family::Nix => "agent",
            Family::Guix => "guix-agent",
        };
        (1..=self.agents).map(|n| format!("{kind}-{n}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(dirs: &[&str], sockets: &[&str], agents: Option<usize>) -> anyhow::Result<Vec<(String, Option<String>, usize)>> {
        let dirs: Vec<StoreDir> = dirs.iter().map(|dir| dir.parse().unwrap()).collect();
        let sockets: Vec<Socket> = sockets.iter().map(|socket| socket.parse().unwrap()).collect();
        let stores = choose(&dirs, &sockets, agents)?;
        let socket = |store: &Store| store.daemon_socket.as_ref().map(|path| path.display().to_string());
        Ok(stores.iter().map(|store| (store.dir.to_string(), socket(store), store.agents)).collect())
    }

    /// A path where something is.
    const THERE: &str = "/dev/null";

    #[test]
    fn a_socket_without_a_store_is_of_the_store_that_is_named() {
        let expected = vec![("/gnu/store".into(), Some(THERE.into()), 1)];
        assert_eq!(chosen(&["/gnu/store"], &[THERE], None).unwrap(), expected);
        assert_eq!(chosen(&[], &["/gnu/store=/dev/null"], None).unwrap(), expected);
        assert_eq!(chosen(&[], &[THERE], None).unwrap()[0].0, "/nix/store");
    }

    #[test]
    fn agents_are_started_on_each_daemon_that_is_named() {
        let stores = chosen(&[], &["/nix/store=/dev/null", "/gnu/store=/dev/null"], Some(2)).unwrap();
        assert_eq!(stores.iter().map(|store| store.2).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn a_daemon_that_is_named_and_absent_gets_agents_only_where_they_are_wanted() {
        let stores = |agents| chosen(&["/gnu/store"], &["/nonexistent"], agents).unwrap();
        assert_eq!(stores(None), [("/gnu/store".into(), None, 0)]);
        assert_eq!(stores(Some(1)), [("/gnu/store".into(), Some("/nonexistent".into()), 1)]);
    }

    #[test]
    fn two_daemons_of_one_store_are_refused_and_so_are_two_stores_of_one_kind() {
        assert!(chosen(&[], &["/dev/null", "/dev/zero"], None).unwrap_err().to_string().contains("two daemons"));
        assert!(chosen(&["/nix/store", "/srv/store"], &[], None).unwrap_err().to_string().contains("two farms"));
    }

    #[test]
    fn agents_of_both_daemons_have_names_of_their_own() {
        let names = |dir: StoreDir| Store { dir, daemon_socket: None, agents: 2 }.agent_names();
        assert_eq!(names(StoreDir::nix()), ["agent-1", "agent-2"]);
        assert_eq!(names(StoreDir::guix()), ["guix-agent-1", "guix-agent-2"]);
    }
}

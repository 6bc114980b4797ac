//! Where the farm's servers listen. A port that was chosen once is kept, so that agents elsewhere and substitute lists
//! stay right when the farm is started again.

use std::net::{IpAddr, SocketAddr, TcpListener};

use anyhow::Context;

use super::folder::Folder;
use crate::exit::bad_input;

/// Ports of a farm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Addresses {
    /// The broker's.
    pub(crate) nats: SocketAddr,
    /// The substitute server's.
    pub(crate) cache: SocketAddr,
}

const FILE: &str = "addresses.json";

/// The addresses of the last start, where they still fit; else free ones. `nats_port` 0 means any.
pub(crate) fn choose(folder: &Folder, listen: IpAddr, nats_port: u16, cache_port: u16) -> anyhow::Result<Addresses> {
    let last: Option<Addresses> = std::fs::read(folder.path(FILE)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let nats = choose_one(listen, nats_port, last.map(|last| last.nats), "--port")?;
    let cache = choose_one(listen, cache_port, last.map(|last| last.cache), "--cache-port")?;
    let chosen = Addresses { nats, cache };
    folder.write(FILE, &serde_json::to_string(&chosen)?)?;
    Ok(chosen)
}

fn choose_one(listen: IpAddr, wanted: u16, last: Option<SocketAddr>, flag: &str) -> anyhow::Result<SocketAddr> {
    if wanted != 0 {
        let address = SocketAddr::new(listen, wanted);
        let taken = |error| bad_input(format!("nobody can listen on {address}: {error}. Choose another by {flag}"));
        return TcpListener::bind(address).map(|_| address).map_err(taken);
    }
    if let Some(last) = last.filter(|last| last.ip() == listen)
        && TcpListener::bind(last).is_ok()
    {
        return Ok(last);
    }
    let free = TcpListener::bind((listen, 0)).map_err(|error| bad_input(format!("nobody can listen on {listen}: {error}")))?;
    free.local_addr().context("a free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_port_that_was_chosen_once_is_chosen_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let first = choose(&folder, LOOPBACK, 0, 0).unwrap();
        assert_ne!(first.nats, first.cache);
        assert_eq!(choose(&folder, LOOPBACK, 0, 0).unwrap(), first);
    }

    #[test]
    fn a_port_that_is_taken_meanwhile_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let first = choose(&folder, LOOPBACK, 0, 0).unwrap();
        let _taken = TcpListener::bind(first.nats).unwrap();
        assert_ne!(choose(&folder, LOOPBACK, 0, 0).unwrap().nats, first.nats);
    }

    #[test]
    fn a_port_that_is_wanted_and_taken_is_an_error_that_names_the_flag() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let taken = TcpListener::bind((LOOPBACK, 0)).unwrap();
        let error = choose(&folder, LOOPBACK, taken.local_addr().unwrap().port(), 0).unwrap_err();
        assert!(error.to_string().contains("--port"), "{error}");
    }
}

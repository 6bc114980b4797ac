//! Substitute servers beyond the farm's own: which of them can be used now.
//!
//! A server counts while it can be reached and serves our store. That the daemon trusts it is the operator's word: by naming
//! it, and its key where the daemon takes keys from us.

use std::collections::BTreeSet;
use std::time::Duration;

use drover_store::StoreDir;
use drover_substituter::{Server, ServerUrl};
use futures::future::join_all;
use tokio::sync::watch;

use crate::AgentError;
use crate::reach::knock;

/// How often they are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// The servers that an operator named.
#[derive(Debug)]
pub struct Servers {
    store_dir: StoreDir,
    servers: Vec<Server>,
    /// One for each: why it cannot be used, if so.
    state: watch::Sender<Vec<Result<(), String>>>,
}

impl Servers {
    /// None has been looked at yet.
    ///
    /// # Errors
    /// [`AgentError::Server`]
    pub fn new(urls: &[ServerUrl], store_dir: StoreDir) -> Result<Self, AgentError> {
        let servers: Vec<Server> = urls.iter().cloned().map(Server::new).collect::<Result<_, _>>().map_err(AgentError::Server)?;
        let state = servers.iter().map(|_| Err("it was not looked at yet".into())).collect();
        Ok(Self { store_dir, servers, state: watch::Sender::new(state) })
    }

    /// Those that can be used.
    pub fn reached(&self) -> BTreeSet<String> {
        let state = self.state.borrow();
        let reached = self.servers.iter().zip(state.iter()).filter(|(_, state)| state.is_ok());
        reached.map(|(server, _)| server.url().to_string()).collect()
    }

    /// Tells when something changed.
    pub fn changes(&self) -> watch::Receiver<Vec<Result<(), String>>> {
        self.state.subscribe()
    }

    /// Looks at them again and again, and says what can be used when that changes.
    pub async fn watch(&self, on_change: impl Fn(BTreeSet<String>)) {
        if self.servers.is_empty() {
            std::future::pending::<()>().await;
        }
        loop {
            let now = join_all(self.servers.iter().map(|server| self.look(server))).await;
            let before = self.state.borrow().clone();
            if now != before {
                self.tell(&before, &now);
                self.state.send_replace(now);
                on_change(self.reached());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn look(&self, server: &Server) -> Result<(), String> {
        knock(server.url().as_str()).await?;
        // This is asked once.
        let info = server.info().await.map_err(|error| error.to_string())?;
        if info.store_dir == self.store_dir { Ok(()) } else { Err(format!("it serves {}", info.store_dir)) }
    }

    fn tell(&self, before: &[Result<(), String>], now: &[Result<(), String>]) {
        for ((server, _), now) in self.servers.iter().zip(before).zip(now).filter(|((_, before), now)| before != now) {
            match now {
                Ok(()) => tracing::info!(server = %server.url(), "a substitute server can be used"),
                Err(why) => tracing::warn!(server = %server.url(), why, "a substitute server cannot be used"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;

    use super::*;

    fn servers(folder: &Path) -> (Servers, String) {
        let url: ServerUrl = format!("file://{}/", folder.display()).parse().unwrap();
        (Servers::new(std::slice::from_ref(&url), StoreDir::nix()).unwrap(), url.to_string())
    }

    fn write_info(folder: &Path, store_dir: &str) {
        std::fs::write(folder.join("nix-cache-info"), format!("StoreDir: {store_dir}\n")).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_counts_while_it_can_be_reached_and_each_change_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let (away, here) = (dir.path().join("away"), dir.path().join("here"));
        std::fs::create_dir(&away).unwrap();
        write_info(&away, "/nix/store");
        let (servers, url) = servers(&here);
        let told = RefCell::new(Vec::new());
        let move_about = async {
            let mut changes = servers.changes();
            for (from, to) in [(&away, &here), (&here, &away)] {
                tokio::time::sleep(LOOK_EVERY * 2).await;
                changes.mark_unchanged();
                std::fs::rename(from, to).unwrap();
                changes.changed().await.unwrap();
            }
        };
        tokio::select! {
            () = servers.watch(|reached| told.borrow_mut().push(reached)) => {}
            () = move_about => {}
        }
        assert_eq!(*told.borrow(), [BTreeSet::new(), BTreeSet::from([url]), BTreeSet::new()]);
    }

    #[tokio::test]
    async fn a_server_of_another_store_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        write_info(dir.path(), "/gnu/store");
        let (servers, _) = servers(dir.path());
        assert!(servers.look(&servers.servers[0]).await.unwrap_err().contains("/gnu/store"));
        assert!(servers.reached().is_empty());
    }
}

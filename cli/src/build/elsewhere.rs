//! Substitute servers that have derivations and sources which this machine's store lacks.
//!
//! Nobody's word counts here, so no keys are needed: a derivation is believed because its name is the hash of its text,
//! and a source because its path follows from its content; both are computed where they are used.

use std::io;
use std::path::Path;
use std::slice;

use drover_store::nar::{NarError, restore};
use drover_store::{DrvPath, MAX_DRV_BYTES, NarInfo, StoreDir, StorePath};
use drover_substituter::{Server, ServerUrl, SubstituterError};
use futures::future::BoxFuture;

use super::items::Elsewhere;
use super::sources::Source;
use crate::exit::bad_input;

/// The largest nar of a source that is fetched, in bytes: no more is what a publish worker takes.
const MAX_SOURCE_BYTES: u64 = 32 << 30;

/// Some servers, of which the first that has a thing gives it.
pub(crate) struct Servers {
    store_dir: StoreDir,
    servers: Vec<Server>,
}

impl Servers {
    /// Those there. None is spoken to yet.
    pub(crate) fn new(store_dir: StoreDir, urls: &[ServerUrl]) -> anyhow::Result<Self> {
        let servers = urls.iter().cloned().map(Server::new).collect::<Result<_, _>>();
        Ok(Self { store_dir, servers: servers.map_err(|error| bad_input(error.to_string()))? })
    }

    fn search<'a>(&'a self, path: &'a StorePath) -> Search<'a> {
        Search { store_dir: &self.store_dir, path, servers: self.servers.iter(), silent: None }
    }
}

impl Elsewhere for Servers {
    fn derivation<'a>(&'a self, drv: &'a DrvPath) -> BoxFuture<'a, anyhow::Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            let mut search = self.search(drv);
            while let Some((server, info)) = search.next().await? {
                match server.file(&info, MAX_DRV_BYTES).await {
                    Ok(text) => return Ok(Some(text)),
                    Err(error) => search.pass_over(error)?,
                }
            }
            search.nowhere()
        })
    }

    fn source<'a>(&'a self, path: &'a StorePath) -> BoxFuture<'a, anyhow::Result<Option<Source>>> {
        Box::pin(async move {
            let mut search = self.search(path);
            let Some((_, info)) = search.next().await? else { return search.nowhere() };
            Ok(Some(Source { path: path.clone(), references: info.references.into_iter().collect(), ca: info.ca }))
        })
    }

    fn unpack<'a>(&'a self, path: &'a StorePath, to: &'a Path) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let mut search = self.search(path);
            while let Some((server, info)) = search.next().await? {
                if info.nar_size > MAX_SOURCE_BYTES {
                    return Err(bad_input(format!("{path} has {} bytes, more than {MAX_SOURCE_BYTES}", info.nar_size)));
                }
                let to = to.to_owned();
                match server.nar(&info, move |mut nar| remove(&to).and_then(|()| restore(&mut nar, &to))).await {
                    Ok(_) => return Ok(()),
                    Err(error) => search.pass_over(error)?,
                }
            }
            search.nowhere()?.ok_or_else(|| bad_input(format!("{path} was on a server, and is gone")))
        })
    }
}

/// The servers one after the other, as long as none has given an item. One that cannot be reached may have it: that nobody
/// has it cannot be said while there is such a one.
struct Search<'a> {
    store_dir: &'a StoreDir,
    path: &'a StorePath,
    servers: slice::Iter<'a, Server>,
    silent: Option<SubstituterError>,
}

impl<'a> Search<'a> {
    /// The next server that claims to have it.
    async fn next(&mut self) -> anyhow::Result<Option<(&'a Server, NarInfo)>> {
        for server in self.servers.by_ref() {
            match server.narinfo(self.store_dir, self.path).await {
                Ok(Some(info)) => return Ok(Some((server, info))),
                Ok(None) => {}
                Err(error) => Self::note(&mut self.silent, error)?,
            }
        }
        Ok(None)
    }

    /// The last one did not give it. An error is this machine's own.
    fn pass_over(&mut self, error: SubstituterError) -> anyhow::Result<()> {
        Self::note(&mut self.silent, error)
    }

    fn note(silent: &mut Option<SubstituterError>, error: SubstituterError) -> anyhow::Result<()> {
        match error {
            SubstituterError::Local { .. } => return Err(error.into()),
            SubstituterError::Unreachable { .. } => *silent = Some(error),
            _ => tracing::warn!(%error, "another server is asked, if there is one"),
        }
        Ok(())
    }

    fn nowhere<T>(self) -> anyhow::Result<Option<T>> {
        self.silent.map_or(Ok(None), |error| Err(error.into()))
    }
}

/// An earlier try may have left something behind.
fn remove(left: &Path) -> Result<(), NarError> {
    match std::fs::remove_dir_all(left).or_else(|_| std::fs::remove_file(left)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(NarError { at: 0, fault: error.into() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use drover_store::{Sha256, nar};
    use tempfile::TempDir;

    use super::super::closure::{self, tests::Store};
    use super::*;
    use crate::exit::{Exit, of_error};

    /// A server that is a folder.
    struct Folder {
        dir: TempDir,
        store: Store,
    }

    impl Folder {
        fn of(store: Store) -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("nix-cache-info"), format!("StoreDir: {}\n", store.store_dir)).unwrap();
            Self { dir, store }
        }

        fn serve(&self, path: &StorePath) {
            let mut bytes = Vec::new();
            nar::dump(&self.store.file(path), &mut bytes).unwrap();
            let narinfo = format!(
                "StorePath: {}\nURL: {path}.nar\nCompression: none\nNarHash: {}\nNarSize: {}\nReferences: \n",
                self.store.store_dir.path(path),
                Sha256::of(&bytes),
                bytes.len()
            );
            std::fs::write(self.dir.path().join(format!("{path}.nar")), bytes).unwrap();
            std::fs::write(self.dir.path().join(format!("{}.narinfo", path.hash_part())), narinfo).unwrap();
        }

        fn url(&self) -> ServerUrl {
            format!("file://{}", self.dir.path().display()).parse().unwrap()
        }
    }

    fn nobody_there() -> ServerUrl {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()
    }

    #[tokio::test]
    async fn a_closure_is_read_from_the_first_server_that_has_it() {
        let here = Store::new();
        let (empty, full) = (Folder::of(here.elsewhere()), Folder::of(here.elsewhere()));
        let source = full.store.source("setup.sh", "echo");
        let base = full.store.drv("base", &[], &[&source]);
        let top = full.store.drv("top", &[&base], &[]);
        for path in [&*base, &*top, &source] {
            full.serve(path);
        }
        let servers = Servers::new(here.store_dir.clone(), &[empty.url(), full.url()]).unwrap();
        let items = here.items().and(Arc::new(servers)).unwrap();
        let closure = closure::read(&items, slice::from_ref(&top)).await.unwrap();
        assert_eq!((closure.drvs, closure.sources), (BTreeSet::from([base, top]), BTreeSet::from([source.clone()])));
        assert!(items.source(&source).await.unwrap().is_some());
        let held = items.hold(&source).await.unwrap();
        assert_eq!(std::fs::read(&held.file).unwrap(), b"echo");
    }

    #[tokio::test]
    async fn what_is_left_of_an_earlier_try_is_in_nobodys_way() {
        let folder = Folder::of(Store::new());
        let source = folder.store.source("setup.sh", "echo");
        folder.serve(&source);
        let servers = Servers::new(folder.store.store_dir.clone(), &[folder.url()]).unwrap();
        let to = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(to.path().join("x/half")).unwrap();
        servers.unpack(&source, &to.path().join("x")).await.unwrap();
        assert_eq!(std::fs::read(to.path().join("x")).unwrap(), b"echo");
    }

    #[tokio::test]
    async fn what_no_server_has_is_the_users_to_mend_and_a_silent_server_is_not() {
        let (here, folder) = (Store::new(), Folder::of(Store::new()));
        let absent = here.elsewhere().drv("absent", &[], &[]);
        let servers = |urls: &[ServerUrl]| Servers::new(here.store_dir.clone(), urls).unwrap();
        // The folder is of another store: it is passed over.
        assert!(servers(&[folder.url()]).derivation(&absent).await.unwrap().is_none());
        let error = servers(&[nobody_there(), folder.url()]).derivation(&absent).await.unwrap_err();
        assert_eq!(of_error(&error), Exit::Farm, "{error}");
    }
}

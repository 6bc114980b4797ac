//! Reads the closure of some derivations: from the store directory on this machine's disk, and from elsewhere what that
//! lacks.
//!
//! It knows `.drv`s; it does not know what the farm has. Only names are kept: the files are read again when they are
//! packed, so that a large closure costs little memory.

use std::collections::BTreeSet;

use drover_store::{DrvPath, StorePath};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::task::spawn_blocking;

use super::items::Items;
use crate::exit::bad_input;

/// The most derivations of one closure.
const MAX_DRVS: usize = 1 << 20;
/// Derivations that are fetched at once.
const FETCHED_AT_ONCE: usize = 16;

/// All that the roots hang on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Closure {
    /// The roots and what they need, directly or not.
    pub(crate) drvs: BTreeSet<DrvPath>,
    /// The sources that those name.
    pub(crate) sources: BTreeSet<StorePath>,
}

/// Reads the closure of `roots`.
pub(crate) async fn read(items: &Items, roots: &[DrvPath]) -> anyhow::Result<Closure> {
    let mut closure = Closure::default();
    let mut to_read: BTreeSet<DrvPath> = roots.iter().cloned().collect();
    while !to_read.is_empty() {
        let of_disk = items.clone();
        (closure, to_read) = spawn_blocking(move || walk(&of_disk, closure, to_read)).await??;
        let fetches = stream::iter(&to_read).map(|drv| items.fetch_text(drv)).buffer_unordered(FETCHED_AT_ONCE);
        fetches.try_collect::<()>().await?;
    }
    Ok(closure)
}

/// Goes as far as what is on this disk leads; returns what must be fetched to go on.
fn walk(items: &Items, mut closure: Closure, to_read: BTreeSet<DrvPath>) -> anyhow::Result<(Closure, BTreeSet<DrvPath>)> {
    let mut to_fetch = BTreeSet::new();
    let mut to_read: Vec<DrvPath> = to_read.into_iter().collect();
    while let Some(drv) = to_read.pop() {
        if closure.drvs.contains(&drv) {
            continue;
        }
        let Some(text) = items.text(&drv)? else {
            to_fetch.insert(drv);
            continue;
        };
        let derivation = items.parse(&drv, &text)?;
        to_read.extend(derivation.input_drvs.into_keys().filter(|input| !closure.drvs.contains(input)));
        closure.sources.extend(derivation.input_srcs);
        closure.drvs.insert(drv);
        if closure.drvs.len() > MAX_DRVS {
            return Err(bad_input(format!("the closure has more than {MAX_DRVS} derivations")));
        }
    }
    Ok((closure, to_fetch))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use drover_store::{Derivation, Output, StoreDir, text_path};

    use futures::future::BoxFuture;
    use tempfile::TempDir;

    use super::super::items::Elsewhere;
    use super::super::sources::Source;
    use super::*;

    /// A store with derivations made for the test.
    pub(crate) struct Store {
        dir: TempDir,
        pub(crate) store_dir: StoreDir,
    }

    impl Store {
        /// One on this machine.
        pub(crate) fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store_dir = dir.path().to_str().unwrap().parse().unwrap();
            Self { dir, store_dir }
        }

        /// The store of the same name on another machine.
        pub(crate) fn elsewhere(&self) -> Self {
            Self { dir: tempfile::tempdir().unwrap(), store_dir: self.store_dir.clone() }
        }

        pub(crate) fn file(&self, path: &StorePath) -> PathBuf {
            self.dir.path().join(path.as_str())
        }

        pub(crate) fn items(&self) -> Items {
            Items::of(self.store_dir.clone())
        }

        pub(crate) fn source(&self, name: &str, text: &str) -> StorePath {
            let hash = drover_store::Sha256::of(text.as_bytes());
            let path = text_path(&self.store_dir, name, &hash, &BTreeSet::new()).unwrap();
            std::fs::write(self.file(&path), text).unwrap();
            path
        }

        /// A derivation whose output has a made-up path: nothing here computes it.
        pub(crate) fn drv(&self, name: &str, inputs: &[&DrvPath], sources: &[&StorePath]) -> DrvPath {
            let out = StorePath::from_parts(&[7; 20], name).unwrap();
            let outputs = BTreeMap::from([("out".parse().unwrap(), Output { path: out, fixed: None })]);
            let derivation = Derivation {
                outputs,
                input_drvs: inputs.iter().map(|drv| ((*drv).clone(), BTreeSet::from(["out".parse().unwrap()]))).collect(),
                input_srcs: sources.iter().map(|path| (*path).clone()).collect(),
                system: "x86_64-linux".into(),
                builder: b"/bin/sh".to_vec(),
                args: Vec::new(),
                env: BTreeMap::new(),
            };
            let path = derivation.path(&self.store_dir, name).unwrap();
            std::fs::write(self.file(&path), derivation.write(&self.store_dir)).unwrap();
            path
        }
    }

    #[tokio::test]
    async fn a_closure_has_each_derivation_and_each_source_once() {
        let store = Store::new();
        let source = store.source("setup.sh", "echo");
        let base = store.drv("base", &[], &[&source]);
        let left = store.drv("left", &[&base], &[&source]);
        let right = store.drv("right", &[&base], &[]);
        let top = store.drv("top", &[&left, &right], &[]);
        let closure = read(&store.items(), std::slice::from_ref(&top)).await.unwrap();
        assert_eq!(closure.drvs, BTreeSet::from([base, left, right, top]));
        assert_eq!(closure.sources, BTreeSet::from([source]));
    }

    #[tokio::test]
    async fn a_missing_input_is_named_and_is_the_users_to_mend() {
        let store = Store::new();
        let base = store.drv("base", &[], &[]);
        let top = store.drv("top", &[&base], &[]);
        std::fs::remove_file(store.file(&base)).unwrap();
        let error = read(&store.items(), &[top]).await.unwrap_err();
        assert!(error.to_string().contains("-base.drv: No such file"), "{error}");
        assert_eq!(crate::exit::of_error(&error), crate::exit::Exit::BadInput);
    }

    #[tokio::test]
    async fn a_spoilt_derivation_is_named() {
        let store = Store::new();
        let base = store.drv("base", &[], &[]);
        std::fs::write(store.file(&base), "Derive([(").unwrap();
        let error = read(&store.items(), &[base]).await.unwrap_err();
        assert!(error.to_string().contains("-base.drv: "), "{error}");
    }

    /// A server that has what this store has.
    pub(crate) struct Server(pub(crate) Store);

    impl Elsewhere for Server {
        fn derivation<'a>(&'a self, drv: &'a DrvPath) -> BoxFuture<'a, anyhow::Result<Option<Vec<u8>>>> {
            Box::pin(async move { Ok(std::fs::read(self.0.file(drv)).ok()) })
        }

        fn source<'a>(&'a self, path: &'a StorePath) -> BoxFuture<'a, anyhow::Result<Option<Source>>> {
            let source = Source { path: path.clone(), references: BTreeSet::new(), ca: None };
            Box::pin(async move { Ok(self.0.file(path).exists().then_some(source)) })
        }

        fn unpack<'a>(&'a self, path: &'a StorePath, to: &'a Path) -> BoxFuture<'a, anyhow::Result<()>> {
            Box::pin(async move { Ok(std::fs::copy(self.0.file(path), to).map(|_| ())?) })
        }
    }

    #[tokio::test]
    async fn what_this_machine_lacks_is_read_from_elsewhere() {
        let here = Store::new();
        let there = here.elsewhere();
        let base = there.drv("base", &[], &[&there.source("setup.sh", "echo")]);
        let middle = here.drv("middle", &[&base], &[]);
        let top = there.drv("top", &[&middle], &[]);
        let items = here.items().and(Arc::new(Server(there))).unwrap();
        let closure = read(&items, std::slice::from_ref(&top)).await.unwrap();
        assert_eq!(closure.drvs, BTreeSet::from([base.clone(), middle, top]));
        assert_eq!(closure.sources.len(), 1);
        assert!(items.text(&base).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_server_that_has_another_derivation_by_this_name_is_not_believed() {
        let here = Store::new();
        let there = here.elsewhere();
        let (asked, other) = (there.drv("asked", &[], &[]), there.drv("other", &[], &[]));
        std::fs::rename(there.file(&other), there.file(&asked)).unwrap();
        let items = here.items().and(Arc::new(Server(there))).unwrap();
        let error = read(&items, &[asked]).await.unwrap_err();
        assert!(error.to_string().contains("is another derivation"), "{error}");
    }

    #[tokio::test]
    async fn what_no_server_has_is_named() {
        let here = Store::new();
        let there = here.elsewhere();
        let absent = there.drv("absent", &[], &[]);
        let items = here.items().and(Arc::new(Server(here.elsewhere()))).unwrap();
        let error = read(&items, &[absent]).await.unwrap_err();
        assert!(error.to_string().contains("-absent.drv is neither in the store"), "{error}");
    }
}

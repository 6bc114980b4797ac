//! Reads the closure of some derivations from the store directory on this machine's disk.
//!
//! It knows files and `.drv`s; it does not know what the farm has. Only names are kept: the files are read again when
//! they are packed, so that a large closure costs little memory.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use drover_store::{Derivation, DrvPath, MAX_DRV_BYTES, StoreDir, StorePath};

use crate::exit::bad_input;

/// The most derivations of one closure.
const MAX_DRVS: usize = 1 << 20;

/// All that the roots hang on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Closure {
    /// The roots and what they need, directly or not.
    pub(crate) drvs: BTreeSet<DrvPath>,
    /// The sources that those name.
    pub(crate) sources: BTreeSet<StorePath>,
}

/// Reads the closure of `roots`.
pub(crate) fn read(store_dir: &StoreDir, roots: &[DrvPath]) -> anyhow::Result<Closure> {
    let mut closure = Closure::default();
    let mut to_read: Vec<DrvPath> = roots.to_vec();
    while let Some(drv) = to_read.pop() {
        if !closure.drvs.insert(drv.clone()) {
            continue;
        }
        if closure.drvs.len() > MAX_DRVS {
            return Err(bad_input(format!("the closure has more than {MAX_DRVS} derivations")));
        }
        let derivation = parse(store_dir, &drv)?;
        to_read.extend(derivation.input_drvs.into_keys().filter(|input| !closure.drvs.contains(input)));
        closure.sources.extend(derivation.input_srcs);
    }
    Ok(closure)
}

fn parse(store_dir: &StoreDir, drv: &DrvPath) -> anyhow::Result<Derivation> {
    let bytes = read_file(store_dir, drv)?;
    Derivation::parse(store_dir, &bytes).map_err(|error| bad_input(format!("{}: {error}", file(store_dir, drv).display())))
}

/// The bytes of one derivation's file.
pub(crate) fn read_file(store_dir: &StoreDir, drv: &DrvPath) -> anyhow::Result<Vec<u8>> {
    let path = file(store_dir, drv);
    let mut bytes = Vec::new();
    let file = File::open(&path).map_err(|error| cannot_read(&path, error))?;
    file.take(MAX_DRV_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| cannot_read(&path, error))?;
    if bytes.len() > MAX_DRV_BYTES {
        return Err(bad_input(format!("{}: larger than {MAX_DRV_BYTES} bytes", path.display())));
    }
    Ok(bytes)
}

fn file(store_dir: &StoreDir, drv: &DrvPath) -> PathBuf {
    store_dir.path(drv.as_ref()).into()
}

fn cannot_read(path: &std::path::Path, error: std::io::Error) -> anyhow::Error {
    bad_input(format!(
        "{}: {error}. The whole closure of a derivation must be in the store of this machine: evaluate it here, or copy it \
         here, then try again",
        path.display()
    ))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use drover_store::{Output, text_path};

    use super::*;

    /// A store directory of its own, with derivations made for the test.
    pub(crate) struct Store {
        _dir: tempfile::TempDir,
        pub(crate) store_dir: StoreDir,
    }

    impl Store {
        pub(crate) fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store_dir = dir.path().to_str().unwrap().parse().unwrap();
            Self { _dir: dir, store_dir }
        }

        pub(crate) fn source(&self, name: &str, text: &str) -> StorePath {
            let hash = drover_store::Sha256::of(text.as_bytes());
            let path = text_path(&self.store_dir, name, &hash, &BTreeSet::new()).unwrap();
            std::fs::write(self.store_dir.path(&path), text).unwrap();
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
            std::fs::write(self.store_dir.path(path.as_ref()), derivation.write(&self.store_dir)).unwrap();
            path
        }
    }

    #[test]
    fn a_closure_has_each_derivation_and_each_source_once() {
        let store = Store::new();
        let source = store.source("setup.sh", "echo");
        let base = store.drv("base", &[], &[&source]);
        let left = store.drv("left", &[&base], &[&source]);
        let right = store.drv("right", &[&base], &[]);
        let top = store.drv("top", &[&left, &right], &[]);
        let closure = read(&store.store_dir, std::slice::from_ref(&top)).unwrap();
        assert_eq!(closure.drvs, BTreeSet::from([base, left, right, top]));
        assert_eq!(closure.sources, BTreeSet::from([source]));
    }

    #[test]
    fn a_missing_input_is_named_and_is_the_users_to_mend() {
        let store = Store::new();
        let base = store.drv("base", &[], &[]);
        let top = store.drv("top", &[&base], &[]);
        std::fs::remove_file(store.store_dir.path(base.as_ref())).unwrap();
        let error = read(&store.store_dir, &[top]).unwrap_err();
        assert!(error.to_string().contains("-base.drv: No such file"), "{error}");
        assert_eq!(crate::exit::of_error(&error), crate::exit::Exit::BadInput);
    }

    #[test]
    fn a_spoilt_derivation_is_named() {
        let store = Store::new();
        let base = store.drv("base", &[], &[]);
        std::fs::write(store.store_dir.path(base.as_ref()), "Derive([(").unwrap();
        let error = read(&store.store_dir, &[base]).unwrap_err();
        assert!(error.to_string().contains("-base.drv: "), "{error}");
    }
}

//! `drover drv verify DIR|FILE…`: recomputes every name and every output path.
//!
//! It finds the files, and the inputs that were not given: beside what needs them, or in the store. What is true of them is
//! for `drover_store::verify` to say.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use drover_store::{Derivation, DrvPath, Fault, Named, StoreDir, Verified, VerifyError, verify_all};
use indicatif::{ProgressBar, ProgressStyle};

use super::read;
use crate::exit::{Exit, bad_input};

/// How many files are read before they are looked at.
const BATCH_FILES: usize = 2000;

/// Recompute the name and every output path of derivations
///
/// A derivation that is not what its name says is named, and the exit code is 1. Inputs that are not given are looked for beside
/// the derivation that needs them, then in the store directory, and verified as well.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A .drv, or a directory of them
    #[arg(value_name = "DIR|FILE", required = true)]
    paths: Vec<PathBuf>,
}

/// Runs it.
pub(super) fn run(args: &Args, store: Option<&StoreDir>) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let mut found = Found { store: store.cloned(), ..Found::default() };
    let mut pending = found.given(&args.paths)?;
    let bar = bar(pending.len());
    while !pending.is_empty() {
        let batch = pending.split_off(pending.len().saturating_sub(BATCH_FILES));
        bar.inc(batch.len() as u64);
        let inputs = found.read(batch)?;
        bar.inc_length(inputs.len() as u64);
        pending.extend(inputs);
    }
    bar.finish_and_clear();
    Ok(found.verdict(start).into())
}

/// A bar on a terminal, where it is worth the look; elsewhere nothing is drawn.
fn bar(files: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {pos} of {len} derivations").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(files as u64).with_style(style)
}

/// What was found so far.
#[derive(Default)]
struct Found {
    store: Option<StoreDir>,
    files: HashMap<DrvPath, PathBuf>,
    named: BTreeMap<DrvPath, Named>,
    faults: Vec<VerifyError>,
    /// Files whose very name cannot be a derivation's.
    misnamed: Vec<(PathBuf, String)>,
}

impl Found {
    /// The files that these paths stand for.
    fn given(&mut self, paths: &[PathBuf]) -> anyhow::Result<Vec<DrvPath>> {
        let mut pending = Vec::new();
        for path in paths {
            let unreadable = |e| bad_input(format!("cannot read {}: {e}", path.display()));
            if !fs::metadata(path).map_err(unreadable)?.is_dir() {
                pending.extend(self.file(path.clone()));
                continue;
            }
            let before = pending.len() + self.misnamed.len();
            for entry in fs::read_dir(path).map_err(unreadable)? {
                let file = entry.map_err(unreadable)?.path();
                if file.extension().is_some_and(|extension| extension == "drv") {
                    pending.extend(self.file(file));
                }
            }
            if pending.len() + self.misnamed.len() == before {
                return Err(bad_input(format!("there is no .drv in {}; name another directory, or files", path.display())));
            }
        }
        Ok(pending)
    }

    /// The name of a file that was not found before.
    fn file(&mut self, file: PathBuf) -> Option<DrvPath> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match name.parse::<DrvPath>() {
            Err(e) => self.misnamed.push((file, e.to_string())),
            Ok(path) if self.files.contains_key(&path) => {}
            Ok(path) => {
                self.files.insert(path.clone(), file);
                return Some(path);
            }
        }
        None
    }

    /// Reads files, and gives the inputs that they need and that were found.
    fn read(&mut self, batch: Vec<DrvPath>) -> anyhow::Result<Vec<DrvPath>> {
        let mut drvs = BTreeMap::new();
        for path in batch {
            let file = &self.files[&path];
            let aterm = read(file).map_err(|e| bad_input(format!("cannot read {}: {e}", file.display())))?;
            drvs.insert(path, bytes::Bytes::from(aterm));
        }
        let store = self.store.get_or_insert_with(|| guess(drvs.values())).clone();
        let (named, faults) = Named::read_all(&store, &drvs);
        let mut inputs = Vec::new();
        for (path, one) in &named {
            for input in one.derivation().input_drvs.keys() {
                if !self.files.contains_key(input) {
                    inputs.extend(self.look_up(input, path, &store));
                }
            }
        }
        self.named.extend(named);
        self.faults.extend(faults);
        Ok(inputs)
    }

    /// Looks for an input beside what needs it, then in the store.
    fn look_up(&mut self, input: &DrvPath, needed_by: &DrvPath, store: &StoreDir) -> Option<DrvPath> {
        let beside = self.files[needed_by].parent().unwrap_or(Path::new(""));
        let candidates = [beside.join(input.as_str()), PathBuf::from(store.path(input))];
        self.file(candidates.into_iter().find(|file| file.is_file())?)
    }

    /// Verifies what was read, and says so.
    fn verdict(mut self, start: Instant) -> Exit {
        let store = self.store.unwrap_or_else(StoreDir::nix);
        let read = self.files.len() + self.misnamed.len();
        let (verified, faults) = verify_all(&store, self.named, |_| None);
        self.faults.extend(faults);
        for (file, why) in &self.misnamed {
            eprintln!("{}: {why}", file.display());
        }
        for VerifyError { drv, fault } in &self.faults {
            eprintln!("{}: {fault}", self.files.get(drv).map_or(Path::new(drv.as_str()), PathBuf::as_path).display());
        }
        let outputs: usize = verified.values().map(|Verified { derivation, .. }| derivation.outputs.len()).sum();
        println!("{} derivations, {outputs} outputs verified in {:.2} s", verified.len(), start.elapsed().as_secs_f64());
        let missing = self.faults.iter().filter(|e| matches!(e.fault, Fault::MissingInput(_))).count();
        let wrong = self.misnamed.len() + self.faults.len() - missing;
        if missing + wrong > 0 {
            let behind = read - verified.len() - missing - wrong;
            println!("{wrong} wrong, {missing} without an input, {behind} not verified because they need one of these");
        }
        match (wrong, missing) {
            (0, 0) => Exit::Success,
            (0, _) => {
                eprintln!("put the missing inputs beside the derivations, or verify where the store has them");
                Exit::BadInput
            }
            _ => Exit::Failed,
        }
    }
}

/// The store directory that most of these seem to be of.
fn guess<'a>(drvs: impl Iterator<Item = &'a bytes::Bytes>) -> StoreDir {
    let mut votes: BTreeMap<StoreDir, usize> = BTreeMap::new();
    for store in drvs.filter_map(|aterm| Derivation::guess_store_dir(aterm)) {
        *votes.entry(store).or_default() += 1;
    }
    votes.into_iter().max_by_key(|(_, votes)| *votes).map_or_else(StoreDir::nix, |(store, _)| store)
}

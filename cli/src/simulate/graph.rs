//! What is to be built: derivations from files, planned as the scheduler plans a submission.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use drover_messages::request::{Mode, Root};
use drover_messages::{BuildId, ClientId, SubmissionId};
use drover_scheduler_core::closure::Closure;
use drover_scheduler_core::plan::{How, Known, Plan, Planned, plan};
use drover_store::{Derivation, DrvPath, Family, Pack, PackId, StoreDir, StorePath};
use uuid::Uuid;

use super::durations::Durations;
use super::tar;
use crate::drv::read;
use crate::exit::bad_input;

/// The most derivations of one graph.
const MAX_DRVS: usize = 1 << 20;
/// The largest archive, uncompressed, in bytes.
const MAX_TAR_BYTES: u64 = 4 << 30;
/// The most bytes of a pack, as it lies in the bucket.
const MAX_PACK_BYTES: u64 = 64 << 20;
/// Of a graph in files, one submission brings all of it. Its id is always the same, so that the same arguments give the same result.
pub(super) const SUBMISSION: SubmissionId = SubmissionId::from_uuid(Uuid::from_u128(0x0193_a1b2_c3d4_7e5f_8000_0000_0000_0001));

/// A submission, and when it comes.
pub(super) struct Arrival {
    /// Which.
    pub(super) submission: SubmissionId,
    /// Whose, if that is known.
    pub(super) client: Option<ClientId>,
    /// When, in milliseconds after the first.
    pub(super) at_millis: u64,
    /// Its priority.
    pub(super) priority: i32,
    /// Its builds, by their places in the graph.
    pub(super) builds: Vec<usize>,
}

/// Builds, and what they need of each other.
pub(super) struct Graph {
    /// The store directory of everything.
    pub(super) store_dir: StoreDir,
    /// What one needs comes before it.
    pub(super) builds: Vec<Planned>,
    /// Where each build stands in that list.
    pub(super) index: BTreeMap<BuildId, usize>,
    /// For each build, what it needs of that which builds make.
    pub(super) needs: Vec<Vec<usize>>,
    /// For each such item, the builds that make it: of what is downloaded there may be several.
    pub(super) makers: Vec<Vec<usize>>,
    /// Inputs that no build makes: they are there.
    pub(super) there: BTreeSet<StorePath>,
    /// What brings the builds.
    pub(super) arrivals: Vec<Arrival>,
}

impl Graph {
    /// Reads all of these; the roots are what nothing else needs. Their names are believed.
    pub(super) fn read(paths: &[PathBuf], store: Option<&StoreDir>, durations: &Durations) -> anyhow::Result<Self> {
        let mut drvs = BTreeMap::new();
        for path in paths {
            let found = Files::read(path).map_err(|why| bad_input(format!("{}: {why}", path.display())))?;
            drvs.extend(found.drvs);
        }
        if drvs.is_empty() || drvs.len() > MAX_DRVS {
            return Err(bad_input(format!("--graph has {} derivations; 1 to {MAX_DRVS} are possible", drvs.len())));
        }
        let guess = || drvs.values().find_map(|aterm| Derivation::guess_store_dir(aterm)).unwrap_or_else(StoreDir::nix);
        let store_dir = store.cloned().unwrap_or_else(guess);
        let pack = PackId::of(b"");
        let mut closure = Closure::default();
        for (drv, aterm) in drvs {
            let derivation = Derivation::parse(&store_dir, &aterm)
                .map_err(|e| bad_input(format!("{drv} is not a derivation of {store_dir}: {e}")))?;
            closure.add(&drv, &derivation, pack);
        }
        Self::plan(store_dir, &closure, durations)
    }

    fn plan(store_dir: StoreDir, closure: &Closure, durations: &Durations) -> anyhow::Result<Self> {
        let built = || closure.iter().filter_map(|(_, drv, outline)| Some((drv, outline.filter(|_| durations.is_built(drv))?)));
        let needed: BTreeSet<&DrvPath> = built().flat_map(|(_, outline)| outline.inputs()).map(|no| closure.drv(no)).collect();
        let roots: BTreeSet<&DrvPath> = built().map(|(drv, _)| drv).filter(|drv| !needed.contains(drv)).collect();
        let roots = roots.into_iter().map(|drv| Root { build: BuildId::derived(SUBMISSION, drv), drv: drv.clone() });
        let roots: Vec<Root> = roots.collect();
        let made: BTreeSet<&StorePath> = built().flat_map(|(_, outline)| closure.outputs(outline)).collect();
        let is_there = |path: &StorePath| !made.contains(path);
        let whole_closures = store_dir.family() == Family::Guix;
        let known = Known { store_dir: &store_dir, closure, available: &is_there, whole_closures };
        let how = How { mode: Mode::Build, input_builds: true };
        let Plan { builds, .. } =
            plan(SUBMISSION, &roots, how, &known).map_err(|e| bad_input(format!("{e}; add what holds it by another --graph")))?;
        match builds.is_empty() {
            true => Err(bad_input("nothing of --graph is in --durations, so nothing is to be built")),
            false => Ok(Self::of(store_dir, builds)),
        }
    }

    /// Of builds that were planned, and come together.
    pub(super) fn of(store_dir: StoreDir, builds: Vec<Planned>) -> Self {
        let all = (0..builds.len()).collect();
        let arrival = Arrival { submission: SUBMISSION, client: None, at_millis: 0, priority: 0, builds: all };
        Self::arriving(store_dir, builds, vec![arrival])
    }

    /// Of builds that come as they are needed. What one needs comes before it in the list.
    pub(super) fn arriving(store_dir: StoreDir, builds: Vec<Planned>, arrivals: Vec<Arrival>) -> Self {
        let index = builds.iter().enumerate().map(|(n, planned)| (planned.id, n)).collect();
        let mut items: BTreeMap<&StorePath, usize> = BTreeMap::new();
        let mut makers: Vec<Vec<usize>> = Vec::new();
        for (n, planned) in builds.iter().enumerate() {
            for product in planned.recipe.outputs.values() {
                let item = *items.entry(&product.path).or_insert(makers.len());
                makers.resize(makers.len().max(item + 1), Vec::new());
                makers[item].push(n);
            }
        }
        let needs = |planned: &Planned| planned.inputs.iter().filter_map(|path| items.get(path)).copied().collect();
        let needs = builds.iter().map(needs).collect();
        let all = builds.iter().flat_map(|planned| &planned.inputs);
        let there = all.filter(|path| !items.contains_key(path)).cloned().collect();
        Self { store_dir, index, needs, makers, there, arrivals, builds }
    }

    /// When each build comes, in milliseconds.
    pub(super) fn arrived(&self) -> Vec<u64> {
        let mut arrived = vec![0; self.builds.len()];
        for arrival in &self.arrivals {
            arrival.builds.iter().for_each(|build| arrived[*build] = arrival.at_millis);
        }
        arrived
    }
}

/// Derivations in files of any of the kinds that are known.
#[derive(Default)]
struct Files {
    drvs: BTreeMap<DrvPath, Bytes>,
}

impl Files {
    fn read(path: &Path) -> Result<Self, String> {
        let mut files = Self::default();
        if !fs::metadata(path).map_err(|e| e.to_string())?.is_dir() {
            files.file(path)?;
            return Ok(files);
        }
        for entry in fs::read_dir(path).map_err(|e| e.to_string())? {
            let file = entry.map_err(|e| e.to_string())?.path();
            // Others may lie there as well, as in a store.
            let is_pack = || file.file_name().and_then(|name| name.to_str()).is_some_and(is_pack_name);
            if file.extension().is_some_and(|extension| extension == "drv") || is_pack() {
                files.file(&file).map_err(|why| format!("{}: {why}", file.display()))?;
            }
        }
        if files.drvs.is_empty() {
            return Err("there are neither .drv files nor packs in it".into());
        }
        Ok(files)
    }

    fn file(&mut self, path: &Path) -> Result<(), String> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".drv") {
            let drv = name.parse::<DrvPath>().map_err(|e| e.to_string())?;
            self.drvs.insert(drv, read(path).map_err(|e| e.to_string())?.into());
        } else if name.ends_with(".tar.zst") {
            self.drvs.extend(tar::drvs(&unzip(path)?)?);
        } else {
            self.pack(bounded(fs::File::open(path).map_err(|e| e.to_string())?, MAX_PACK_BYTES)?)?;
        }
        Ok(())
    }

    fn pack(&mut self, bytes: Bytes) -> Result<(), String> {
        let other = "it is no directory, .drv or .tar.zst, and no pack either";
        let pack = Pack::open(bytes).map_err(|e| format!("{other}: {e}"))?;
        for entry in pack.iter() {
            let (drv, aterm) = entry.map_err(|e| e.to_string())?;
            self.drvs.insert(drv.clone(), aterm);
        }
        Ok(())
    }
}

fn is_pack_name(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

fn unzip(path: &Path) -> Result<Bytes, String> {
    let file = fs::File::open(path).map_err(|e| e.to_string())?;
    bounded(zstd::Decoder::new(file).map_err(|e| e.to_string())?, MAX_TAR_BYTES)
}

fn bounded(from: impl std::io::Read, most_bytes: u64) -> Result<Bytes, String> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(from, most_bytes + 1), &mut bytes).map_err(|e| e.to_string())?;
    match bytes.len() as u64 > most_bytes {
        true => Err(format!("it is larger than {} MiB", most_bytes >> 20)),
        false => Ok(bytes.into()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use drover_scheduler_core::{Product, Recipe};
    use drover_store::Sha256;

    use super::*;

    pub(in super::super) fn path(name: &str) -> StorePath {
        StorePath::from_parts(Sha256::of(name.as_bytes()).as_bytes()[..20].try_into().unwrap(), name).unwrap()
    }

    pub(in super::super) fn hello(name: &str) -> DrvPath {
        path(&format!("{name}.drv")).try_into().unwrap()
    }

    /// Builds by their names and what each needs.
    pub(in super::super) fn graph(builds: &[(&str, &[&str])]) -> Graph {
        let planned = |(name, needs): &(&str, &[&str])| {
            let recipe = Recipe {
                drv: hello(name),
                pack: PackId::of(b""),
                store_dir: StoreDir::nix(),
                system: "x86_64-linux".into(),
                features: BTreeSet::new(),
                outputs: [("out".parse().unwrap(), Product { path: path(name), ca: None })].into_iter().collect(),
            };
            let inputs = needs.iter().map(|needed| path(needed)).collect();
            let id = BuildId::derived(SUBMISSION, &recipe.drv);
            Planned { id, root: false, recipe, inputs, mode: Mode::Build, seq: None, known_failure: None, avoid: BTreeSet::new() }
        };
        Graph::of(StoreDir::nix(), builds.iter().map(planned).collect())
    }

    #[test]
    fn what_no_build_makes_is_there() {
        let graph = graph(&[("a", &["source"]), ("b", &["a", "source"])]);
        assert_eq!(graph.needs, [vec![], vec![0]]);
        assert_eq!(graph.there, [path("source")].into());
    }

    #[test]
    fn a_directory_without_derivations_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = Graph::read(&[dir.path().into()], None, &Durations::default()).err().unwrap();
        assert!(error.to_string().contains("neither .drv files nor packs"), "{error}");
    }
}

//! A corpus as the planner hands it over: builds and sources. Its derivations are believed.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use drover_messages::request::{Mode, Root};
use drover_messages::{BuildId, SubmissionId};
use drover_scheduler_core::closure::{Closure, DrvNo, Outline};
use drover_scheduler_core::plan::{How, Known, Plan, Planned, plan};
use drover_store::{Derivation, Family, PackId, StoreDir, StorePath};

use crate::corpus;

/// What is to be built.
pub struct Graph {
    pub submission: SubmissionId,
    pub store_dir: StoreDir,
    pub builds: Vec<Planned>,
    pub sources: BTreeSet<StorePath>,
}

/// The corpus to be measured with, where there is one.
pub fn guix_large() -> Option<PathBuf> {
    corpus::all().into_iter().find(|path| path.ends_with("guix-large.tar.zst"))
}

/// Reads a directory of derivations, or a `.tar.zst` of one, and plans all of it.
pub fn read(path: &Path) -> Graph {
    let drvs = corpus::read(path);
    let store_dir = drvs.values().find_map(|aterm| Derivation::guess_store_dir(aterm)).unwrap_or_else(StoreDir::nix);
    let pack = PackId::of(b"a corpus");
    let mut closure = Closure::default();
    for (drv, aterm) in &drvs {
        closure.add(drv, &Derivation::parse(&store_dir, aterm).expect("a derivation"), pack);
    }
    let submission = SubmissionId::from_uuid(super::farm::uuid(1));
    let Plan { builds, sources } = plan_all(submission, &store_dir, &closure);
    Graph { submission, store_dir, builds, sources }
}

fn plan_all(submission: SubmissionId, store_dir: &StoreDir, closure: &Closure) -> Plan {
    let needed: BTreeSet<DrvNo> = closure.iter().filter_map(|(.., outline)| outline).flat_map(Outline::inputs).collect();
    let roots = closure.iter().filter(|(no, ..)| !needed.contains(no)).map(|(_, drv, _)| drv);
    let roots: Vec<Root> = roots.map(|drv| Root { build: BuildId::derived(submission, drv), drv: drv.clone() }).collect();
    let known = Known { store_dir, closure, available: &|_| false, whole_closures: store_dir.family() == Family::Guix };
    let how = How { mode: Mode::Build, input_builds: true };
    plan(submission, &roots, how, &known).expect("a whole closure")
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inputs: usize = self.builds.iter().map(|planned| planned.inputs.len()).sum();
        write!(f, "{} builds with {inputs} inputs, {} sources", self.builds.len(), self.sources.len())
    }
}

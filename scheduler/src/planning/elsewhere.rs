//! What of a submission need not be built, because substitute servers beyond the farm's own have it. Asked from the roots
//! down, and no further than something is lacking: most of a distribution is never asked for.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::request::{Mode, Submit};
use drover_scheduler_core::closure::{Closure, DrvNo};
use drover_store::StorePath;

use super::NotNow;
use crate::servers::Servers;

/// Who has what.
type Found = BTreeMap<StorePath, BTreeSet<String>>;

/// Looks for inputs of what would be built, and for what is to be checked, as far as none of it is `available`.
pub(super) async fn look(
    servers: &Servers,
    submit: &Submit,
    closure: &Closure,
    available: &BTreeSet<StorePath>,
) -> Result<Found, NotNow> {
    let mut found = Found::new();
    let mut seen: BTreeSet<DrvNo> = submit.roots.iter().filter_map(|root| closure.number(&root.drv)).collect();
    let mut level: Vec<DrvNo> = seen.iter().copied().collect();
    if submit.mode == Mode::Check {
        let outputs = level.iter().filter_map(|drv| closure.get(*drv)).flat_map(|outline| closure.outputs(outline));
        let lacking = outputs.filter(|path| !available.contains(*path)).cloned().collect();
        found.extend(servers.look(&submit.store_dir, lacking).await?);
    }
    while !level.is_empty() {
        let inputs = wanted(closure, &level);
        let lacking = inputs.values().flatten().filter(|path| !available.contains(*path) && !found.contains_key(*path));
        found.extend(servers.look(&submit.store_dir, lacking.map(|path| (*path).clone()).collect()).await?);
        let is_there = |path: &&StorePath| available.contains(*path) || found.contains_key(*path);
        let to_build = inputs.into_iter().filter(|(_, outputs)| submit.input_builds && !outputs.iter().all(is_there));
        level = to_build.map(|(drv, _)| drv).filter(|drv| seen.insert(*drv)).collect();
    }
    Ok(found)
}

/// The inputs of these derivations, each with what is wanted of it. What is amiss with them, the plan says.
fn wanted<'a>(closure: &'a Closure, level: &[DrvNo]) -> BTreeMap<DrvNo, BTreeSet<&'a StorePath>> {
    let mut wanted: BTreeMap<DrvNo, BTreeSet<&StorePath>> = BTreeMap::new();
    for (input, path) in level.iter().filter_map(|drv| closure.get(*drv)).flat_map(|outline| closure.wanted(outline)) {
        if let Ok(path) = path {
            wanted.entry(input).or_default().insert(&closure.paths()[path.index()]);
        }
    }
    wanted
}

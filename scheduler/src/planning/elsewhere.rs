//! What of a submission need not be built, because substitute servers beyond the farm's own have it. Asked from the roots
//! down, and no further than something is lacking: most of a distribution is never asked for.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::request::{Mode, Submit};
use drover_store::{Derivation, DrvPath, StorePath};

use super::NotNow;
use super::closure::Closure;
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
    let mut seen: BTreeSet<&DrvPath> = submit.roots.iter().map(|root| &root.drv).collect();
    let mut level: Vec<&DrvPath> = seen.iter().copied().collect();
    if submit.mode == Mode::Check {
        let outputs =
            level.iter().filter_map(|drv| closure.derivations.get(*drv)).flat_map(|(derivation, _)| outputs(derivation));
        let lacking = outputs.filter(|path| !available.contains(path)).collect();
        found.extend(servers.look(&submit.store_dir, lacking).await?);
    }
    while !level.is_empty() {
        let inputs = wanted(closure, &level);
        let lacking = inputs.values().flatten().filter(|path| !available.contains(*path) && !found.contains_key(*path));
        found.extend(servers.look(&submit.store_dir, lacking.cloned().collect()).await?);
        let is_there = |path: &StorePath| available.contains(path) || found.contains_key(path);
        let to_build = inputs.into_iter().filter(|(_, outputs)| submit.input_builds && !outputs.iter().all(is_there));
        level = to_build.map(|(drv, _)| drv).filter(|drv| seen.insert(drv)).collect();
    }
    Ok(found)
}

fn outputs(derivation: &Derivation) -> impl Iterator<Item = StorePath> {
    derivation.outputs.values().map(|output| output.path.clone())
}

/// The inputs of these derivations, each with what is wanted of it. What is amiss with them, the plan says.
fn wanted<'a>(closure: &'a Closure, level: &[&DrvPath]) -> BTreeMap<&'a DrvPath, BTreeSet<StorePath>> {
    let mut wanted: BTreeMap<&DrvPath, BTreeSet<StorePath>> = BTreeMap::new();
    let derivations = level.iter().filter_map(|drv| closure.derivations.get(*drv));
    for (input, names) in derivations.flat_map(|(derivation, _)| &derivation.input_drvs) {
        let Some((made_by, _)) = closure.derivations.get(input) else { continue };
        let paths = names.iter().filter_map(|name| made_by.outputs.get(name)).map(|output| output.path.clone());
        wanted.entry(input).or_default().extend(paths);
    }
    wanted
}

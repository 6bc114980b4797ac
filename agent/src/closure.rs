//! A derivation in the store, with all derivations and sources below it: what some daemons want before they build.
//!
//! A store never lacks what is below something valid. So the way down, from the derivation that is to be built, ends at
//! what is there; the rest is added from below. This knows nothing of outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use drover_daemon::{DaemonError, StoreDaemon};
use drover_messages::Cause;
use drover_messages::offer::{Input, Offer};
use drover_store::{Derivation, DrvPath, StorePath};

use crate::cause_of;
use crate::daemon_pool::DaemonPool;
use crate::failure::Failure;
use crate::inputs::Inputs;
use crate::recipes::{Library, Recipes};
use crate::temp_roots::Hold;

/// The most derivations that one closure may lack.
const MAX_LACKING: usize = 200_000;

/// How closures come.
#[derive(Debug)]
pub struct Closures {
    recipes: Arc<Recipes>,
    inputs: Arc<Inputs>,
    daemons: Arc<DaemonPool>,
}

/// A derivation that the store lacks.
#[derive(Debug)]
struct Lacking {
    derivation: Derivation,
    text: Bytes,
}

impl Closures {
    /// Texts come from `recipes`, sources as `inputs` do.
    pub fn new(recipes: Arc<Recipes>, inputs: Arc<Inputs>, daemons: Arc<DaemonPool>) -> Self {
        Self { recipes, inputs, daemons }
    }

    /// Makes sure of the closure of what is offered. It stays in the store while the hold lives.
    pub async fn bring(&self, offer: &Offer) -> Result<Hold, Failure> {
        let (hold, missing) = self.inputs.hold(&[offer.drv.as_store_path()]).await?;
        if missing.is_empty() {
            return Ok(hold);
        }
        let (below, lacking) = self.descend(offer).await?;
        let sources = self.sources(&lacking).await?;
        let count = lacking.len();
        self.add(&offer.drv, lacking).await?;
        tracing::debug!(count, "derivations were added to the store");
        match self.inputs.hold(&[offer.drv.as_store_path()]).await? {
            (added, missing) if missing.is_empty() => Ok(hold.and(below).and(sources).and(added)),
            _ => Err(Failure::new(Cause::DaemonGone, format!("{} was added, but is not in the store", offer.drv))),
        }
    }

    /// Goes down from the derivation, level by level, to what is in the store.
    async fn descend(&self, offer: &Offer) -> Result<(Hold, BTreeMap<DrvPath, Lacking>), Failure> {
        let mut library = self.recipes.library([offer.pack].into_iter().chain(offer.closure.iter().copied()));
        let mut lacking = BTreeMap::new();
        let mut seen = BTreeSet::from([offer.drv.clone()]);
        let mut level = vec![offer.drv.clone()];
        let (mut hold, _) = self.inputs.hold(&[]).await?;
        while !level.is_empty() {
            let below = read(&mut library, level, &mut lacking).await?;
            let fresh: Vec<DrvPath> = below.into_iter().filter(|drv| seen.insert(drv.clone())).collect();
            let (held, missing) = self.inputs.hold(&fresh.iter().map(DrvPath::as_store_path).collect::<Vec<_>>()).await?;
            hold = hold.and(held);
            level = fresh.into_iter().filter(|drv| missing.contains(drv.as_store_path())).collect();
        }
        Ok((hold, lacking))
    }

    /// Those that the offer does not name among its inputs were available when it was planned.
    async fn sources(&self, lacking: &BTreeMap<DrvPath, Lacking>) -> Result<Hold, Failure> {
        let paths: BTreeSet<&StorePath> = lacking.values().flat_map(|lacking| &lacking.derivation.input_srcs).collect();
        let sources: Vec<Input> = paths.into_iter().map(|path| Input { path: path.clone(), available: true }).collect();
        self.inputs.gather(&sources).await
    }

    async fn add(&self, root: &DrvPath, mut lacking: BTreeMap<DrvPath, Lacking>) -> Result<(), Failure> {
        for drv in from_below(root, &lacking) {
            let Some(Lacking { derivation, text }) = lacking.remove(&drv) else { continue };
            let references: Vec<StorePath> = derivation.references().into_iter().cloned().collect();
            let added = self.add_text(&drv, &text, &references).await;
            let added = added.map_err(|error| Failure::of(cause_of::of_error(&error), &error))?;
            if added != *drv.as_store_path() {
                return Err(Failure::new(Cause::DaemonGone, format!("the store daemon calls {added} what is {drv}")));
            }
        }
        Ok(())
    }

    async fn add_text(&self, drv: &DrvPath, text: &[u8], references: &[StorePath]) -> Result<StorePath, DaemonError> {
        let name = format!("{}.drv", drv.name_without_drv());
        loop {
            let mut daemon = self.daemons.take().await?;
            match daemon.add_text(&name, text, references).await {
                Err(error) if daemon.went_stale(&error) => {}
                added => return added,
            }
        }
    }
}

/// Reads one level, and says what is right below it.
async fn read(
    library: &mut Library<'_>,
    level: Vec<DrvPath>,
    lacking: &mut BTreeMap<DrvPath, Lacking>,
) -> Result<BTreeSet<DrvPath>, Failure> {
    let mut below = BTreeSet::new();
    for drv in level {
        let (derivation, text) = library.find(&drv).await?;
        below.extend(derivation.input_drvs.keys().cloned());
        lacking.insert(drv, Lacking { derivation, text });
        if lacking.len() > MAX_LACKING {
            let why = format!("this store lacks more than {MAX_LACKING} derivations below the one that was offered");
            return Err(Failure::new(Cause::Refused, why));
        }
    }
    Ok(below)
}

/// In an order in which each comes after what it refers to. It keeps its own stack: closures are deep.
fn from_below(root: &DrvPath, lacking: &BTreeMap<DrvPath, Lacking>) -> Vec<DrvPath> {
    let mut order = Vec::with_capacity(lacking.len());
    let mut seen = BTreeSet::new();
    let mut stack = vec![(root, false)];
    while let Some((drv, is_done)) = stack.pop() {
        if is_done {
            order.push(drv.clone());
        } else if let Some(Lacking { derivation, .. }) = lacking.get(drv).filter(|_| seen.insert(drv)) {
            stack.push((drv, true));
            stack.extend(derivation.input_drvs.keys().map(|input| (input, false)));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use drover_store::OutputName;

    use super::*;

    fn drv(name: &str) -> DrvPath {
        format!("0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-{name}.drv").parse().unwrap()
    }

    fn lacking(inputs: &[&str]) -> Lacking {
        let derivation = Derivation {
            outputs: BTreeMap::new(),
            input_drvs: inputs.iter().map(|name| (drv(name), BTreeSet::from([OutputName::OUT]))).collect(),
            input_srcs: BTreeSet::new(),
            system: "a-linux".into(),
            builder: "/bin/sh".into(),
            args: Vec::new(),
            env: BTreeMap::new(),
        };
        Lacking { derivation, text: Bytes::new() }
    }

    #[test]
    fn each_derivation_comes_after_all_that_it_refers_to_and_once() {
        let graph = [("a", &["b", "c"][..]), ("b", &["c", "d"]), ("c", &["d", "there"]), ("d", &[])];
        let all: BTreeMap<_, _> = graph.iter().map(|(name, inputs)| (drv(name), lacking(inputs))).collect();
        assert_eq!(from_below(&drv("a"), &all), ["d", "c", "b", "a"].map(drv));
    }

    #[test]
    fn a_deep_closure_does_not_need_a_deep_stack() {
        let deep = 100_000;
        let name = |n: usize| n.to_string();
        let all: BTreeMap<_, _> = (0..deep).map(|n| (drv(&name(n)), lacking(&[&name(n + 1)]))).collect();
        assert_eq!(from_below(&drv("0"), &all).len(), deep);
    }
}

//! How long builds take, learned from how long they took: the median of the last few of the same package. Packages have numbers,
//! as long as there is something to know of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::arena::{Arena, No};
use crate::links::BuildNo;
use crate::package::Package;
use crate::recipe::Recipe;

/// Durations that are remembered of one package.
const REMEMBERED: usize = 9;
/// What is taken for granted of a package that was never built, in milliseconds.
const UNKNOWN_MILLIS: u64 = 60_000;
/// The same of a fixed output, which is mostly a download.
const UNKNOWN_FIXED_MILLIS: u64 = 5_000;
/// A median counts as another when it differs by more than this share of it, in percent: what hangs on it is measured
/// anew then.
const NOTABLE_PERCENT: u64 = 25;

/// What the last builds of one package took, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Recorded")]
pub struct Took {
    millis: Vec<u64>,
    memory_mib: Vec<u64>,
}

/// How it was recorded: before memory was seen, as durations alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Recorded {
    Millis(Vec<u64>),
    Both { millis: Vec<u64>, memory_mib: Vec<u64> },
}

impl From<Recorded> for Took {
    fn from(recorded: Recorded) -> Self {
        match recorded {
            Recorded::Millis(millis) => Self { millis, memory_mib: Vec::new() },
            Recorded::Both { millis, memory_mib } => Self { millis, memory_mib },
        }
    }
}

impl FromIterator<u64> for Took {
    /// The last few of these, in milliseconds.
    fn from_iter<I: IntoIterator<Item = u64>>(millis: I) -> Self {
        let mut took = Self::default();
        millis.into_iter().for_each(|millis| took.add(millis, None));
        took
    }
}

impl Took {
    fn median(&self) -> Option<u64> {
        let mut sorted = self.millis.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    fn add(&mut self, millis: u64, memory_mib: Option<u64>) {
        push(&mut self.millis, millis);
        if let Some(mib) = memory_mib {
            push(&mut self.memory_mib, mib);
        }
    }
}

fn push(last: &mut Vec<u64>, one: u64) {
    if last.len() == REMEMBERED {
        last.remove(0);
    }
    last.push(one);
}

/// The packages of which there are builds in memory, or were any. No order hangs on the map.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    numbers: HashMap<Arc<Package>, PackageNo>,
    known: Arena<Known>,
}

pub(crate) type PackageNo = No<Known>;

/// What is known of one package.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) package: Arc<Package>,
    took: Took,
    /// The median, as those that hang on it were last measured by, in milliseconds; nothing, where none was built.
    expected: Option<u64>,
    /// The builds of it in memory.
    pub(crate) builds: BTreeSet<BuildNo>,
}

impl Known {
    /// What a build is expected to take, in milliseconds; never 0.
    pub(crate) fn expected_millis(&self, recipe: &Recipe) -> u64 {
        let is_fixed = recipe.outputs.values().any(|product| product.ca.is_some());
        self.expected.unwrap_or(if is_fixed { UNKNOWN_FIXED_MILLIS } else { UNKNOWN_MILLIS }).max(1)
    }

    /// Whether one was built.
    pub(crate) fn is_built(&self) -> bool {
        self.expected.is_some()
    }

    /// The most memory that one of the last builds took, in MiB; 0 where none has told.
    pub(crate) fn expected_mib(&self) -> u64 {
        self.took.memory_mib.iter().max().copied().unwrap_or(0)
    }
}

impl Durations {
    /// The number of a package, known or new.
    pub(crate) fn enter(&mut self, package: Package) -> PackageNo {
        match self.numbers.get(&package) {
            Some(no) => *no,
            None => self.add(Arc::new(package)),
        }
    }

    fn add(&mut self, package: Arc<Package>) -> PackageNo {
        let known = Known { package: package.clone(), took: Took::default(), expected: None, builds: BTreeSet::new() };
        let no = self.known.add(known);
        self.numbers.insert(package, no);
        no
    }

    /// A build of a package is in memory.
    pub(crate) fn enter_build(&mut self, no: PackageNo, build: BuildNo) {
        self.known.get_mut(no).map(|known| known.builds.insert(build));
    }

    /// It is not any more. Of a package that was never built nothing is left with the last.
    pub(crate) fn forget_build(&mut self, no: PackageNo, build: BuildNo) {
        let Some(known) = self.known.get_mut(no) else { return };
        known.builds.remove(&build);
        if known.builds.is_empty() && !known.is_built() {
            let package = known.package.clone();
            self.known.take(no);
            self.numbers.remove(&package);
        }
    }

    pub(crate) fn at(&self, no: PackageNo) -> Option<&Known> {
        self.known.get(no)
    }

    /// All of them, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.known.iter()
    }

    /// Whether a package was built.
    pub(crate) fn is_built(&self, no: PackageNo) -> bool {
        self.at(no).is_some_and(Known::is_built)
    }

    /// Learns of one more. The package's number, if its builds are expected to take a notably different time now.
    pub(crate) fn learn(&mut self, package: &Arc<Package>, millis: u64, memory_mib: Option<u64>) -> Option<PackageNo> {
        let no = self.numbers.get(package).copied().unwrap_or_else(|| self.add(package.clone()));
        let known = self.known.get_mut(no)?;
        known.took.add(millis, memory_mib);
        let now = known.took.median().unwrap_or(millis);
        let notable = known.expected.is_none_or(|expected| expected.abs_diff(now) * 100 > expected * NOTABLE_PERCENT);
        notable.then(|| {
            known.expected = Some(now);
            no
        })
    }

    /// Takes back what was recorded.
    pub(crate) fn remember(&mut self, package: Package, took: Took) {
        let no = self.enter(package);
        if let Some(known) = self.known.get_mut(no) {
            (known.expected, known.took) = (took.median(), took);
        }
    }

    /// How long each package took that was built.
    pub(crate) fn all(&self) -> BTreeMap<&Package, &Took> {
        self.known.iter().filter(|known| known.is_built()).map(|known| (known.package.as_ref(), &known.took)).collect()
    }

    pub(crate) fn get(&self, package: &Package) -> Option<&Took> {
        let known = self.numbers.get(package).and_then(|no| self.at(*no));
        known.filter(|known| known.is_built()).map(|known| &known.took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str) -> Arc<Package> {
        Arc::new(Package { name: name.into(), system: "x86_64-linux".into() })
    }

    #[test]
    fn many_small_changes_are_a_notable_one() {
        let mut durations = Durations::default();
        let hello = package("hello-1");
        let told: Vec<bool> = (0..100).map(|n| durations.learn(&hello, 1000 + 20 * n, None).is_some()).collect();
        assert!((3..10).contains(&told.iter().filter(|told| **told).count()), "{told:?}");
    }

    #[test]
    fn the_median_of_the_last_few_counts() {
        let mut durations = Durations::default();
        let hello = package("hello-1");
        assert!(durations.learn(&hello, 1000, None).is_some(), "the first is news");
        assert!(durations.learn(&hello, 1100, None).is_none(), "about the same");
        for _ in 0..REMEMBERED {
            durations.learn(&hello, 50_000, None);
        }
        assert_eq!(durations.get(&hello).unwrap().median(), Some(50_000));
        assert_eq!(durations.get(&hello).unwrap().millis.len(), REMEMBERED);
    }

    #[test]
    fn the_most_memory_of_the_last_few_is_expected() {
        let mut durations = Durations::default();
        let hello = package("hello-1");
        let no = durations.enter(Package::clone(&hello));
        assert_eq!(durations.at(no).unwrap().expected_mib(), 0);
        for mib in [Some(100), None, Some(300), Some(200)] {
            durations.learn(&hello, 1000, mib);
        }
        assert_eq!(durations.at(no).unwrap().expected_mib(), 300);
    }
}

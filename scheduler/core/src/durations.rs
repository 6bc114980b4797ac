//! How long builds take, learned from how long they took: the median of the last few of the same package, whatever its
//! version, for the same system.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::build::Recipe;

/// Durations that are remembered of one package.
const REMEMBERED: usize = 9;
/// What is taken for granted of a package that was never built, in milliseconds.
const UNKNOWN_MILLIS: u64 = 60_000;
/// The same of a fixed output, which is mostly a download.
const UNKNOWN_FIXED_MILLIS: u64 = 5_000;
/// A median counts as another when it differs by more than this share of it, in percent: what hangs on it is measured
/// anew then.
const NOTABLE_PERCENT: u64 = 25;

/// A package on a system: what builds have in common that take about the same time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Package {
    /// The name of its derivation, with `*` in place of what looks like a version.
    pub name: String,
    /// For what it is built.
    pub system: String,
}

impl Package {
    /// Of a derivation.
    pub fn of(recipe: &Recipe) -> Self {
        Self { name: without_version(recipe.drv.name_without_drv()), system: recipe.system.clone() }
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.name, self.system)
    }
}

/// Replaces each part of a name that begins with a digit: `gcc-14.3.0-lib` becomes `gcc-*-lib`.
fn without_version(name: &str) -> String {
    let part = |part: &str| if part.starts_with(|c: char| c.is_ascii_digit()) { "*".to_owned() } else { part.to_owned() };
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

/// The last durations of one package, oldest first, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Took(Vec<u64>);

impl FromIterator<u64> for Took {
    /// The last few of these, in milliseconds.
    fn from_iter<I: IntoIterator<Item = u64>>(millis: I) -> Self {
        let mut took = Self::default();
        millis.into_iter().for_each(|millis| took.add(millis));
        took
    }
}

impl Took {
    fn median(&self) -> Option<u64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    fn add(&mut self, millis: u64) {
        if self.0.len() == REMEMBERED {
            self.0.remove(0);
        }
        self.0.push(millis);
    }
}

/// What is known of all packages.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    took: BTreeMap<Package, Took>,
}

impl Durations {
    /// What a build is expected to take, in milliseconds; never 0.
    pub(crate) fn expected_millis(&self, recipe: &Recipe) -> u64 {
        let known = self.took.get(&Package::of(recipe)).and_then(Took::median);
        let is_fixed = recipe.outputs.values().any(|product| product.ca.is_some());
        known.unwrap_or(if is_fixed { UNKNOWN_FIXED_MILLIS } else { UNKNOWN_MILLIS }).max(1)
    }

    /// Learns of one more. True if builds of the package are expected to take a notably different time now.
    pub(crate) fn learn(&mut self, package: &Package, millis: u64) -> bool {
        let took = self.took.entry(package.clone()).or_default();
        let before = took.median();
        took.add(millis);
        let now = took.median().unwrap_or(millis);
        before.is_none_or(|before| before.abs_diff(now) * 100 > before * NOTABLE_PERCENT)
    }

    /// Takes back what was recorded.
    pub(crate) fn remember(&mut self, package: Package, took: Took) {
        self.took.insert(package, took);
    }

    pub(crate) fn get(&self, package: &Package) -> Option<&Took> {
        self.took.get(package)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str) -> Package {
        Package { name: without_version(name), system: "x86_64-linux".into() }
    }

    #[test]
    fn versions_of_a_package_are_one_package() {
        assert_eq!(package("hello-2.12.1"), package("hello-2.12.2"));
        assert_eq!(package("gcc-14.3.0-lib").name, "gcc-*-lib");
        assert_ne!(package("gcc-14.3.0-lib"), package("gcc-14.3.0"));
        assert_eq!(package("python-3.11.1-source.tar.gz").name, "python-*-source.tar.gz");
    }

    #[test]
    fn the_median_of_the_last_few_counts() {
        let mut durations = Durations::default();
        let hello = package("hello-1");
        assert!(durations.learn(&hello, 1000), "the first is news");
        assert!(!durations.learn(&hello, 1100), "about the same");
        for _ in 0..REMEMBERED {
            durations.learn(&hello, 50_000);
        }
        assert_eq!(durations.get(&hello).unwrap().median(), Some(50_000));
        assert_eq!(durations.get(&hello).unwrap().0.len(), REMEMBERED);
    }
}

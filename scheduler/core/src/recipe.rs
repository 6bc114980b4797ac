//! What is built: a derivation, as far as scheduling needs it. A farm keeps one for each of its builds, so they are small:
//! sorted rows instead of trees, and not what a build needs, which its links say.

use std::ops::Deref;

use drover_store::{ContentAddress, DrvPath, OutputName, PackId, StoreDir, StorePath};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// A derivation, as far as scheduling needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// Its name.
    pub drv: DrvPath,
    /// The pack that holds it.
    pub pack: PackId,
    /// The store directory of all paths.
    pub store_dir: StoreDir,
    /// For what it is built.
    pub system: String,
    /// Features an agent must have.
    pub features: BTreeSet<String>,
    /// What it makes.
    pub outputs: Outputs,
}

/// One output of a derivation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Its store path.
    pub path: StorePath,
    /// Its content, where the derivation fixes it.
    pub ca: Option<Box<ContentAddress>>,
}

/// A set of store paths that does not change, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Paths(Box<[StorePath]>);

impl Paths {
    /// Whether this is one of them.
    pub fn contains(&self, path: &StorePath) -> bool {
        self.0.binary_search(path).is_ok()
    }
}

impl Deref for Paths {
    type Target = [StorePath];

    fn deref(&self) -> &[StorePath] {
        &self.0
    }
}

impl FromIterator<StorePath> for Paths {
    fn from_iter<I: IntoIterator<Item = StorePath>>(paths: I) -> Self {
        let mut paths: Vec<StorePath> = paths.into_iter().collect();
        if !paths.is_sorted_by(|a, b| a < b) {
            paths.sort_unstable();
            paths.dedup();
        }
        Self(paths.into())
    }
}

impl<'a> IntoIterator for &'a Paths {
    type Item = &'a StorePath;
    type IntoIter = std::slice::Iter<'a, StorePath>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

/// What a derivation makes, in order of the names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outputs(Box<[(OutputName, Product)]>);

impl Outputs {
    /// The output of this name.
    pub fn get(&self, name: &OutputName) -> Option<&Product> {
        self.iter().find(|(known, _)| *known == name).map(|(_, product)| product)
    }

    /// Each with its name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&OutputName, &Product)> {
        self.0.iter().map(|(name, product)| (name, product))
    }

    /// Each without its name.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Product> {
        self.0.iter().map(|(_, product)| product)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(OutputName, Product)> for Outputs {
    /// The last of each name.
    fn from_iter<I: IntoIterator<Item = (OutputName, Product)>>(outputs: I) -> Self {
        Self(outputs.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect())
    }
}

impl Serialize for Outputs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, product) in self.iter() {
            map.serialize_entry(name, product)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Outputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> StorePath {
        StorePath::from_parts(&[7; 20], name).unwrap()
    }

    #[test]
    fn paths_are_a_set() {
        let paths: Paths = ["b", "a", "b", "c"].map(path).into_iter().collect();
        assert_eq!(paths.len(), 3);
        assert!(paths.contains(&path("a")) && !paths.contains(&path("d")));
        assert!(paths.is_sorted());
    }

    #[test]
    fn they_are_written_as_sets_and_maps_are() {
        let (names, product) = ([OutputName::OUT, "dev".parse().unwrap()], Product { path: path("a"), ca: None });
        let outputs: BTreeMap<OutputName, Product> = names.into_iter().map(|name| (name, product.clone())).collect();
        let written = rmp_serde::to_vec_named(&outputs).unwrap();
        let read: Outputs = rmp_serde::from_slice(&written).unwrap();
        assert!(read.iter().eq(&outputs) && read.get(&OutputName::OUT).is_some());
        assert_eq!(rmp_serde::to_vec_named(&read).unwrap(), written);

        let set: BTreeSet<StorePath> = ["b", "a"].map(path).into_iter().collect();
        let written = rmp_serde::to_vec_named(&set).unwrap();
        let read: Paths = rmp_serde::from_slice(&written).unwrap();
        assert!(read.iter().eq(&set));
        assert_eq!(rmp_serde::to_vec_named(&read).unwrap(), written);
    }
}

//! What builds have in common that take about the same time: a package, whatever its version, for the same system.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::recipe::Recipe;

/// How the names of files go on behind a version.
const FILES: [&str; 10] = [".tar", ".tgz", ".tbz", ".txz", ".zip", ".patch", ".diff", ".gem", ".crate", ".jar"];

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

/// Replaces each part of a name that begins with a digit: `gcc-14.3.0-lib` becomes `gcc-*-lib`. What kind of file it is stays:
/// to unpack a source takes another time than to build what is in it, or to fetch it.
fn without_version(name: &str) -> String {
    let mut general = String::with_capacity(name.len());
    for (n, part) in name.split('-').enumerate() {
        if n > 0 {
            general.push('-');
        }
        match part.starts_with(|c: char| c.is_ascii_digit()) {
            true => general.extend(["*", kind_of_file(part)]),
            false => general.push_str(part),
        }
    }
    general
}

/// What comes behind the version in the name of a file: `.tar.gz` of `2.12.1.tar.gz`, nothing of `2.12.1`.
fn kind_of_file(part: &str) -> &str {
    let mut starts = part.match_indices('.').map(|(at, _)| &part[at..]);
    starts.find(|rest| FILES.iter().any(|file| rest.starts_with(file))).unwrap_or_default()
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
        assert_eq!(package("hello-2.12.tar.gz").name, "hello-*.tar.gz");
        assert_ne!(package("hello-2.12.tar.gz"), package("hello-2.12"));
    }
}

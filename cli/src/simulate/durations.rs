//! How long builds really take: what a file says, and where it says nothing, what a seed gives.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::query::BuildSummary;
use drover_scheduler_core::{Package, Recipe, Took};
use drover_store::DrvPath;

use super::dice::Dice;
use super::graph::Graph;

/// The longest time that is drawn, in seconds.
const LONGEST_SECS: f64 = 8.0 * 3600.0;
/// The longest time that is taken from a file, or a farm: a year, in milliseconds.
pub(super) const MOST_MILLIS: u64 = 365 * 24 * 60 * 60 * 1000;
/// How much builds of one package differ.
const WITHIN_PACKAGE_SIGMA: f64 = 0.2;
/// A farm that has learned has built so many other versions of each package.
const EARLIER_VERSIONS: u32 = 5;

/// What a file says, in milliseconds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Durations {
    /// By the name of a derivation, with its hash or without, or that without versions.
    named: BTreeMap<String, u64>,
    /// What a farm has built, if these are its records.
    recorded: Option<BTreeSet<DrvPath>>,
}

impl Durations {
    /// Reads it, or says what is wrong in words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.trim_start().starts_with('{') {
            true => Self::parse_records(text),
            false => Self::parse_lines(text),
        }
    }

    fn parse_lines(text: &str) -> Result<Self, String> {
        let mut named = BTreeMap::new();
        for (n, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let wrong = || format!("line {} is not `NAME SECONDS`: {line}", n + 1);
            let (name, secs) = line.split_once(char::is_whitespace).ok_or_else(wrong)?;
            let secs: f64 = secs.trim().parse().map_err(|_| wrong())?;
            if !secs.is_finite() || secs < 0.0 {
                return Err(wrong());
            }
            named.insert(base(name).to_owned(), bounded(millis(secs), n)?);
        }
        Ok(Self { named, recorded: None })
    }

    /// What `drover list --json` prints.
    fn parse_records(text: &str) -> Result<Self, String> {
        let (mut named, mut recorded) = (BTreeMap::new(), BTreeSet::new());
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let build: BuildSummary = serde_json::from_str(line).map_err(|e| format!("line {}: {e}", n + 1))?;
            if let Some(millis) = build.build_millis {
                named.insert(base(build.drv.as_str()).to_owned(), bounded(millis.max(1), n)?);
                recorded.insert(build.drv);
            }
        }
        match recorded.is_empty() {
            true => Err("none of the builds in it has been built, so there are no times".into()),
            false => Ok(Self { named, recorded: Some(recorded) }),
        }
    }

    /// Whether a derivation is to be built, and is not there already.
    pub(super) fn is_built(&self, drv: &DrvPath) -> bool {
        self.recorded.as_ref().is_none_or(|recorded| recorded.contains(drv))
    }

    /// What each build takes at speed 1, in milliseconds.
    pub(super) fn of(&self, graph: &Graph, seed: u64) -> Vec<u64> {
        graph
            .builds
            .iter()
            .map(|planned| {
                self.said(&planned.recipe).unwrap_or_else(|| drawn(&planned.recipe, seed, planned.recipe.drv.as_str()))
            })
            .collect()
    }

    /// What a farm has learned from other versions of the same packages, of which none took as long as what is built now;
    /// where a file says what it takes, that.
    pub(super) fn learned(&self, graph: &Graph, seed: u64) -> BTreeMap<Package, Took> {
        let earlier = |recipe: &Recipe, package: &Package| match self.said(recipe) {
            Some(millis) => Took::from_iter([millis]),
            None => (1..=EARLIER_VERSIONS).map(|n| drawn(recipe, seed, &format!("{package}, {n} versions ago"))).collect(),
        };
        let of = |recipe: &Recipe| {
            let package = Package::of(recipe);
            (package.clone(), earlier(recipe, &package))
        };
        graph.builds.iter().map(|planned| of(&planned.recipe)).collect()
    }

    fn said(&self, recipe: &Recipe) -> Option<u64> {
        let drv = &recipe.drv;
        let names = [base(drv.as_str()), drv.name_without_drv(), &Package::of(recipe).name].map(|name| self.named.get(name));
        names.into_iter().flatten().next().copied()
    }
}

/// A derivation's name without store directory and suffix.
fn base(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.strip_suffix(".drv").unwrap_or(name)
}

/// Builds of a package take about the same time. Most packages take seconds, some minutes, and a few take hours.
/// One is named by what is built.
fn drawn(recipe: &Recipe, seed: u64, one: &str) -> u64 {
    let mut of_package = Dice::new(seed, &Package::of(recipe).to_string());
    let is_download = recipe.outputs.values().any(|product| product.ca.is_some());
    let median = match of_package.unit() {
        _ if is_download => of_package.log_normal(4.0, 0.8),
        kind if kind < 0.70 => of_package.log_normal(20.0, 0.9),
        kind if kind < 0.95 => of_package.log_normal(120.0, 0.9),
        _ => of_package.pareto(600.0, 1.3),
    };
    let secs = Dice::new(seed, one).log_normal(median, WITHIN_PACKAGE_SIGMA);
    millis(secs.min(LONGEST_SECS))
}

/// What the line of this number, from 0, says that a build takes.
fn bounded(millis: u64, line: usize) -> Result<u64, String> {
    match millis <= MOST_MILLIS {
        true => Ok(millis),
        false => Err(format!("line {}: a build takes a year at most, {} seconds", line + 1, MOST_MILLIS / 1000)),
    }
}

/// Never 0.
fn millis(secs: f64) -> u64 {
    ((secs * 1000.0) as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::{graph, hello};
    use super::*;

    #[test]
    fn lines_name_a_derivation_by_its_path_its_name_or_its_package() {
        let of = |text: &str| Durations::parse(text).unwrap().of(&graph(&[("hello-1.2", &[])]), 1);
        let path = format!("/nix/store/{} 1.5", hello("hello-1.2"));
        for line in [path.as_str(), "hello-1.2 1.5", "hello-*\t1.5 # measured", "hello-* 9\nhello-1.2 1.5"] {
            assert_eq!(of(line), [1_500], "{line}");
        }
        assert_ne!(of("other 1.5"), [1_500]);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for line in ["hello", "hello soon", "hello -1", "hello inf"] {
            assert!(Durations::parse(line).unwrap_err().starts_with("line 1 is not"), "{line}");
        }
    }

    #[test]
    fn what_takes_more_than_a_year_is_refused() {
        assert!(Durations::parse("gcc-* 31536000").is_ok());
        for line in ["gcc-* 31536001", "gcc-* 1e300"] {
            let why = Durations::parse(&format!("hello 1\n{line}")).unwrap_err();
            assert_eq!(why, "line 2: a build takes a year at most, 31536000 seconds");
        }
    }

    #[test]
    fn of_records_only_what_was_built_is_built_again() {
        let record = |name: &str, millis: &str| {
            let id = "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";
            format!(
                r#"{{"build":"{id}","submission":"{id}","drv":"{}","store_dir":"/nix/store","state":"succeeded","reason":"","blocked_by":null,"agent":null,"priority":0,"created_at":0,"build_millis":{millis},"available":true}}"#,
                hello(name)
            )
        };
        let durations = Durations::parse(&[record("a", "70"), record("b", "null")].join("\n")).unwrap();
        assert!(durations.is_built(&hello("a")));
        assert!(!durations.is_built(&hello("b")), "it has no time");
        assert_eq!(durations.of(&graph(&[("a", &[])]), 1), [70]);
        assert!(Durations::parse(&record("b", "null")).unwrap_err().contains("no times"));
        assert!(Durations::parse(&record("a", &u64::MAX.to_string())).unwrap_err().contains("a year at most"));
    }

    #[test]
    fn what_a_farm_has_learned_is_not_what_comes() {
        let graph = graph(&[("a-1", &[])]);
        let (durations, package) = (Durations::default(), Package::of(&graph.builds[0].recipe));
        let (now, learned) = (durations.of(&graph, 7)[0], &durations.learned(&graph, 7)[&package]);
        assert_ne!(learned, &Took::from_iter([now]));
        let said = Durations::parse("a-1 1.5").unwrap();
        assert_eq!(said.learned(&graph, 7)[&package], Took::from_iter([1_500]));
    }

    #[test]
    fn builds_of_a_package_take_about_the_same_time() {
        let millis = Durations::default().of(&graph(&[("a-1", &[]), ("a-2", &[])]), 7);
        let ratio = millis[0] as f64 / millis[1] as f64;
        assert!((0.4..2.5).contains(&ratio), "{millis:?}");
        assert_ne!(millis, Durations::default().of(&graph(&[("a-1", &[]), ("a-2", &[])]), 8));
    }
}

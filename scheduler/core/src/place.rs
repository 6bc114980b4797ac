//! Where a build may go: what it requires of an agent, and what speaks against one, in words with numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use drover_messages::agent::Hello;
use drover_store::StoreDir;

use crate::build::Build;

/// What a build requires of an agent, whatever the agent does at the time. There are few of these, however many builds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Requirement {
    store_dir: StoreDir,
    system: String,
    features: BTreeSet<String>,
    takes: Resources,
    on: BTreeMap<String, String>,
    not_on: BTreeMap<String, String>,
}

/// Amounts of what the builds of an agent share, such as `mem` → 16.
pub(crate) type Resources = BTreeMap<String, u64>;

/// What speaks against an agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Objection {
    /// It builds in another store directory.
    StoreDir(StoreDir),
    /// It does not build for that system.
    System(String),
    /// It lacks features.
    Features(BTreeSet<String>),
    /// It has less than the build takes, even idle.
    TooSmall {
        /// Of what.
        name: String,
        /// What the build takes.
        takes: u64,
        /// What there is.
        has: u64,
    },
    /// It takes only builds that require this feature.
    Mandatory(String),
    /// It has not the tag that is asked for.
    Tag(String),
    /// It has a tag that is refused.
    RefusedTag(String),
    /// It has built the same derivation before, and another is asked for.
    Apart,
    /// The build failed there by the farm's fault, and others have not tried it.
    FailedThere,
    /// Some inputs are only in other stores yet, or at servers that it does not reach.
    Inputs,
    /// It was not heard lately, or offers do not reach it.
    Away,
    /// By its own word it takes no builds.
    NotReady(String),
    /// An administrator wants it to take none.
    Drained,
    /// It is not trusted.
    Quarantined(String),
    /// It has not let go of what it was told to stop.
    Stuck,
    /// Much hangs on the build, and it is kept for one that is faster.
    Slower {
        /// The faster one is free in about so many seconds.
        free_in_secs: u64,
    },
    /// All its slots are taken, and the places beyond them.
    Full {
        /// Slots.
        slots: u32,
    },
    /// What it shares among its builds is taken.
    Taken {
        /// Of what.
        name: String,
        /// What the build takes.
        takes: u64,
        /// What is free.
        free: u64,
        /// Whether the agent saves up for it.
        saved_up: bool,
    },
    /// It saves up what it shares for a build that takes more of it, and came before.
    Saved {
        /// Of what.
        name: String,
        /// What the build takes.
        takes: u64,
        /// What is free.
        free: u64,
        /// What the other takes.
        kept: u64,
    },
}

impl Objection {
    /// Whether it may pass by itself.
    pub fn may_pass(&self) -> bool {
        use Objection::*;
        !matches!(self, StoreDir(_) | System(_) | Features(_) | TooSmall { .. } | Mandatory(_) | Tag(_) | RefusedTag(_) | Apart)
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Objection::*;
        match self {
            StoreDir(dir) => write!(f, "it builds in {dir}"),
            System(system) => write!(f, "it does not build for {system}"),
            Features(lacking) => write!(f, "it lacks {}", lacking.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
            TooSmall { name, takes, has } => write!(f, "the build takes {takes} of {name}, and it has {has} in all"),
            Mandatory(feature) => write!(f, "it takes only builds that require {feature}"),
            Tag(tag) => write!(f, "it has not the tag {tag}"),
            RefusedTag(tag) => write!(f, "it has the tag {tag}"),
            Apart => f.write_str("it has built the same derivation before"),
            FailedThere => f.write_str("it failed there, and another agent is to try it first"),
            Inputs => f.write_str("its store has not all inputs yet, and the cache neither"),
            Away => f.write_str("it was not heard lately"),
            NotReady(why) => write!(f, "it is not ready: {why}"),
            Drained => f.write_str("it is drained"),
            Quarantined(why) => write!(f, "it is in quarantine: {why}"),
            Stuck => f.write_str("it has not let go of what it was told to stop"),
            Slower { free_in_secs } => {
                write!(f, "it is kept for a faster agent, free in about {free_in_secs} s, for much hangs on it")
            }
            Full { slots } => write!(f, "all of its {slots} slots are taken"),
            Taken { name, takes, free, saved_up } => {
                let saved_up = if *saved_up { ", which it saves up for it" } else { "" };
                write!(f, "the build takes {takes} of {name}, and {free} are free{saved_up}")
            }
            Saved { name, takes, free, kept } => {
                write!(f, "the build takes {takes} of {name}; {free} are free, and saved up for one before it that takes {kept}")
            }
        }
    }
}

impl Requirement {
    /// Of a build.
    pub(crate) fn of(build: &Build) -> Self {
        let recipe = &build.recipe;
        let (amounts, features): (Vec<_>, Vec<_>) = recipe.features.iter().partition(|feature| amount(feature).is_some());
        let mut takes = Resources::new();
        for (name, takes_of_it) in amounts.into_iter().filter_map(|feature| amount(feature)) {
            let most = takes.entry(name).or_default();
            *most = takes_of_it.max(*most);
        }
        Self {
            store_dir: recipe.store_dir.clone(),
            system: recipe.system.clone(),
            features: features.into_iter().cloned().collect(),
            takes,
            on: build.terms.on.clone(),
            not_on: build.terms.not_on.clone(),
        }
    }

    /// What of the things that an agent's builds share it takes: the most that it says of each.
    pub(crate) fn takes(&self) -> &Resources {
        &self.takes
    }

    /// Whether both take of the same.
    pub(crate) fn competes_with(&self, other: &Self) -> bool {
        self != other && self.takes.keys().any(|name| other.takes.contains_key(name))
    }

    /// What speaks against an agent, whatever it does at the time.
    pub(crate) fn objection(&self, hello: &Hello) -> Option<Objection> {
        if self.store_dir != hello.store_dir {
            return Some(Objection::StoreDir(hello.store_dir.clone()));
        }
        if self.system != "builtin" && !hello.systems.contains(&self.system) {
            return Some(Objection::System(self.system.clone()));
        }
        let mut lacking = self.features.iter().filter(|feature| !hello.features.contains(feature)).peekable();
        if lacking.peek().is_some() {
            return Some(Objection::Features(lacking.cloned().collect()));
        }
        let mandatory = hello.mandatory_features.iter().find(|feature| !self.features.contains(*feature));
        if let Some(feature) = mandatory {
            return Some(Objection::Mandatory(feature.clone()));
        }
        let has = |name: &str| hello.resources.get(name).copied().unwrap_or(0);
        if let Some((name, takes)) = self.takes.iter().find(|(name, takes)| has(name) < **takes) {
            return Some(Objection::TooSmall { name: name.clone(), takes: *takes, has: has(name) });
        }
        let tagged = |(key, value): &(&String, &String)| hello.tags.get(*key) == Some(*value);
        if let Some((key, value)) = self.on.iter().find(|tag| !tagged(tag)) {
            return Some(Objection::Tag(format!("{key}={value}")));
        }
        let (key, value) = self.not_on.iter().find(tagged)?;
        Some(Objection::RefusedTag(format!("{key}={value}")))
    }
}

/// A feature that is an amount: `mem:16`.
fn amount(feature: &str) -> Option<(String, u64)> {
    let (name, amount) = feature.rsplit_once(':')?;
    Some((name.to_owned(), amount.parse().ok()?))
}

//! A fleet that exists on paper: groups of agents, read from TOML.

use std::collections::{BTreeMap, BTreeSet};

use drover_messages::agent::MAX_SLOTS;
use serde::Deserialize;

use super::durations::MOST_MILLIS;

/// The most agents of a fleet.
const MAX_AGENTS: usize = 10_000;

/// All agents.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fleet {
    /// From an upload until its outputs can be fetched, in milliseconds.
    #[serde(default = "default_publish_millis")]
    pub(super) publish_millis: u64,
    #[serde(rename = "agents")]
    groups: Vec<Group>,
}

/// Agents that are alike.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    /// What they are called; where there are several of a name, a number is put behind it.
    #[serde(default = "default_name")]
    pub(super) name: String,
    /// How many of them.
    #[serde(default = "one")]
    pub(super) count: usize,
    /// Builds that one runs at once.
    #[serde(default = "one")]
    pub(super) slots: u32,
    /// A build takes its time divided by this.
    #[serde(default = "one")]
    pub(super) speed: f64,
    /// For what they build.
    #[serde(default = "default_systems")]
    pub(super) systems: Vec<String>,
    /// What they offer.
    #[serde(default)]
    pub(super) features: Vec<String>,
    /// Those of them without which they take no build.
    #[serde(default)]
    pub(super) mandatory_features: BTreeSet<String>,
    /// What the builds of one share, such as `mem = 64`.
    #[serde(default)]
    pub(super) resources: BTreeMap<String, u64>,
    /// What an operator says of them.
    #[serde(default)]
    pub(super) tags: BTreeMap<String, String>,
    /// How often a build there fails by the machine's fault, in percent.
    #[serde(default)]
    pub(super) fails_percent: f64,
    /// From the end of a build until its outputs are uploaded, in milliseconds.
    #[serde(default)]
    pub(super) upload_millis: u64,
}

fn default_publish_millis() -> u64 {
    100
}

fn default_name() -> String {
    "agent".into()
}

fn default_systems() -> Vec<String> {
    vec!["x86_64-linux".into()]
}

fn one<T: From<u8>>() -> T {
    1.into()
}

impl Fleet {
    /// Reads it, or says what is wrong in words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fleet: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        for group in &fleet.groups {
            group.check()?;
        }
        if fleet.publish_millis > MOST_MILLIS {
            return Err(format!("publish_millis is {}; a year at most, {MOST_MILLIS}, is possible", fleet.publish_millis));
        }
        match fleet.agents().count() {
            0 if fleet.groups.is_empty() => Err("there is no agent in it: add a table [[agents]]".into()),
            0 => Err("there is no agent in it: each count is 0".into()),
            n if n > MAX_AGENTS => Err(format!("it has {n} agents; {MAX_AGENTS} is the limit")),
            _ => Ok(fleet),
        }
    }

    /// Of these agents, where publishing takes as long as usual.
    pub(super) fn of(groups: Vec<Group>) -> Self {
        Self { publish_millis: default_publish_millis(), groups }
    }

    /// Each agent, by what it is like.
    pub(super) fn agents(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().flat_map(|group| std::iter::repeat_n(group, group.count))
    }

    /// What each agent is called, in the same order.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.groups.iter().enumerate().flat_map(|(n, group)| {
            // Groups may share a name.
            let of_name =
                |groups: &[Group]| groups.iter().filter(|other| other.name == group.name).map(|g| g.count).sum::<usize>();
            let (before, is_only) = (of_name(&self.groups[..n]), of_name(&self.groups) == 1);
            let name = move |k| if is_only { group.name.clone() } else { format!("{}-{}", group.name, before + k) };
            (1..=group.count).map(name)
        })
    }

    /// Slots of all agents.
    pub(super) fn slots(&self) -> u64 {
        self.agents().map(|agent| u64::from(agent.slots)).sum()
    }
}

impl Group {
    /// One agent of one slot with nothing special.
    pub(super) fn usual() -> Self {
        Self {
            name: default_name(),
            count: 1,
            slots: 1,
            speed: 1.0,
            systems: default_systems(),
            features: Vec::new(),
            mandatory_features: BTreeSet::new(),
            resources: BTreeMap::new(),
            tags: BTreeMap::new(),
            fails_percent: 0.0,
            upload_millis: 0,
        }
    }

    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        if self.count > MAX_AGENTS {
            return Err(format!("{name} is there {} times; {MAX_AGENTS} agents are the limit", self.count));
        }
        if self.slots == 0 || self.slots > MAX_SLOTS {
            return Err(format!("{name} has {} slots; an agent has 1 to {MAX_SLOTS}", self.slots));
        }
        if !self.speed.is_finite() || !(0.001..=1000.0).contains(&self.speed) {
            return Err(format!("{name} has the speed {}; 1 is usual, 0.001 to 1000 are possible", self.speed));
        }
        if !(0.0..100.0).contains(&self.fails_percent) {
            return Err(format!("{name} fails in {} percent of its builds; that must be below 100", self.fails_percent));
        }
        if self.upload_millis > MOST_MILLIS {
            return Err(format!(
                "{name} has the upload_millis {}; a year at most, {MOST_MILLIS}, is possible",
                self.upload_millis
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fleet_of_the_benchmark_has_64_uneven_slots() {
        let fleet = Fleet::parse(include_str!("../../fleets/uneven.toml")).unwrap();
        assert_eq!(fleet.slots(), 64);
        let speeds: BTreeSet<u64> = fleet.agents().map(|agent| (agent.speed * 100.0) as u64).collect();
        assert!(speeds.len() > 1);
    }

    #[test]
    fn what_is_left_out_is_usual() {
        let fleet = Fleet::parse("[[agents]]\ncount = 2\n[[agents]]\nslots = 4").unwrap();
        assert_eq!(fleet.names().collect::<Vec<_>>(), ["agent-1", "agent-2", "agent-3"]);
        assert_eq!((fleet.slots(), fleet.publish_millis), (6, 100));
        assert!(fleet.agents().all(|agent| agent.systems == ["x86_64-linux"] && agent.speed == 1.0));
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let wrong = |text: &str| Fleet::parse(text).unwrap_err();
        assert!(wrong("").contains("agents"));
        assert!(wrong("agents = []").contains("add a table [[agents]]"));
        assert!(wrong("[[agents]]\ncount = 0\n[[agents]]\ncount = 0").ends_with("each count is 0"));
        let many = "[[agents]]\ncount = 9223372036854775807\n".repeat(3);
        assert!(wrong(&many).contains("10000 agents are the limit"));
        assert!(wrong("publish_millis = 9223372036854775807\n[[agents]]").contains("publish_millis is 9223372036854775807"));
        assert!(wrong("[[agents]]\nupload_millis = 9223372036854775807").contains("a year at most"));
        assert!(wrong("[[agents]]\nslots = 0").contains("0 slots"));
        assert!(wrong("[[agents]]\nspeed = 0.0").contains("speed 0"));
        assert!(wrong("[[agents]]\nfails_percent = 100.0").contains("below 100"));
        assert!(wrong("[[agents]]\nspeeed = 1.0").contains("speeed"));
    }
}

//! Agents as people and programs see them.

use drover_messages::Timestamp;
use drover_messages::query::AgentRow;

use crate::human;
use crate::table::{Table, printable};

/// Prints agents, one a line.
pub(super) fn list(agents: &[AgentRow], json: bool) -> anyhow::Result<()> {
    if json {
        for agent in agents {
            println!("{}", serde_json::to_string(agent)?);
        }
    } else if agents.is_empty() {
        println!("No agent was ever seen. Make a login by `drover agent new`, then start drover-agent with it.");
    } else {
        print!("{}", table(agents));
    }
    Ok(())
}

fn table(agents: &[AgentRow]) -> Table {
    let mut table = Table::new(&["AGENT", "NAME", "HEARD", "LEASES", "STORE", "SYSTEMS", "FEATURES", "TAGS", "STATE"]);
    for agent in agents {
        table.row([
            agent.agent.to_string(),
            agent.name.clone(),
            heard(agent),
            leases(agent),
            agent.store_dir.as_ref().map(|dir| dir.to_string()).unwrap_or_default(),
            agent.systems.join(","),
            features(agent).chain(resources(agent)).collect::<Vec<_>>().join(","),
            tags(agent).join(","),
            state(agent),
        ]);
    }
    table
}

/// Prints all that is known of one.
pub(super) fn one(agent: &AgentRow, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{:#}", serde_json::to_value(agent)?);
        return Ok(());
    }
    print!("{}", in_words(agent));
    Ok(())
}

fn in_words(agent: &AgentRow) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<12}{}\n", printable(value)));
    line("agent", &agent.agent.to_string());
    line("name", &agent.name);
    line("state", &state(agent));
    line("heard", &heard(agent));
    line("leases", &format!("{} (it runs {} at once)", agent.leases, agent.max_parallel_builds));
    if let Some(store_dir) = &agent.store_dir {
        line("store", &store_dir.to_string());
    }
    agent.systems.iter().for_each(|system| line("system", system));
    for feature in &agent.features {
        let only = if agent.mandatory_features.contains(feature) { " (it takes only builds that require it)" } else { "" };
        line("feature", &format!("{feature}{only}"));
    }
    resources(agent).for_each(|amount| line("resource", &amount));
    tags(agent).iter().for_each(|tag| line("tag", tag));
    agent.servers.iter().for_each(|server| line("server", server));
    text
}

fn heard(agent: &AgentRow) -> String {
    let silent_millis = agent.silent_millis.or(agent.seen.map(|seen| Timestamp::now().millis_since(seen)));
    silent_millis.map_or_else(|| "never".into(), |millis| format!("{} ago", human::duration(millis)))
}

fn leases(agent: &AgentRow) -> String {
    format!("{}/{}", agent.leases, agent.max_parallel_builds)
}

/// Those without which it takes no build with a `!`.
fn features(agent: &AgentRow) -> impl Iterator<Item = String> {
    let mark = |feature| if agent.mandatory_features.contains(feature) { "!" } else { "" };
    agent.features.iter().map(move |feature| format!("{feature}{}", mark(feature)))
}

/// As a build would require all of it.
fn resources(agent: &AgentRow) -> impl Iterator<Item = String> {
    agent.resources.iter().map(|(name, amount)| format!("{name}:{amount}"))
}

fn tags(agent: &AgentRow) -> Vec<String> {
    agent.tags.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// All that keeps builds from it, or that it is ready.
fn state(agent: &AgentRow) -> String {
    let mut words = Vec::new();
    if !agent.alive {
        words.push("lost".to_owned());
    }
    if agent.drained {
        words.push("drained".into());
    }
    words.extend(agent.quarantine.as_ref().map(|why| format!("in quarantine: {why}")));
    words.extend(agent.not_ready.as_ref().filter(|_| agent.alive).map(|why| format!("not ready: {why}")));
    if words.is_empty() { "ready".into() } else { words.join(", ") }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use drover_messages::AgentId;

    use super::*;

    pub(in crate::agent) fn row(name: &str) -> AgentRow {
        AgentRow {
            agent: AgentId::new(),
            name: name.into(),
            alive: true,
            not_ready: None,
            store_dir: None,
            systems: vec!["x86_64-linux".into()],
            features: vec!["big".into(), "kvm".into()],
            mandatory_features: ["kvm".to_owned()].into(),
            resources: BTreeMap::from([("mem".into(), 64)]),
            max_parallel_builds: 2,
            servers: Default::default(),
            tags: BTreeMap::from([("site".into(), "berlin".into())]),
            drained: false,
            quarantine: None,
            leases: 1,
            silent_millis: Some(1500),
            seen: None,
        }
    }

    #[test]
    fn features_that_are_required_and_amounts_are_told_apart_from_others() {
        let agent = row("a");
        let list = table(std::slice::from_ref(&agent)).to_string();
        assert!(list.contains("  big,kvm!,mem:64  "), "{list}");
        let words = in_words(&agent);
        assert!(words.contains("\nfeature     big\nfeature     kvm (it takes only builds that require it)\n"), "{words}");
        assert!(words.contains("\nresource    mem:64\n"), "{words}");
    }

    #[test]
    fn all_that_keeps_builds_from_an_agent_is_said() {
        assert_eq!(state(&row("a")), "ready");
        let kept = AgentRow { drained: true, quarantine: Some("its disk is full".into()), ..row("a") };
        assert_eq!(state(&kept), "drained, in quarantine: its disk is full");
        assert!(in_words(&kept).contains("\ntag         site=berlin\n"), "{}", in_words(&kept));
    }
}

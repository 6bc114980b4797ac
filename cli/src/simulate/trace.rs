//! What each slot did, in the Trace Event Format that Perfetto reads: an agent is a process, a slot is a thread.

use serde_json::{Value, json};

use super::fleet::Fleet;
use super::graph::Graph;
use super::ledger::{Ledger, Span};

/// The whole trace. Its times are in microseconds.
pub(super) fn json(ledger: &Ledger, graph: &Graph, fleet: &Fleet) -> String {
    let names = fleet.names().zip(fleet.agents()).enumerate();
    let named = names.flat_map(|(n, (name, agent))| {
        let slots = (0..agent.slots).map(move |slot| meta("thread_name", n, slot as usize, &format!("slot {slot}")));
        [meta("process_name", n, 0, &name)].into_iter().chain(slots)
    });
    let events: Vec<Value> = named.chain(ledger.spans.iter().map(|span| complete(span, graph))).collect();
    json!({ "displayTimeUnit": "ms", "traceEvents": events }).to_string()
}

fn meta(what: &str, agent: usize, slot: usize, name: &str) -> Value {
    json!({ "ph": "M", "name": what, "pid": agent + 1, "tid": slot + 1, "args": { "name": name } })
}

fn complete(span: &Span, graph: &Graph) -> Value {
    let recipe = &graph.builds[span.build].recipe;
    json!({
        "ph": "X",
        "name": recipe.drv.name_without_drv(),
        "cat": if span.failed { "failed" } else { "built" },
        "pid": span.agent + 1,
        "tid": span.slot + 1,
        "ts": span.from * 1000,
        "dur": (span.to - span.from) * 1000,
        "args": { "drv": recipe.drv, "system": recipe.system },
    })
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::graph;
    use super::*;

    #[test]
    fn a_build_stands_in_the_track_of_its_slot() {
        let fleet = Fleet::parse("[[agents]]\nslots = 2").unwrap();
        let mut ledger = Ledger::new("ours");
        ledger.spans.push(Span { agent: 0, slot: 1, build: 0, from: 5, to: 7, failed: false });
        let trace: Value = serde_json::from_str(&json(&ledger, &graph(&[("hello-1", &[])]), &fleet)).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        assert_eq!(events.iter().filter(|event| event["ph"] == "M").count(), 3, "one agent, two slots");
        let build = events.last().unwrap();
        assert_eq!((&build["name"], &build["tid"]), (&json!("hello-1"), &json!(2)));
        assert_eq!((&build["ts"], &build["dur"]), (&json!(5_000), &json!(2_000)));
    }
}

//! What a farm has built, simulated: on its own fleet, and on another.

use drover_messages::report::{Built, Outcome, Times};
use drover_messages::{SubmissionId, Timestamp};
use drover_tests::{FakeAgent, Farm, Options, Recipe};

/// As its agent reports it, built from one second after `begin` to another.
fn built(recipe: &Recipe, begin: Timestamp, from: u64, to: u64) -> Outcome {
    let Outcome::Built(built) = recipe.built() else { unreachable!() };
    let at = |secs: u64| Timestamp(begin.0 + secs * 1000);
    let times = Times { started_at: at(from), stopped_at: at(to), build_micros: (to - from) * 1_000_000, ..Times::default() };
    Outcome::Built(Built { times, ..built })
}

/// The makespans of a report, in milliseconds.
fn makespans(report: &serde_json::Value) -> Vec<(&str, u64)> {
    let runs = report["runs"].as_array().unwrap();
    runs.iter().map(|run| (run["order"].as_str().unwrap(), run["makespan_millis"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn what_was_built_in_one_slot_is_simulated_there_and_in_two() {
    let Some(mut farm) = Farm::without_stores(Options::default()).await else { return };
    let mut agent = FakeAgent::join(&mut farm).await;
    let halves = [Recipe::new("left", &[]), Recipe::new("right", &[])];
    let whole = Recipe::new("whole", &[&halves[0], &halves[1]]);
    let begin = Timestamp::now();
    let submission = farm.submit_recipes(&[&halves[0], &halves[1], &whole]).await;
    for (from, to) in [(0, 1000), (1000, 2000), (2000, 2500)] {
        let offer = agent.offer().await;
        let recipe = halves.iter().chain([&whole]).find(|recipe| recipe.drv == offer.drv).unwrap();
        agent.report(&offer, built(recipe, begin, from, to)).await;
        let (uploaded, _) = recipe.upload(&farm.bucket(), agent.id, offer.attempt, "words").await;
        agent.report(&offer, uploaded).await;
    }
    farm.until_available(submission).await;

    let (fleet, trace) = (farm.folder.join("fleet.toml"), farm.folder.join("trace.json"));
    std::fs::write(&fleet, "publish_millis = 0\n[[agents]]\nslots = 2\n").unwrap();
    let files = ["--fleet", fleet.to_str().unwrap(), "--trace", trace.to_str().unwrap()];
    let told = farm.told(&[&["simulate", "--from-farm", "--json", "--order", "ours"], &files[..]].concat()).await;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let (own, other) = (&told["own_fleet"], &told["other_fleet"]);
    assert_eq!((&own["builds"], &own["slots"], &other["slots"]), (&3.into(), &1.into(), &2.into()));
    let [("recorded", recorded), ("ours", simulated)] = makespans(own)[..] else { panic!("{own:#}") };
    assert!((2_000_000..=2_500_000).contains(&recorded) && (2_500_000..2_510_000).contains(&simulated), "{own:#}");
    assert_eq!(makespans(other), [("ours", 1_500_000)]);
    let trace: serde_json::Value = serde_json::from_slice(&std::fs::read(trace).unwrap()).unwrap();
    let names: Vec<_> = trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["ph"] == "X").collect();
    assert_eq!((names.len(), &names[2]["name"]), (3, &"whole".into()));

    let plot = farm.folder.join("plot.svg");
    let flags = ["--submission", &submission.to_string(), "--plot", plot.to_str().unwrap()];
    let said = farm.told(&[&["simulate", "--from-farm"], &flags[..]].concat()).await;
    assert!(said.starts_with("The farm's own fleet: 3 builds on 1 agent with 1 slot\n"), "{said}");
    let plot = std::fs::read_to_string(plot).unwrap();
    assert!(["recorded, ", "ours, ", "fifo, "].iter().all(|line| plot.contains(line)), "{plot}");
    let nothing = farm.drover(&["simulate", "--from-farm", "--submission", &SubmissionId::new().to_string()]).await;
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
}

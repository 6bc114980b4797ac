//! A graph of no-op derivations by `nix-store` with two jobs, by a farm of two one-slot agents on one daemon, and by two
//! agents with separate stores; publication is in the path.

use std::time::{Duration, Instant};

use drover_messages::SubmissionId;
use drover_tests::Farm;
use drover_tests::lab::{Kind, Lab};

use crate::rounds::{Figure, Rounds};

/// The overheads, if this machine has what it takes.
pub(crate) async fn measure(rounds: usize) -> Vec<Figure> {
    let (Some(bare), Some(mut one), Some(two)) = (Lab::start(&["max-jobs = 2"]), Farm::start(1).await, Farm::start(2).await)
    else {
        println!("SKIPPED: the overhead of a graph needs root, namespaces, nix-daemon and nats-server");
        return Vec::new();
    };
    one.add_agent_beside(0).await;
    for farm in [&one, &two] {
        farm.until_ready(2).await;
        // The first meeting with a cache, and the first connections, are not what is measured.
        by_farm(farm, &[("layers", "2"), ("width", "2")]).await;
    }
    let mut times = Rounds::of(["bare", "farm", "farm with two stores"]);
    for _ in 0..rounds.max(1) {
        times.add([by_nix(&bare), by_farm(&one, &[]).await.0, by_farm(&two, &[]).await.0]);
    }
    for (name, farm) in [("one store", &one), ("two stores", &two)] {
        let (_, submission) = by_farm(farm, &[]).await;
        where_the_time_goes(name, farm, submission).await;
    }
    let [bare, one, two] = times.medians();
    vec![Figure::ratio("overhead_dag", one, bare), Figure::ratio("overhead_dag_travel", two, bare)]
}

/// The graph by the daemon alone.
fn by_nix(lab: &Lab) -> Duration {
    let drvs = instantiate(lab, &[]);
    let command: Vec<&str> = ["nix-store", "--realise"].into_iter().chain(drvs.lines()).collect();
    let start = Instant::now();
    lab.run(&command);
    start.elapsed()
}

/// The graph by a farm, from `drover build` until all roots can be fetched.
async fn by_farm(farm: &Farm, size: &[(&str, &str)]) -> (Duration, SubmissionId) {
    let drvs = instantiate(farm.dev(Kind::Nix), size);
    let drvs: Vec<&str> = drvs.lines().collect();
    let start = Instant::now();
    let ended = farm.build(&drvs).await;
    let took = start.elapsed();
    ended.succeeded();
    (took, ended.submission)
}

fn instantiate(lab: &Lab, size: &[(&str, &str)]) -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/graphs/noop.nix");
    let salt = uuid::Uuid::now_v7().to_string();
    let mut command = vec!["nix-instantiate", file, "--argstr", "salt", &salt];
    for (name, value) in size {
        command.extend(["--arg", name, value]);
    }
    lab.run(&command)
}

/// Means over all builds of a submission, as the agents measured them.
pub(crate) async fn where_the_time_goes(name: &str, farm: &Farm, submission: SubmissionId) {
    let audit = farm.audit(submission).await;
    let times: Vec<_> = audit.builds.iter().flat_map(|detail| &detail.attempts).filter_map(|attempt| attempt.times).collect();
    let mean = |of: fn(&drover_messages::report::Times) -> u64| {
        times.iter().map(of).sum::<u64>() as f64 / times.len().max(1) as f64 / 1000.0
    };
    println!(
        "{name}, mean of {} attempts: {:.2} ms inputs, {:.2} ms for a slot, {:.2} ms in the daemon",
        times.len(),
        mean(|t| t.inputs_micros),
        mean(|t| t.waited_micros),
        mean(|t| t.build_micros),
    );
}

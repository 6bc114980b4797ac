//! What the client itself costs: alone in its process, so that the time is its own.

mod support;

use std::time::Instant;

use drover_daemon::BuildStatus;
use support::{Lab, build, shell};

const BUILDS: u32 = 100;
/// What the kernel counts processor time in, on every Linux that we run on.
const TICK_MILLIS: f64 = 10.0;
/// Generous: a debug build on a busy machine.
const MOST_MILLIS_PER_BUILD: f64 = 2.0;

/// User and system time of this process.
fn cpu_millis() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("ticks") * TICK_MILLIS).sum()
}

#[tokio::test]
async fn a_build_that_does_nothing_costs_the_client_next_to_nothing() {
    let Some(lab) = Lab::start(&[]) else { return };
    let noop = shell("noop", "n = toString n;", "echo $n > $out");
    let all = format!("builtins.genList (n: {noop}) {BUILDS}");
    let paths = lab.run(&["nix-instantiate", "--expr", &all]);
    let derivations: Vec<_> = paths.lines().map(|path| lab.read_derivation(path)).collect();
    assert_eq!(derivations.len(), BUILDS as usize);
    let mut connection = lab.connect().await;
    let (start, cpu) = (Instant::now(), cpu_millis());
    for (drv, derivation) in &derivations {
        let (outcome, _) = build(&mut connection, drv, derivation).await;
        assert_eq!(outcome.unwrap().status, BuildStatus::Built);
    }
    let each = |millis: f64| millis / f64::from(BUILDS);
    let (wall, cpu) = (each(start.elapsed().as_secs_f64() * 1e3), each(cpu_millis() - cpu));
    eprintln!("{BUILDS} builds one after another: {wall:.2} ms each, of which {cpu:.2} ms are the client's processor time");
    assert!(cpu < MOST_MILLIS_PER_BUILD, "{cpu} ms");
}

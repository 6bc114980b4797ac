//! What an agent costs on top of its daemon: no-op builds, one after the other, on one slot.
//!
//! Prints lines `result NAME VALUE UNIT`. It asserts only that nothing is grossly wrong: machines differ, and so do
//! builds of this program.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use drover_messages::agent::Order;
use drover_messages::report::Outcome;
use support::Farm;
use support::labs::{Kind, Made, Plan};

const BUILDS: usize = 100;

/// Time on the processor of all threads of a process.
fn processor_time(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanos = tasks.map(|task| {
        let told = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        told.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(nanos.sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tiny_build_costs_the_agent_little() {
    measure(Kind::Nix, "agent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tiny_build_with_its_closure_costs_an_agent_of_guix_little() {
    measure(Kind::Guix, "guix_agent").await;
}

async fn measure(kind: Kind, name: &str) {
    let Some(mut farm) = Farm::of(kind).await else { return };
    let names: Vec<String> = (0..BUILDS).map(|n| format!("tiny{n}")).collect();
    let made: Vec<Made> = names.iter().map(|name| Plan::new(name, "echo > $out").make(&farm.lab)).collect();
    let packed = farm.pack_made(&made.iter().collect::<Vec<_>>()).await;
    farm.run_agent(&[]);
    let warm = farm.scheduler.lease(&packed[0], &[]).await;
    for _ in 0..2 {
        farm.scheduler.report(&warm).await;
    }

    let (start, processor) = (Instant::now(), processor_time(farm.agent_pid()));
    let (mut offered, mut built, mut uploaded) = (1, 1, 1);
    let mut daemon = Duration::ZERO;
    let mut upload = Duration::ZERO;
    let mut inputs = Duration::ZERO;
    while uploaded < BUILDS {
        while offered < BUILDS && offered - built < 2 {
            let offer = farm.scheduler.offer_of(&packed[offered], &[]);
            farm.scheduler.offer(&offer).await;
            offered += 1;
        }
        let report = farm.scheduler.any_report().await;
        match report.outcome {
            Outcome::Built(it) => {
                inputs += Duration::from_micros(it.times.inputs_micros);
                daemon += Duration::from_micros(it.times.build_micros);
                built += 1;
            }
            Outcome::Uploaded(it) => {
                upload += Duration::from_micros(it.upload_micros);
                uploaded += 1;
                farm.scheduler.order(report.attempt, Order::Settled);
            }
            other => panic!("{other:?}"),
        }
    }
    let elapsed = start.elapsed();
    let processor = processor_time(farm.agent_pid()) - processor;
    let each = |time: Duration| time.as_secs_f64() * 1000.0 / (BUILDS - 1) as f64;
    println!("result {name}_processor_per_build {:.3} ms", each(processor));
    println!("result {name}_inputs_per_build {:.3} ms", each(inputs));
    println!("result {name}_daemon_per_build {:.3} ms", each(daemon));
    println!("result {name}_slot_period_per_build {:.3} ms", each(elapsed));
    println!("result {name}_upload_per_build {:.3} ms", each(upload));
    assert!(each(processor) < 10.0);
}

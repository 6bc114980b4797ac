//! From a ready slot to an accepted offer, in an open loop: builds end at moments that were set before, however late the farm
//! is; first alone, then while a large graph is taken up.

use std::time::{Duration, SystemTime};

use crate::Args;
use crate::events::Events;
use crate::ground::{Fleet, Ground};
use crate::percent::{Latency, millis};
use crate::shape;
use crate::submit::Prepared;

/// The first seconds, in which everything is new, do not count.
const WARM_UP: Duration = Duration::from_secs(3);
/// The graph that is taken up is to wait.
const LATER: i32 = -10;

/// Measures it, if this machine has what it takes.
pub async fn measure(args: &Args, offered: f64, results: &mut Vec<String>) -> anyhow::Result<()> {
    let secs = Duration::from_secs(args.secs);
    let slots = args.agents * (args.slots as usize + 1);
    // Ready builds must not run out while the other graph is taken up.
    let builds = (offered * (secs.as_secs_f64() * 3.0 + 10.0)) as usize + slots;
    let background = shape::wide(builds, 1);
    let Some(graph) = crate::graph(&args.graph) else { return Ok(()) };
    let Some(mut ground) = Ground::start().await? else { return Ok(()) };
    let (bucket, client) = (&ground.bucket, ground.bare.client);
    let first = Prepared::new(bucket, client, &background, 0).await?;
    let second = Prepared::new(bucket, client, &graph, LATER).await?;
    let mut events = Events::listen(&ground.bare.login).await?;
    first.send(&ground.bare.bus).await?;
    events.until("taken up", &[("submission.accepted", 1)]).await?;
    let fleet = Fleet { agents: args.agents, slots: args.slots, processes: args.processes as usize, rate: Some(offered) };
    ground.man(&fleet, &background.crib).await?;

    events.until("filled", &[("build.leased", slots)]).await?;
    tokio::time::sleep(WARM_UP).await;
    let alone_from = SystemTime::now();
    tokio::time::sleep(secs).await;
    let alone_to = SystemTime::now();
    let sent = second.send(&ground.bare.bus).await?;
    events.until("taken up meanwhile", &[("submission.accepted", 2)]).await?;
    let (taken_up, live) = (events.last - sent, SystemTime::now());
    let tally = ground.dismiss().await?;

    let alone = between(&tally.latencies, alone_from, alone_to);
    let meanwhile = between(&tally.latencies, alone_to, live);
    println!(
        "offers: {offered:.0} builds/s end in an open loop on {} agents of {} slots; {} offers in {} s, each commit on disk before it counts",
        args.agents,
        args.slots,
        alone.len(),
        args.secs
    );
    println!(
        "offers: ms from ready slot to accepted offer: half below {:.2}, 99 % below {:.2}, all below {:.2}",
        millis(&alone, 50.0),
        millis(&alone, 99.0),
        millis(&alone, 100.0)
    );
    println!(
        "offers: while {} more derivations were taken up in {:.2} s, {} offers: half below {:.2} ms, 99 % below {:.2} ms, the largest gap {:.2} ms",
        graph.drvs.len(),
        taken_up.as_secs_f64(),
        meanwhile.len(),
        millis(&meanwhile, 50.0),
        millis(&meanwhile, 99.0),
        millis(&meanwhile, 100.0)
    );
    results.push(super::result("offer_p99", millis(&alone, 99.0), "ms"));
    Ok(())
}

/// Those whose slots were ready in that time.
fn between(all: &[Latency], from: SystemTime, to: SystemTime) -> Vec<Latency> {
    let micros = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
    all.iter().filter(|latency| (micros(from)..micros(to)).contains(&latency.at_micros)).copied().collect()
}

//! A graph from its submission to its last event.

use crate::Args;
use crate::events::Events;
use crate::ground::{Fleet, Ground};
use crate::submit::Prepared;
use anyhow::ensure;

/// The builds of a second, if this machine has what it takes.
pub async fn measure(args: &Args, results: &mut Vec<String>) -> anyhow::Result<Option<f64>> {
    let Some(graph) = crate::graph(&args.graph) else { return Ok(None) };
    let Some(mut ground) = Ground::start().await? else { return Ok(None) };
    let fleet = Fleet { agents: args.agents, slots: args.slots, processes: args.processes as usize, rate: None };
    ground.man(&fleet, &graph.crib).await?;
    let submission = Prepared::new(&ground.bucket, ground.bare.client, &graph, 0).await?;
    let mut events = Events::listen(&ground.bare.login).await?;
    let meters = ground.meters();

    let sent = submission.send(&ground.bare.bus).await?;
    events.until("taken up", &[("submission.accepted", 1)]).await?;
    let taken_up = events.last - sent;
    let (builds, items) = (graph.crib.outputs.len(), graph.items().len());
    events.until("built", &[("build.leased", builds), ("build.succeeded", builds), ("item.available", items)]).await?;
    let took = events.last - sent;

    println!(
        "rate: {builds} derivations, {} agents of {} slots in {} processes and a pool in one more; each commit is on disk (fsync) before it counts, nats-server flushes every second",
        args.agents, args.slots, args.processes
    );
    println!(
        "rate: {:.2} s, of these {:.2} s until it was taken up; {} things were told in {} events",
        took.as_secs_f64(),
        taken_up.as_secs_f64(),
        events.all(),
        events.messages
    );
    let [redb, journal] = ground.state_mib();
    println!("rate: processor time: {}; redb has {redb:.0} MiB, and the journal {journal:.0}", used(&meters));
    let rss = ground.most_mib();
    let tally = ground.dismiss().await?;
    ground.check(submission.id(), builds).await?;
    ensure!(tally.held == 0, "{} attempts are not settled", tally.held);
    println!("checked: {builds} builds succeeded, {items} items available, {} attempts accepted, all settled", tally.accepted);
    let rate = builds as f64 / took.as_secs_f64();
    results.push(super::result("take_up", taken_up.as_secs_f64(), "s"));
    results.push(super::result("farm_rate", rate, "builds/s"));
    results.push(super::result("farm_rss", rss, "MiB"));
    Ok(Some(rate))
}

use super::used;

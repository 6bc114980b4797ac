//! What the scheduler needs while agents beat, and do nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_store::StoreDir;

use crate::Args;
use crate::graph::Crib;
use crate::ground::{Fleet, Ground};

/// Time for all hellos to be over.
const WARM_UP: Duration = Duration::from_secs(5);

/// Measures it, if this machine has what it takes.
pub async fn measure(args: &Args, results: &mut Vec<String>) -> anyhow::Result<()> {
    let Some(mut ground) = Ground::start().await? else { return Ok(()) };
    let fleet = Fleet { agents: args.idle, slots: args.slots, processes: args.processes as usize, rate: None };
    let crib = Crib { store_dir: StoreDir::guix(), systems: ["x86_64-linux".into()].into(), outputs: BTreeMap::new() };
    ground.man(&fleet, &crib).await?;
    tokio::time::sleep(WARM_UP).await;
    let meters = ground.meters();
    tokio::time::sleep(Duration::from_secs(args.secs)).await;
    let percents: Vec<f64> = meters.iter().map(|meter| meter.percent()).collect();
    println!("idle: {} agents beat every 10 s for {} s: nats-server used {:.2} % of a core", args.idle, args.secs, percents[1]);
    ground.dismiss().await?;
    results.push(super::result(&format!("idle_{}", args.idle), percents[0], "%"));
    Ok(())
}

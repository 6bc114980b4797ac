//! The process: what is opened, in which order, and what ends it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use drover_bucket::Bucket;
use drover_nats::permissions::Who;
use drover_nats::{Bus, Intake, Login, Reread, streams};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::args::Args;
use crate::book::Book;
use crate::carrier;
use crate::clock::Clock;
use crate::discards::Discards;
use crate::disposals::Disposals;
use crate::fresh::Fresh;
use crate::reign::Reign;
use crate::scribe::Scribe;
use crate::servers::Servers;
use crate::snapshots::Snapshots;
use crate::told::Cursor;
use crate::work::Desk;
use crate::{calls, discards, effects, intake, leftovers, logins, overthrow, planning, questions, telling, upkeep};

/// Messages of a stream that are asked for at once.
const WINDOW: usize = 512;

/// Reigns until something ends it. It ends with an error only.
pub async fn run(args: Args) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.state_dir).with_context(|| format!("cannot make {}", args.state_dir.display()))?;
    let book = Book::open(&args.state_dir)?;
    let memory = book.remember()?;
    let bucket = Bucket::open(&args.bucket)?;
    let login = args.nats.login("scheduler")?;
    let generation = bucket.mint_generation().await.context("cannot begin a reign: the bucket does not take its mark")?;
    tracing::info!(%generation, builds = memory.builds.len(), owed = memory.owed.len(), "a reign begins");
    let bus = Bus::connect(&login).await?;
    let plans = streams::of_reign(&args.hook_pools, generation);
    let mut link = bus.link();
    link.mark_unchanged();
    let declared = upkeep::declare(&bus, &plans, Reread::Whole).await?;

    let (desk, inbox) = Desk::new();
    let (to_effects, effects) = mpsc::unbounded_channel();
    let (told, fresh) = (Arc::new(Cursor::new(memory.told)), Arc::<Fresh>::default());
    upkeep::turn_to_events(&told, &declared);
    let carried = carrier::start(book.clone())?;
    let scribe = Scribe::start(book.clone(), told.clone(), fresh.clone())?;
    let clock = Clock::new(memory.heard, bus.link());
    let limits = args.limits();
    let beat_every_millis = limits.beat_every_millis;
    let (ended, end) = oneshot::channel();
    let reign = Reign::begin(generation, limits, book.clone(), memory, clock, scribe, to_effects)?;
    std::thread::Builder::new().name("reign".into()).spawn(move || drop(ended.send(reign.run(inbox))))?;

    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let servers = args.ask_substitutes.then(|| Servers::new(bus.clone()));
    let planner = planning::Planner::new(bucket.clone(), book.clone(), desk.clone(), servers.clone());
    let (discards, discarded) = Discards::new();
    let hands = effects::Hands {
        bus: bus.clone(),
        bucket: bucket.clone(),
        book: book.clone(),
        desk: desk.clone(),
        servers,
        planner: planner.clone(),
        discards,
    };
    tasks.spawn(effects::carry_out(hands, effects));
    tasks.spawn(discards::throw_away(bucket.clone(), discarded));
    tasks.spawn(leftovers::look(bucket.clone(), desk.clone()));
    tasks.spawn(telling::tell(bus.clone(), book.clone(), told.clone(), fresh));
    tasks.spawn(upkeep::keep(bus.clone(), plans, link, declared, desk.clone(), told));
    tasks.spawn(upkeep::tick(desk.clone()));
    tasks.spawn(upkeep::forget(book.clone(), args.keep_days));
    tasks.spawn(overthrow::watch(bucket, generation));
    let consumer = streams::scheduler_consumer(generation);
    let requests = Intake::open(&bus, streams::REQ, &consumer, WINDOW);
    tasks.spawn(intake::requests(requests, planner.clone(), book.clone(), desk.clone()));
    let (to_plan, after) = (planner.clone(), bus.clone());
    let (reports_to, of_reign) = (desk.clone(), consumer.clone());
    tasks.spawn(async move {
        intake::requests_planned(&after, &of_reign, &to_plan).await;
        let reports = Intake::open(&after, streams::RES, &of_reign, WINDOW);
        intake::reports(reports, reports_to).await
    });
    tasks.spawn(intake::catch_up(bus.clone(), consumer, planner, desk.clone()));
    let service = calls::start(&bus).await?;
    let system = args.system_password_file.as_deref();
    let system = system.map(|file| Login::read(&args.nats.nats_url, &Who::System.user(), file, "scheduler")).transpose()?;
    let snapshots = Snapshots::new(book, args.snapshots(), args.snapshots_kept.into());
    let office = logins::Office::new(args.logins, system);
    tasks.spawn(calls::serve(
        service,
        desk.clone(),
        calls::Here { generation, beat_every_millis },
        questions::Desk::new(desk),
        office,
        snapshots,
        Disposals::new(bus.clone()),
    ));

    if let Some(path) = &args.ready_file {
        write_ready(path)?;
    }
    tokio::select! {
        reigned = end => Ok(reigned.context("the thread that reigns died")??),
        uncarried = carried => Err(uncarried.context("the thread that carries died")?.into()),
        Some(task) = tasks.join_next() => task.context("a part of the scheduler died")?,
    }
}

fn write_ready(path: &Path) -> anyhow::Result<()> {
    std::fs::write(path, "ready\n").with_context(|| format!("cannot write {}", path.display()))
}

//! Very many builds that nobody takes: how much memory the scheduler needs for them, and how soon it answers after a kill.

use std::time::{Duration, Instant};

use anyhow::Context;
use drover_messages::query::{AskSubmission, SubmissionAnswer};
use drover_nats::{Query, RequestError, Subject};

use crate::Args;
use crate::events::Events;
use crate::ground::Ground;
use crate::meter;
use crate::shape;
use crate::submit::Prepared;

/// Derivations of one submission: as many as Guix has.
const DERIVATIONS: usize = 30_000;
/// How long a new scheduler may take to answer.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Measures it, if this machine has what it takes.
pub async fn measure(args: &Args, results: &mut Vec<String>) -> anyhow::Result<()> {
    let Some(mut ground) = Ground::start().await? else { return Ok(()) };
    let mut events = Events::listen(&ground.bare.login).await?;
    let (mut left, mut last) = (args.queued, None);
    let started = Instant::now();
    for n in 1.. {
        let graph = shape::like_guix(left.min(DERIVATIONS), n);
        left -= graph.drvs.len();
        let submission = Prepared::new(&ground.bucket, ground.bare.client, &graph, 0).await?;
        submission.send(&ground.bare.bus).await?;
        events.until("taken up", &[("submission.accepted", n as usize)]).await?;
        last = Some(submission.id());
        if left == 0 {
            break;
        }
    }
    let submission = last.context("a submission")?;
    let name = names(args.queued);
    println!(
        "queued: {} builds in submissions of {DERIVATIONS} were made and taken up in {:.0} s",
        args.queued,
        started.elapsed().as_secs_f64()
    );
    let [redb, journal] = ground.state_mib();
    println!(
        "queued: the scheduler has {:.0} MiB, and had {:.0} MiB at most; redb has {redb:.0} MiB, and the journal {journal:.0}",
        meter::mib(ground.scheduler(), "VmRSS"),
        ground.most_mib(),
    );
    let rss = meter::mib(ground.scheduler(), "VmRSS");

    let killed = Instant::now();
    ground.bare.scheduler.kill();
    ground.bare.scheduler.run();
    let (subject, ask) = (Subject::Query(Query::Submission), AskSubmission { submission });
    let answer = loop {
        match ground.bare.bus.request::<_, SubmissionAnswer>(&subject, &ask, ANSWER_WITHIN).await {
            Ok(answer) => break answer,
            Err(RequestError::NoResponders | RequestError::Timeout) if killed.elapsed() < PATIENCE => {
                tokio::time::sleep(ASK_EVERY).await
            }
            Err(error) => return Err(error.into()),
        }
    };
    let restart = killed.elapsed();
    anyhow::ensure!(matches!(answer, SubmissionAnswer::Live(_)), "the newest submission does not live");
    println!(
        "queued: after the restart the scheduler has {:.0} MiB, and had {:.0} MiB at most",
        meter::mib(ground.scheduler(), "VmRSS"),
        ground.most_mib()
    );
    results.push(super::result(&format!("queued_{name}_rss"), rss.max(meter::mib(ground.scheduler(), "VmRSS")), "MiB"));
    results.push(super::result(&format!("queued_{name}_restart"), restart.as_secs_f64(), "s"));
    Ok(())
}

/// `1m` for a million.
fn names(builds: usize) -> String {
    match builds {
        n if n % 1_000_000 == 0 => format!("{}m", n / 1_000_000),
        n if n % 1000 == 0 => format!("{}k", n / 1000),
        n => n.to_string(),
    }
}

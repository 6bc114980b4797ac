//! Derivations that do nothing, by a farm with one agent, and by guix-daemon alone: as Guix's own client asks for them, in
//! one request for as many jobs as the agent has slots, and one by one over as many connections. The faster of these counts.

use std::time::{Duration, Instant};

use drover_daemon::{BuildMode, BuildStatus, StoreDaemon};
use drover_messages::SubmissionId;
use drover_tests::lab::{Kind, Lab, Made, Plan};
use drover_tests::{Farm, Options};

use crate::graph::where_the_time_goes;
use crate::rounds::{Figure, Rounds};

/// Builds of a round.
const BUILDS: usize = 100;
/// At once.
const SLOTS: u32 = 2;

/// The overhead, if this machine has what it takes.
pub(crate) async fn measure(rounds: usize) -> Vec<Figure> {
    let jobs = format!("--max-jobs={SLOTS}");
    let (Some(bare), Some(mut farm)) =
        (Lab::of(Kind::Guix, &[&jobs]), Farm::without_agents(&[Kind::Guix], Options::default()).await)
    else {
        println!("SKIPPED: the overhead over guix-daemon needs root, namespaces, a Guix and nats-server");
        return Vec::new();
    };
    let Some(seat) = farm.seat(Kind::Guix) else { return Vec::new() };
    farm.seat_agent(&seat.slots(SLOTS)).await;
    farm.until_ready(1).await;
    by_farm(&farm, SLOTS as usize).await;
    by_guix(&bare, SLOTS as usize).await;
    let mut times = Rounds::of(["guix build", "bare connections", "farm"]);
    for _ in 0..rounds.max(1) {
        times.add([by_guix(&bare, BUILDS).await, by_connections(&bare, BUILDS).await, by_farm(&farm, BUILDS).await.0]);
    }
    let (_, submission) = by_farm(&farm, BUILDS).await;
    where_the_time_goes("guix", &farm, submission).await;
    let [by_guix, by_connections, by_farm] = times.medians();
    vec![Figure::ratio("guix_overhead", by_farm, by_guix.min(by_connections))]
}

/// By Guix's own client.
async fn by_guix(lab: &Lab, builds: usize) -> Duration {
    let drvs = paths(&write(lab, builds).await);
    let command: Vec<&str> = ["build"].into_iter().chain(drvs.iter().map(String::as_str)).collect();
    let start = Instant::now();
    lab.guix(&command);
    start.elapsed()
}

/// By the daemon alone, asked for one after another over each of some connections.
async fn by_connections(lab: &Lab, builds: usize) -> Duration {
    let mut written = write(lab, builds).await;
    let mut shares = Vec::new();
    for slots_left in (1..=SLOTS as usize).rev() {
        shares.push((lab.connect().await, written.split_off(written.len() - written.len() / slots_left)));
    }
    let start = Instant::now();
    let building = shares.into_iter().map(|(mut connection, share)| async move {
        for made in share {
            let built = connection.build(&made.job(&[]), BuildMode::Normal, &mut |_| {}).await.expect("an answer");
            assert_eq!(built.status, BuildStatus::Built, "{}", built.message);
        }
    });
    futures::future::join_all(building).await;
    start.elapsed()
}

/// By a farm, from `drover build` until all can be fetched.
async fn by_farm(farm: &Farm, builds: usize) -> (Duration, SubmissionId) {
    let drvs = paths(&write(farm.dev(Kind::Guix), builds).await);
    let drvs: Vec<&str> = drvs.iter().map(String::as_str).collect();
    let start = Instant::now();
    let ended = farm.build(&drvs).await;
    let took = start.elapsed();
    ended.succeeded();
    (took, ended.submission)
}

/// Fresh derivations, each of which runs one shell that writes one line.
async fn write(lab: &Lab, builds: usize) -> Vec<Made> {
    let salt = uuid::Uuid::now_v7().to_string();
    let mut connection = lab.connect().await;
    let mut written = Vec::new();
    for n in 0..builds {
        let made = Plan::new("noop", format!("echo {n} > $out")).variable("salt", &salt).make(lab);
        made.add(&mut connection).await;
        written.push(made);
    }
    written
}

fn paths(made: &[Made]) -> Vec<String> {
    made.iter().map(|made| Kind::Guix.store_dir().path(&made.drv).to_string()).collect()
}

//! The farm that is measured: broker, scheduler, simulated agents and pool, each a process.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use drover_bucket::Bucket;
use drover_messages::AgentId;
use drover_messages::SubmissionId;
use drover_messages::query::{AskSubmission, StateName, SubmissionAnswer};
use drover_nats::permissions::Who;
use drover_nats::{Query, Subject};
use drover_tests::{Bare, Options};

use crate::children::{self, Running, Seat, Tally};
use crate::graph::Crib;
use crate::meter::{self, Meter};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The farm. Everything ends with it.
pub struct Ground {
    /// Broker and scheduler.
    pub bare: Bare,
    /// The bucket.
    pub bucket: Bucket,
    agents: Vec<Running>,
    publish: Option<Running>,
}

/// How many agents, and how they work.
pub struct Fleet {
    /// So many.
    pub agents: usize,
    /// Slots of each.
    pub slots: u32,
    /// Processes that they are spread over.
    pub processes: usize,
    /// Builds that all of them together end in a second; without it, each as soon as it has it.
    pub rate: Option<f64>,
}

impl Ground {
    /// Broker and scheduler, with everything that can be set as it usually is. `None`, said aloud, where there is no
    /// nats-server.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let options = Options { lease_secs: 60, beat_secs: 10, ..Options::default() };
        let Some(bare) = Bare::start(options).await else { return Ok(None) };
        let bucket = Bucket::open(&bare.folder.bucket_url())?;
        Ok(Some(Self { bare, bucket, agents: Vec::new(), publish: None }))
    }

    /// Starts the agents, and the pool, and waits until all have been heard.
    pub async fn man(&mut self, fleet: &Fleet, crib: &Crib) -> anyhow::Result<()> {
        let folder = self.bare.folder.path().to_owned();
        let crib = children::write(folder.join("crib"), crib)?;
        let whos = (0..fleet.agents).map(|_| Who::Agent(AgentId::new()));
        let logins: Vec<Seat> = self.bare.nats.new_logins(whos).await.iter().map(Seat::of).collect();
        let share = fleet.agents.div_ceil(fleet.processes).max(1);
        for (n, logins) in logins.chunks(share).enumerate() {
            let logins = children::write(folder.join(format!("agents-{n}")), &logins)?;
            let mut args = vec!["agents".into(), "--logins".into(), logins, "--crib".into(), crib.clone()];
            args.extend(["--slots".into(), fleet.slots.to_string()]);
            if let Some(rate) = fleet.rate {
                args.extend(["--every".into(), ((fleet.agents as f64 / rate * 1e6) as u64).to_string()]);
            }
            self.agents.push(Running::start(&args).await?);
        }
        let login = self.bare.nats.login(Who::Publish).await;
        let logins = children::write(folder.join("publish"), &vec![Seat::of(&login)])?;
        self.publish = Some(Running::start(&["publish".into(), "--logins".into(), logins]).await?);
        Ok(())
    }

    /// The processor's time of everybody, from here on.
    pub fn meters(&self) -> Vec<Meter> {
        let agents = self.agents.iter().enumerate().map(|(n, child)| (format!("agents-{n}"), child.pid()));
        let publish = self.publish.iter().map(|child| ("publish".into(), child.pid()));
        let own = [("scheduler".into(), self.scheduler()), ("nats-server".into(), self.bare.nats.pid().unwrap_or_default())];
        own.into_iter().chain(agents).chain(publish).map(|(name, pid): (String, u32)| Meter::start(&name, pid)).collect()
    }

    /// The scheduler's number.
    pub fn scheduler(&self) -> u32 {
        self.bare.scheduler.pid().unwrap_or_default()
    }

    /// What the scheduler's memory was at most, in MiB.
    pub fn most_mib(&self) -> f64 {
        meter::mib(self.scheduler(), "VmHWM")
    }

    /// What its database and its journal take on disk, in MiB.
    pub fn state_mib(&self) -> [f64; 2] {
        let state = self.bare.folder.scheduler();
        [meter::file_mib(&state.join("state.redb")), meter::folder_mib(&state.join("journal"))]
    }

    /// Makes sure that every build of a submission has succeeded and can be fetched.
    pub async fn check(&self, submission: SubmissionId, builds: usize) -> anyhow::Result<()> {
        let answer =
            self.bare.bus.request(&Subject::Query(Query::Submission), &AskSubmission { submission }, ANSWER_WITHIN).await?;
        let SubmissionAnswer::Live(status) = answer else { bail!("the submission does not live") };
        let all = BTreeMap::from([(StateName::Succeeded, builds as u64)]);
        ensure!(status.counts == all && status.unpublished == 0, "{:?}, {} unpublished", status.counts, status.unpublished);
        Ok(())
    }

    /// Ends agents and pool, and hears what they did.
    pub async fn dismiss(&mut self) -> anyhow::Result<Tally> {
        let mut tally = Tally::default();
        for agents in self.agents.drain(..) {
            tally = tally.and(agents.end().await?);
        }
        let publish = self.publish.take().context("a pool")?;
        publish.end().await?;
        ensure!(tally.aborted == 0, "{} attempts were to be stopped", tally.aborted);
        Ok(tally)
    }
}

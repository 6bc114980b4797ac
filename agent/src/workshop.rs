//! One attempt's way through the stages: inputs, a slot, the build, the log; later its upload.
//!
//! The order of the stages stands here, and when the slot is free again. What may follow what is the ledger's affair; a
//! stage does not know of the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use drover_bucket::{Bucket, Key};
use drover_daemon::{BuildMode, BuildResult, BuildStatus, Job};
use drover_messages::offer::Offer;
use drover_messages::report::{Built, Checked, Failed, Outcome, SealedLog, Times};
use drover_messages::request::Mode;
use drover_messages::{AgentId, Cause};
use drover_nats::Bus;
use drover_store::{Derivation, OutputName, StorePath};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::build::build;
use crate::build_log::BuildLog;
use crate::cause_of;
use crate::check::{Evidence, kept_folder};
use crate::closure::Closures;
use crate::config::Config;
use crate::daemon_pool::DaemonPool;
use crate::disk;
use crate::failure::Failure;
use crate::inputs::Inputs;
use crate::output_limit::check_outputs;
use crate::output_roots::OutputRoots;
use crate::recipes::Recipes;
use crate::seal::seal;
use crate::temp_roots::Hold;
use crate::upload::{UPLOADS_AT_ONCE, Uploads};

/// Everything that stages need.
pub struct Workshop {
    agent: AgentId,
    config: Arc<Config>,
    bus: Bus,
    bucket: Bucket,
    building: Arc<DaemonPool>,
    checking: DaemonPool,
    inputs: Arc<Inputs>,
    recipes: Arc<Recipes>,
    closures: Closures,
    evidence: Evidence,
    slots: Semaphore,
    uploads: Uploads,
}

/// What came of it.
enum Made {
    New {
        outputs: BTreeMap<OutputName, StorePath>,
        already_valid: bool,
    },
    /// As the store has it.
    Same,
}

impl Workshop {
    /// With nothing in it yet. `building` connections look things up, too; `fetching` ones may substitute.
    pub fn new(
        config: Arc<Config>,
        bus: Bus,
        bucket: Bucket,
        building: Arc<DaemonPool>,
        fetching: Arc<DaemonPool>,
        roots: Arc<OutputRoots>,
    ) -> Self {
        let store_dir = || config.store_dir.clone();
        let inputs = Arc::new(Inputs::new(building.clone(), fetching));
        let recipes = Arc::new(Recipes::new(bucket.clone(), store_dir()));
        Self {
            agent: config.agent,
            // None is kept: the daemon's process behind one keeps in the store what it has built.
            checking: DaemonPool::new(config.daemon(), config.checking(), 0),
            closures: Closures::new(recipes.clone(), inputs.clone(), building.clone()),
            evidence: Evidence::new(bucket.clone(), store_dir(), building.clone()),
            slots: Semaphore::new(config.slots),
            uploads: Uploads::new(config.agent, bucket.clone(), store_dir(), building.clone(), roots),
            inputs,
            recipes,
            config,
            bus,
            bucket,
            building,
        }
    }

    /// The connections that build: one for each slot, and some for what is done beside it.
    pub fn building(config: &Config) -> DaemonPool {
        DaemonPool::new(config.daemon(), config.building(), config.slots + UPLOADS_AT_ONCE)
    }

    /// Builds what is offered. `on_slot` is called when the daemon is asked to. `stop` ends it, whatever it does.
    pub async fn build(&self, offer: &Offer, stop: &CancellationToken, on_slot: impl FnOnce()) -> Outcome {
        let mut live = self.bus.log(self.agent, offer.build, offer.attempt);
        let log = BuildLog::new(self.config.max_log_bytes, move |chunk| live.write(chunk));
        let mut times = Times::default();
        let made = tokio::select! {
            biased;
            () = stop.cancelled() => Err(Failure::new(Cause::Aborted, "it was asked to stop")),
            made = self.make(offer, on_slot, &log, &mut times) => made,
        };
        let key = Key::Log { build: offer.build, attempt: offer.attempt };
        let log = seal(&self.bucket, &key, log).await;
        match made {
            Ok(Made::New { outputs, already_valid }) => Outcome::Built(Built { outputs, already_valid, times, log }),
            Ok(Made::Same) => Outcome::Checked(Checked { times, log }),
            Err(failure) => failed(failure, times, log),
        }
    }

    /// Uploads what was built. `None` when it was asked to stop.
    pub async fn upload(&self, offer: &Offer, built: &Built, upload_try: u32, stop: &CancellationToken) -> Option<Outcome> {
        let uploaded = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            uploaded = self.uploads.upload(offer.attempt, built, upload_try) => uploaded,
        };
        Some(match uploaded {
            Ok(uploaded) => Outcome::Uploaded(uploaded),
            Err(failure) => failed(failure, built.times, built.log.clone()),
        })
    }

    async fn make(&self, offer: &Offer, on_slot: impl FnOnce(), log: &BuildLog, times: &mut Times) -> Result<Made, Failure> {
        let start = Instant::now();
        let (derivation, hold) = self.set_up(offer).await?;
        times.inputs_micros = start.elapsed().as_micros() as u64;
        let ready = Instant::now();
        // Never closed, so never refused.
        let slot = self.slots.acquire().await;
        times.waited_micros = ready.elapsed().as_micros() as u64;
        on_slot();
        let job = job(offer, &derivation);
        let ended = match offer.mode {
            Mode::Build => build(&self.building, &job, BuildMode::Normal, log, times, |_| {}).await,
            Mode::Check => self.check(&job, log, times).await,
        };
        drop(slot);
        match ended.and_then(|result| conclude(offer.mode, &derivation, &result)) {
            Err(failure) => Err(self.look_closer(failure, offer, &derivation, hold).await),
            Ok(Made::Same) => Ok(Made::Same),
            Ok(Made::New { outputs, already_valid }) => {
                check_outputs(&self.building, &outputs, self.config.max_output_bytes).await?;
                Ok(Made::New { outputs, already_valid })
            }
        }
    }

    /// The derivation, and all that must be in the store to build it.
    async fn set_up(&self, offer: &Offer) -> Result<(Derivation, Hold), Failure> {
        let (derivation, hold) = tokio::try_join!(self.recipes.read(offer), self.inputs.gather(&offer.inputs))?;
        if !hold.needs_closure() {
            return Ok((derivation, hold));
        }
        let closure = self.closures.bring(offer).await?;
        Ok((derivation, hold.and(closure)))
    }

    async fn check(&self, job: &Job<'_>, log: &BuildLog, times: &mut Times) -> Result<BuildResult, Failure> {
        let mut folders = Vec::new();
        let note = |words: &str| folders.extend(kept_folder(words));
        let ended = build(&self.checking, job, BuildMode::Check, log, times, note).await;
        for folder in folders {
            if let Err(error) = tokio::fs::remove_dir_all(&folder).await {
                tracing::info!(folder = %folder.display(), %error, "the folder of a check stays");
            }
        }
        ended
    }

    /// Whether it was the machine that failed, where the daemon's words do not say so; and what a check found.
    async fn look_closer(&self, failure: Failure, offer: &Offer, derivation: &Derivation, hold: Hold) -> Failure {
        match failure.cause {
            Cause::BuilderFailed | Cause::DaemonGone if disk::is_full(&self.config.store_dir) => {
                Failure { cause: Cause::DiskFull, ..failure }
            }
            Cause::DaemonGone => match self.inputs.look_again(&offer.inputs).await {
                missing if missing.is_empty() => failure,
                missing => Failure { cause: Cause::InputsUnavailable { missing }, ..failure },
            },
            Cause::NotDeterministic => self.keep_evidence(failure, offer, derivation, hold).await,
            _ => failure,
        }
    }

    async fn keep_evidence(&self, failure: Failure, offer: &Offer, derivation: &Derivation, hold: Hold) -> Failure {
        let Some((differing, kept)) = self.evidence.keep(offer, derivation, &failure.message).await else { return failure };
        // A valid output that is held keeps alive what shares its hash part.
        drop(hold);
        self.inputs.forget();
        let evidence = self.evidence.clone();
        tokio::spawn(async move { evidence.remove(&differing).await }.in_current_span());
        Failure { kept: kept.into_iter().collect(), ..failure }
    }
}

/// What the daemon's words mean.
fn conclude(mode: Mode, derivation: &Derivation, result: &BuildResult) -> Result<Made, Failure> {
    let already_valid = match result.status {
        status if status.is_success() => status != BuildStatus::Built,
        status => {
            let cause = cause_of::of_result(result, derivation.is_fixed_output());
            let message = if result.message.is_empty() { status.to_string() } else { result.message.clone() };
            return Err(Failure::new(cause, message));
        }
    };
    match mode {
        Mode::Build => Ok(Made::New { outputs: outputs(derivation), already_valid }),
        Mode::Check if already_valid => {
            Err(Failure::new(Cause::DaemonGone, "the store daemon was asked to build it again, and did not"))
        }
        Mode::Check => Ok(Made::Same),
    }
}

/// A check has its own outputs among its inputs; a build does not see them.
fn job<'a>(offer: &'a Offer, derivation: &'a Derivation) -> Job<'a> {
    let is_own = |path: &StorePath| derivation.outputs.values().any(|output| output.path == *path);
    let inputs = offer.inputs.iter().map(|input| &input.path).filter(|path| !is_own(path));
    Job::new(&offer.drv, derivation, inputs.cloned())
}

fn outputs(derivation: &Derivation) -> BTreeMap<OutputName, StorePath> {
    derivation.outputs.iter().map(|(name, output)| (name.clone(), output.path.clone())).collect()
}

fn failed(failure: Failure, times: Times, log: Option<SealedLog>) -> Outcome {
    let Failure { cause, message, kept } = failure;
    Outcome::Failed(Failed { cause, message, times, log, kept })
}

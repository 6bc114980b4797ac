//! One attempt's way through the stages: inputs, a slot, the build, the log; later its upload.
//!
//! The order of the stages stands here, and when the slot is free again. What may follow what is the ledger's affair; a
//! stage does not know of the others.

use std::sync::Arc;
use std::time::Instant;

use drover_bucket::{Bucket, BucketError, Key};
use drover_messages::offer::Offer;
use drover_messages::report::{Built, Failed, Outcome, SealedLog, Times};
use drover_messages::{AgentId, Cause};
use drover_nats::Bus;
use drover_store::{Derivation, OutputName, StorePath};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::build::{Success, build};
use crate::build_log::{BuildLog, Finished};
use crate::config::Config;
use crate::daemon_pool::DaemonPool;
use crate::disk;
use crate::failure::Failure;
use crate::inputs::Inputs;
use crate::output_roots::OutputRoots;
use crate::recipes::Recipes;
use crate::temp_roots::Hold;
use crate::upload::{UPLOADS_AT_ONCE, Uploads};

/// How often a finished log is brought to the bucket, before the build is reported without it.
const SEAL_TRIES: u32 = 5;

/// Everything that stages need.
pub struct Workshop {
    agent: AgentId,
    config: Arc<Config>,
    bus: Bus,
    bucket: Bucket,
    daemons: Arc<DaemonPool>,
    inputs: Inputs,
    recipes: Recipes,
    slots: Semaphore,
    uploads: Uploads,
}

/// A build that succeeded.
struct Made {
    derivation: Derivation,
    already_valid: bool,
}

impl Workshop {
    /// With nothing in it yet.
    pub fn new(config: Arc<Config>, bus: Bus, bucket: Bucket, daemons: Arc<DaemonPool>, roots: Arc<OutputRoots>) -> Self {
        let fetching = Arc::new(DaemonPool::new(config.daemon(), config.fetching(), config.slots));
        Self {
            agent: config.agent,
            inputs: Inputs::new(daemons.clone(), fetching),
            recipes: Recipes::new(bucket.clone(), config.store_dir.clone()),
            slots: Semaphore::new(config.slots),
            uploads: Uploads::new(config.agent, bucket.clone(), config.store_dir.clone(), daemons.clone(), roots),
            config,
            bus,
            bucket,
            daemons,
        }
    }

    /// The connections that build: one for each slot, and some for what is done beside it.
    pub fn daemons(config: &Config) -> DaemonPool {
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
        let log = self.seal(offer, log).await;
        match made {
            Ok(made) => {
                let outputs = outputs(&made.derivation);
                Outcome::Built(Built { outputs, already_valid: made.already_valid, times, log })
            }
            Err(Failure { cause, message }) => Outcome::Failed(Failed { cause, message, times, log, kept: Vec::new() }),
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
            Err(Failure { cause, message }) => {
                Outcome::Failed(Failed { cause, message, times: built.times, log: built.log.clone(), kept: Vec::new() })
            }
        })
    }

    async fn make(&self, offer: &Offer, on_slot: impl FnOnce(), log: &BuildLog, times: &mut Times) -> Result<Made, Failure> {
        let start = Instant::now();
        let (derivation, hold) = tokio::try_join!(self.recipes.read(offer), self.inputs.gather(&offer.inputs))?;
        times.inputs_micros = start.elapsed().as_micros() as u64;
        let ready = Instant::now();
        // Never closed, so never refused.
        let slot = self.slots.acquire().await;
        times.waited_micros = ready.elapsed().as_micros() as u64;
        on_slot();
        let inputs = offer.inputs.iter().map(|input| input.path.clone());
        let built = build(&self.daemons, &offer.drv, &derivation, inputs, log, times).await;
        drop(slot);
        match built {
            Ok(Success { already_valid }) => Ok(Made { derivation, already_valid }),
            Err(failure) => Err(self.look_closer(failure, offer, hold).await),
        }
    }

    /// Whether it was the machine that failed, where the daemon's words do not say so.
    async fn look_closer(&self, failure: Failure, offer: &Offer, hold: Hold) -> Failure {
        drop(hold);
        match failure.cause {
            Cause::BuilderFailed | Cause::DaemonGone if disk::is_full(&self.config.store_dir) => {
                Failure { cause: Cause::DiskFull, ..failure }
            }
            Cause::DaemonGone => match self.inputs.look_again(&offer.inputs).await {
                missing if missing.is_empty() => failure,
                missing => Failure { cause: Cause::InputsUnavailable { missing }, ..failure },
            },
            _ => failure,
        }
    }

    /// Brings the finished log to the bucket. A log that cannot be brought there does not fail its build.
    async fn seal(&self, offer: &Offer, log: BuildLog) -> Option<SealedLog> {
        let Finished { compressed, bytes } = match log.finish() {
            Ok(finished) => finished?,
            Err(error) => {
                tracing::error!(%error, "a log is lost");
                return None;
            }
        };
        let key = Key::Log { build: offer.build, attempt: offer.attempt };
        let mut backoff = Backoff::default();
        for _ in 0..SEAL_TRIES {
            // An attempt that a killed agent began, and this one began anew, replaces its log.
            match self.bucket.put(&key, compressed.clone()).await {
                Ok(()) => return Some(SealedLog { key: key.to_string(), bytes }),
                Err(error) => note_unsealed(&key, &error),
            }
            backoff.wait().await;
        }
        None
    }
}

fn note_unsealed(key: &Key, error: &BucketError) {
    tracing::warn!(%key, %error, "a log could not be brought to the bucket");
}

fn outputs(derivation: &Derivation) -> std::collections::BTreeMap<OutputName, StorePath> {
    derivation.outputs.iter().map(|(name, output)| (name.clone(), output.path.clone())).collect()
}

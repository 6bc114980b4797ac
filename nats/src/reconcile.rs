//! Makes the broker's streams and consumers what the plans say. Only the scheduler does this: at its start, and each
//! time that the connection comes back, for storage may be lost in between.

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind, UpdateStreamError};
use async_nats::jetstream::stream::{ConsumerErrorKind, Info, Stream};
use async_nats::jetstream::{ErrorCode, stream::ConsumerError};
use futures::TryStreamExt;

use crate::bus::API_TIMEOUT;
use crate::filter::overlap;
use crate::streams::{ConsumerPlan, StreamPlan, is_of_earlier_reign};
use crate::{Bus, Filter, NatsError};

/// What to do about consumers that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reread {
    /// At the start of a scheduler: its own are made anew, so that it reads its streams whole.
    Whole,
    /// After a reconnect: they go on where they are.
    No,
}

/// A stream that is as planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub stream: &'static str,
    /// It was not there before, or was kept elsewhere: whatever it carried is lost, and is owed again.
    pub created: bool,
    /// When it was made, by the broker's clock: another time is another stream of the same name.
    pub made_nanos: u64,
}

/// Makes it so. Done twice, it is done once.
pub async fn reconcile(bus: &Bus, plans: &[StreamPlan], reread: Reread) -> Result<Vec<Declared>, NatsError> {
    refuse_captures(bus).await?;
    let mut declared = Vec::with_capacity(plans.len());
    for plan in plans {
        declared.push(stream(bus, plan).await?);
        for consumer_plan in &plan.consumers {
            consumer(bus, plan.name, consumer_plan, reread).await?;
            if reread == Reread::Whole && consumer_plan.reread_at_start {
                delete_earlier(bus, plan.name, consumer_plan).await?;
            }
        }
    }
    Ok(declared)
}

/// A stream on a subject of requests would answer them, with its own acknowledgement, before anybody else.
async fn refuse_captures(bus: &Bus) -> Result<(), NatsError> {
    let what = || "listing streams".to_string();
    let streams: Vec<Info> = bus.within(API_TIMEOUT, what, bus.jetstream().streams().try_collect()).await?;
    for config in streams.into_iter().map(|info| info.config) {
        for (subject, reserved) in config.subjects.iter().flat_map(|subject| reserved().map(move |reserved| (subject, reserved)))
        {
            if overlap(subject, &reserved) {
                return Err(NatsError::Captures { stream: config.name, subject: subject.clone(), reserved });
            }
        }
    }
    Ok(())
}

fn reserved() -> impl Iterator<Item = String> {
    [Filter::Work, Filter::Calls, Filter::Orders].into_iter().map(|filter| filter.to_string())
}

async fn stream(bus: &Bus, plan: &StreamPlan) -> Result<Declared, NatsError> {
    let what = || format!("declaring the stream {}", plan.name);
    let made = async {
        let (info, created) = match bus.jetstream().get_stream(plan.name).await {
            Ok(stream) if stream.cached_info().config.storage != plan.storage() => (replace(bus, plan).await?, true),
            Ok(stream) => (update(bus, plan, &stream).await.map_err(|e| e.to_string())?, false),
            Err(error) if is_missing_stream(&error) => (create(bus, plan).await?, true),
            Err(error) => return Err(error.to_string()),
        };
        let made_nanos = u64::try_from(info.created.unix_timestamp_nanos()).unwrap_or_default();
        Ok::<_, String>(Declared { stream: plan.name, created, made_nanos })
    };
    let declared = bus.within(API_TIMEOUT, what, made).await?;
    if declared.created {
        tracing::info!(stream = plan.name, "made a stream");
    }
    Ok(declared)
}

async fn update(bus: &Bus, plan: &StreamPlan, stream: &Stream) -> Result<Info, UpdateStreamError> {
    let info = stream.cached_info();
    let wanted = plan.onto(info.config.clone());
    if wanted == info.config {
        return Ok(info.clone());
    }
    tracing::info!(stream = plan.name, "changing a stream to what it should be");
    bus.jetstream().update_stream(wanted).await
}

/// Makes a stream anew that older programs kept elsewhere: no broker moves it.
async fn replace(bus: &Bus, plan: &StreamPlan) -> Result<Info, String> {
    bus.jetstream().delete_stream(plan.name).await.map_err(|error| error.to_string())?;
    create(bus, plan).await
}

async fn create(bus: &Bus, plan: &StreamPlan) -> Result<Info, String> {
    match bus.jetstream().create_stream(plan.onto(Default::default())).await {
        Ok(stream) => Ok(stream.cached_info().clone()),
        Err(error) => match error.kind() {
            CreateStreamErrorKind::JetStream(cause) => Err(cause.to_string()),
            _ => Err(error.to_string()),
        },
    }
}

async fn consumer(bus: &Bus, stream: &'static str, plan: &ConsumerPlan, reread: Reread) -> Result<(), NatsError> {
    let what = || format!("declaring the consumer {stream}/{}", plan.name);
    let made = async {
        if reread == Reread::Whole && plan.reread_at_start {
            match bus.jetstream().delete_consumer_from_stream(&plan.name, stream).await {
                Ok(_) => {}
                Err(error) if is_missing_consumer(&error) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        let there: Result<PullConsumer, _> = bus.jetstream().get_consumer_from_stream(&plan.name, stream).await;
        match there {
            Ok(_) if reread == Reread::No => return Ok(()),
            Ok(_) => {}
            Err(error) if is_missing_consumer(&error) => {}
            Err(error) => return Err(error.to_string()),
        }
        // Creating what is there changes it to the plan.
        bus.jetstream().create_consumer_on_stream(plan.config(), stream).await.map(|_| ()).map_err(|e| e.to_string())
    };
    bus.within(API_TIMEOUT, what, made).await
}

/// Deletes the consumers of earlier reigns. A scheduler that is still there waits for its own for ever, until it sees why.
async fn delete_earlier(bus: &Bus, stream: &'static str, plan: &ConsumerPlan) -> Result<(), NatsError> {
    let what = || format!("deleting old consumers of {stream}");
    let deleted = async {
        let of_stream = bus.jetstream().get_stream_no_info(stream).await.map_err(|e| e.to_string())?;
        let names: Vec<String> = of_stream.consumer_names().try_collect().await.map_err(|e| e.to_string())?;
        for name in names.iter().filter(|name| is_of_earlier_reign(name, plan)) {
            match bus.jetstream().delete_consumer_from_stream(name, stream).await {
                Ok(_) => {}
                Err(error) if is_missing_consumer(&error) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok::<_, String>(())
    };
    bus.within(API_TIMEOUT, what, deleted).await
}

fn is_missing_stream(error: &async_nats::jetstream::context::GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

fn is_missing_consumer(error: &ConsumerError) -> bool {
    matches!(error.kind(), ConsumerErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::CONSUMER_NOT_FOUND)
}

//! Which streams and consumers Drover has, as plans. What they say is made true by [`crate::reconcile`].
//!
//! Streams carry; none is a record. The limits are for a small disk: 1.4 GiB for all, the oldest goes first. What is
//! cut away unread is sent again by whoever owes it.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{Compression, Config, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType};

use drover_messages::Generation;

use crate::{Filter, Pool};

/// Requests of users.
pub const REQ: &str = "REQ";
/// Reports of agents, and the word of pools.
pub const RES: &str = "RES";
/// Publications that the scheduler owes.
pub const OWED: &str = "OWED";
/// What happened.
pub const EVENTS: &str = "EVENTS";
/// Live logs.
pub const LOGS: &str = "LOGS";
/// What could not be read, and what hooks gave up.
pub const DEAD: &str = "DEAD";

/// The scheduler's consumer on REQ and on RES, where there is but one; see [`scheduler_consumer`].
pub const SCHEDULER: &str = "scheduler";
/// The consumer that all publish workers share.
pub const PUBLISH: &str = "publish";

/// What the broker tells when a message was delivered too often.
const GAVE_UP: &str = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>";

const MIB: i64 = 1 << 20;
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the broker keeps requests: a scheduler that starts from an old copy of its state reads them again.
pub const REQUESTS_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Within this time a message id is stored once. It saves work; nothing depends on it.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(2 * 60);
/// Events are sent again from the scheduler's cursor, in bulk, after a restart.
const EVENTS_DUPLICATE_WINDOW: Duration = Duration::from_secs(10 * 60);
/// Chunks of logs carry no ids; the broker's least.
const LOGS_DUPLICATE_WINDOW: Duration = Duration::from_millis(100);
/// Messages that the scheduler takes in before it has committed them.
const SCHEDULER_MAX_UNACKED: i64 = 2048;
/// Publications that all publish workers together work on.
const PUBLISH_MAX_UNACKED: i64 = 1024;
/// Events that one pool works on.
const HOOK_MAX_UNACKED: i64 = 256;
/// A consumer that says nothing for so long gets the message again.
pub const ACK_WAIT: Duration = Duration::from_secs(15);
/// How often a hook is tried, with these pauses between.
const HOOK_MAX_DELIVERIES: i64 = 8;
const HOOK_PAUSES: [Duration; 4] = [Duration::from_secs(60), Duration::from_secs(120), Duration::from_secs(300), HOUR];

/// One stream, and its consumers.
#[derive(Debug, Clone)]
pub struct StreamPlan {
    /// Its name.
    pub name: &'static str,
    /// For people.
    pub description: &'static str,
    /// What it captures.
    pub subjects: Vec<String>,
    /// Whether a message goes once it is acknowledged.
    pub work_queue: bool,
    /// The oldest message.
    pub max_age: Duration,
    /// What it may take. Then the oldest goes; a work queue says no instead.
    pub max_bytes: i64,
    /// Of one subject; `None` is without limit.
    pub max_messages_per_subject: Option<i64>,
    /// How long ids are remembered.
    pub duplicate_window: Duration,
    /// Where its messages are.
    pub kept: Kept,
    /// Its durable consumers.
    pub consumers: Vec<ConsumerPlan>,
}

/// Where the broker keeps the messages of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// On disk.
    OnDisk,
    /// On disk, compressed, when the broker likes: text that may be lost with the power.
    OnDiskLater,
    /// In memory: what is soon gone, and known to whoever asked.
    InMemory,
}

/// One durable consumer. It reads from the oldest message on.
#[derive(Debug, Clone)]
pub struct ConsumerPlan {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Messages that may be in work at once.
    pub max_unacked: i64,
    /// Deliveries before the broker gives up; `None` is for ever.
    pub max_deliveries: Option<i64>,
    /// Pauses between deliveries that were not answered; empty is [`ACK_WAIT`] each time.
    pub pauses: Vec<Duration>,
    /// At the scheduler's start it is made anew, and so reads its stream whole.
    pub reread_at_start: bool,
}

/// All of Drover's streams, with a consumer on EVENTS for each of `hooks`.
pub fn all(hooks: &[Pool]) -> Vec<StreamPlan> {
    vec![requests(), reports(), owed(), events(hooks), logs(), dead()]
}

/// As [`all`], with the consumers of one reign: of two schedulers, neither takes from the broker what the other must read.
pub fn of_reign(hooks: &[Pool], generation: Generation) -> Vec<StreamPlan> {
    let mut plans = all(hooks);
    let consumers = plans.iter_mut().flat_map(|plan| &mut plan.consumers);
    for consumer in consumers.filter(|consumer| consumer.name == SCHEDULER) {
        consumer.name = scheduler_consumer(generation);
    }
    plans
}

/// The scheduler's consumer on REQ and on RES, in one reign.
pub fn scheduler_consumer(generation: Generation) -> String {
    format!("{SCHEDULER}-{generation}")
}

/// Whether a consumer is that of a reign before the one that `plan` is of.
pub(crate) fn is_of_earlier_reign(name: &str, plan: &ConsumerPlan) -> bool {
    let reign = |name: &str| name.strip_prefix(SCHEDULER)?.strip_prefix('-')?.parse::<u64>().ok();
    match (reign(name), reign(&plan.name)) {
        (Some(theirs), Some(ours)) => theirs < ours,
        _ => false,
    }
}

fn requests() -> StreamPlan {
    let plan = limits(REQ, "what users ask for", vec![Filter::Requests, Filter::AdminRequests], REQUESTS_KEPT, 128 * MIB);
    StreamPlan { consumers: vec![scheduler("takes up requests")], ..plan }
}

fn reports() -> StreamPlan {
    let subjects = vec![Filter::AllReports, Filter::Done];
    let plan = limits(RES, "what agents and pools report", subjects, 3 * DAY, 256 * MIB);
    StreamPlan { consumers: vec![scheduler("takes in reports")], ..plan }
}

fn owed() -> StreamPlan {
    let plan = limits(OWED, "publications that the scheduler owes", vec![Filter::Owed], DAY, 48 * MIB);
    let consumer = ConsumerPlan {
        name: PUBLISH.into(),
        description: "all publish workers".into(),
        max_unacked: PUBLISH_MAX_UNACKED,
        max_deliveries: None,
        pauses: Vec::new(),
        reread_at_start: false,
    };
    StreamPlan { work_queue: true, kept: Kept::InMemory, consumers: vec![consumer], ..plan }
}

fn events(hooks: &[Pool]) -> StreamPlan {
    let plan = limits(EVENTS, "what happened", vec![Filter::Events], 14 * DAY, 512 * MIB);
    let consumers = hooks.iter().map(hook).collect();
    StreamPlan { duplicate_window: EVENTS_DUPLICATE_WINDOW, consumers, ..plan }
}

fn logs() -> StreamPlan {
    let plan = limits(LOGS, "live logs, plain text", vec![Filter::Logs], DAY, 512 * MIB);
    let window = LOGS_DUPLICATE_WINDOW;
    StreamPlan { max_messages_per_subject: Some(5000), duplicate_window: window, kept: Kept::OnDiskLater, ..plan }
}

fn dead() -> StreamPlan {
    let plan = limits(DEAD, "what could not be read, and what hooks gave up", vec![Filter::Dead], 30 * DAY, 64 * MIB);
    let subjects = [plan.subjects.clone(), vec![GAVE_UP.into()]].concat();
    StreamPlan { subjects, ..plan }
}

fn limits(name: &'static str, description: &'static str, filters: Vec<Filter>, age: Duration, bytes: i64) -> StreamPlan {
    StreamPlan {
        name,
        description,
        subjects: filters.iter().map(Filter::to_string).collect(),
        work_queue: false,
        max_age: age,
        max_bytes: bytes,
        max_messages_per_subject: None,
        duplicate_window: DUPLICATE_WINDOW,
        kept: Kept::OnDisk,
        consumers: Vec::new(),
    }
}

fn scheduler(description: &str) -> ConsumerPlan {
    ConsumerPlan {
        name: SCHEDULER.into(),
        description: format!("the scheduler {description}"),
        max_unacked: SCHEDULER_MAX_UNACKED,
        max_deliveries: None,
        pauses: Vec::new(),
        reread_at_start: true,
    }
}

fn hook(pool: &Pool) -> ConsumerPlan {
    ConsumerPlan {
        name: hook_consumer(pool),
        description: format!("the hook pool {pool}"),
        max_unacked: HOOK_MAX_UNACKED,
        max_deliveries: Some(HOOK_MAX_DELIVERIES),
        pauses: HOOK_PAUSES.to_vec(),
        reread_at_start: false,
    }
}

/// The name of a pool's consumer on EVENTS.
pub fn hook_consumer(pool: &Pool) -> String {
    format!("hook-{pool}")
}

impl StreamPlan {
    /// The plan, laid over what there is: fields that it does not speak of stay.
    pub(crate) fn onto(&self, there: Config) -> Config {
        Config {
            name: self.name.into(),
            description: Some(self.description.into()),
            subjects: self.subjects.clone(),
            retention: if self.work_queue { RetentionPolicy::WorkQueue } else { RetentionPolicy::Limits },
            discard: if self.work_queue { DiscardPolicy::New } else { DiscardPolicy::Old },
            storage: self.storage(),
            num_replicas: there.num_replicas.max(1),
            max_age: self.max_age,
            max_bytes: self.max_bytes,
            max_messages: -1,
            max_messages_per_subject: self.max_messages_per_subject.unwrap_or(-1),
            max_message_size: -1,
            max_consumers: -1,
            duplicate_window: self.duplicate_window,
            allow_direct: true,
            compression: Some(if self.kept == Kept::OnDiskLater { Compression::S2 } else { Compression::None }),
            persist_mode: if self.kept == Kept::OnDiskLater { Some(PersistenceMode::Async) } else { there.persist_mode },
            ..there
        }
    }

    pub(crate) fn storage(&self) -> StorageType {
        match self.kept {
            Kept::OnDisk | Kept::OnDiskLater => StorageType::File,
            Kept::InMemory => StorageType::Memory,
        }
    }
}

impl ConsumerPlan {
    pub(crate) fn config(&self) -> pull::Config {
        pull::Config {
            durable_name: Some(self.name.clone()),
            name: Some(self.name.clone()),
            description: Some(self.description.clone()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.pauses.first().copied().unwrap_or(ACK_WAIT),
            max_ack_pending: self.max_unacked,
            max_deliver: self.max_deliveries.unwrap_or(-1),
            backoff: self.pauses.clone(),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_consumers_of_lower_generations_are_of_an_earlier_reign() {
        let plans = of_reign(&[], Generation(10));
        let plan = &plans[0].consumers[0];
        assert_eq!(plan.name, "scheduler-10");
        for (name, earlier) in [("scheduler-9", true), ("scheduler-10", false), ("scheduler-11", false), ("publish", false)] {
            assert_eq!(is_of_earlier_reign(name, plan), earlier, "{name}");
        }
    }
}

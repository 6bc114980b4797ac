//! The events of the farm, counted as they are told.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use drover_messages::event::{Event, What};
use drover_messages::{Format, decode};
use drover_nats::{Login, SEVERAL};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};

/// Events that may wait to be counted.
const WAITING: usize = 1 << 20;
/// When nothing is told for so long, nothing more will come.
const SILENCE: Duration = Duration::from_secs(60);

/// Whoever counts.
pub struct Events {
    subscriber: async_nats::Subscriber,
    _client: async_nats::Client,
    /// By the last word of the subject, behind the noun: `build.succeeded`.
    counts: HashMap<String, usize>,
    /// How many messages that took.
    pub messages: usize,
    /// When the last one came.
    pub last: Instant,
}

impl Events {
    /// Listens from now on.
    pub async fn listen(login: &Login) -> anyhow::Result<Self> {
        let options = async_nats::ConnectOptions::with_user_and_password(login.user.clone(), login.password.clone());
        let options = options.subscription_capacity(WAITING).custom_inbox_prefix(format!("_INBOX_{}", login.user));
        let client = options.connect(&login.url).await?;
        let subscriber = client.subscribe("ev.>").await?;
        client.flush().await?;
        Ok(Self { subscriber, _client: client, counts: HashMap::new(), messages: 0, last: Instant::now() })
    }

    /// How many of a kind were told.
    pub fn count(&self, kind: &str) -> usize {
        self.counts.get(kind).copied().unwrap_or_default()
    }

    /// How many were told.
    pub fn all(&self) -> usize {
        self.counts.values().sum()
    }

    /// Counts until so many of a kind were told.
    pub async fn until(&mut self, what: &str, goals: &[(&str, usize)]) -> anyhow::Result<()> {
        let bar = bar(what, goals.iter().map(|(_, goal)| goal).sum());
        while goals.iter().any(|(kind, goal)| self.count(kind) < *goal) {
            let next = tokio::time::timeout(SILENCE, self.subscriber.next()).await;
            let Ok(message) = next else { bail!("{what}: nothing comes any more; there were {:?}", self.counts) };
            let message = message.context("the broker is gone")?;
            self.last = Instant::now();
            let words: Vec<&str> = message.subject.split('.').collect();
            if let [_, noun, id, verb] = words[..] {
                let kind = format!("{noun}.{verb}");
                let of = if id == SEVERAL { several(&message.payload)? } else { 1 };
                if goals.iter().any(|(goal, _)| *goal == kind) {
                    bar.inc(of as u64);
                }
                *self.counts.entry(kind).or_default() += of;
                self.messages += 1;
            }
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// How many builds or items an event is of.
fn several(body: &[u8]) -> anyhow::Result<usize> {
    match decode::<Event>(body, Format::MessagePack)?.what {
        What::BuildsLeased { leases } => Ok(leases.len()),
        What::ItemsAvailable { paths, .. } => Ok(paths.len()),
        other => bail!("{other:?} is told of several"),
    }
}

fn bar(what: &str, goal: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{elapsed}] {bar:40} {pos}/{len} {per_sec}");
    let bar = ProgressBar::new(goal as u64).with_message(what.to_owned());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

//! The pool's word on publications, on its way to the broker: one lot after the other, and what is found meanwhile goes together.

use std::sync::Arc;

use drover_messages::publish::Done;
use drover_nats::{Bus, Lot, MAX_TOGETHER, NatsError, Pool, Subject};
use tokio::sync::{mpsc, oneshot};

/// The way there. Clones share it.
#[derive(Clone)]
pub(super) struct Verdicts {
    found: mpsc::Sender<Found>,
}

/// One, and who waits until the broker has it.
struct Found {
    done: Done,
    told: oneshot::Sender<Result<(), Untold>>,
}

/// The broker does not have it.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Untold {
    /// It did not take the lot.
    #[error("the verdict could not be told: {0}")]
    Nats(Arc<NatsError>),
    /// Nobody tells anything any more.
    #[error("the verdict could not be told: this worker stops")]
    Stopped,
}

impl Verdicts {
    pub(super) fn start(bus: Bus) -> Self {
        let (found, waiting) = mpsc::channel(MAX_TOGETHER);
        tokio::spawn(tell_all(bus, waiting));
        Self { found }
    }

    /// Returns when the broker has it.
    pub(super) async fn tell(&self, done: Done) -> Result<(), Untold> {
        let (told, wait) = oneshot::channel();
        self.found.send(Found { done, told }).await.map_err(|_| Untold::Stopped)?;
        wait.await.map_err(|_| Untold::Stopped)?
    }
}

/// Tells what is found, until nobody finds anything any more.
async fn tell_all(bus: Bus, mut waiting: mpsc::Receiver<Found>) {
    let mut found = Vec::with_capacity(MAX_TOGETHER);
    while waiting.recv_many(&mut found, MAX_TOGETHER).await > 0 {
        let (dones, tolds): (Vec<_>, Vec<_>) = found.drain(..).map(|Found { done, told }| (addressed(done), told)).unzip();
        let (mut dones, mut tolds) = (dones.as_slice(), tolds.into_iter());
        while let Some(lot) = Lot::first_of(dones) {
            let len = lot.len();
            dones = &dones[len..];
            let sent = bus.publish_lot(lot).await.map_err(|error| Untold::Nats(Arc::new(error)));
            tolds.by_ref().take(len).for_each(|told| drop(told.send(sent.clone())));
        }
    }
}

fn addressed(done: Done) -> (Subject, Done) {
    (Subject::Done { pool: Pool::publish(), publication: done.publication }, done)
}

//! What administrators decide about messages that were set aside. They are sent again from here, in their senders' names.

use drover_messages::admin::{Disposal, Dispose, Disposed, MAX_DISPOSED};
use drover_nats::{Bus, Incoming};

use crate::calls::{refuse, told};

/// Where such decisions are carried out.
#[derive(Clone)]
pub(crate) struct Disposals {
    bus: Bus,
}

impl Disposals {
    pub(crate) fn new(bus: Bus) -> Self {
        Self { bus }
    }

    pub(crate) async fn answer(self, incoming: Incoming) {
        match incoming.decode::<Dispose>() {
            Ok(Dispose { sequences, .. }) if sequences.len() > MAX_DISPOSED => {
                refuse(&incoming, &format!("{} messages in one request; {MAX_DISPOSED} is the limit", sequences.len())).await;
            }
            Ok(dispose) => told(incoming.respond(&self.carry_out(dispose).await).await),
            Err(error) => refuse(&incoming, &error.to_string()).await,
        }
    }

    async fn carry_out(&self, dispose: Dispose) -> Disposed {
        let mut disposed = Disposed::default();
        for sequence in dispose.sequences {
            let done = match dispose.how {
                Disposal::Retry => self.bus.send_again(sequence).await,
                Disposal::Drop => self.bus.throw_away(sequence).await,
            };
            match done {
                Ok(()) => drop(disposed.done.insert(sequence)),
                Err(error) => disposed.refused.push((sequence, error.to_string())),
            }
        }
        disposed
    }
}

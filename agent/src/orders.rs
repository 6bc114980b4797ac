//! What the scheduler says at once and not only in the answers to beats: offers, and orders to stop.

use std::sync::Arc;

use drover_messages::AgentId;
use drover_messages::agent::{Abort, Order};
use drover_messages::offer::Offer;
use drover_nats::{Bus, Filter, Incoming, NatsError, Subject, Subscription};
use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::foreman::Foreman;

/// Answers offers and obeys orders, for ever. `listening` is told once the broker knows: who says hello before that is
/// offered work that it cannot hear of.
pub async fn listen(bus: &Bus, agent: AgentId, foreman: &Arc<Foreman>, listening: watch::Sender<bool>) {
    let mut backoff = Backoff::default();
    loop {
        match subscribe(bus, agent).await {
            Ok((mut work, mut orders)) => {
                backoff = Backoff::default();
                listening.send_replace(true);
                serve(&mut work, &mut orders, foreman).await;
            }
            Err(error) => tracing::warn!(%error, "cannot listen for offers; trying again"),
        }
        backoff.wait().await;
    }
}

async fn subscribe(bus: &Bus, agent: AgentId) -> Result<(Subscription, Subscription), NatsError> {
    Ok((bus.subscribe(&Filter::WorkOf(agent)).await?, bus.subscribe(&Filter::OrdersOf(agent)).await?))
}

async fn serve(work: &mut Subscription, orders: &mut Subscription, foreman: &Arc<Foreman>) {
    loop {
        tokio::select! {
            Some(offer) = work.next() => answer(&offer, foreman).await,
            Some(order) = orders.next() => obey(&order, foreman),
            else => return,
        }
    }
}

async fn answer(incoming: &Incoming, foreman: &Arc<Foreman>) {
    let offer: Offer = match incoming.decode() {
        Ok(offer) => offer,
        Err(error) => {
            tracing::error!(%error, "an offer cannot be read");
            let _ = incoming.problem(&format!("this agent cannot read the offer: {error}")).await;
            return;
        }
    };
    let attempt = offer.attempt;
    let answer = foreman.offer(offer);
    tracing::debug!(%attempt, ?answer, "offered");
    if let Err(error) = incoming.respond(&answer).await {
        tracing::warn!(%attempt, %error, "the answer to an offer is lost; it will be offered again");
    }
}

fn obey(incoming: &Incoming, foreman: &Arc<Foreman>) {
    match (&incoming.subject, incoming.decode::<Abort>()) {
        (Subject::Abort { .. }, Ok(abort)) => foreman.obey(abort.generation, [(abort.attempt, Order::Abort)]),
        (subject, Err(error)) => tracing::error!(%subject, %error, "an order cannot be read"),
        (subject, Ok(_)) => tracing::error!(%subject, "an order that this agent does not know"),
    }
}

//! The simulated pool `publish`: it says of everything at once that it is published, and looks at nothing.

use std::path::PathBuf;

use anyhow::Context;
use drover_messages::publish::{Done, Publish, PublishVerdict};
use drover_nats::{Bus, Delivery, Intake, Subject, streams};
use futures::future::join_all;
use uuid::Uuid;

use crate::children::{self, Seat, Tally};

/// Publications that are done at once.
const AT_ONCE: usize = 256;

/// What it is told at its start.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its login
    #[arg(long, value_name = "FILE")]
    logins: PathBuf,
}

/// Runs until nobody wants it any more.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let seats: Vec<Seat> = children::read(&args.logins)?;
    let seat = seats.first().context("a login")?;
    let bus = Bus::connect(&seat.login()).await?;
    let mut intake = Intake::open(&bus, streams::OWED, streams::PUBLISH, AT_ONCE);
    let publishing = tokio::spawn(async move {
        loop {
            let batch = intake.next_batch(AT_ONCE).await;
            join_all(batch.into_iter().map(|delivery| publish(&bus, delivery))).await;
        }
    });
    children::say_ready();
    children::until_unwanted().await;
    publishing.abort();
    children::say(&Tally::default())
}

async fn publish(bus: &Bus, delivery: Delivery) {
    let Some((request, delivery)) = delivery.decode_or_set_aside::<Publish>().await else { return };
    let publication = request.publication;
    let subject = Subject::Done { pool: drover_nats::Pool::publish(), publication };
    let done = Done { publication, verdict: PublishVerdict::Published };
    // Without the broker's word it is not done, and comes again.
    if bus.publish(&subject, &done, &Uuid::now_v7().to_string()).await.is_ok() {
        delivery.ack().await;
    }
}

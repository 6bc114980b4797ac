//! Requests from others, by way of a NATS micro service, so that `nats micro ls`, `info` and `stats` tell of it.

use std::collections::HashMap;

use async_nats::service::endpoint::Endpoint;
use async_nats::service::{Service as Micro, ServiceExt};
use futures::StreamExt;
use futures::stream::{SelectAll, select_all};

use crate::bus::API_TIMEOUT;
use crate::{Bus, Filter, Incoming, NatsError};

/// What a service is called.
#[derive(Debug, Clone)]
pub struct About {
    /// `drover-scheduler`.
    pub name: &'static str,
    /// Three numbers with dots.
    pub version: &'static str,
    /// For people.
    pub description: &'static str,
}

/// Something that can be asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// For people, in one word.
    pub name: &'static str,
    /// Where.
    pub filter: Filter,
    /// For people.
    pub description: &'static str,
}

/// A running service. It ends when this is dropped.
pub struct Service {
    requests: SelectAll<Endpoint>,
    _micro: Micro,
}

impl Service {
    /// Starts to listen. When this returns, the broker knows it. Several processes of one name share the requests.
    pub async fn start(bus: &Bus, about: &About, asked: &[Asked]) -> Result<Self, NatsError> {
        let what = || format!("starting the service {}", about.name);
        let service = bus.within(API_TIMEOUT, what, start(bus, about, asked)).await?;
        bus.round_trip().await?;
        Ok(service)
    }

    /// The next request. Nothing is lost when this is dropped before it is done. `None` never comes while the
    /// connection lives.
    pub async fn next(&mut self) -> Option<Incoming> {
        loop {
            let request = self.requests.next().await?;
            if let Some(incoming) = Incoming::of_service(request) {
                return Some(incoming);
            }
        }
    }
}

async fn start(bus: &Bus, about: &About, asked: &[Asked]) -> Result<Service, async_nats::Error> {
    let micro = bus
        .client()
        .service_builder()
        .description(about.description)
        .queue_group(about.name)
        .start(about.name, about.version)
        .await?;
    let mut endpoints = Vec::with_capacity(asked.len());
    for one in asked {
        let metadata = HashMap::from([("description".to_string(), one.description.to_string())]);
        endpoints.push(micro.endpoint_builder().name(one.name).metadata(metadata).add(&one.filter).await?);
    }
    Ok(Service { requests: select_all(endpoints), _micro: micro })
}

//! The agents of a farm, each beside a store.

use std::sync::Arc;

use drover_messages::AgentId;
use drover_nats::permissions::Who;

use crate::cache::{Cache, authorise};
use crate::command::Command;
use crate::lab::{Kind, Lab};
use crate::{Farm, Process};

/// An agent and its store.
pub struct Agent {
    /// Its login.
    pub id: AgentId,
    /// Its process.
    pub process: Process,
    /// The store beside it, with its daemon.
    pub store: Arc<Lab>,
}

/// Where an agent is to work, and how.
#[derive(Clone)]
pub struct Seat {
    /// Its store.
    pub store: Arc<Lab>,
    /// Builds at once.
    pub slots: u32,
    /// Caches of other farms that it reaches and trusts.
    pub servers: Vec<Cache>,
}

impl Seat {
    /// One slot on this store.
    pub fn on(store: Arc<Lab>) -> Self {
        Self { store, slots: 1, servers: Vec::new() }
    }

    /// So many slots.
    pub fn slots(self, slots: u32) -> Self {
        Self { slots, ..self }
    }

    /// With other servers.
    pub fn reaching(self, servers: &[Cache]) -> Self {
        Self { servers: servers.to_vec(), ..self }
    }
}

impl Farm {
    /// A seat of one slot on an empty store. `None`, said aloud, where that cannot be had.
    pub fn seat(&self, kind: Kind) -> Option<Seat> {
        let starts = format!("extra-sandbox-paths = {}", self.folder.starts().display());
        let settings: &[&str] = if kind == Kind::Guix { &[] } else { &[&starts] };
        Some(Seat::on(Arc::new(Lab::of(kind, settings)?)))
    }

    /// One more agent, on a store of its own.
    pub async fn add_agent(&mut self, kind: Kind) -> Option<()> {
        let seat = self.seat(kind)?;
        self.seat_agent(&seat).await;
        Some(())
    }

    /// One more agent, on the store of another.
    pub async fn add_agent_beside(&mut self, other: usize) {
        let seat = Seat::on(self.agents[other].store.clone());
        self.seat_agent(&seat).await;
    }

    /// One more agent.
    pub async fn seat_agent(&mut self, seat: &Seat) {
        let trusted: Vec<&str> = [&self.cache].into_iter().chain(&seat.servers).map(|cache| cache.guix_key.as_str()).collect();
        authorise(&seat.store, &trusted);
        let id = AgentId::new();
        let login = self.nats.login(Who::Agent(id)).await;
        let name = format!("agent-{}", self.agents.len());
        let command = Command::agent(&self.folder, &login, &name, seat, &self.cache);
        let process = Process::start(&name, command, &self.folder.join(&format!("{name}.log")));
        self.agents.push(Agent { id, process, store: seat.store.clone() });
    }
}

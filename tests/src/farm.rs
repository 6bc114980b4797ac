//! A whole farm in a temporary folder: nats-server, scheduler, workers, cache, agents beside stores of their own.

use std::time::Duration;

use drover_messages::ClientId;
use drover_nats::permissions::Who;
use drover_nats::testing::NatsServer;
use drover_nats::{Bus, Pool};

use crate::cache::Cache;
use crate::command::{Command, Options};
use crate::folder::Folder;
use crate::keys::Keys;
use crate::lab::{Kind, Lab};
use crate::{Agent, Process, until};

/// Longer than anything here takes on a machine under load.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A farm. Everything ends with it.
pub struct Farm {
    /// In the order of their start.
    pub agents: Vec<Agent>,
    /// The publish worker.
    pub publish: Process,
    /// The worker that asks other substitute servers, where there are some.
    pub substitutes: Option<Process>,
    /// The substitute server.
    pub cache_server: Process,
    /// The scheduler.
    pub scheduler: Process,
    /// The broker.
    pub nats: NatsServer,
    /// The login of the person, an administrator.
    pub client: ClientId,
    /// Their connection.
    pub bus: Bus,
    /// Where substitutes are, and who signs them.
    pub cache: Cache,
    /// Where everything lies.
    pub folder: Folder,
    /// The stores in which derivations are made, at most one for each store directory.
    pub(crate) devs: Vec<Lab>,
}

impl Farm {
    /// Everything but stores and agents. `None`, said aloud, where there is no nats-server.
    pub async fn without_stores(options: Options) -> Option<Self> {
        let mut nats = NatsServer::start()?;
        let folder = Folder::new();
        let keys = Keys::generate(&folder);
        let client = ClientId::new();
        let login = nats.login(Who::Admin(client)).await;
        folder.password_file(&login);

        let scheduler = Command::scheduler(&folder, &nats.login(Who::Scheduler).await, nats.folder(), &options);
        let publish = Command::publish(&folder, &nats.login(Who::Publish).await, &keys.files);
        let start = |name: &str, command| Process::start(name, command, &folder.join(&format!("{name}.log")));
        let mut scheduler = start("scheduler", scheduler);
        serves(&folder, &mut scheduler).await;
        let publish = start("publish", publish);
        let mut substitutes = None;
        if !options.servers.is_empty() {
            let login = nats.login(Who::Hook(Pool::substitutes())).await;
            substitutes = Some(start("substitutes", Command::substitutes(&folder, &login, &options.servers)));
        }
        let cache_server = start("cache", Command::cache(&folder));
        let cache = Cache { root: cache_root(&folder).await, nix_key: keys.nix, guix_key: keys.guix };
        let bus = Bus::connect(&login).await.unwrap();
        let (agents, devs) = (Vec::new(), Vec::new());
        let farm = Self { agents, publish, substitutes, cache_server, scheduler, nats, client, bus, cache, folder, devs };
        farm.write_facts();
        Some(farm)
    }

    /// A farm with so many Nix agents of one slot, each with a store of its own, and a store to instantiate in. `None`, said
    /// aloud, where that cannot be had.
    pub async fn start(agents: usize) -> Option<Self> {
        Self::of(&vec![Kind::Nix; agents], Options::default()).await
    }

    /// A farm with one agent of each of these kinds, each with a store of its own, and with stores to instantiate in.
    pub async fn of(agents: &[Kind], options: Options) -> Option<Self> {
        let mut farm = Self::without_agents(agents, options).await?;
        for kind in agents {
            farm.add_agent(*kind).await?;
        }
        Some(farm)
    }

    /// A farm with a store to instantiate in for each store directory of these kinds.
    pub async fn without_agents(kinds: &[Kind], options: Options) -> Option<Self> {
        let mut devs: Vec<Lab> = Vec::new();
        for kind in kinds {
            if devs.iter().all(|dev| dev.store_dir() != kind.store_dir()) {
                devs.push(Lab::of(*kind, &[])?);
            }
        }
        let mut farm = Self::without_stores(options).await?;
        farm.devs = devs;
        farm.write_facts();
        Some(farm)
    }

    /// The store in which derivations for this kind of store are made.
    ///
    /// # Panics
    /// In a farm without such stores.
    pub fn dev(&self, kind: Kind) -> &Lab {
        self.devs.iter().find(|dev| dev.store_dir() == kind.store_dir()).expect("a farm with such stores")
    }

    /// Starts the scheduler again, and waits until it serves.
    pub async fn run_scheduler(&mut self) {
        let _ = std::fs::remove_file(self.folder.scheduler_ready());
        self.scheduler.run();
        serves(&self.folder, &mut self.scheduler).await;
    }
}

pub(crate) async fn serves(folder: &Folder, scheduler: &mut Process) {
    let ready = folder.scheduler_ready();
    until("the scheduler serves", || {
        assert!(scheduler.ended().is_none(), "the scheduler ended:\n{}", scheduler.said());
        ready.exists()
    })
    .await;
}

async fn cache_root(folder: &Folder) -> String {
    until("the cache serves", || folder.cache_port().exists()).await;
    let address = std::fs::read_to_string(folder.cache_port()).unwrap();
    format!("http://{}", address.trim())
}

//! A whole farm in a temporary folder: nats-server, scheduler, publish worker, cache, agents beside stores of their own.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use drover_messages::{AgentId, ClientId};
use drover_nats::Bus;
use drover_nats::permissions::Who;
use drover_nats::testing::NatsServer;
use drover_store::SecretKey;

use crate::command::{Cache, Command, Options, store_daemon};
use crate::folder::{Folder, write_secret};
use crate::lab::Lab;
use crate::programs::{self, program};
use crate::{Process, until};

/// Longer than anything here takes on a machine under load.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// The name of the key that signs the farm's substitutes.
pub const KEY_NAME: &str = "drover-test-1";

/// An agent and its store.
pub struct Agent {
    /// Its login.
    pub id: AgentId,
    /// Its process.
    pub process: Process,
    /// The store beside it, with its daemon.
    pub store: Arc<Lab>,
}

/// A farm. Everything ends with it.
pub struct Farm {
    /// In the order of their start.
    pub agents: Vec<Agent>,
    /// The publish worker.
    pub publish: Process,
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
    /// The store in which derivations are made.
    dev: Option<Lab>,
}

impl Farm {
    /// Everything but stores and agents. `None`, said aloud, where there is no nats-server.
    pub async fn without_stores(options: Options) -> Option<Self> {
        let mut nats = NatsServer::start()?;
        let folder = Folder::new();
        let key = SecretKey::generate(KEY_NAME).unwrap();
        write_secret(&folder.signing_key(), &key.to_file());
        let client = ClientId::new();
        let login = nats.login(Who::Admin(client)).await;
        folder.password_file(&login);

        let scheduler = Command::scheduler(&folder, &nats.login(Who::Scheduler).await, nats.folder(), &options);
        let publish = Command::publish(&folder, &nats.login(Who::Publish).await);
        let start = |name: &str, command| Process::start(name, command, &folder.join(&format!("{name}.log")));
        let mut scheduler = start("scheduler", scheduler);
        serves(&folder, &mut scheduler).await;
        let publish = start("publish", publish);
        let public_key = key.public().to_string();
        let cache_server = start("cache", Command::cache(&folder, &public_key));
        let cache = Cache { url: cache_url(&folder).await, public_key };
        let bus = Bus::connect(&login).await.unwrap();
        let (agents, dev) = (Vec::new(), None);
        let farm = Self { agents, publish, cache_server, scheduler, nats, client, bus, cache, folder, dev };
        farm.write_facts();
        Some(farm)
    }

    /// A farm with so many agents of one slot, each with a store of its own, and a store to instantiate in. `None`, said
    /// aloud, where that cannot be had.
    pub async fn start(agents: usize) -> Option<Self> {
        let dev = Lab::start(&[])?;
        let mut farm = Self::without_stores(Options::default()).await?;
        farm.dev = Some(dev);
        farm.write_facts();
        for _ in 0..agents {
            farm.add_agent().await?;
        }
        Some(farm)
    }

    /// One more agent, beside one more store.
    async fn add_agent(&mut self) -> Option<()> {
        let sandbox = format!("extra-sandbox-paths = {}", self.folder.starts().display());
        let store = Lab::start(&[&sandbox])?;
        self.start_agent(Arc::new(store)).await;
        Some(())
    }

    /// One more agent, on the store of another.
    pub async fn add_agent_beside(&mut self, other: usize) {
        self.start_agent(self.agents[other].store.clone()).await;
    }

    async fn start_agent(&mut self, store: Arc<Lab>) {
        let id = AgentId::new();
        let login = self.nats.login(Who::Agent(id)).await;
        let name = format!("agent-{}", self.agents.len());
        let command = Command::agent(&self.folder, &login, &name, &store, &self.cache);
        let process = Process::start(&name, command, &self.folder.join(&format!("{name}.log")));
        self.agents.push(Agent { id, process, store });
    }

    /// The store in which derivations are made.
    ///
    /// # Panics
    /// In a farm without stores.
    pub fn dev(&self) -> &Lab {
        self.dev.as_ref().expect("a farm with stores")
    }

    /// Starts the scheduler again, and waits until it serves.
    pub async fn run_scheduler(&mut self) {
        let _ = std::fs::remove_file(self.folder.scheduler_ready());
        self.scheduler.run();
        serves(&self.folder, &mut self.scheduler).await;
    }

    /// `drover`, run to its end where /nix is the developer's store, if there is one.
    pub async fn drover(&self, args: &[&str]) -> Output {
        let output = self.drover_command(args).output();
        tokio::time::timeout(PATIENCE, output).await.expect("drover ends in time").unwrap()
    }

    pub(crate) fn drover_command(&self, args: &[&str]) -> tokio::process::Command {
        let drover = program("drover");
        let mut command = match &self.dev {
            None => tokio::process::Command::new(drover),
            Some(dev) => {
                let mut command = tokio::process::Command::new(store_daemon());
                command.arg("exec").arg(dev.scratch()).arg(drover);
                command
            }
        };
        command.args(args).env("DROVER_FARM", self.folder.path()).env_remove("DROVER_NATS_URL").kill_on_drop(true);
        command
    }

    /// Runs a script of ours with `drover` on its path, and the administrator's login in the `nats` tool's own variables.
    pub async fn script(&self, script: &Path, args: &[&str]) -> Output {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([programs::folder()].into_iter().chain(std::env::split_paths(&path))).unwrap();
        let password = std::fs::read_to_string(self.folder.join(&format!("{}.password", self.client))).unwrap();
        let mut command = tokio::process::Command::new(script);
        command.args(args).env("PATH", path).kill_on_drop(true);
        command.env("NATS_URL", self.nats.url()).env("NATS_USER", self.client.to_string()).env("NATS_PASSWORD", password);
        tokio::time::timeout(PATIENCE, command.output()).await.expect("the script ends in time").unwrap()
    }

    /// What `drover` needs to know, as `drover up` writes it.
    fn write_facts(&self) {
        let facts = serde_json::json!({
            "nats_url": self.nats.url(),
            "bucket": self.folder.bucket_url(),
            "cache_url": self.cache.url,
            "store_dir": "/nix/store",
            "daemon_socket": self.dev.as_ref().map(|dev| dev.config().socket),
            "uuid": self.client.to_string(),
            "password_file": self.folder.join(&format!("{}.password", self.client)),
        });
        std::fs::write(self.folder.join("farm.json"), facts.to_string()).unwrap();
    }
}

async fn serves(folder: &Folder, scheduler: &mut Process) {
    let ready = folder.scheduler_ready();
    until("the scheduler serves", || {
        assert!(scheduler.ended().is_none(), "the scheduler ended:\n{}", scheduler.said());
        ready.exists()
    })
    .await;
}

async fn cache_url(folder: &Folder) -> String {
    until("the cache serves", || folder.cache_port().exists()).await;
    let address = std::fs::read_to_string(folder.cache_port()).unwrap();
    format!("http://{}/nix-store", address.trim())
}

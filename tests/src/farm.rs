//! A whole farm in a temporary folder: nats-server, scheduler, publish worker, cache, agents beside stores of their own.

use std::ffi::OsString;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use drover_messages::query::{Agents, AskAgents};
use drover_messages::{AgentId, ClientId};
use drover_nats::permissions::Who;
use drover_nats::testing::NatsServer;
use drover_nats::{Bus, Login, Query, Subject};
use drover_store::SecretKey;

use crate::Process;
use crate::lab::Lab;
use crate::programs::{self, program};

/// Longer than anything here takes on a machine under load.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// The name of the key that signs the farm's substitutes.
pub const KEY_NAME: &str = "drover-test-1";

/// What differs from one farm to another.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--lease-secs` of the scheduler.
    pub lease_secs: u64,
    /// `--beat-secs`.
    pub beat_secs: u64,
    /// `--hook-pool`, each.
    pub hook_pools: Vec<&'static str>,
}

impl Default for Options {
    fn default() -> Self {
        Self { lease_secs: 10, beat_secs: 1, hook_pools: Vec::new() }
    }
}

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
    pub cache: Process,
    /// The scheduler.
    pub scheduler: Process,
    /// The broker.
    pub nats: NatsServer,
    /// The login of the person.
    pub client: ClientId,
    /// Their connection.
    pub bus: Bus,
    /// The store in which derivations are made.
    dev: Option<Lab>,
    /// `http://…/nix-store`.
    pub cache_url: String,
    /// The public half of the key that signs.
    pub public_key: String,
    folder: tempfile::TempDir,
}

impl Farm {
    /// Everything but stores and agents. `None`, said aloud, where there is no nats-server.
    pub async fn without_stores(options: Options) -> Option<Self> {
        let mut nats = NatsServer::start()?;
        let folder = tempfile::Builder::new().prefix("farm-").tempdir_in("/tmp").unwrap();
        let dir = folder.path();
        open_to_builders(dir);
        let client = ClientId::new();
        let login = nats.login(Who::Admin(client)).await;
        write_secret(&dir.join("client.password"), &login.password);
        let key = SecretKey::generate(KEY_NAME).unwrap();
        write_secret(&dir.join("signing-key"), &key.to_file());
        let public_key = key.public().to_string();

        let scheduler = start_scheduler(dir, &nats.login(Who::Scheduler).await, nats.folder(), &options).await;
        let mut publish = words(&[program("drover-hook-worker").as_os_str(), "publish".as_ref()]);
        publish.extend(login_flags(dir, &nats.login(Who::Publish).await));
        publish.extend(words(&["--signing-key".as_ref(), dir.join("signing-key").as_os_str()]));
        let publish = Process::start("publish", publish, &dir.join("publish.log"));
        let (cache, cache_url) = start_cache(dir, &public_key).await;
        let bus = Bus::connect(&login).await.unwrap();
        let farm =
            Self { agents: Vec::new(), publish, cache, scheduler, nats, client, bus, dev: None, cache_url, public_key, folder };
        farm.write_facts(None);
        Some(farm)
    }

    /// A farm with so many agents of one slot, each with a store of its own, and a store to instantiate in. `None`, said
    /// aloud, where that cannot be had.
    pub async fn start(agents: usize) -> Option<Self> {
        let dev = Lab::start(&[])?;
        let mut farm = Self::without_stores(Options::default()).await?;
        farm.write_facts(Some(&dev));
        farm.dev = Some(dev);
        for _ in 0..agents {
            farm.add_agent().await?;
        }
        Some(farm)
    }

    /// One more agent, beside one more store.
    pub async fn add_agent(&mut self) -> Option<()> {
        let sandbox = format!("extra-sandbox-paths = {}", self.starts_folder().display());
        let store = Arc::new(Lab::start(&[&sandbox])?);
        self.add_agent_of(store).await;
        Some(())
    }

    /// One more agent beside the store of another.
    pub async fn add_agent_beside(&mut self, agent: usize) {
        let store = self.agents[agent].store.clone();
        self.add_agent_of(store).await;
    }

    /// Waits until so many agents take builds.
    pub async fn until_ready(&self, agents: usize) {
        let ready = async || {
            let asked = self.bus.request(&Subject::Query(Query::Agents), &AskAgents {}, PATIENCE).await;
            asked.is_ok_and(|all: Agents| all.agents.iter().filter(|a| a.alive && a.not_ready.is_none()).count() == agents)
        };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !ready().await {
            assert!(tokio::time::Instant::now() < deadline, "{agents} agents are not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn add_agent_of(&mut self, store: Arc<Lab>) {
        let id = AgentId::new();
        let login = self.nats.login(Who::Agent(id)).await;
        let name = format!("agent-{}", self.agents.len());
        let mut command = words(&[store_daemon().as_os_str(), "exec".as_ref(), store.scratch().as_os_str()]);
        command.push(program("drover-agent").into());
        command.extend(login_flags(self.dir(), &login));
        command.extend(words(&["--name".as_ref(), name.as_ref()]));
        command.extend(words(&["--state-dir".as_ref(), self.dir().join(&name).as_os_str()]));
        command.extend(words(&["--daemon-socket".as_ref(), store.config().socket.as_os_str()]));
        command.extend(words(&["--store-dir".as_ref(), "/nix/store".as_ref()]));
        command.extend(words(&["--substitute-url".as_ref(), self.cache_url.as_ref()]));
        command.extend(words(&["--trusted-public-key".as_ref(), self.public_key.as_ref()]));
        command.extend(words(&["--min-free-bytes".as_ref(), "1000000".as_ref()]));
        let process = Process::start(&name, command, &self.dir().join(format!("{name}.log")));
        self.agents.push(Agent { id, process, store });
    }

    /// The store in which derivations are made.
    ///
    /// # Panics
    /// In a farm without stores.
    pub fn dev(&self) -> &Lab {
        self.dev.as_ref().expect("a farm with stores")
    }

    /// Where everything of this farm lies.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The folder that is its bucket.
    pub fn bucket_folder(&self) -> PathBuf {
        self.dir().join("bucket")
    }

    /// Its URL.
    pub fn bucket_url(&self) -> String {
        bucket_url(self.dir())
    }

    /// The folder of the scheduler's state.
    pub fn scheduler_folder(&self) -> PathBuf {
        self.dir().join("scheduler")
    }

    /// Where builders leave a file at their start.
    pub fn starts_folder(&self) -> PathBuf {
        self.dir().join("starts")
    }

    /// Starts the scheduler again, and waits until it serves.
    pub async fn run_scheduler(&mut self) {
        let _ = std::fs::remove_file(ready_file(self.dir()));
        self.scheduler.run();
        serves(self.folder.path(), &mut self.scheduler).await;
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
        command.args(args).env("DROVER_FARM", self.dir()).env_remove("DROVER_NATS_URL").kill_on_drop(true);
        command
    }

    /// Runs a script of ours with `drover` on its path, and the administrator's login in the `nats` tool's own variables.
    pub async fn script(&self, script: &Path, args: &[&str]) -> Output {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([programs::folder()].into_iter().chain(std::env::split_paths(&path))).unwrap();
        let password = std::fs::read_to_string(self.dir().join("client.password")).unwrap();
        let mut command = tokio::process::Command::new(script);
        command.args(args).env("PATH", path).kill_on_drop(true);
        command.env("NATS_URL", self.nats.url()).env("NATS_USER", self.client.to_string()).env("NATS_PASSWORD", password);
        tokio::time::timeout(PATIENCE, command.output()).await.expect("the script ends in time").unwrap()
    }

    /// What `drover` needs to know, as `drover up` writes it.
    fn write_facts(&self, dev: Option<&Lab>) {
        let facts = serde_json::json!({
            "nats_url": self.nats.url(),
            "bucket": self.bucket_url(),
            "cache_url": self.cache_url,
            "store_dir": "/nix/store",
            "daemon_socket": dev.map(|dev| dev.config().socket),
            "uuid": self.client.to_string(),
            "password_file": self.dir().join("client.password"),
        });
        std::fs::write(self.dir().join("farm.json"), facts.to_string()).unwrap();
    }
}

/// Waits until something is so.
///
/// # Panics
/// When that does not come.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "it never came: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

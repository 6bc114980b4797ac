//! A whole farm in a temporary folder: nats-server, scheduler, publish worker, cache, agents beside stores of their own.

use std::ffi::OsString;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use drover_messages::{AgentId, ClientId};
use drover_nats::permissions::Who;
use drover_nats::testing::NatsServer;
use drover_nats::{Bus, Login};
use drover_store::SecretKey;

use crate::Process;
use crate::lab::Lab;
use crate::programs::{self, program};

/// Longer than anything here takes on a machine under load.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// The name of the key that signs the farm's substitutes.
pub const KEY_NAME: &str = "drover-test-1";

/// How fast leases age.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// `--lease-secs` of the scheduler.
    pub lease_secs: u64,
    /// `--beat-secs`.
    pub beat_secs: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { lease_secs: 10, beat_secs: 1 }
    }
}

/// An agent and its store.
pub struct Agent {
    /// Its login.
    pub id: AgentId,
    /// Its process.
    pub process: Process,
    /// The store beside it, with its daemon.
    pub store: Lab,
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
    pub async fn without_stores(pace: Pace) -> Option<Self> {
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

        let scheduler = start_scheduler(dir, &nats.login(Who::Scheduler).await, nats.folder(), pace).await;
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
        let mut farm = Self::without_stores(Pace::default()).await?;
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
        let store = Lab::start(&[&sandbox])?;
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
        Some(())
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

    /// Runs a script of ours with `drover` on its path, and gives its exit code and words.
    pub async fn script(&self, script: &Path) -> Output {
        let path = std::env::join_paths(
            [programs::folder()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        );
        let mut command = tokio::process::Command::new(script);
        command.env("PATH", path.unwrap()).env("DROVER_FARM", self.dir()).kill_on_drop(true);
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

async fn start_scheduler(dir: &Path, login: &Login, nats: &Path, pace: Pace) -> Process {
    let mut command = words(&[program("drover-scheduler").as_os_str()]);
    command.extend(login_flags(dir, login));
    command.extend(words(&["--state-dir".as_ref(), dir.join("scheduler").as_os_str()]));
    command.extend(words(&["--logins".as_ref(), nats.join("logins").as_os_str()]));
    command.extend(words(&["--ready-file".as_ref(), ready_file(dir).as_os_str()]));
    command.extend(words(&["--lease-secs".as_ref(), pace.lease_secs.to_string().as_ref()]));
    command.extend(words(&["--beat-secs".as_ref(), pace.beat_secs.to_string().as_ref()]));
    let mut scheduler = Process::start("scheduler", command, &dir.join("scheduler.log"));
    serves(dir, &mut scheduler).await;
    scheduler
}

async fn serves(dir: &Path, scheduler: &mut Process) {
    let ready = ready_file(dir);
    until("the scheduler serves", || {
        assert!(scheduler.ended().is_none(), "the scheduler ended:\n{}", scheduler.said());
        ready.exists()
    })
    .await;
}

async fn start_cache(dir: &Path, public_key: &str) -> (Process, String) {
    let port = dir.join("cache.port");
    let mut command = words(&[program("drover-cache").as_os_str(), "--bucket".as_ref(), bucket_url(dir).as_ref()]);
    command.extend(words(&["--listen".as_ref(), "127.0.0.1:0".as_ref(), "--port-file".as_ref(), port.as_os_str()]));
    command.extend(words(&["--public-key".as_ref(), public_key.as_ref()]));
    let cache = Process::start("cache", command, &dir.join("cache.log"));
    until("the cache serves", || std::fs::read_to_string(&port).is_ok_and(|address| address.ends_with('\n'))).await;
    let address = std::fs::read_to_string(port).unwrap();
    (cache, format!("http://{}/nix-store", address.trim()))
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

fn login_flags(dir: &Path, login: &Login) -> Vec<OsString> {
    let password = dir.join(format!("{}.password", login.user));
    write_secret(&password, &login.password);
    let mut flags = words(&["--nats-url".as_ref(), login.url.as_ref(), "--uuid".as_ref(), login.user.as_ref()]);
    flags.extend(words(&["--password-file".as_ref(), password.as_os_str(), "--bucket".as_ref(), bucket_url(dir).as_ref()]));
    flags
}

fn words(words: &[&std::ffi::OsStr]) -> Vec<OsString> {
    words.iter().map(|word| word.to_os_string()).collect()
}

fn bucket_url(dir: &Path) -> String {
    format!("file://{}", dir.join("bucket").display())
}

fn ready_file(dir: &Path) -> PathBuf {
    dir.join("scheduler.ready")
}

fn write_secret(path: &Path, secret: &str) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, secret.as_bytes()).unwrap();
}

/// Builders of any uid leave files in `starts`.
fn open_to_builders(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let starts = dir.join("starts");
    std::fs::create_dir(&starts).unwrap();
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711)).unwrap();
    std::fs::set_permissions(&starts, std::fs::Permissions::from_mode(0o1777)).unwrap();
}

/// The script that gives stores with daemons of their own.
fn store_daemon() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/store-daemon")
}

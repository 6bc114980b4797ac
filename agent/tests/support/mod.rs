//! A farm for one agent: real nats-server, real store daemon, a folder for a bucket, and the test for a scheduler.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part")]

#[path = "../../../daemon/tests/support/mod.rs"]
pub mod labs;
pub mod publish;
pub mod scheduler;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use drover_bucket::{Bucket, Key};
use drover_messages::AgentId;
use drover_messages::report::SealedLog;
use drover_nats::testing::NatsServer;
use drover_nats::{Bus, Login};
use drover_store::{Derivation, DrvPath, PackId, PackWriter, StoreDir};

use labs::{Kind, Lab, Made};
use scheduler::Scheduler;

/// Longer than anything here takes on a machine under load.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Farm {
    pub agent: AgentId,
    pub nats: NatsServer,
    pub lab: Lab,
    pub bucket: Bucket,
    pub scheduler: Scheduler,
    folder: tempfile::TempDir,
    login: Login,
    child: Option<Child>,
}

impl Farm {
    /// Everything but the agent. `None`, said aloud, where that cannot be had.
    pub async fn start() -> Option<Self> {
        Self::of(Kind::Nix).await
    }

    /// The same with another kind of daemon.
    pub async fn of(kind: Kind) -> Option<Self> {
        let lab = Lab::of(kind, &[])?;
        let mut nats = NatsServer::start()?;
        let agent = AgentId::new();
        let login = nats.login(drover_nats::permissions::Who::Agent(agent)).await;
        let bus = Bus::connect(&nats.login(drover_nats::permissions::Who::Scheduler).await).await.unwrap();
        let scheduler = Scheduler::start(bus, agent, kind.store_dir()).await;
        let folder = tempfile::tempdir().unwrap();
        let bucket = Bucket::open(&format!("file://{}", folder.path().join("bucket").display())).unwrap();
        std::fs::write(folder.path().join("password"), &login.password).unwrap();
        let chmod = Command::new("chmod").arg("600").arg(folder.path().join("password")).status().unwrap();
        assert!(chmod.success());
        Some(Self { agent, nats, lab, bucket, scheduler, folder, login, child: None })
    }

    /// Starts the agent, where its daemon's store can be seen.
    pub fn run_agent(&mut self, flags: &[&str]) {
        let log = std::fs::File::options().create(true).append(true).open(self.agent_log()).unwrap();
        let mut command = Command::new(self.lab.kind().script());
        command.arg("exec").arg(self.lab.scratch()).arg(env!("CARGO_BIN_EXE_drover-agent"));
        command.args(["--nats-url", &self.login.url, "--uuid", &self.login.user]);
        command.arg("--password-file").arg(self.folder.path().join("password"));
        command.args(["--bucket", &format!("file://{}", self.bucket_folder().display())]);
        command.arg("--state-dir").arg(self.state_dir());
        command.args(["--store-dir", self.lab.store_dir().as_str()]);
        command.arg("--daemon-socket").arg(self.lab.config().socket);
        command.args(["--min-free-bytes", "1000000"]).args(flags);
        command.env("DROVER_LOG", "debug,async_nats=info");
        self.child = Some(command.stdin(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// Kills the agent, as the kernel would.
    pub fn kill_agent(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn agent_pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn bucket_folder(&self) -> PathBuf {
        self.folder.path().join("bucket")
    }

    pub fn agent_log(&self) -> PathBuf {
        self.folder.path().join("agent.log")
    }

    /// Instantiates an expression, and puts the derivation into the bucket.
    pub async fn pack(&self, expression: &str) -> Packed {
        self.pack_all(&[expression.to_owned()]).await.remove(0)
    }

    /// Instantiates expressions, and puts their derivations into one pack in the bucket.
    pub async fn pack_all(&self, expressions: &[String]) -> Vec<Packed> {
        let told = self.lab.run(&["nix-instantiate", "--expr", &format!("[ ({}) ]", expressions.join(") ("))]);
        let mut writer = PackWriter::new();
        let read: Vec<_> = told.lines().map(|absolute| self.lab.read_derivation(absolute)).collect();
        for (drv, derivation) in &read {
            writer.push(drv, derivation.write(&StoreDir::nix())).unwrap();
        }
        let pack = self.put(writer).await;
        read.into_iter().map(|(drv, derivation)| Packed { drv, derivation, pack }).collect()
    }

    /// Puts derivations into one pack in the bucket.
    pub async fn pack_made(&self, made: &[&Made]) -> Vec<Packed> {
        let mut writer = PackWriter::new();
        for made in made {
            writer.push(&made.drv, made.text()).unwrap();
        }
        let pack = self.put(writer).await;
        made.iter().map(|made| Packed { drv: made.drv.clone(), derivation: made.derivation.clone(), pack }).collect()
    }

    async fn put(&self, writer: PackWriter) -> PackId {
        let bytes = writer.finish().unwrap();
        let pack = PackId::of(&bytes);
        self.bucket.put_once(&Key::Pack(pack), bytes).await.unwrap();
        pack
    }

    /// A sealed log.
    pub async fn log_of(&self, log: &SealedLog) -> String {
        let key: Key = log.key.parse().unwrap();
        let sealed = self.bucket.get(&key, 1 << 20).await.unwrap();
        String::from_utf8(zstd::decode_all(&sealed[..]).unwrap()).unwrap()
    }

    /// How many files there are below a folder of the agent's state.
    pub fn count(&self, folder: &str) -> usize {
        std::fs::read_dir(self.state_dir().join(folder)).unwrap().count()
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        self.kill_agent();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.agent_log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!("the agent said:");
            lines.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// A derivation in a pack in the bucket.
#[derive(Clone)]
pub struct Packed {
    pub drv: DrvPath,
    pub derivation: Derivation,
    pub pack: PackId,
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "it never came: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

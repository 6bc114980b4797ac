//! A scheduler's end of the broker, and workers to be killed.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use drover_bucket::{Bucket, Key};
use drover_messages::PublicationId;
use drover_messages::publish::{Done, Publish, PublishVerdict};
use drover_nats::permissions::Who;
use drover_nats::streams::{self, RES, SCHEDULER};
use drover_nats::testing::NatsServer;
use drover_nats::{Bus, Intake, Login, Reread, Subject, Urgency, reconcile};
use drover_store::{NarInfo, SecretKey, StoreDir, StorePath};

/// Longer than anything may take here: what a killed worker had comes again after the broker has waited for it.
pub const PATIENCE: Duration = Duration::from_secs(150);

pub struct Farm {
    pub bus: Bus,
    pub bucket: Bucket,
    pub folder: tempfile::TempDir,
    login: Login,
    key: SecretKey,
    reports: Intake,
    _server: NatsServer,
}

/// A worker; it dies when this is dropped.
pub struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Farm {
    pub async fn start() -> Option<Self> {
        let mut server = NatsServer::start()?;
        let bus = Bus::connect(&server.login(Who::Scheduler).await).await.unwrap();
        reconcile(&bus, &streams::all(&[]), Reread::Whole).await.unwrap();
        let login = server.login(Who::Publish).await;
        let folder = tempfile::tempdir().unwrap();
        let farm = Self {
            reports: Intake::open(&bus, RES, SCHEDULER, 256),
            bucket: Bucket::open(&format!("file://{}/bucket", folder.path().display())).unwrap(),
            key: SecretKey::generate("farm-1").unwrap(),
            bus,
            folder,
            login,
            _server: server,
        };
        farm.write_secret("password", &farm.login.password);
        farm.write_secret("key", &farm.key.to_file());
        Some(farm)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_secret(&self, name: &str, secret: &str) {
        std::fs::write(self.path(name), secret).unwrap();
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o600)).unwrap();
    }

    pub fn worker(&self) -> Worker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drover-hook-worker"));
        command.args(["publish", "--nats-url", &self.login.url, "--uuid", &self.login.user, "--password-file"]);
        command.arg(self.path("password")).arg("--signing-key").arg(self.path("key"));
        command.args(["--bucket", &format!("file://{}", self.path("bucket").display())]);
        Worker(command.env("DROVER_LOG", "error").spawn().unwrap())
    }

    pub async fn ask(&self, request: &Publish) {
        let subject = Subject::Publish { urgency: Urgency(0), publication: request.publication };
        let id = format!("{}.{}", request.publication, request.generation);
        self.bus.publish(&subject, request, &id).await.unwrap();
    }

    /// The next word of a worker.
    pub async fn word(&mut self) -> Done {
        let delivery = tokio::time::timeout(PATIENCE, self.reports.next()).await.expect("a word in time");
        let done = delivery.decode().unwrap();
        delivery.ack().await;
        done
    }

    /// The words on so many publications; a repeated word counts once.
    pub async fn words(&mut self, count: usize) -> BTreeMap<PublicationId, PublishVerdict> {
        let mut words = BTreeMap::new();
        while words.len() < count {
            let Done { publication, verdict } = self.word().await;
            words.entry(publication).or_insert(verdict);
        }
        words
    }

    pub async fn is_served(&self, path: &StorePath) -> bool {
        let store = StoreDir::nix();
        let Ok(text) = self.bucket.get(&Key::NarInfo(store.clone(), path.into()), 10_000).await else { return false };
        let narinfo = NarInfo::parse(&store, std::str::from_utf8(&text).unwrap()).unwrap();
        assert!(self.key.public().verify(&narinfo.fingerprint(&store), &narinfo.sigs[0]));
        self.bucket.exists(&format!("cache/nix-store/{}", narinfo.files[0].url).parse().unwrap()).await.unwrap()
    }
}

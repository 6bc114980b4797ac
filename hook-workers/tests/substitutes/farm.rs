//! A scheduler's end of the broker, and a worker.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};
use std::time::Duration;

use drover_messages::substitutes::{AskElsewhere, Elsewhere};
use drover_nats::permissions::Who;
use drover_nats::testing::NatsServer;
use drover_nats::{Bus, Pool, RequestError, Subject};
use drover_store::{StoreDir, StorePath};

/// How long a worker may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A farm with one worker.
pub struct Farm {
    bus: Bus,
    worker: Child,
    _folder: tempfile::TempDir,
    _server: NatsServer,
}

impl Farm {
    /// Its worker has these flags besides those of its login. `None` where there is no nats-server.
    pub async fn start(flags: &[String]) -> Option<Self> {
        let mut server = NatsServer::start()?;
        let bus = Bus::connect(&server.login(Who::Scheduler).await).await.unwrap();
        let login = server.login(Who::Hook(Pool::substitutes())).await;
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, &login.password).unwrap();
        std::fs::set_permissions(&password, PermissionsExt::from_mode(0o600)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_drover-hook-worker"));
        command.args(["substitutes", "--nats-url", &login.url, "--uuid", &login.user, "--password-file"]);
        let worker = command.arg(password).args(flags).env("DROVER_LOG", "warn").spawn().unwrap();
        let farm = Self { bus, worker, _folder: folder, _server: server };
        farm.await_worker().await;
        Some(farm)
    }

    async fn await_worker(&self) {
        let started = async {
            while self.ask(&StoreDir::nix(), []).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, started).await.expect("the worker answers");
    }

    /// Who has what.
    pub async fn ask(
        &self,
        store_dir: &StoreDir,
        paths: impl IntoIterator<Item = &StorePath>,
    ) -> Result<BTreeMap<StorePath, BTreeSet<String>>, RequestError> {
        let question = AskElsewhere { store_dir: store_dir.clone(), paths: paths.into_iter().cloned().collect() };
        let subject = Subject::AskPool { pool: Pool::substitutes() };
        let answer: Elsewhere = self.bus.request(&subject, &question, Duration::from_secs(60)).await?;
        Ok(answer.found)
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        let _ = self.worker.kill();
        let _ = self.worker.wait();
    }
}

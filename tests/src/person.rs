//! The person who uses a farm: `drover` and scripts, run where their stores are, with their login.

use std::path::Path;
use std::process::Output;

use drover_store::StoreDir;

use crate::command::in_store;
use crate::programs::{self, program};
use crate::{Farm, PATIENCE};

impl Farm {
    /// `drover`, run to its end where the developer's stores are in their places.
    pub async fn drover(&self, args: &[&str]) -> Output {
        let output = self.drover_command(args).output();
        tokio::time::timeout(PATIENCE, output).await.expect("drover ends in time").unwrap()
    }

    /// What `drover` prints when all goes well.
    ///
    /// # Panics
    /// When it does not.
    pub async fn told(&self, args: &[&str]) -> String {
        let output = self.drover(args).await;
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn drover_command(&self, args: &[&str]) -> tokio::process::Command {
        let mut words: Vec<_> = self.devs.iter().flat_map(in_store).collect();
        words.push(program("drover").into());
        let mut command = tokio::process::Command::new(&words[0]);
        command.args(&words[1..]).args(args);
        command.env("DROVER_FARM", self.folder.path()).env_remove("DROVER_NATS_URL").kill_on_drop(true);
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
    pub(crate) fn write_facts(&self) {
        let store = |store_dir: StoreDir| {
            let dev = self.devs.iter().find(|dev| dev.store_dir() == store_dir);
            serde_json::json!({
                "store_dir": store_dir.to_string(),
                "cache_url": self.cache.url(&store_dir),
                "daemon_socket": dev.map(|dev| dev.config().socket),
            })
        };
        let facts = serde_json::json!({
            "nats_url": self.nats.url(),
            "bucket": self.folder.bucket_url(),
            "stores": [store(StoreDir::nix()), store(StoreDir::guix())],
            "uuid": self.client.to_string(),
            "password_file": self.folder.join(&format!("{}.password", self.client)),
        });
        std::fs::write(self.folder.join("farm.json"), facts.to_string()).unwrap();
    }
}

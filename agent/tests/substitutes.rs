//! An agent of Nix and the servers that its daemon fetches from: the farm's cache, tried before builds are taken, and others.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use drover_bucket::Key;
use drover_messages::Cause;
use drover_store::StorePath;

use support::labs::{Lab, shell};
use support::{Farm, until};

/// A store that writes what it makes into a folder that is a server, signed by a key of its own.
struct Server<'l> {
    lab: &'l Lab,
    url: String,
    secret: String,
    key: String,
}

impl<'l> Server<'l> {
    fn new(lab: &'l Lab, folder: &Path) -> Self {
        let (secret, public) = (folder.with_extension("secret"), folder.with_extension("public"));
        let secret = secret.to_str().unwrap().to_owned();
        lab.run(&["nix-store", "--generate-binary-cache-key", "test-1", &secret, public.to_str().unwrap()]);
        let key = std::fs::read_to_string(public).unwrap().trim().to_owned();
        Self { lab, url: format!("file://{}", folder.display()), secret, key }
    }

    /// Makes something, and has it there.
    fn offer(&self, expression: &str) -> StorePath {
        let drv = self.lab.run(&["nix-instantiate", "--expr", expression]);
        let out = self.lab.run(&["nix-store", "--realise", &drv]);
        let to = format!("{}?secret-key={}", self.url, self.secret);
        self.lab.run(&["nix", "--extra-experimental-features", "nix-command", "copy", "--to", &to, &out]);
        self.lab.store_dir().parse(&out).unwrap()
    }
}

impl Farm {
    /// What a publish worker says of its cache.
    async fn introduce(&self, probe: &StorePath, key: &str) {
        let store_dir = self.lab.store_dir();
        let probe = store_dir.path(probe).to_string();
        self.bucket.put(&Key::Probe(store_dir.clone()), probe.into()).await.unwrap();
        self.bucket.put(&Key::PublicKeys(store_dir), format!("{key}\n").into()).await.unwrap();
    }

    async fn not_ready_because(&self, words: &str) -> String {
        let beat = self.scheduler.beat(|beat| beat.not_ready.as_ref().is_some_and(|why| why.contains(words))).await;
        beat.not_ready.unwrap()
    }
}

#[tokio::test]
async fn no_build_is_taken_before_the_daemon_fetches_from_the_cache_and_the_reason_is_told() {
    let (Some(mut farm), Some(other)) = (Farm::start().await, Lab::start(&[])) else { return };
    let folder = farm.state_dir().with_extension("cache");
    let server = Server::new(&other, &folder);
    let wrong = drover_store::SecretKey::generate("test-1").unwrap().public().to_string();
    let flags = ["--substitute-url", &server.url, "--trusted-public-key"];
    farm.run_agent(&[&flags[..], &[&wrong]].concat());
    farm.not_ready_because("there is no folder").await;
    std::fs::create_dir(&folder).unwrap();
    farm.not_ready_because("is a publish worker running").await;
    let elsewhere = "0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-drover-probe".parse().unwrap();
    farm.introduce(&elsewhere, &server.key).await;

    let input = shell("input", "", "echo deep > $out");
    let user = format!("let input = {input}; in {}", shell("user", "inherit input;", "read x < $input; echo $x > $out"));
    let (path, user) = (server.offer(&input), farm.pack(&user).await);
    farm.not_ready_because("does not have").await;
    farm.introduce(&server.offer(&shell("drover-probe", "", "echo probe > $out")), &server.key).await;
    let why = farm.not_ready_because("--trusted-public-key").await;
    assert!(why.contains(&server.key), "{why}");
    farm.kill_agent();

    farm.run_agent(&[&flags[..], &[&server.key]].concat());
    let offer = farm.scheduler.lease(&user, &[(path, true)]).await;
    let built = farm.scheduler.built(&offer).await;
    assert_eq!(std::fs::read_to_string(farm.lab.file(&built.outputs["out"])).unwrap(), "deep\n");
}

#[tokio::test]
async fn a_cache_that_goes_away_is_noticed_when_an_input_does_not_come() {
    let (Some(mut farm), Some(other)) = (Farm::start().await, Lab::start(&[])) else { return };
    let folder = farm.state_dir().with_extension("cache");
    let server = Server::new(&other, &folder);
    farm.introduce(&server.offer(&shell("drover-probe", "", "echo probe > $out")), &server.key).await;
    farm.run_agent(&["--substitute-url", &server.url, "--trusted-public-key", &server.key]);
    farm.scheduler.beat(|beat| beat.not_ready.is_none()).await;
    std::fs::rename(&folder, folder.with_extension("away")).unwrap();
    farm.not_ready_because("there is no folder").await;
    std::fs::rename(folder.with_extension("away"), &folder).unwrap();
    farm.scheduler.beat(|beat| beat.not_ready.is_none()).await;
}

#[tokio::test]
async fn what_another_server_has_is_fetched_from_it_and_hello_tells_of_servers_that_answer() {
    let (Some(mut farm), Some(other)) = (Farm::start().await, Lab::start(&[])) else { return };
    let folder = farm.state_dir().with_extension("extra");
    let server = Server::new(&other, &folder);
    let input = shell("input", "", "echo deep > $out");
    let user = format!("let input = {input}; in {}", shell("user", "inherit input;", "read x < $input; echo $x > $out"));
    let user = farm.pack(&user).await;
    let with_slash = format!("{}/", server.url);
    farm.run_agent(&["--extra-substitute-url", &with_slash, "--trusted-public-key", &server.key]);
    farm.scheduler.beat(|beat| beat.not_ready.is_none()).await;
    assert!(farm.scheduler.hellos().last().unwrap().servers.is_empty());

    let path = server.offer(&input);
    until("the server is told", || farm.scheduler.hellos().last().unwrap().servers.iter().eq([&server.url])).await;
    let offer = farm.scheduler.lease(&user, &[(path.clone(), true)]).await;
    farm.scheduler.built(&offer).await;
    farm.scheduler.uploaded(&offer).await;

    std::fs::remove_dir_all(&folder).unwrap();
    until("the server is not told", || farm.scheduler.hellos().last().unwrap().servers.is_empty()).await;
    let lacking = "0c0vgkhpqq3vrlxpp2zcrxrs4pdjvmhx-lacking".parse::<StorePath>().unwrap();
    let offer = farm.scheduler.lease(&user, &[(lacking.clone(), true)]).await;
    assert_eq!(farm.scheduler.failed(&offer).await.cause, Cause::InputsUnavailable { missing: vec![lacking] });
}

//! `compose.yaml`, without containers: each service's own command as a process, on the paths that its volumes say.
//!
//! What it cannot show is the images. That every path a command names lies on one of its service's volumes, it does show.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drover_nats::server::{ServerConf, find, server_conf};
use drover_tests::lab::{Lab, shell};
use drover_tests::{Folder, Process, in_store, program, until};

const STOPS_WITHIN: Duration = Duration::from_secs(30);

#[derive(serde::Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
}

#[derive(serde::Deserialize)]
struct Service {
    command: Vec<String>,
    volumes: Vec<String>,
}

/// Where the services are to run.
struct Ground {
    folder: Folder,
    nats_port: u16,
    cache_port: u16,
    variables: BTreeMap<&'static str, String>,
}

impl Ground {
    /// `drover up` makes the farm's folder, as docs/deployment.md says; then it is stopped.
    async fn prepare() -> Self {
        let mut ground =
            Self { folder: Folder::new(), nats_port: free_port(), cache_port: free_port(), variables: BTreeMap::new() };
        let farm = ground.farm();
        let (nats, cache) = (ground.nats_port.to_string(), ground.cache_port.to_string());
        let up = ["up", "--no-agents", "--port", &nats, "--cache-port", &cache].map(OsString::from);
        let up = [vec![program("drover").into()], up.to_vec(), vec!["--dir".into(), farm.clone().into()]].concat();
        let mut up = Process::start("up", up, &ground.folder.join("up.log"));
        until("the farm runs", || up.said().contains("The farm runs.")).await;
        let password = farm.join("secrets/agent.password");
        let uuid = ground.drover(None, &["agent", "new", "--name", "one", "--password-file", password.to_str().unwrap()]).await;
        up.stop(STOPS_WITHIN).await;
        let key = std::fs::read_to_string(farm.join("cache-key.pub")).unwrap();
        let farm = farm.display().to_string();
        ground.variables = BTreeMap::from([
            ("DROVER_FARM", farm),
            ("DROVER_AGENT_UUID", uuid.trim().to_owned()),
            ("DROVER_PUBLIC_KEY", key.trim().to_owned()),
        ]);
        ground
    }

    fn farm(&self) -> PathBuf {
        self.folder.join("up")
    }

    /// `drover`, where /nix is this store's; what it prints.
    async fn drover(&self, store: Option<&Lab>, args: &[&str]) -> String {
        let mut words = store.map(in_store).unwrap_or_default();
        words.push(program("drover").into());
        let mut command = tokio::process::Command::new(&words[0]);
        let output = command.args(&words[1..]).args(args).env("DROVER_FARM", self.farm()).output().await.unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Compose's own `${NAME:-default}`.
    fn interpolate(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
        let (variable, after) = rest.split_once('}').expect("a closed variable");
        let (name, default) = variable.split_once(":-").unwrap_or((variable, ""));
        let value = self.variables.get(name).map_or(default, String::as_str);
        format!("{before}{value}{}", self.interpolate(after))
    }

    /// A service's command, with the paths of this machine in place of the container's, and our ports in place of its own.
    fn command(&self, service: &Service, store: &Lab) -> Vec<OsString> {
        let mut volumes: Vec<(String, String)> = service.volumes.iter().map(|volume| self.volume(volume)).collect();
        let socket = store.config().socket.display().to_string();
        volumes.push(("/nix/var/nix/daemon-socket/socket".into(), socket));
        volumes.push(("/var/lib/drover-agent".into(), self.folder.join("agent").display().to_string()));
        // The store is the same in the namespace that `store-daemon exec` enters.
        volumes.push(("/nix/store".into(), "/nix/store".into()));
        volumes.sort_by_key(|(inside, _)| std::cmp::Reverse(inside.len()));
        let words = service.command.iter().map(|word| self.on_this_machine(&self.interpolate(word), &volumes));
        let mut command: Vec<OsString> = words.map(OsString::from).collect();
        command[0] = match service.command[0].as_str() {
            "nats-server" => find().expect("nats-server").into(),
            name => program(name).into(),
        };
        command
    }

    /// Where a volume is inside, and where on this machine.
    fn volume(&self, volume: &str) -> (String, String) {
        let volume = self.interpolate(volume);
        let mut parts = volume.split(':');
        let (outside, inside) = (parts.next().unwrap(), parts.next().unwrap());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let outside = outside.strip_prefix("./").map_or(outside.into(), |path| root.join(path));
        let known = self.folder.path();
        let elsewhere = ["/nix/", "/var/lib/drover-agent", "/etc/machine-id"];
        let ours = outside.starts_with(known) || elsewhere.iter().any(|path| outside.starts_with(path));
        assert!(ours || outside.exists(), "{} is not there", outside.display());
        (inside.to_owned(), outside.display().to_string())
    }

    fn on_this_machine(&self, word: &str, volumes: &[(String, String)]) -> String {
        let nats = format!("127.0.0.1:{}", self.nats_port);
        let cache = format!("127.0.0.1:{}", self.cache_port);
        let mut word = word.to_owned();
        for (theirs, ours) in
            [("nats:4222", &nats), ("127.0.0.1:4222", &nats), ("0.0.0.0:8080", &cache), ("127.0.0.1:8080", &cache)]
        {
            word = word.replace(theirs, ours);
        }
        let path_at = word.find("=/").map(|at| at + 1).or(word.starts_with('/').then_some(0));
        let path_at = word.find("file:///").map(|at| at + "file://".len()).or(path_at);
        let Some(at) = path_at else { return word };
        let (before, path) = word.split_at(at);
        let found =
            volumes.iter().find_map(|(inside, outside)| Some(format!("{outside}{}", path.strip_prefix(inside.as_str())?)));
        format!("{before}{}", found.unwrap_or_else(|| panic!("{path} is on no volume")))
    }

    /// The deployment's own configuration, beside the logins, with what a container keeps apart.
    fn nats_conf(&self) -> PathBuf {
        let farm = self.farm();
        let listen = format!("127.0.0.1:{}", self.nats_port);
        let path = farm.join("compose-nats-server.conf");
        std::fs::write(&path, server_conf(&ServerConf { listen, monitor: None, store_dir: farm.join("nats") })).unwrap();
        path
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn compose() -> Compose {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn the_services_of_compose_yaml_are_a_farm() {
    if find().is_none() {
        return eprintln!("SKIPPED: no nats-server here; run setup/install");
    }
    let Some(store) = Lab::start(&[]) else { return };
    let ground = Ground::prepare().await;
    let compose = compose();
    let names: Vec<&str> = compose.services.keys().map(String::as_str).collect();
    assert_eq!(names, ["agent", "cache", "nats", "publish", "scheduler"]);
    let mut running = Vec::new();
    for name in ["nats", "scheduler", "publish", "cache", "agent"] {
        let mut command = ground.command(&compose.services[name], &store);
        if name == "nats" {
            *command.last_mut().unwrap() = ground.nats_conf().into();
        }
        if name == "agent" {
            command = [in_store(&store), command].concat();
        }
        running.push(Process::start(name, command, &ground.folder.join(&format!("{name}.log"))));
    }

    let drv = store.run(&["nix-instantiate", "--expr", &shell("composed", "", "echo composed > $out")]);
    let socket = store.config().socket;
    let args = ["build", "--wait", "--timeout", "60", "--daemon-socket", socket.to_str().unwrap(), &drv];
    ground.drover(Some(&store), &args).await;
    for process in &mut running {
        assert!(process.ended().is_none(), "{:?} ended", process.command());
    }
}

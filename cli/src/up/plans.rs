//! The command lines of the farm's processes, each from the same few facts. It starts nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use drover_store::{Family, StoreDir};

use super::address::Addresses;
use super::child::Plan;
use super::first_logins::{self, FirstLogins, Known};
use super::folder::Folder;
use super::key;
use super::servers::Servers;
use super::stores::Store;

/// The configuration of nats-server, in the farm's folder.
pub(crate) const NATS_CONF: &str = "nats-server.conf";
/// Written by the scheduler when it serves.
pub(crate) const SCHEDULER_READY: &str = "run/scheduler.ready";

/// What is known before anything is started.
pub(crate) struct Facts<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) programs: Programs,
    pub(crate) logins: FirstLogins,
    pub(crate) addresses: Addresses,
    pub(crate) stores: Vec<Store>,
    pub(crate) servers: Servers,
    pub(crate) systems: Vec<String>,
    pub(crate) max_parallel_builds: u32,
    pub(crate) public_key: String,
}

/// Where the programs are.
pub(crate) struct Programs {
    pub(crate) nats_server: PathBuf,
    pub(crate) scheduler: PathBuf,
    pub(crate) hook_worker: PathBuf,
    pub(crate) cache: PathBuf,
    /// Not needed where there are no agents.
    pub(crate) agent: Option<PathBuf>,
}

impl Facts<'_> {
    /// The broker's address, as clients write it.
    pub(crate) fn nats_url(&self) -> String {
        format!("nats://{}", self.addresses.nats)
    }

    /// The bucket's.
    pub(crate) fn bucket(&self) -> String {
        format!("file://{}", self.folder.path("bucket").display())
    }

    /// The substitute server's, for a store directory.
    pub(crate) fn cache_url(&self, store_dir: &StoreDir) -> String {
        format!("http://{}/{}", self.addresses.cache, store_dir.slug())
    }

    fn plan(&self, name: &str, program: &Path, args: Vec<OsString>) -> Plan {
        Plan { name: name.into(), program: program.to_path_buf(), args }
    }

    /// How a process logs in.
    fn login(&self, login: &Known) -> Vec<OsString> {
        vec![
            "--nats-url".into(),
            self.nats_url().into(),
            "--uuid".into(),
            login.user.clone().into(),
            "--password-file".into(),
            self.folder.path(&login.password_file).into(),
        ]
    }

    /// How one logs in that also reads or writes what lies in the bucket.
    fn login_and_bucket(&self, login: &Known) -> Vec<OsString> {
        let mut args = self.login(login);
        args.extend(["--bucket".into(), self.bucket().into()]);
        args
    }

    /// The broker.
    pub(crate) fn nats_server(&self) -> Plan {
        self.plan("nats-server", &self.programs.nats_server, vec!["-c".into(), self.folder.path(NATS_CONF).into()])
    }

    /// The scheduler.
    pub(crate) fn scheduler(&self) -> Plan {
        let mut args = self.login_and_bucket(&self.logins.scheduler);
        args.extend(["--state-dir".into(), self.folder.path("scheduler").into()]);
        args.extend(["--logins".into(), self.folder.path(first_logins::DIR).into()]);
        args.extend(["--system-password-file".into(), self.folder.path(&self.logins.system.password_file).into()]);
        args.extend(["--ready-file".into(), self.folder.path(SCHEDULER_READY).into()]);
        if self.servers.are_some() {
            args.push("--ask-substitutes".into());
        }
        self.plan("scheduler", &self.programs.scheduler, args)
    }

    /// The worker that verifies and publishes.
    pub(crate) fn publish(&self) -> Plan {
        let mut args = vec!["publish".into()];
        args.extend(self.login_and_bucket(&self.logins.publish));
        args.extend(key::SECRETS.iter().flat_map(|secret| ["--signing-key".into(), self.folder.path(secret).into()]));
        self.plan("publish", &self.programs.hook_worker, args)
    }

    /// The worker that asks other substitute servers, where there are some.
    pub(crate) fn substitutes(&self) -> Option<Plan> {
        let mut args = vec!["substitutes".into()];
        args.extend(self.login(self.logins.substitutes.as_ref()?));
        args.extend(self.servers.for_pool());
        Some(self.plan("substitutes", &self.programs.hook_worker, args))
    }

    /// The substitute server. It logs in nowhere.
    pub(crate) fn cache(&self) -> Plan {
        let args = vec![
            "--bucket".into(),
            self.bucket().into(),
            "--listen".into(),
            self.addresses.cache.to_string().into(),
            "--public-key".into(),
            self.public_key.clone().into(),
        ];
        self.plan("cache", &self.programs.cache, args)
    }

    /// The agents of this machine.
    pub(crate) fn agents(&self) -> Vec<Plan> {
        let Some(program) = &self.programs.agent else { return Vec::new() };
        let of_store = |store: &Store| {
            let plan = |name: String| Some(self.plan(&name, program, self.agent_args(store, &name)?));
            store.agent_names().into_iter().filter_map(plan).collect::<Vec<_>>()
        };
        self.stores.iter().flat_map(of_store).collect()
    }

    fn agent_args(&self, store: &Store, name: &str) -> Option<Vec<OsString>> {
        let mut args = self.login_and_bucket(self.logins.agents.get(name)?);
        args.extend(["--name".into(), name.into()]);
        args.extend(["--state-dir".into(), self.folder.path("agents").join(name).into()]);
        args.extend(["--daemon-socket".into(), store.daemon_socket.clone()?.into()]);
        args.extend(["--store-dir".into(), store.dir.to_string().into()]);
        args.extend(["--max-parallel-builds".into(), self.max_parallel_builds.to_string().into()]);
        args.extend(["--substitute-url".into(), self.cache_url(&store.dir).into()]);
        match store.dir.family() {
            Family::Nix => {
                args.extend(["--trusted-public-key".into(), self.public_key.clone().into()]);
                args.extend(self.servers.for_nix_agent());
            }
            Family::Guix => args.extend(self.servers.for_guix_agent()),
        }
        for system in &self.systems {
            args.extend(["--system".into(), system.into()]);
        }
        Some(args)
    }
}

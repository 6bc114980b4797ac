//! A real nats-server for tests: on a free loopback port, in a folder of its own, to be killed, robbed and started
//! again.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Login;
use crate::logins::Logins;
use crate::permissions::Who;
use crate::reload::ServerControl;
use crate::server::{ServerConf, find, server_conf};

/// How long a server may take to start, or to die.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A server, with the logins that tests ask for. It dies when this is dropped.
pub struct NatsServer {
    program: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    logins: Logins,
    made: BTreeMap<Who, Login>,
    system: Login,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts one; `None`, said aloud, where there is no nats-server on this machine.
    ///
    /// # Panics
    /// When there is one and it does not start.
    pub fn start() -> Option<Self> {
        let Some(program) = find() else {
            eprintln!("SKIPPED: no nats-server here; run setup/install, or set DROVER_NATS_SERVER");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut logins = Logins::open(&folder.path().join("logins")).expect("a folder for logins");
        let password = logins.add(Who::System, "test").expect("the system's login");
        let port = free_port();
        let system = login(port, &Who::System, password);
        let mut server = Self { program, folder, port, logins, made: BTreeMap::new(), system, child: None };
        server.run();
        Some(server)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// Its folder: `nats-server.conf`, `logins/`, `store/`, `log`.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The login that may reload it.
    pub fn system(&self) -> &Login {
        &self.system
    }

    /// The login of somebody: made, and read by the server, when it is asked for first.
    ///
    /// # Panics
    /// When that does not go.
    pub async fn login(&mut self, who: Who) -> Login {
        if let Some(made) = self.made.get(&who) {
            return made.clone();
        }
        let password = self.logins.add(who.clone(), "test").expect("a login");
        self.reload().await;
        let login = login(self.port, &who, password);
        self.made.insert(who, login.clone());
        login
    }

    /// New logins of many, which the server reads all at once.
    ///
    /// # Panics
    /// When that does not go.
    pub async fn new_logins(&mut self, whos: impl IntoIterator<Item = Who>) -> Vec<Login> {
        let mut made = Vec::new();
        for who in whos {
            let password = self.logins.add(who.clone(), "test").expect("a login");
            made.push(login(self.port, &who, password));
        }
        self.reload().await;
        made
    }

    /// Ends a login, and cuts its connections.
    ///
    /// # Panics
    /// When that does not go.
    pub async fn end_login(&mut self, who: &Who) {
        self.made.remove(who);
        assert!(self.logins.remove(&who.user()).expect("logins"), "no login of {who}");
        self.reload().await;
    }

    async fn reload(&self) {
        ServerControl::reload_with(&self.system).await.expect("a reload");
    }

    /// Starts it, or starts it again, with what it had.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let conf = self.folder.path().join("nats-server.conf");
        let store_dir = self.folder.path().join("store");
        let listen = format!("127.0.0.1:{}", self.port);
        std::fs::write(&conf, server_conf(&ServerConf { listen, monitor: None, store_dir })).expect("its configuration");
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&conf).arg("-l").arg(self.folder.path().join("log"));
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("nats-server"));
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.greets() {
            assert!(Instant::now() < deadline, "nats-server does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Deletes all its streams. It has to be dead.
    ///
    /// # Panics
    /// When it is not.
    pub fn wipe(&mut self) {
        assert!(self.child.is_none(), "it runs");
        std::fs::remove_dir_all(self.folder.path().join("store")).expect("its storage");
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A server that is ready says so to whoever connects.
    fn greets(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).is_ok() && &hello == b"INFO "
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn login(port: u16, who: &Who, password: String) -> Login {
    Login { url: url(port), user: who.user(), password, name: format!("test/{who}") }
}

fn url(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port");
    listener.local_addr().expect("its address").port()
}

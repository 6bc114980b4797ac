//! A real `guix-daemon` that fetches what a real `guix publish` offers.

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use drover_daemon::{DaemonError, Options, StoreDaemon, Substituters};
use support::{Kind, Lab, until};

/// `guix publish` for a store, which ends with this value.
struct Publish {
    process: Child,
    url: String,
}

impl Publish {
    async fn start(lab: &Lab) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let arguments = ["publish", "--listen=127.0.0.1", &format!("--port={port}"), "--compression=zstd:3"];
        let mut command = Command::new(Kind::Guix.script());
        let command = command.arg("guix").arg(lab.scratch()).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        let publish = Self { process: command.spawn().expect("the script can be run"), url: format!("http://127.0.0.1:{port}") };
        until("guix publish listens", || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        publish
    }
}

impl Drop for Publish {
    fn drop(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }
}

/// Makes a key for one store, and lets the other trust it once the second part is called.
fn keys<'l>(from: &Lab, to: &'l Lab) -> impl FnOnce() + 'l {
    from.guix(&["archive", "--generate-key"]);
    let key = std::fs::read(from.scratch().join("etc/guix/signing-key.pub")).expect("the key was made");
    move || {
        let mut command = Command::new(Kind::Guix.script());
        let command = command.arg("guix").arg(to.scratch()).args(["archive", "--authorize"]);
        let mut authorize = command.stdin(Stdio::piped()).spawn().expect("the script can be run");
        authorize.stdin.take().expect("a pipe").write_all(&key).expect("it reads the key");
        assert!(authorize.wait().expect("it ends").success());
    }
}

#[tokio::test]
async fn paths_are_fetched_when_their_key_is_authorised_and_only_then() {
    let (Some(there), Some(here)) = (Lab::of(Kind::Guix, &[]), Lab::of(Kind::Guix, &[])) else { return };
    let authorize = keys(&there, &here);
    let mut source = there.connect().await;
    let first = source.add_text("first", b"one", &[]).await.unwrap();
    let second = source.add_text("second", b"two", std::slice::from_ref(&first)).await.unwrap();
    let third = source.add_text("third", b"three", &[]).await.unwrap();
    let publish = Publish::start(&there).await;
    let urls = vec![publish.url.clone()];
    let fetching = Options { substituters: Substituters::From { urls, trusted_public_keys: Vec::new() }, ..Options::default() };

    let mut distrusts = here.connect_with(&fetching).await;
    let both = BTreeSet::from([second.clone(), third.clone()]);
    for refused in [distrusts.ensure(&second).await, distrusts.ensure_all(&both).await] {
        assert!(matches!(refused, Err(DaemonError::Daemon(_))), "{refused:?}");
    }
    authorize();
    // What fetches for a connection has read the list when it began.
    let mut trusts = here.connect_with(&fetching).await;
    trusts.ensure(&second).await.unwrap();
    assert!(trusts.is_valid(&first).await.unwrap(), "what it refers to comes with it");
    trusts.ensure_all(&both).await.unwrap();
    assert_eq!(trusts.query_valid(&both).await.unwrap(), both);

    let absent = "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-absent".parse().unwrap();
    let DaemonError::Daemon(why) = trusts.ensure_all(&BTreeSet::from([absent, third])).await.unwrap_err() else {
        panic!("a refusal leaves the connection in step");
    };
    assert_eq!(why, "nobody has 0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy-absent");
}

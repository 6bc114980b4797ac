//! A real `guix publish` for the store of a lab, and who trusts it.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::labs::{Kind, Lab};
use super::until;

/// The server, which ends with this value.
pub struct Publish {
    process: Child,
    pub url: String,
}

impl Publish {
    /// Signed by a key of the lab's own.
    pub async fn start(lab: &Lab) -> Self {
        lab.guix(&["archive", "--generate-key"]);
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap().port();
        let arguments = ["publish", "--listen=127.0.0.1", &format!("--port={port}"), "--compression=zstd:3"];
        let mut command = Command::new(Kind::Guix.script());
        let command = command.arg("guix").arg(lab.scratch()).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        let publish = Self { process: command.spawn().unwrap(), url: format!("http://127.0.0.1:{port}") };
        until("guix publish listens", || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        publish
    }
}

/// Lets the daemon of one lab trust the key of another.
pub fn authorize(from: &Lab, to: &Lab) {
    let key = std::fs::read(from.scratch().join("etc/guix/signing-key.pub")).unwrap();
    let mut command = Command::new(Kind::Guix.script());
    let command = command.arg("guix").arg(to.scratch()).args(["archive", "--authorize"]);
    let mut authorize = command.stdin(Stdio::piped()).spawn().unwrap();
    authorize.stdin.take().unwrap().write_all(&key).unwrap();
    assert!(authorize.wait().unwrap().success());
}

impl Drop for Publish {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

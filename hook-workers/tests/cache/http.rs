//! The program, and the least of a client: one request a connection.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use drover_bucket::Bucket;

pub struct CacheServer {
    pub address: String,
    pub bucket: Bucket,
    child: Child,
    _folder: tempfile::TempDir,
}

impl CacheServer {
    pub fn start(public_key: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}/bucket", folder.path().display());
        let port_file = folder.path().join("address");
        let child = Command::new(env!("CARGO_BIN_EXE_drover-cache"))
            .args(["--bucket", &url, "--listen", "127.0.0.1:0", "--public-key", public_key, "--port-file"])
            .arg(&port_file)
            .env("DROVER_LOG", "warn")
            .spawn()
            .unwrap();
        let mut server = Self { address: String::new(), bucket: Bucket::open(&url).unwrap(), child, _folder: folder };
        server.address = wait_for(&port_file);
        server
    }

    pub fn request(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        write!(connection, "{method} {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{headers}\r\n").unwrap();
        Answer::read(BufReader::new(connection))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[])
    }
}

impl Drop for CacheServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for(file: &Path) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match std::fs::read_to_string(file) {
            Ok(address) => return address.trim().to_owned(),
            Err(error) => assert!(Instant::now() < deadline, "the server does not start: {error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    fn read(mut from: impl BufRead) -> Self {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("answer: {line:?}"));
        let mut headers = Vec::new();
        loop {
            line.clear();
            from.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
                None => break,
            }
        }
        let mut body = Vec::new();
        from.read_to_end(&mut body).unwrap();
        Self { status, headers, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

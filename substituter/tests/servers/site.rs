//! A small web server for one test, that answers as it is told, and counts.

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use drover_store::{NarInfo, Sha256, StoreDir, StorePath, nar};
use drover_substituter::Server;
use futures::StreamExt;

/// What is said when something is asked for.
#[derive(Clone)]
pub enum Answer {
    Bytes(Vec<u8>),
    Status(u16),
    /// These bytes, and then nothing, for ever.
    Endless(Vec<u8>),
    /// These bytes, and then the connection is cut.
    CutOff(Vec<u8>),
}

#[derive(Default)]
struct Table {
    answers: HashMap<String, Vec<Answer>>,
    asked: HashMap<String, usize>,
}

/// The server. It goes on until the test ends.
#[derive(Clone, Default)]
pub struct Site {
    table: Arc<Mutex<Table>>,
}

impl Site {
    /// One of this store.
    pub fn of(store_dir: &StoreDir) -> Self {
        let site = Self::default();
        site.put("nix-cache-info", format!("StoreDir: {store_dir}\nWantMassQuery: 1\nPriority: 40\n"));
        site
    }

    /// Answers so, always.
    pub fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        self.say(path, [Answer::Bytes(bytes.as_ref().to_vec())]);
    }

    /// Answers so, one after the other, and the last one for ever.
    pub fn say(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        self.table.lock().unwrap().answers.insert(format!("/{path}"), answers.into_iter().collect());
    }

    /// How often something was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.table.lock().unwrap().asked.get(&format!("/{path}")).copied().unwrap_or(0)
    }

    /// Begins to serve.
    pub async fn serve(&self) -> Server {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Server::new(url.parse().unwrap()).unwrap()
    }

    /// The same as a folder.
    pub fn write(&self, folder: &Path) -> Server {
        for (path, answers) in &self.table.lock().unwrap().answers {
            let Some(Answer::Bytes(bytes)) = answers.first() else { continue };
            let file = folder.join(&path[1..]);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        }
        Server::new(format!("file://{}", folder.display()).parse().unwrap()).unwrap()
    }
}

async fn answer(State(site): State<Site>, uri: Uri) -> Response {
    let answer = {
        let mut table = site.table.lock().unwrap();
        let asked = table.asked.entry(uri.path().into()).or_default();
        *asked += 1;
        let n = *asked - 1;
        table.answers.get(uri.path()).and_then(|answers| answers.get(n.min(answers.len() - 1)).cloned())
    };
    let piece = |bytes: Vec<u8>| futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(bytes))]);
    match answer {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(Answer::Bytes(bytes)) => bytes.into_response(),
        Some(Answer::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(Answer::Endless(bytes)) => Body::from_stream(piece(bytes).chain(futures::stream::pending())).into_response(),
        Some(Answer::CutOff(bytes)) => {
            let cut = futures::stream::iter([Err(std::io::Error::other("cut"))]);
            Body::from_stream(piece(bytes).chain(cut)).into_response()
        }
    }
}

/// The nar of a plain file.
pub fn file_nar(content: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), content).unwrap();
    let mut bytes = Vec::new();
    nar::dump(&dir.path().join("file"), &mut bytes).unwrap();
    bytes
}

/// An item of this name, and what a server says of it.
pub fn narinfo(name: &str, nar: &[u8], url: &str, compression: &str) -> NarInfo {
    let hash: [u8; 20] = Sha256::of(name.as_bytes()).as_bytes()[..20].try_into().unwrap();
    let store_path = StorePath::from_parts(&hash, name).unwrap();
    let text = format!(
        "StorePath: /nix/store/{store_path}\nURL: {url}\nCompression: {compression}\nNarHash: {}\nNarSize: {}\nReferences: \n",
        Sha256::of(nar),
        nar.len()
    );
    NarInfo::parse(&StoreDir::nix(), &text).unwrap()
}

/// Packs bytes in the way of this name.
pub fn pack(compression: &str, bytes: &[u8]) -> Vec<u8> {
    match compression {
        "none" => bytes.to_vec(),
        "zstd" => zstd::encode_all(bytes, 3).unwrap(),
        "gzip" => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        "xz" => {
            let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        "lzip" => {
            let mut writer = lzma_rust2::LzipWriter::new(Vec::new(), lzma_rust2::LzipOptions::with_preset(1));
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        other => panic!("{other}"),
    }
}

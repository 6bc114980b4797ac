//! A static folder that is a substitute server, of either family, by itself or behind a small web server.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use drover_store::{NarInfo, SecretKey, Sha256, StoreDir, StorePath, guix};

/// The folder.
pub struct Shelf {
    dir: tempfile::TempDir,
    store_dir: StoreDir,
}

/// A path of this name, which nothing but a signature vouches for.
pub fn path_of(name: &str) -> StorePath {
    let hash: [u8; 20] = Sha256::of(name.as_bytes()).as_bytes()[..20].try_into().unwrap();
    StorePath::from_parts(&hash, name).unwrap()
}

impl Shelf {
    /// An empty one.
    pub fn of(store_dir: &StoreDir) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("nix-cache-info"), format!("StoreDir: {store_dir}\nWantMassQuery: 1\n")).unwrap();
        Self { dir, store_dir: store_dir.clone() }
    }

    /// Puts a narinfo there, signed by Nix's rules. The nar is nobody's concern here.
    pub fn put_nix(&self, name: &str, key: &SecretKey) -> StorePath {
        let path = path_of(name);
        let text = format!(
            "StorePath: {}\nURL: nar/x\nCompression: zstd\nNarHash: {}\nNarSize: 3\nReferences: \n",
            self.store_dir.path(&path),
            Sha256::of(b"nar")
        );
        let mut info = NarInfo::parse(&self.store_dir, &text).unwrap();
        info.sigs.push(key.sign(&info.fingerprint(&self.store_dir)));
        self.put(&path, &info.write(&self.store_dir));
        path
    }

    /// Puts a narinfo there, signed by Guix's rules.
    pub fn put_guix(&self, name: &str, key: &guix::SecretKey) -> StorePath {
        let path = path_of(name);
        let text = format!(
            "StorePath: {}\nNarHash: {}\nNarSize: 3\nReferences: \nURL: nar/lzip/x\nCompression: lzip\n",
            self.store_dir.path(&path),
            Sha256::of(b"nar")
        );
        let mut info = NarInfo::parse(&self.store_dir, &text).unwrap();
        info.signature = Some(key.sign("shelf", &info.signed_lines(&self.store_dir)).unwrap());
        self.put(&path, &info.write(&self.store_dir));
        path
    }

    /// Puts this text there.
    pub fn put(&self, path: &StorePath, narinfo: &str) {
        std::fs::write(self.file(path), narinfo).unwrap();
    }

    /// Takes it away.
    pub fn remove(&self, path: &StorePath) {
        std::fs::remove_file(self.file(path)).unwrap();
    }

    fn file(&self, path: &StorePath) -> PathBuf {
        self.dir.path().join(format!("{}.narinfo", path.hash_part()))
    }

    /// The folder itself as a server.
    pub fn as_folder(&self) -> String {
        format!("file://{}", self.dir.path().display())
    }

    /// Begins to serve it on loopback; it goes on until the test ends.
    pub async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(read).with_state(self.dir.path().to_owned());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }
}

async fn read(State(folder): State<PathBuf>, uri: Uri) -> Response {
    match std::fs::read(folder.join(&uri.path()[1..])) {
        Ok(bytes) => bytes.into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

//! Bytes from a server: over HTTP, or from a folder. It knows URLs and statuses, and no narinfo.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use reqwest::{Client, Response, StatusCode};
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

use crate::{ServerUrl, SubstituterError};

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long a server may be silent in the middle of an answer.
const SILENT_AT_MOST: Duration = Duration::from_secs(30);
/// How long a small answer may take as a whole.
const SMALL_WITHIN: Duration = Duration::from_secs(15);
/// What is read of a file at once, in bytes.
const FILE_CHUNK_BYTES: usize = 64 << 10;

/// The content of an object, piece by piece.
pub(crate) type Body = BoxStream<'static, io::Result<Bytes>>;

/// A way to a server's objects.
#[derive(Debug)]
pub(crate) enum Transport {
    Web { client: Client, base: ServerUrl },
    Folder(PathBuf),
}

impl Transport {
    pub(crate) fn new(server: &ServerUrl) -> Result<Self, SubstituterError> {
        if let Some(folder) = server.folder() {
            return Ok(Self::Folder(folder));
        }
        let client = client(server).map_err(|error| SubstituterError::broken(server.as_str(), deepest(&error)))?;
        Ok(Self::Web { client, base: server.clone() })
    }

    /// A whole object of at most `max_bytes`; `None` where there is none.
    pub(crate) async fn small(&self, relative: &str, max_bytes: usize) -> Result<Option<Bytes>, SubstituterError> {
        let url = self.name(relative);
        let Ok(object) = timeout(SMALL_WITHIN, self.collect(relative, max_bytes)).await else {
            return Err(SubstituterError::unreachable(&url, format!("no answer within {} s", SMALL_WITHIN.as_secs())));
        };
        match object {
            Ok(object) => Ok(Some(object)),
            Err(SubstituterError::Absent { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn collect(&self, relative: &str, max_bytes: usize) -> Result<Bytes, SubstituterError> {
        let url = self.name(relative);
        let mut body = self.open(relative).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| SubstituterError::unreachable(&url, error))?);
            if bytes.len() > max_bytes {
                return Err(SubstituterError::broken(&url, format!("larger than {max_bytes} bytes")));
            }
        }
        Ok(bytes.into())
    }

    /// Begins to read an object.
    pub(crate) async fn open(&self, relative: &str) -> Result<Body, SubstituterError> {
        match self {
            Self::Web { client, base } => get(client, base, relative).await,
            Self::Folder(folder) => read(folder, relative).await,
        }
    }

    /// What errors call an object.
    pub(crate) fn name(&self, relative: &str) -> String {
        match self {
            Self::Web { base, .. } => base.join(relative).map_or_else(|| format!("{base}/{relative}"), String::from),
            Self::Folder(folder) => format!("file://{}", folder.join(relative).display()),
        }
    }
}

fn client(server: &ServerUrl) -> reqwest::Result<Client> {
    let agent = concat!("drover/", env!("CARGO_PKG_VERSION"));
    let builder = || Client::builder().connect_timeout(CONNECT_WITHIN).read_timeout(SILENT_AT_MOST).user_agent(agent);
    match builder().build() {
        // A machine that knows no certificate authority can speak plainly all the same, and to nobody else.
        Err(_) if server.as_str().starts_with("http://") => builder().tls_certs_only([]).build(),
        built => built,
    }
}

async fn get(client: &Client, base: &ServerUrl, relative: &str) -> Result<Body, SubstituterError> {
    let url = base.join(relative).ok_or_else(|| SubstituterError::broken(base.as_str(), format!("names {relative:?}")))?;
    let response = match timeout(SILENT_AT_MOST, client.get(url.clone()).send()).await {
        Ok(sent) => sent.map_err(|error| SubstituterError::unreachable(url.as_str(), deepest(&error)))?,
        Err(_) => {
            let why = format!("no answer within {} s", SILENT_AT_MOST.as_secs());
            return Err(SubstituterError::unreachable(url.as_str(), why));
        }
    };
    judge(url.as_str(), &response)?;
    Ok(response.bytes_stream().map_err(|error| io::Error::other(deepest(&error))).boxed())
}

/// As Nix does, a server that forbids an object counts as one that lacks it: S3 says so where listing is not allowed.
fn judge(url: &str, response: &Response) -> Result<(), SubstituterError> {
    let status = response.status();
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
            Err(SubstituterError::Absent { url: url.into() })
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(SubstituterError::unreachable(url, status)),
        _ if status.is_server_error() => Err(SubstituterError::unreachable(url, status)),
        _ => Err(SubstituterError::broken(url, status)),
    }
}

/// The library's own words hide the cause behind the URL.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

async fn read(folder: &Path, relative: &str) -> Result<Body, SubstituterError> {
    let path = folder.join(relative);
    let url = format!("file://{}", path.display());
    if Path::new(relative).components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(SubstituterError::broken(&url, "it leads out of the server's folder"));
    }
    match tokio::fs::File::open(&path).await {
        Ok(file) => Ok(ReaderStream::with_capacity(file, FILE_CHUNK_BYTES).boxed()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SubstituterError::Absent { url }),
        Err(error) => Err(SubstituterError::unreachable(&url, error)),
    }
}

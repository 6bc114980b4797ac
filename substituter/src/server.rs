//! One server, and what it says of itself and of an item.

use drover_store::{MAX_NARINFO_BYTES, NarInfo, StoreDir, StorePath};
use tokio::sync::{OnceCell, Semaphore};

use crate::cache_info::MAX_CACHE_INFO_BYTES;
use crate::retry::retrying;
use crate::transport::Transport;
use crate::{CacheInfo, ServerUrl, SubstituterError};

/// Narinfos that one server is asked for at once.
pub const QUESTIONS_AT_ONCE: usize = 64;
/// Nars that one server is asked for at once.
pub const NARS_AT_ONCE: usize = 8;

/// The longest text of keys that is read, in bytes.
const MAX_PUBLIC_KEYS_BYTES: usize = 64 << 10;

/// A substitute server. What it said of itself is remembered; nothing else is.
#[derive(Debug)]
pub struct Server {
    url: ServerUrl,
    pub(crate) transport: Transport,
    info: OnceCell<CacheInfo>,
    questions: Semaphore,
    pub(crate) nars: Semaphore,
}

impl Server {
    /// The server there. It is not spoken to yet.
    pub fn new(url: ServerUrl) -> Result<Self, SubstituterError> {
        Ok(Self {
            transport: Transport::new(&url)?,
            url,
            info: OnceCell::new(),
            questions: Semaphore::new(QUESTIONS_AT_ONCE),
            nars: Semaphore::new(NARS_AT_ONCE),
        })
    }

    /// Where it is.
    pub fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// What it says of itself.
    pub async fn info(&self) -> Result<&CacheInfo, SubstituterError> {
        self.info.get_or_try_init(|| retrying(|| self.ask_info())).await
    }

    async fn ask_info(&self) -> Result<CacheInfo, SubstituterError> {
        let name = "nix-cache-info";
        let refuse = |why: &str| SubstituterError::broken(&self.transport.name(name), why);
        let bytes = self.transport.small(name, MAX_CACHE_INFO_BYTES).await?;
        let bytes = bytes.ok_or_else(|| refuse("not there: it is no substitute server"))?;
        CacheInfo::parse(&String::from_utf8_lossy(&bytes)).map_err(|why| refuse(&why))
    }

    /// The keys that it says it signs with, as its kind writes them; `None` where it does not say. To believe that is to
    /// believe whoever answers.
    pub async fn public_keys(&self) -> Result<Option<String>, SubstituterError> {
        let name = "signing-key.pub";
        let text = retrying(|| self.transport.small(name, MAX_PUBLIC_KEYS_BYTES)).await?;
        let refuse = |_| SubstituterError::broken(&self.transport.name(name), "it is not text");
        text.map(|text| String::from_utf8(text.into())).transpose().map_err(refuse)
    }

    /// What it says of an item; `None` where it lacks it. Whether to believe that, ask [`Trust`](crate::Trust).
    pub async fn narinfo(&self, store_dir: &StoreDir, path: &StorePath) -> Result<Option<NarInfo>, SubstituterError> {
        let theirs = &self.info().await?.store_dir;
        if theirs != store_dir {
            let (url, theirs, ours) = (self.url.to_string(), theirs.clone(), store_dir.clone());
            return Err(SubstituterError::OtherStore { url, theirs, ours });
        }
        // It is never closed.
        let _permit = self.questions.acquire().await.ok();
        retrying(|| self.ask_narinfo(store_dir, path)).await
    }

    async fn ask_narinfo(&self, store_dir: &StoreDir, path: &StorePath) -> Result<Option<NarInfo>, SubstituterError> {
        let name = format!("{}.narinfo", path.hash_part());
        let refuse = |why: String| SubstituterError::broken(&self.transport.name(&name), why);
        let Some(bytes) = self.transport.small(&name, MAX_NARINFO_BYTES).await? else { return Ok(None) };
        let text = str::from_utf8(&bytes).map_err(|error| refuse(error.to_string()))?;
        let info = NarInfo::parse(store_dir, text).map_err(|error| refuse(error.to_string()))?;
        if info.store_path != *path {
            return Err(refuse(format!("it is that of {}, not of {path}", info.store_path)));
        }
        Ok(Some(info))
    }
}

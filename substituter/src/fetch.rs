//! The bytes of an item: fetched, unpacked and hashed in one pass, and given to whoever wants them.

use std::io::{self, Read};
use std::sync::Arc;

use drover_store::nar::{NarError, NarFault, NarParser, NarSink};
use drover_store::{NarInfo, Sha256};
use tokio::task::spawn_blocking;

use crate::body::{Pieces, Promised, pipe, pump};
use crate::compression::Compression;
use crate::retry::retrying;
use crate::{Server, SubstituterError};

/// What a nar has beyond the content of the one file in it, in bytes, at most.
const NAR_OF_A_FILE_BYTES: u64 = 256;
/// What of a file is read at once, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

impl Server {
    /// Fetches a nar, unpacks it on its way, and gives it to `take`, which must read it on the thread that it is called
    /// on. When this returns well, what was read is what the narinfo promised; `take` may have been called before that
    /// on bytes that turned out wrong or broke off, and is then called anew.
    pub async fn nar<T: Send + 'static>(
        &self,
        info: &NarInfo,
        take: impl Fn(&mut dyn Read) -> Result<T, NarError> + Send + Sync + 'static,
    ) -> Result<T, SubstituterError> {
        let refuse = || SubstituterError::broken(&self.name_of(info), "packed in no way that is known here");
        let file = best(info).ok_or_else(refuse)?;
        let take = Arc::new(take);
        let _permit = self.nars.acquire().await.ok();
        retrying(|| self.fetch(info, file, take.clone())).await
    }

    /// The content of an item that is a plain file of at most `max_bytes`.
    pub async fn file(&self, info: &NarInfo, max_bytes: usize) -> Result<Vec<u8>, SubstituterError> {
        if info.nar_size > (max_bytes as u64).saturating_add(NAR_OF_A_FILE_BYTES) {
            return Err(SubstituterError::broken(&self.name_of(info), format!("larger than {max_bytes} bytes")));
        }
        self.nar(info, read_file).await
    }

    /// What an item's nar is called in errors.
    fn name_of(&self, info: &NarInfo) -> String {
        self.transport.name(info.files.first().map_or("", |file| &file.url))
    }

    async fn fetch<T: Send + 'static>(
        &self,
        info: &NarInfo,
        (relative, compression): (&str, Compression),
        take: Arc<impl Fn(&mut dyn Read) -> Result<T, NarError> + Send + Sync + 'static>,
    ) -> Result<T, SubstituterError> {
        let url = self.transport.name(relative);
        let body = self.transport.open(relative).await?;
        let (sender, pieces) = pipe();
        let (size, hash) = (info.nar_size, info.nar_hash);
        let unpacking = spawn_blocking(move || unpack(pieces, compression, size, hash, &*take));
        let (broken_off, unpacked) = tokio::join!(pump(body, sender), unpacking);
        match (unpacked, broken_off) {
            (Ok(Ok(taken)), _) => Ok(taken),
            (_, Some(why)) => Err(SubstituterError::unreachable(&url, why)),
            (Ok(Err(Fault::Theirs(why))), None) => Err(SubstituterError::broken(&url, why)),
            (Ok(Err(Fault::Ours(source))), None) => Err(SubstituterError::Local { url, source }),
            (Err(error), None) => Err(SubstituterError::broken(&url, error)),
        }
    }
}

/// Of the ways that a nar is packed, the best that is known here.
fn best(info: &NarInfo) -> Option<(&str, Compression)> {
    let known = info.files.iter().filter_map(|file| Some((file.url.as_str(), Compression::of(&file.compression)?)));
    known.min_by_key(|(_, compression)| *compression)
}

/// Whose fault it is that a nar could not be taken.
enum Fault {
    Theirs(String),
    Ours(io::Error),
}

fn unpack<T>(
    pieces: Pieces,
    compression: Compression,
    size: u64,
    hash: Sha256,
    take: &impl Fn(&mut dyn Read) -> Result<T, NarError>,
) -> Result<T, Fault> {
    let reader = compression.reader(pieces).map_err(Fault::Ours)?;
    let mut nar = Promised::new(reader, size);
    match take(&mut nar) {
        Ok(taken) => nar.finish(hash).map(|()| taken).map_err(Fault::Theirs),
        Err(error) => Err(match (nar.fault(), error) {
            (Some(fault), _) => Fault::Theirs(fault.into()),
            (None, NarError { fault: NarFault::Io(error), .. }) => Fault::Ours(error),
            (None, error) => Fault::Theirs(error.to_string()),
        }),
    }
}

/// The one file that a nar is.
#[derive(Default)]
struct OneFile {
    content: Vec<u8>,
    is_another_thing: bool,
}

impl NarSink for OneFile {
    fn directory(&mut self) -> io::Result<()> {
        self.is_another_thing = true;
        Ok(())
    }

    fn symlink(&mut self, _target: &[u8]) -> io::Result<()> {
        self.is_another_thing = true;
        Ok(())
    }

    fn contents(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.content.extend_from_slice(bytes);
        Ok(())
    }
}

/// How much there can be is bounded by whoever gives the nar.
fn read_file(nar: &mut dyn Read) -> Result<Vec<u8>, NarError> {
    let (mut parser, mut file) = (NarParser::new(), OneFile::default());
    let mut chunk = vec![0; CHUNK_BYTES];
    while !parser.is_done() {
        let fail = |fault| NarError { at: parser.position(), fault };
        match nar.read(&mut chunk) {
            Ok(0) => return Err(fail(NarFault::Truncated)),
            Ok(read) => parser.feed(&chunk[..read], &mut file)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(fail(error.into())),
        };
    }
    match file.is_another_thing {
        true => Err(NarError { at: parser.position(), fault: NarFault::Expected("a plain file") }),
        false => Ok(file.content),
    }
}

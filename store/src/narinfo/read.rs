//! Reading a narinfo, whoever wrote it. Of most fields the first counts; each `URL:` begins another compressed nar.

use super::{MAX_NARINFO_BYTES, NarFile, NarInfo};
use crate::{ContentAddress, ParseError, Sha256, Signature, StoreDir, StorePath, guix};

pub(super) fn read(store: &StoreDir, text: &str) -> Result<NarInfo, ParseError> {
    if text.len() > MAX_NARINFO_BYTES {
        return Err(ParseError::new("a narinfo", text, "it is larger than 1 MiB"));
    }
    let mut fields = Fields::default();
    let mut above = 0;
    for line in text.split_inclusive('\n') {
        let (key, value) = split(line)?;
        match key {
            "Signature" if !fields.signature_seen => fields.sign(value, &text[..above]),
            _ => fields.set(store, key, value)?,
        }
        above += line.len();
    }
    fields.finish(text)
}

fn split(line: &str) -> Result<(&str, &str), ParseError> {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let (key, value) = line.split_once(':').ok_or_else(|| ParseError::new("a line of a narinfo", line, "it has no colon"))?;
    Ok((key, value.strip_prefix(' ').unwrap_or(value)))
}

/// What was read so far.
#[derive(Default)]
struct Fields {
    store_path: Option<StorePath>,
    files: Vec<File>,
    nar_hash: Option<Sha256>,
    nar_size: Option<u64>,
    references: Option<Vec<StorePath>>,
    deriver: Option<StorePath>,
    system: Option<String>,
    sigs: Vec<Signature>,
    signature_seen: bool,
    signature: Option<guix::Signature>,
    ca: Option<ContentAddress>,
}

#[derive(Default)]
struct File {
    url: Option<String>,
    compression: Option<String>,
    hash: Option<Sha256>,
    size: Option<u64>,
}

impl Fields {
    fn set(&mut self, store: &StoreDir, key: &str, value: &str) -> Result<(), ParseError> {
        match key {
            "StorePath" => first(&mut self.store_path, store.parse(value)?),
            "URL" => self.url(value),
            "Compression" => first(&mut self.file().compression, value.to_owned()),
            "FileHash" => first(&mut self.file().hash, value.parse()?),
            "FileSize" => first(&mut self.file().size, size(value)?),
            "NarHash" => first(&mut self.nar_hash, value.parse()?),
            "NarSize" => first(&mut self.nar_size, size(value)?),
            "References" => {
                let paths = value.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>()?;
                first(&mut self.references, paths);
            }
            "Deriver" if value != "unknown-deriver" && !value.is_empty() => first(&mut self.deriver, value.parse()?),
            "System" => first(&mut self.system, value.to_owned()),
            "Sig" => self.sigs.push(value.parse()?),
            "CA" if !value.is_empty() => first(&mut self.ca, value.parse()?),
            _ => {}
        }
        Ok(())
    }

    fn url(&mut self, url: &str) {
        if self.files.last().is_some_and(|file| file.url.is_some()) {
            self.files.push(File::default());
        }
        self.file().url = Some(url.to_owned());
    }

    /// The one that is being described.
    fn file(&mut self) -> &mut File {
        if self.files.is_empty() {
            self.files.push(File::default());
        }
        let last = self.files.len() - 1;
        &mut self.files[last]
    }

    /// Guix's signature counts if it is of what stands above it, and that is all that matters (`narinfo-sha256`).
    fn sign(&mut self, value: &str, above: &str) {
        self.signature_seen = true;
        let matters = self.store_path.is_some() && self.nar_hash.is_some() && self.references.is_some();
        let signature = value.parse().ok().filter(|one: &guix::Signature| matters && *one.hash() == Sha256::of(above.as_bytes()));
        self.signature = signature;
    }

    fn finish(self, text: &str) -> Result<NarInfo, ParseError> {
        let lacks = |why| ParseError::new("a narinfo", text, why);
        let files: Vec<NarFile> = self.files.into_iter().filter_map(File::finish).collect();
        if files.is_empty() {
            return Err(lacks("it lacks URL"));
        }
        Ok(NarInfo {
            store_path: self.store_path.ok_or_else(|| lacks("it lacks StorePath"))?,
            files,
            nar_hash: self.nar_hash.ok_or_else(|| lacks("it lacks NarHash"))?,
            nar_size: self.nar_size.ok_or_else(|| lacks("it lacks NarSize"))?,
            references: self.references.unwrap_or_default(),
            deriver: self.deriver,
            system: self.system,
            sigs: self.sigs,
            signature: self.signature,
            ca: self.ca,
        })
    }
}

impl File {
    fn finish(self) -> Option<NarFile> {
        Some(NarFile {
            url: self.url.filter(|url| !url.is_empty())?,
            compression: self.compression.filter(|name| !name.is_empty()).unwrap_or_else(|| "bzip2".into()),
            file_hash: self.hash,
            file_size: self.size,
        })
    }
}

fn first<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
}

fn size(text: &str) -> Result<u64, ParseError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| ParseError::new("a size in bytes", text, "it is no number"))
}

//! The narinfo of a store item: where its nar is, what it must be, and who vouches for it.

use std::fmt::Write as _;

use crate::{ContentAddress, ParseError, Sha256, Signature, StoreDir, StorePath};

/// The largest narinfo that is read, in bytes.
pub const MAX_NARINFO_BYTES: usize = 1 << 20;

/// A narinfo as Nix writes it. Of Guix's, which may name several compressions, the first is read; its own kind of signature
/// is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NarInfo {
    /// The store item.
    pub store_path: StorePath,
    /// Where the compressed nar is, relative to the cache.
    pub url: String,
    /// `none`, `zstd`, `xz`, …; what Nix takes for granted is `bzip2`.
    pub compression: String,
    /// Of the compressed nar.
    pub file_hash: Option<Sha256>,
    /// Of the compressed nar, in bytes.
    pub file_size: Option<u64>,
    /// Of the nar.
    pub nar_hash: Sha256,
    /// Of the nar, in bytes.
    pub nar_size: u64,
    /// What it refers to, itself among them if so.
    pub references: Vec<StorePath>,
    /// The derivation that made it.
    pub deriver: Option<StorePath>,
    /// The system that it was built for; only Guix and old Nix say so.
    pub system: Option<String>,
    /// Who vouches for it.
    pub sigs: Vec<Signature>,
    /// The proof that its path follows from its contents.
    pub ca: Option<ContentAddress>,
}

impl NarInfo {
    /// Reads a narinfo. Fields that are not known are passed over.
    pub fn parse(store: &StoreDir, text: &str) -> Result<Self, ParseError> {
        if text.len() > MAX_NARINFO_BYTES {
            return Err(ParseError::new("a narinfo", text, "it is larger than 1 MiB"));
        }
        let mut fields = Fields::default();
        for line in text.lines() {
            let (key, value) =
                line.split_once(':').ok_or_else(|| ParseError::new("a line of a narinfo", line, "it has no colon"))?;
            fields.set(store, key, value.strip_prefix(' ').unwrap_or(value))?;
        }
        fields.finish(text)
    }

    /// The bytes that Nix would write.
    pub fn write(&self, store: &StoreDir) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(text, "{key}: {value}");
        };
        line("StorePath", &store.path(&self.store_path));
        line("URL", &self.url);
        line("Compression", &self.compression);
        self.file_hash.iter().for_each(|hash| line("FileHash", hash));
        self.file_size.iter().for_each(|size| line("FileSize", size));
        line("NarHash", &self.nar_hash);
        line("NarSize", &self.nar_size);
        line("References", &self.references.iter().map(StorePath::as_str).collect::<Vec<_>>().join(" "));
        self.deriver.iter().for_each(|deriver| line("Deriver", deriver));
        self.system.iter().for_each(|system| line("System", system));
        self.sigs.iter().for_each(|sig| line("Sig", sig));
        self.ca.iter().for_each(|ca| line("CA", ca));
        text
    }

    /// What is signed: path, nar hash, nar size, and references (`path-info.cc`, `fingerprint`).
    pub fn fingerprint(&self, store: &StoreDir) -> String {
        let mut references: Vec<String> = self.references.iter().map(|path| store.path(path)).collect();
        references.sort_unstable();
        format!("1;{};{};{};{}", store.path(&self.store_path), self.nar_hash, self.nar_size, references.join(","))
    }
}

/// What was read so far. The first of a field counts.
#[derive(Default)]
struct Fields {
    store_path: Option<StorePath>,
    url: Option<String>,
    compression: Option<String>,
    file_hash: Option<Sha256>,
    file_size: Option<u64>,
    nar_hash: Option<Sha256>,
    nar_size: Option<u64>,
    references: Option<Vec<StorePath>>,
    deriver: Option<StorePath>,
    system: Option<String>,
    sigs: Vec<Signature>,
    ca: Option<ContentAddress>,
}

impl Fields {
    fn set(&mut self, store: &StoreDir, key: &str, value: &str) -> Result<(), ParseError> {
        match key {
            "StorePath" => first(&mut self.store_path, store.parse(value)?),
            "URL" => first(&mut self.url, value.to_owned()),
            "Compression" => first(&mut self.compression, value.to_owned()),
            "FileHash" => first(&mut self.file_hash, value.parse()?),
            "FileSize" => first(&mut self.file_size, size(value)?),
            "NarHash" => first(&mut self.nar_hash, value.parse()?),
            "NarSize" => first(&mut self.nar_size, size(value)?),
            "References" => {
                let paths = value.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>()?;
                first(&mut self.references, paths);
            }
            "Deriver" if value != "unknown-deriver" => first(&mut self.deriver, value.parse()?),
            "System" => first(&mut self.system, value.to_owned()),
            "Sig" => self.sigs.push(value.parse()?),
            "CA" if !value.is_empty() => first(&mut self.ca, value.parse()?),
            _ => {}
        }
        Ok(())
    }

    fn finish(self, text: &str) -> Result<NarInfo, ParseError> {
        let lacks = |why| ParseError::new("a narinfo", text, why);
        Ok(NarInfo {
            store_path: self.store_path.ok_or_else(|| lacks("it lacks StorePath"))?,
            url: self.url.filter(|url| !url.is_empty()).ok_or_else(|| lacks("it lacks URL"))?,
            compression: self.compression.filter(|c| !c.is_empty()).unwrap_or_else(|| "bzip2".into()),
            file_hash: self.file_hash,
            file_size: self.file_size,
            nar_hash: self.nar_hash.ok_or_else(|| lacks("it lacks NarHash"))?,
            nar_size: self.nar_size.ok_or_else(|| lacks("it lacks NarSize"))?,
            references: self.references.unwrap_or_default(),
            deriver: self.deriver,
            system: self.system,
            sigs: self.sigs,
            ca: self.ca,
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

//! Where each thing lies in the bucket: the layout, in one place, written and parsed by the same type.
//!
//! A key that was parsed is one that this program could have written: no other spelling of it is accepted, and
//! there is no way to say `..`.

use std::fmt;
use std::str::FromStr;

use drover_messages::{AgentId, AttemptId, BuildId, ClientId, Generation, SubmissionId};
use drover_store::{DrvPath, PackId, Sha256, StoreDir};

use crate::HashPart;

/// The longest key, in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 1024;

/// The name of one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Derivations: `packs/<sha256>`.
    Pack(PackId),
    /// A source that a user brought, unverified: `incoming/<client>/<submission>/<hash part>.nar.zst`.
    SourceIncoming {
        /// Who brought it.
        client: ClientId,
        /// With what.
        submission: SubmissionId,
        /// Which item it claims to be.
        item: HashPart,
    },
    /// What a user says about the sources: `incoming/<client>/<submission>/sources/<n>`.
    SourceManifest {
        /// Who says so.
        client: ClientId,
        /// Of what.
        submission: SubmissionId,
        /// Counts the lists from 0: each holds some of the sources.
        n: u32,
    },
    /// An output that an agent built, unverified: `incoming/<agent>/<attempt>/<upload>/<hash part>.nar.zst`.
    OutputIncoming {
        /// Who built it.
        agent: AgentId,
        /// In which attempt.
        attempt: AttemptId,
        /// Counts the times the agent uploaded this attempt: keys are written once.
        upload: u32,
        /// Which item it claims to be.
        item: HashPart,
    },
    /// A finished log: `logs/<build>/<attempt>.zst`.
    Log {
        /// Of which build.
        build: BuildId,
        /// Of which attempt.
        attempt: AttemptId,
    },
    /// An output that came out differently when it was checked: `checks/<build>/<attempt>/<hash part>.nar.zst`.
    Kept {
        /// Of which build.
        build: BuildId,
        /// Of which attempt.
        attempt: AttemptId,
        /// Which item it should have been the same as.
        item: HashPart,
    },
    /// The mark of a scheduler's reign: `generation/<n>`.
    Generation(Generation),
    /// What a cache says of itself: `cache/<store>/nix-cache-info`.
    CacheInfo(StoreDir),
    /// The keys that a cache's descriptions are signed with, as its users name them: `cache/<store>/signing-key.pub`.
    PublicKeys(StoreDir),
    /// The store path of an item that agents fetch to see whether they can: `cache/<store>/probe`.
    Probe(StoreDir),
    /// What a builder said, by its derivation: `cache/<store>/log/<name>.drv.zst`.
    PublicLog(StoreDir, DrvPath),
    /// The signed description of an item: `cache/<store>/<hash part>.narinfo`.
    NarInfo(StoreDir, HashPart),
    /// A verified nar: `cache/<store>/nar/<hash of the object>.nar.zst`.
    Nar {
        /// Whose cache.
        store_dir: StoreDir,
        /// SHA-256 of the object, as compressed.
        file_hash: Sha256,
        /// How it is compressed.
        compression: Compression,
    },
}

/// How a nar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// Zstandard.
    Zstd,
    /// Gzip.
    Gzip,
    /// Lzip.
    Lzip,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Zstd, Self::Gzip, Self::Lzip];

    /// As a narinfo names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Lzip => "lzip",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::None => "nar",
            Self::Zstd => "nar.zst",
            Self::Gzip => "nar.gz",
            Self::Lzip => "nar.lz",
        }
    }
}

/// Text that is no key, or not the key it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing of the kind is kept in the bucket.
    #[error("{0:?} names nothing in the bucket")]
    Unknown(String),
    /// It lies where others put their things.
    #[error("{key:?} does not lie below {corner:?}")]
    OutsideCorner {
        /// What was claimed.
        key: String,
        /// Where it should lie.
        corner: String,
    },
}

impl KeyError {
    /// Cut to a length that can be shown: the text came from outside.
    pub(crate) fn unknown(text: &str) -> Self {
        Self::Unknown(text.chars().take(200).collect())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pack(pack) => write!(f, "packs/{pack}"),
            Self::SourceIncoming { client, submission, item } => write!(f, "incoming/{client}/{submission}/{item}.nar.zst"),
            Self::SourceManifest { client, submission, n } => write!(f, "incoming/{client}/{submission}/sources/{n}"),
            Self::OutputIncoming { agent, attempt, upload, item } => {
                write!(f, "incoming/{agent}/{attempt}/{upload}/{item}.nar.zst")
            }
            Self::Log { build, attempt } => write!(f, "logs/{build}/{attempt}.zst"),
            Self::Kept { build, attempt, item } => write!(f, "checks/{build}/{attempt}/{item}.nar.zst"),
            Self::Generation(generation) => write!(f, "generation/{generation}"),
            Self::CacheInfo(store) => write!(f, "cache/{}/nix-cache-info", store.slug()),
            Self::PublicKeys(store) => write!(f, "cache/{}/signing-key.pub", store.slug()),
            Self::Probe(store) => write!(f, "cache/{}/probe", store.slug()),
            Self::PublicLog(store, drv) => write!(f, "cache/{}/log/{drv}.zst", store.slug()),
            Self::NarInfo(store, item) => write!(f, "cache/{}/{item}.narinfo", store.slug()),
            Self::Nar { store_dir, file_hash, compression } => {
                write!(f, "cache/{}/nar/{}.{}", store_dir.slug(), file_hash.to_nix32(), compression.extension())
            }
        }
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let key = (text.len() <= MAX_KEY_BYTES).then(|| read(text)).flatten();
        // Whatever has a second spelling (a UUID in capitals, a number with a zero in front) is not the key.
        key.filter(|key| key.to_string() == text).ok_or_else(|| KeyError::unknown(text))
    }
}

fn read(text: &str) -> Option<Key> {
    let parts: Vec<&str> = text.split('/').collect();
    Some(match parts.as_slice() {
        ["packs", hash] => Key::Pack(hash.parse().ok()?),
        ["incoming", client, submission, "sources", n] => {
            Key::SourceManifest { client: client.parse().ok()?, submission: submission.parse().ok()?, n: n.parse().ok()? }
        }
        ["incoming", client, submission, file] => Key::SourceIncoming {
            client: client.parse().ok()?,
            submission: submission.parse().ok()?,
            item: file.strip_suffix(".nar.zst")?.parse().ok()?,
        },
        ["incoming", agent, attempt, upload, file] => Key::OutputIncoming {
            agent: agent.parse().ok()?,
            attempt: attempt.parse().ok()?,
            upload: upload.parse().ok()?,
            item: file.strip_suffix(".nar.zst")?.parse().ok()?,
        },
        ["logs", build, file] => Key::Log { build: build.parse().ok()?, attempt: file.strip_suffix(".zst")?.parse().ok()? },
        ["checks", build, attempt, file] => Key::Kept {
            build: build.parse().ok()?,
            attempt: attempt.parse().ok()?,
            item: file.strip_suffix(".nar.zst")?.parse().ok()?,
        },
        ["generation", n] => Key::Generation(Generation(n.parse().ok()?)),
        ["cache", slug, "nix-cache-info"] => Key::CacheInfo(store_dir(slug)?),
        ["cache", slug, "signing-key.pub"] => Key::PublicKeys(store_dir(slug)?),
        ["cache", slug, "probe"] => Key::Probe(store_dir(slug)?),
        ["cache", slug, "log", file] => Key::PublicLog(store_dir(slug)?, file.strip_suffix(".zst")?.parse().ok()?),
        ["cache", slug, file] => Key::NarInfo(store_dir(slug)?, file.strip_suffix(".narinfo")?.parse().ok()?),
        ["cache", slug, "nar", file] => nar(store_dir(slug)?, file)?,
        _ => return None,
    })
}

fn nar(store_dir: StoreDir, file: &str) -> Option<Key> {
    let (hash, extension) = file.split_once('.')?;
    let compression = Compression::ALL.into_iter().find(|c| c.extension() == extension)?;
    Some(Key::Nar { store_dir, file_hash: hash.parse().ok()?, compression })
}

/// Undoes [`StoreDir::slug`].
fn store_dir(slug: &str) -> Option<StoreDir> {
    let dir = slug.split("--").map(|part| part.replace('-', "/")).collect::<Vec<_>>().join("-");
    format!("/{dir}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0193a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";
    const ITEM: &str = "0c1hhvxzlhvdgv4qaz8a6aifgsfsgdiy";

    fn keys() -> Vec<String> {
        let hash = Sha256::of(b"x");
        vec![
            format!("packs/{}", hash.to_hex()),
            format!("incoming/{ID}/{ID}/{ITEM}.nar.zst"),
            format!("incoming/{ID}/{ID}/sources/0"),
            format!("incoming/{ID}/{ID}/3/{ITEM}.nar.zst"),
            format!("logs/{ID}/{ID}.zst"),
            format!("checks/{ID}/{ID}/{ITEM}.nar.zst"),
            "generation/17".into(),
            "cache/nix-store/nix-cache-info".into(),
            "cache/gnu-store/signing-key.pub".into(),
            "cache/gnu-store/probe".into(),
            format!("cache/gnu-store/log/{ITEM}-hello.drv.zst"),
            format!("cache/gnu-store/{ITEM}.narinfo"),
            format!("cache/tmp-a--b-store/nar/{}.nar.zst", hash.to_nix32()),
            format!("cache/nix-store/nar/{}.nar", hash.to_nix32()),
            format!("cache/gnu-store/nar/{}.nar.gz", hash.to_nix32()),
            format!("cache/gnu-store/nar/{}.nar.lz", hash.to_nix32()),
        ]
    }

    #[test]
    fn every_key_is_read_as_it_is_written() {
        for text in keys() {
            assert_eq!(text.parse::<Key>().map(|key| key.to_string()), Ok(text));
        }
    }

    #[test]
    fn what_drover_would_not_write_is_no_key() {
        let wrong = [
            "",
            "/packs/x",
            "cache/../generation/1",
            "cache/nix-store/../nix-store/nix-cache-info",
            "cache//nix-cache-info",
            "generation/01",
            "generation/+1",
            "generation/1/",
            "cache/nix-store/nix-cache-info\0",
            "staging/1",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Key>(), Err(KeyError::Unknown(text.into())));
        }
        for text in keys().iter().filter(|text| text.contains(ID)) {
            assert!(text.replace(ID, &ID.to_uppercase()).parse::<Key>().is_err());
        }
    }

    #[test]
    fn a_key_without_bound_is_refused_and_shown_cut() {
        let Err(KeyError::Unknown(shown)) = "x".repeat(1 << 20).parse::<Key>() else { panic!("accepted") };
        assert_eq!(shown.len(), 200);
    }
}

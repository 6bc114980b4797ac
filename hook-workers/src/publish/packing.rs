//! How nars are compressed for the world, and the compressing. What agents and users upload is Zstandard.

use std::io::{self, BufWriter, Write};

use drover_bucket::{Compression, Key};
use drover_store::{Family, HashingWriter, NarFile, NarSummary, StoreDir};
use flate2::write::GzEncoder;
use lzma_rust2::{LzipOptions, LzipWriter};

/// As agents compress.
const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: u32 = 6;
/// A dictionary of 4 MiB: about 50 MB for each nar that is being compressed.
const LZIP_LEVEL: u32 = 4;
/// What is passed on at once, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// The ways in which nars are offered, the best for all clients first.
#[derive(Debug, Clone)]
pub struct Packing(Vec<Compression>);

impl Packing {
    /// These, each once; if there are none, Zstandard.
    pub fn new(ways: impl IntoIterator<Item = Compression>) -> Self {
        let mut distinct = Vec::new();
        for way in ways {
            if !distinct.contains(&way) {
                distinct.push(way);
            }
        }
        if distinct.is_empty() { Self::default() } else { Self(distinct) }
    }

    /// A way by its name in narinfos.
    pub fn parse(name: &str) -> Result<Compression, String> {
        let known = Compression::ALL.into_iter().find(|way| way.name() == name);
        known.ok_or_else(|| format!("a nar can be compressed by {}", Compression::ALL.map(Compression::name).join(", ")))
    }

    /// Those for one store: narinfos of Guix name several, Nix reads one.
    pub(super) fn of(&self, store: &StoreDir) -> &[Compression] {
        match store.family() {
            Family::Guix => &self.0,
            Family::Nix => &self.0[..1],
        }
    }
}

impl Default for Packing {
    fn default() -> Self {
        Self(vec![Compression::Zstd])
    }
}

/// A compressed nar, by what it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed {
    pub(super) compression: Compression,
    pub(super) object: NarSummary,
}

impl Packed {
    /// Where it lies.
    pub(super) fn key(&self, store: &StoreDir) -> Key {
        Key::Nar { store_dir: store.clone(), file_hash: self.object.sha256, compression: self.compression }
    }

    /// How a narinfo speaks of it.
    pub(super) fn file(&self, store: &StoreDir) -> NarFile {
        let (key, cache) = (self.key(store).to_string(), format!("cache/{}/", store.slug()));
        NarFile {
            url: key.strip_prefix(&cache).unwrap_or(&key).to_owned(),
            compression: self.compression.name().into(),
            file_hash: Some(self.object.sha256),
            file_size: Some(self.object.size),
        }
    }
}

type Out<W> = BufWriter<HashingWriter<W>>;

/// Compresses what is written to it.
pub(super) struct Packer<W: Write> {
    compression: Compression,
    encoder: Encoder<W>,
}

enum Encoder<W: Write> {
    None(Out<W>),
    Zstd(zstd::Encoder<'static, Out<W>>),
    Gzip(GzEncoder<Out<W>>),
    Lzip(Box<LzipWriter<Out<W>>>),
}

impl<W: Write> Packer<W> {
    /// Passes on to `out`.
    pub(super) fn new(compression: Compression, out: W) -> io::Result<Self> {
        let out = BufWriter::with_capacity(PIECE_BYTES, HashingWriter::new(out));
        let encoder = match compression {
            Compression::None => Encoder::None(out),
            Compression::Zstd => Encoder::Zstd(zstd::Encoder::new(out, ZSTD_LEVEL)?),
            Compression::Gzip => Encoder::Gzip(GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL))),
            Compression::Lzip => Encoder::Lzip(Box::new(LzipWriter::new(out, LzipOptions::with_preset(LZIP_LEVEL)))),
        };
        Ok(Self { compression, encoder })
    }

    /// Takes the next bytes of the nar.
    pub(super) fn write(&mut self, nar: &[u8]) -> io::Result<()> {
        match &mut self.encoder {
            Encoder::None(out) => out.write_all(nar),
            Encoder::Zstd(encoder) => encoder.write_all(nar),
            Encoder::Gzip(encoder) => encoder.write_all(nar),
            Encoder::Lzip(encoder) => encoder.write_all(nar),
        }
    }

    /// After the last.
    pub(super) fn finish(self) -> io::Result<(W, Packed)> {
        let out = match self.encoder {
            Encoder::None(out) => out,
            Encoder::Zstd(encoder) => encoder.finish()?,
            Encoder::Gzip(encoder) => encoder.finish()?,
            Encoder::Lzip(encoder) => encoder.finish()?,
        };
        let (out, object) = out.into_inner().map_err(io::IntoInnerError::into_error)?.finish();
        Ok((out, Packed { compression: self.compression, object }))
    }
}

/// A small nar as a whole.
pub(super) fn pack(compression: Compression, nar: &[u8]) -> io::Result<(Vec<u8>, Packed)> {
    let mut packer = Packer::new(compression, Vec::new())?;
    packer.write(nar)?;
    packer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use drover_store::Sha256;
    use std::io::Read;

    #[test]
    fn what_is_packed_is_unpacked_by_others_and_named_by_its_hash() {
        let nar: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(n) >> 13) as u8).collect();
        for compression in Compression::ALL {
            let (object, packed) = pack(compression, &nar).unwrap();
            assert_eq!((packed.object.sha256, packed.object.size), (Sha256::of(&object), object.len() as u64));
            let mut unpacked = Vec::new();
            match compression {
                Compression::None => unpacked.clone_from(&object),
                Compression::Zstd => unpacked = zstd::decode_all(&object[..]).unwrap(),
                Compression::Gzip => drop(flate2::read::GzDecoder::new(&object[..]).read_to_end(&mut unpacked).unwrap()),
                Compression::Lzip => drop(lzma_rust2::LzipReader::new(&object[..]).read_to_end(&mut unpacked).unwrap()),
            }
            assert!(unpacked == nar, "{compression:?}");
            let url = packed.file(&StoreDir::guix()).url;
            assert_eq!(format!("cache/gnu-store/{url}").parse(), Ok(packed.key(&StoreDir::guix())));
        }
    }

    #[test]
    fn nix_gets_the_first_way_and_guix_all() {
        let packing = Packing::new(["lzip", "zstd", "lzip"].map(|name| Packing::parse(name).unwrap()));
        assert_eq!(packing.of(&StoreDir::nix()), [Compression::Lzip]);
        assert_eq!(packing.of(&StoreDir::guix()), [Compression::Lzip, Compression::Zstd]);
        assert_eq!(Packing::new([]).of(&StoreDir::nix()), [Compression::Zstd]);
        assert!(Packing::parse("bzip2").unwrap_err().contains("zstd, gzip, lzip"));
    }
}

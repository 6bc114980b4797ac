//! Making a pack. The same derivations give the same bytes, in whatever order they come (and with the same zstd).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::index::{Frame, Index};
use super::{
    FRAME_SOFT_BYTES, HEADER_FRAME, INDEX_FRAME, MAGIC, MAX_PACK_ENTRIES, MAX_PACK_RAW_BYTES, PACK_SOFT_BYTES, PackError,
};
use crate::{DrvPath, MAX_DRV_BYTES};

/// zstd's level.
const LEVEL: i32 = 9;

/// Collects derivations for one pack.
#[derive(Debug, Default)]
pub struct PackWriter {
    drvs: BTreeMap<DrvPath, Bytes>,
    raw_bytes: usize,
}

impl PackWriter {
    /// An empty pack.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a derivation. One that is there already is not added again.
    pub fn push(&mut self, path: &DrvPath, aterm: impl Into<Bytes>) -> Result<(), PackError> {
        let aterm = aterm.into();
        if let Some(there) = self.drvs.get(path) {
            return if *there == aterm { Ok(()) } else { Err(PackError::Differs(path.clone())) };
        }
        if aterm.is_empty() {
            return Err(PackError::Malformed("a derivation in it is empty"));
        }
        let raw_bytes = self.raw_bytes + aterm.len();
        if aterm.len() > MAX_DRV_BYTES || raw_bytes > MAX_PACK_RAW_BYTES || self.drvs.len() == MAX_PACK_ENTRIES {
            return Err(PackError::TooLarge);
        }
        self.raw_bytes = raw_bytes;
        self.drvs.insert(path.clone(), aterm);
        Ok(())
    }

    /// Whether it is time to finish this pack and begin another.
    pub fn is_full(&self) -> bool {
        self.raw_bytes >= PACK_SOFT_BYTES || self.drvs.len() == MAX_PACK_ENTRIES
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.drvs.is_empty()
    }

    /// What was pushed, in bytes uncompressed.
    pub fn raw_bytes(&self) -> usize {
        self.raw_bytes
    }

    /// The bytes of the pack.
    pub fn finish(self) -> Result<Bytes, PackError> {
        let mut drvs: Vec<(DrvPath, Bytes)> = self.drvs.into_iter().collect();
        drvs.sort_by(|(a, _), (b, _)| (a.name(), a).cmp(&(b.name(), b)));
        let mut out = Vec::with_capacity(self.raw_bytes / 4);
        skippable(&mut out, HEADER_FRAME, MAGIC);
        let frames = write_frames(&mut out, &drvs)?;
        let entries = drvs.into_iter().map(|(path, aterm)| (path, aterm.len())).collect();
        let index = Index { frames, entries }.write();
        let mut payload = zstd::bulk::compress(&index, LEVEL)?;
        for len in [payload.len(), index.len()] {
            payload.extend_from_slice(&(len as u32).to_le_bytes());
        }
        payload.extend_from_slice(MAGIC);
        skippable(&mut out, INDEX_FRAME, &payload);
        Ok(out.into())
    }
}

fn write_frames(out: &mut Vec<u8>, drvs: &[(DrvPath, Bytes)]) -> Result<Vec<Frame>, PackError> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    let mut frames = Vec::new();
    let mut raw = Vec::new();
    for (n, (_, aterm)) in drvs.iter().enumerate() {
        raw.extend_from_slice(aterm);
        let next = drvs.get(n + 1).map(|(_, aterm)| aterm.len());
        if next.is_none_or(|next| raw.len() + next > FRAME_SOFT_BYTES) {
            let packed = compressor.compress(&raw)?;
            frames.push(Frame { packed: packed.len(), raw: raw.len() });
            out.extend_from_slice(&packed);
            raw.clear();
        }
    }
    Ok(frames)
}

/// A frame that zstd passes over (RFC 8878, 3.1.2).
fn skippable(out: &mut Vec<u8>, magic: u32, payload: &[u8]) {
    out.extend_from_slice(&magic.to_le_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(payload);
}

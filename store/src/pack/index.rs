//! The index of a pack: pure reading and writing of it, with every number checked before it is used.

use super::{MAX_PACK_ENTRIES, MAX_PACK_RAW_BYTES, PackError};
use crate::{DrvPath, MAX_DRV_BYTES};

/// The length of a frame, compressed and not, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) packed: usize,
    pub(super) raw: usize,
}

/// Frames, and derivations with their lengths in bytes, in the order in which they are stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) frames: Vec<Frame>,
    pub(super) entries: Vec<(DrvPath, usize)>,
}

impl Index {
    /// Lengths are below 4 GiB: the writer's limits see to that.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let number = |out: &mut Vec<u8>, n: usize| out.extend_from_slice(&(n as u32).to_le_bytes());
        number(&mut out, self.frames.len());
        for frame in &self.frames {
            number(&mut out, frame.packed);
            number(&mut out, frame.raw);
        }
        number(&mut out, self.entries.len());
        for (path, len) in &self.entries {
            number(&mut out, *len);
            out.push(path.as_str().len() as u8);
            out.extend_from_slice(path.as_str().as_bytes());
        }
        out
    }

    /// The longest index that a pack may have, in bytes.
    pub(super) const MAX_BYTES: usize = 8 + MAX_PACK_ENTRIES * (8 + 4 + 1 + 255);

    pub(super) fn read(bytes: &[u8]) -> Result<Self, PackError> {
        let mut rest = bytes;
        let count = number(&mut rest)?;
        if count > MAX_PACK_ENTRIES {
            return Err(PackError::TooLarge);
        }
        let frames = (0..count)
            .map(|_| Ok(Frame { packed: number(&mut rest)?, raw: number(&mut rest)? }))
            .collect::<Result<Vec<_>, PackError>>()?;
        let count = number(&mut rest)?;
        if count > MAX_PACK_ENTRIES {
            return Err(PackError::TooLarge);
        }
        let entries = (0..count).map(|_| entry(&mut rest)).collect::<Result<Vec<_>, PackError>>()?;
        if !rest.is_empty() {
            return Err(PackError::Malformed("there is something behind its index"));
        }
        let raw: usize = frames.iter().map(|frame| frame.raw).sum();
        if raw > MAX_PACK_RAW_BYTES {
            return Err(PackError::TooLarge);
        }
        Ok(Self { frames, entries })
    }
}

fn number(rest: &mut &[u8]) -> Result<usize, PackError> {
    let (bytes, behind) = rest.split_first_chunk::<4>().ok_or(PackError::Malformed("its index is cut off"))?;
    *rest = behind;
    Ok(u32::from_le_bytes(*bytes) as usize)
}

fn entry(rest: &mut &[u8]) -> Result<(DrvPath, usize), PackError> {
    let len = number(rest)?;
    match len {
        0 => return Err(PackError::Malformed("a derivation in it is empty")),
        1..=MAX_DRV_BYTES => {}
        _ => return Err(PackError::TooLarge),
    }
    let (name_len, behind) = rest.split_first().ok_or(PackError::Malformed("its index is cut off"))?;
    let (name, behind) = behind.split_at_checked(usize::from(*name_len)).ok_or(PackError::Malformed("its index is cut off"))?;
    *rest = behind;
    Ok((String::from_utf8_lossy(name).parse()?, len))
}

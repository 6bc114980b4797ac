//! Reading a pack. What it says of itself is checked when it is opened; what is uncompressed is bounded by that.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::index::Index;
use super::{FOOTER_BYTES, HEADER_BYTES, HEADER_FRAME, INDEX_FRAME, MAGIC, PackError, PackId};
use crate::DrvPath;

/// A pack whose index was read. Cheap to clone are its bytes, not its index.
#[derive(Debug)]
pub struct Pack {
    bytes: Bytes,
    frames: Vec<FrameSpan>,
    entries: Vec<Entry>,
    by_name: BTreeMap<DrvPath, usize>,
}

#[derive(Debug)]
struct FrameSpan {
    packed: Range<usize>,
    raw: usize,
}

#[derive(Debug)]
struct Entry {
    path: DrvPath,
    frame: usize,
    /// In the frame, uncompressed.
    span: Range<usize>,
}

impl Pack {
    /// Reads the index. Does not verify that the bytes hash to any name: see [`PackId::of`].
    pub fn open(bytes: Bytes) -> Result<Self, PackError> {
        let (index, frames_end) = read_index(&bytes)?;
        let frames = place_frames(&index, frames_end)?;
        let entries = place_entries(index, &frames)?;
        let by_name: BTreeMap<_, _> = entries.iter().enumerate().map(|(n, entry)| (entry.path.clone(), n)).collect();
        if by_name.len() < entries.len() {
            return Err(PackError::Malformed("a name is in it twice"));
        }
        Ok(Self { bytes, frames, entries, by_name })
    }

    /// The name of these bytes.
    pub fn id(&self) -> PackId {
        PackId::of(&self.bytes)
    }

    /// What is in it, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &DrvPath> {
        self.by_name.keys()
    }

    /// One derivation; uncompresses a single frame.
    pub fn get(&self, path: &DrvPath) -> Result<Bytes, PackError> {
        let n = self.by_name.get(path).ok_or_else(|| PackError::Absent(path.clone()))?;
        let entry = &self.entries[*n];
        Ok(self.frame(entry.frame)?.slice(entry.span.clone()))
    }

    /// All derivations, in the order in which they are stored; each frame is uncompressed once.
    pub fn iter(&self) -> impl Iterator<Item = Result<(&DrvPath, Bytes), PackError>> {
        let mut current: Option<(usize, Bytes)> = None;
        self.entries.iter().map(move |entry| {
            let raw = match &current {
                Some((frame, raw)) if *frame == entry.frame => raw.clone(),
                _ => self.frame(entry.frame)?,
            };
            current = Some((entry.frame, raw.clone()));
            Ok((&entry.path, raw.slice(entry.span.clone())))
        })
    }

    fn frame(&self, n: usize) -> Result<Bytes, PackError> {
        let frame = &self.frames[n];
        decompress(&self.bytes[frame.packed.clone()], frame.raw)
    }
}

pub(super) fn decompress(packed: &[u8], len: usize) -> Result<Bytes, PackError> {
    let raw = zstd::bulk::decompress(packed, len)?;
    if raw.len() != len {
        return Err(PackError::Malformed("a frame has another length than its index says"));
    }
    Ok(raw.into())
}

/// The index, and where the frames end.
fn read_index(bytes: &[u8]) -> Result<(Index, usize), PackError> {
    let skippable = |magic: u32, len: usize| [magic.to_le_bytes(), (len as u32).to_le_bytes()].concat();
    let header = [skippable(HEADER_FRAME, MAGIC.len()).as_slice(), MAGIC].concat();
    if !bytes.starts_with(&header) {
        return Err(PackError::Malformed("it does not begin like one"));
    }
    let body = bytes.strip_suffix(MAGIC).ok_or(PackError::Malformed("it does not end like one"))?;
    let (body, raw_len) = split_number(body)?;
    let (body, packed_len) = split_number(body)?;
    if raw_len > Index::MAX_BYTES {
        return Err(PackError::TooLarge);
    }
    let cut = || PackError::Malformed("its index is longer than itself");
    let (before, packed) = body.split_at_checked(body.len().checked_sub(packed_len).ok_or_else(cut)?).ok_or_else(cut)?;
    let before = before
        .strip_suffix(skippable(INDEX_FRAME, packed_len + FOOTER_BYTES).as_slice())
        .filter(|before| before.len() >= HEADER_BYTES)
        .ok_or(PackError::Malformed("its index is not where its footer says"))?;
    Ok((Index::read(&decompress(packed, raw_len)?)?, before.len()))
}

/// The number at the end, and what is before it.
fn split_number(bytes: &[u8]) -> Result<(&[u8], usize), PackError> {
    let (rest, number) = bytes.split_last_chunk::<4>().ok_or(PackError::Malformed("it is too short"))?;
    Ok((rest, u32::from_le_bytes(*number) as usize))
}

fn place_frames(index: &Index, frames_end: usize) -> Result<Vec<FrameSpan>, PackError> {
    let mut at = HEADER_BYTES;
    let spans: Vec<FrameSpan> = index
        .frames
        .iter()
        .map(|frame| {
            let packed = at..at.saturating_add(frame.packed);
            at = packed.end;
            FrameSpan { packed, raw: frame.raw }
        })
        .collect();
    if at != frames_end {
        return Err(PackError::Malformed("its frames have another length than its index says"));
    }
    Ok(spans)
}

fn place_entries(index: Index, frames: &[FrameSpan]) -> Result<Vec<Entry>, PackError> {
    let across = || PackError::Malformed("a derivation does not lie in one frame");
    let (mut frame, mut at) = (0, 0);
    let mut entries = Vec::with_capacity(index.entries.len());
    for (path, len) in index.entries {
        if frames.get(frame).is_some_and(|span| at == span.raw) {
            (frame, at) = (frame + 1, 0);
        }
        let span = at..at + len;
        if frames.get(frame).is_none_or(|frame| span.end > frame.raw) {
            return Err(across());
        }
        at = span.end;
        entries.push(Entry { path, frame, span });
    }
    let complete = match frames {
        [] => true,
        [.., last] => frame + 1 == frames.len() && at == last.raw,
    };
    if complete { Ok(entries) } else { Err(across()) }
}

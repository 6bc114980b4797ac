//! Zstandard, pushed through piece by piece. It asks of a frame that it be whole: a reader who finds all the bytes but
//! not the frame's end may refuse what we let pass.

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::Refusal;

/// The largest window a frame may ask for, as a power of two in bytes: 32 MiB, which is what one worker spends.
pub const MAX_WINDOW_LOG: u32 = 25;
/// Bytes that come out at once.
const OUT_BYTES: usize = 128 * 1024;

/// A decompressor of one object.
pub struct Unzip {
    decoder: Decoder<'static>,
    out: Vec<u8>,
    at_frame_end: bool,
}

impl Unzip {
    /// For an object whose content should have `expected` bytes, which is only used to be thrifty with small ones.
    pub fn new(expected: u64) -> std::io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))?;
        // One byte more than is expected shows an excess at once.
        let out = vec![0; usize::try_from(expected + 1).map_or(OUT_BYTES, |bytes| bytes.min(OUT_BYTES))];
        Ok(Self { decoder, out, at_frame_end: false })
    }

    /// Takes the next bytes of the object, and gives what comes out to `sink`.
    pub fn push(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8]) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let mut input = InBuffer::around(bytes);
        loop {
            let mut output = OutBuffer::around(self.out.as_mut_slice());
            let hint = self.decoder.run(&mut input, &mut output).map_err(Refusal::not_zstd)?;
            let written = output.pos();
            let full = written == self.out.len();
            self.at_frame_end = hint == 0;
            sink(&self.out[..written])?;
            if input.pos == bytes.len() && !full {
                return Ok(());
            }
            // All is out, and the frame is over: to go on would begin another.
            if input.pos == bytes.len() && self.at_frame_end {
                return Ok(());
            }
        }
    }

    /// Whether the object ended where a frame did.
    pub fn is_whole(&self) -> bool {
        self.at_frame_end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unzip(object: &[u8], piece: usize) -> Result<(Vec<u8>, bool), Refusal> {
        let mut unzip = Unzip::new(100).unwrap();
        let mut out = Vec::new();
        for piece in object.chunks(piece) {
            unzip.push(piece, |bytes| {
                out.extend_from_slice(bytes);
                Ok(())
            })?;
        }
        Ok((out, unzip.is_whole()))
    }

    #[test]
    fn pieces_of_any_size_come_out_whole() {
        let bytes: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(n) >> 3) as u8).collect();
        let zipped = zstd::encode_all(&bytes[..], 3).unwrap();
        for piece in [1, 7, 4096, zipped.len()] {
            assert!(unzip(&zipped, piece).unwrap() == (bytes.clone(), true), "in pieces of {piece}");
        }
    }

    #[test]
    fn frames_may_follow_one_another() {
        let zipped = [zstd::encode_all(&b"one "[..], 3).unwrap(), zstd::encode_all(&b"two"[..], 3).unwrap()].concat();
        assert_eq!(unzip(&zipped, 5).unwrap(), (b"one two".to_vec(), true));
    }

    #[test]
    fn a_frame_without_its_end_is_not_whole() {
        let zipped = zstd::encode_all(&[7; 5000][..], 3).unwrap();
        assert!(!unzip(&zipped[..zipped.len() - 1], 4096).unwrap().1);
        assert!(!unzip(&[], 1).unwrap().1);
    }

    #[test]
    fn what_is_not_zstd_is_refused() {
        assert!(matches!(unzip(b"this is no frame at all", 100), Err(Refusal::NotZstd(_))));
    }

    #[test]
    fn a_window_that_would_cost_too_much_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(MAX_WINDOW_LOG + 1).unwrap();
        encoder.include_contentsize(false).unwrap();
        std::io::Write::write_all(&mut encoder, &vec![1; 1 << 20]).unwrap();
        assert!(matches!(unzip(&encoder.finish().unwrap(), 4096), Err(Refusal::NotZstd(_))));
    }
}

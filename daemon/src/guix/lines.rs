//! Whole lines out of a text that comes in pieces of any size: `builtin:download` writes single characters.

use crate::wire::MAX_LOG_TEXT_BYTES;

/// The beginning of a line whose end has not come yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pending: Vec<u8>,
    /// A carriage return came last: what follows overwrites the line, unless it is the newline.
    returned: bool,
}

impl Lines {
    /// Takes a piece, and gives each line that it ends, without its newline. A line that is written over is dropped, as
    /// on a terminal: so progress bars leave only their last state. Of a line longer than [`MAX_LOG_TEXT_BYTES`] the
    /// rest is dropped; bytes that are not UTF-8 are replaced.
    pub fn feed(&mut self, piece: &[u8], mut on_line: impl FnMut(String)) {
        for part in piece.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let (text, end) = match part.split_last() {
                Some((end @ (b'\n' | b'\r'), text)) => (text, Some(*end)),
                _ => (part, None),
            };
            self.append(text);
            match end {
                Some(b'\n') => on_line(self.take()),
                Some(_) => self.returned = true,
                None => {}
            }
        }
    }

    /// Gives the last line when no newline ended it.
    pub fn finish(&mut self) -> Option<String> {
        (!self.pending.is_empty()).then(|| self.take())
    }

    fn append(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        if std::mem::take(&mut self.returned) {
            self.pending.clear();
        }
        let room = (MAX_LOG_TEXT_BYTES as usize).saturating_sub(self.pending.len());
        self.pending.extend_from_slice(&text[..text.len().min(room)]);
    }

    fn take(&mut self) -> String {
        self.returned = false;
        let line = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut whole) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.feed(piece, |line| whole.push(line));
        }
        whole.extend(lines.finish());
        whole
    }

    #[test]
    fn pieces_are_joined_and_split_at_newlines() {
        assert_eq!(lines(&[b"a", b"b\nc", b"\n\n", b"d"]), ["ab", "c", "", "d"]);
    }

    #[test]
    fn a_character_that_is_split_between_pieces_stays_whole() {
        assert_eq!(lines(&[b"\xc3", b"\xa9\n\xff\n"]), ["é", "\u{fffd}"]);
    }

    #[test]
    fn a_line_that_is_written_over_is_dropped_but_not_one_that_ends_in_both() {
        assert_eq!(lines(&[b"10 %\r100 %\r\n", b"done\r", b"\n"]), ["100 %", "done"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let piece = [b'x'; 4096];
        let cut = lines(&[&piece[..]; 100]);
        assert_eq!((cut.len(), cut[0].len() as u64), (1, MAX_LOG_TEXT_BYTES));
    }
}

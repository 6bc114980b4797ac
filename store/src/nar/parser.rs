//! The grammar of a nar as a state machine that bytes are pushed into. It never looks beyond what it was given, finds the
//! end by itself, and keeps no more than one word and the names above it.

use super::{MAGIC, MAX_DEPTH, MAX_ENTRY_NAME_BYTES, MAX_TARGET_BYTES, NarError, NarFault, NarSink, padding};

/// What the next word must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Magic,
    NodeOpen,
    TypeKey,
    Type,
    ExecutableOrContents,
    ExecutableValue,
    ContentsKey,
    Contents,
    TargetKey,
    Target,
    NodeClose,
    EntryOrClose,
    EntryOpen,
    NameKey,
    Name,
    NodeKey,
    EntryClose,
    Nothing,
}

/// The part of a word that is being read.
#[derive(Debug, Clone, Copy)]
enum Part {
    Length,
    Word { padded: usize },
    Contents { left: u64, pad: usize },
    Padding { left: usize },
}

/// Reads one nar that is pushed into it in pieces of any size.
#[derive(Debug)]
pub struct NarParser {
    at: u64,
    next: Next,
    part: Part,
    /// The bytes of the length or word being read.
    word: Vec<u8>,
    word_len: usize,
    executable: bool,
    /// The last name in each open directory.
    dirs: Vec<Vec<u8>>,
}

impl Default for NarParser {
    fn default() -> Self {
        Self { at: 0, next: Next::Magic, part: Part::Length, word: Vec::new(), word_len: 0, executable: false, dirs: Vec::new() }
    }
}

impl NarParser {
    /// At the beginning of a nar.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes are surely still to come, and may be read without reading beyond the nar; 0 at its end.
    pub fn wanted(&self) -> u64 {
        match self.part {
            _ if self.is_done() => 0,
            Part::Length => 8 - self.word.len() as u64,
            Part::Word { padded } => (padded - self.word.len()) as u64,
            Part::Contents { left, pad } => left + pad as u64,
            Part::Padding { left } => left as u64,
        }
    }

    /// Whether the nar is complete.
    pub fn is_done(&self) -> bool {
        self.next == Next::Nothing
    }

    /// How many bytes were read.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Reads from `bytes` and says how many of them belong to the nar: all, unless it ends among them.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl NarSink) -> Result<usize, NarError> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_done() {
            let wanted = usize::try_from(self.wanted()).unwrap_or(usize::MAX);
            let (piece, behind) = rest.split_at(wanted.min(rest.len()));
            let taken = self.piece(piece, sink).map_err(|fault| NarError { at: self.at, fault })?;
            self.at += taken as u64;
            rest = if taken == piece.len() { behind } else { &rest[taken..] };
        }
        Ok(bytes.len() - rest.len())
    }

    /// Reads from a piece that is not longer than what is wanted; says how much of it.
    fn piece(&mut self, piece: &[u8], sink: &mut impl NarSink) -> Result<usize, NarFault> {
        match self.part {
            Part::Length => {
                self.word.extend_from_slice(piece);
                if let Ok(bytes) = <[u8; 8]>::try_from(self.word.as_slice()) {
                    self.word.clear();
                    self.length(u64::from_le_bytes(bytes), sink)?;
                }
                Ok(piece.len())
            }
            Part::Word { padded } => {
                self.word.extend_from_slice(piece);
                if self.word.len() == padded {
                    self.whole_word(sink)?;
                }
                Ok(piece.len())
            }
            Part::Contents { left, pad } => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
                sink.contents(&piece[..taken])?;
                self.contents(left - taken as u64, pad, sink)?;
                Ok(taken)
            }
            Part::Padding { left } => {
                if piece.iter().any(|b| *b != 0) {
                    return Err(NarFault::Padding);
                }
                self.part = if piece.len() == left { Part::Length } else { Part::Padding { left: left - piece.len() } };
                Ok(piece.len())
            }
        }
    }

    fn length(&mut self, len: u64, sink: &mut impl NarSink) -> Result<(), NarFault> {
        if self.next == Next::Contents {
            sink.regular(self.executable, len)?;
            return self.contents(len, padding(len), sink);
        }
        let limit = match self.next {
            Next::Name => MAX_ENTRY_NAME_BYTES,
            Next::Target => MAX_TARGET_BYTES,
            _ => MAGIC.len(),
        };
        match usize::try_from(len) {
            Ok(0) => self.whole_word(sink),
            Ok(short) if short <= limit => {
                self.word_len = short;
                self.part = Part::Word { padded: short + padding(len) };
                Ok(())
            }
            _ => Err(NarFault::TooLong(len, limit)),
        }
    }

    fn contents(&mut self, left: u64, pad: usize, sink: &mut impl NarSink) -> Result<(), NarFault> {
        if left > 0 {
            self.part = Part::Contents { left, pad };
            return Ok(());
        }
        self.next = Next::NodeClose;
        self.part = if pad == 0 { Part::Length } else { Part::Padding { left: pad } };
        Ok(sink.end_regular()?)
    }

    fn whole_word(&mut self, sink: &mut impl NarSink) -> Result<(), NarFault> {
        if self.word[self.word_len..].iter().any(|b| *b != 0) {
            return Err(NarFault::Padding);
        }
        let mut word = std::mem::take(&mut self.word);
        word.truncate(self.word_len);
        self.part = Part::Length;
        self.next = self.step(&word, sink)?;
        word.clear();
        self.word = word;
        self.word_len = 0;
        Ok(())
    }

    /// The grammar.
    fn step(&mut self, word: &[u8], sink: &mut impl NarSink) -> Result<Next, NarFault> {
        Ok(match (self.next, word) {
            (Next::Magic, MAGIC) => Next::NodeOpen,
            (Next::NodeOpen, b"(") => Next::TypeKey,
            (Next::TypeKey, b"type") => Next::Type,
            (Next::Type, b"regular") => {
                self.executable = false;
                Next::ExecutableOrContents
            }
            (Next::Type, b"symlink") => Next::TargetKey,
            (Next::Type, b"directory") => self.open_directory(sink)?,
            (Next::ExecutableOrContents, b"executable") => Next::ExecutableValue,
            (Next::ExecutableValue, b"") => {
                self.executable = true;
                Next::ContentsKey
            }
            (Next::ExecutableOrContents | Next::ContentsKey, b"contents") => Next::Contents,
            (Next::TargetKey, b"target") => Next::Target,
            (Next::Target, target) => {
                if target.is_empty() || target.contains(&0) {
                    return Err(NarFault::Expected("a symlink's target"));
                }
                sink.symlink(target)?;
                Next::NodeClose
            }
            (Next::NodeClose, b")") => self.after_node(),
            (Next::EntryOrClose, b"entry") => Next::EntryOpen,
            (Next::EntryOrClose, b")") => {
                self.dirs.pop();
                sink.leave()?;
                self.after_node()
            }
            (Next::EntryOpen, b"(") => Next::NameKey,
            (Next::NameKey, b"name") => Next::Name,
            (Next::Name, name) => self.name(name, sink)?,
            (Next::NodeKey, b"node") => Next::NodeOpen,
            (Next::EntryClose, b")") => Next::EntryOrClose,
            (other, _) => return Err(NarFault::Expected(other.describe())),
        })
    }

    fn open_directory(&mut self, sink: &mut impl NarSink) -> Result<Next, NarFault> {
        if self.dirs.len() == MAX_DEPTH {
            return Err(NarFault::TooDeep);
        }
        self.dirs.push(Vec::new());
        sink.directory()?;
        Ok(Next::EntryOrClose)
    }

    fn name(&mut self, name: &[u8], sink: &mut impl NarSink) -> Result<Next, NarFault> {
        let shown = || String::from_utf8_lossy(name).into_owned();
        if matches!(name, b"" | b"." | b"..") || name.iter().any(|b| matches!(b, b'/' | 0)) {
            return Err(NarFault::BadName(shown()));
        }
        if let Some(last) = self.dirs.last_mut() {
            if name <= last.as_slice() {
                return Err(NarFault::Order(shown()));
            }
            name.clone_into(last);
        }
        sink.entry(name)?;
        Ok(Next::NodeKey)
    }

    fn after_node(&self) -> Next {
        if self.dirs.is_empty() { Next::Nothing } else { Next::EntryClose }
    }
}

impl Next {
    fn describe(self) -> &'static str {
        match self {
            Self::Magic => "the magic word of a nar",
            Self::NodeOpen | Self::EntryOpen => "(",
            Self::TypeKey => "type",
            Self::Type => "regular, symlink, or directory",
            Self::ExecutableOrContents => "executable or contents",
            Self::ExecutableValue => "an empty word behind executable",
            Self::ContentsKey | Self::Contents => "contents",
            Self::TargetKey | Self::Target => "target",
            Self::NodeClose | Self::EntryClose => ")",
            Self::EntryOrClose => "entry or )",
            Self::NameKey | Self::Name => "name",
            Self::NodeKey => "node",
            Self::Nothing => "nothing",
        }
    }
}

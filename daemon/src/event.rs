//! What a daemon tells while an operation runs: the builder's log, and how far it is.

/// Something that happened while the daemon worked. `guix-daemon` tells lines and messages only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// One line of our builder's log, without its newline. Bytes that are not UTF-8 are replaced, and what
    /// exceeds [`MAX_LOG_TEXT_BYTES`](crate::wire::MAX_LOG_TEXT_BYTES) is cut.
    Line(String),
    /// The daemon's own words, such as a warning; without colours.
    Message(String),
    /// A build or a download begins.
    Started {
        /// The daemon's number for it.
        id: u64,
        /// What it is.
        kind: ActivityKind,
        /// What the daemon calls it; without colours.
        text: String,
    },
    /// What [`Event::Started`] began has ended, well or not.
    Stopped {
        /// The daemon's number for it.
        id: u64,
    },
    /// A build that uses Nixpkgs' standard environment entered a phase.
    Phase(String),
    /// How far an activity is, in a unit of its own (bytes for a download).
    Progress {
        /// The daemon's number for the activity.
        id: u64,
        /// Done so far.
        done: u64,
        /// To be done in all; 0 when it is not known.
        expected: u64,
    },
}

/// What an activity of the daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivityKind {
    /// A path is copied from another store.
    CopyPath,
    /// A file is downloaded.
    Download,
    /// A derivation is built.
    Build,
    /// A path is substituted.
    Substitute,
    /// Anything else, by its number in Nix's `ActivityType`.
    Other(u64),
}

impl ActivityKind {
    pub(crate) fn from_wire(code: u64) -> Self {
        match code {
            100 => Self::CopyPath,
            101 => Self::Download,
            105 => Self::Build,
            108 => Self::Substitute,
            other => Self::Other(other),
        }
    }
}

/// Takes terminal control sequences out: CSI (colours), OSC (titles, links) and two-byte escapes.
pub(crate) fn without_ansi(text: String) -> String {
    if !text.contains('\x1b') {
        return text;
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => skip_escape(&mut rest),
            _ => plain.push(c),
        }
    }
    plain
}

/// Skips what follows an escape character.
fn skip_escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.next() {
        Some('[') => drop(rest.find(|c| ('@'..='~').contains(c))),
        Some(']') => skip_operating_system_command(rest),
        _ => {}
    }
}

/// Ends with a bell, or with an escape and a backslash.
fn skip_operating_system_command(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    if rest.find(|c| matches!(c, '\x07' | '\x1b')) == Some('\x1b') {
        rest.next_if_eq(&'\\');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_titles_and_links_are_taken_out_of_messages() {
        let told =
            "\x1b[31;1merror:\x1b[0m builder for '\x1b[35;1mx.drv\x1b[0m' failed\x1b]0;title\x07!\x1b]8;;u\x1b\\?".to_owned();
        assert_eq!(without_ansi(told), "error: builder for 'x.drv' failed!?");
    }

    #[test]
    fn an_escape_that_never_ends_takes_only_the_rest() {
        assert_eq!(without_ansi("a\x1b[31".to_owned()), "a");
        assert_eq!(without_ansi("a\x1b".to_owned()), "a");
    }
}

//! What the texts of a `guix-daemon` tell while it works: the log of our build, and what became of it.

use std::collections::VecDeque;

use super::lines::Lines;
use super::trace::{Failure, Trace};
use crate::Event;
use crate::event::without_ansi;

/// How many of the daemon's own words are kept to explain a failure, in lines.
const MAX_WORDS: usize = 8;
/// Begins a piece of a builder's log: `@ build-log PID LENGTH`, a newline, and that many bytes.
const LOG_MARK: &[u8] = b"@ build-log ";
/// Begins what the process that fetches has to say.
const SUBSTITUTER: &str = "guix substitute: ";

/// The course of one build or fetch, as far as it was told.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// What we asked for; empty for a fetch.
    drv: String,
    /// The daemon's own texts, and our builder's.
    texts: Lines,
    log: Lines,
    /// The process of our builder, once it was started.
    pub pid: Option<u64>,
    /// Another derivation that the daemon began to build.
    pub astray: Option<String>,
    /// Something was fetched.
    pub substituted: bool,
    /// How our derivation failed.
    pub failure: Option<Failed>,
    /// A fixed output that came out otherwise: the hash that it should have, and the one that it has.
    pub mismatch: Option<(String, String)>,
    words: VecDeque<String>,
}

/// How a derivation failed, in the words of the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failed {
    Stopped,
    Cached,
    Setup(String),
    Built(String),
}

impl Course {
    /// Of a build of the derivation with this absolute name.
    pub fn of(drv: String) -> Self {
        Self { drv, ..Self::default() }
    }

    /// Takes a text frame. Pieces of a log come each in a frame of its own, so a builder cannot forge the mark.
    pub fn hear(&mut self, frame: &[u8], on_event: &mut (dyn FnMut(Event) + Send)) {
        if let Some((pid, piece)) = log_piece(frame) {
            if Some(pid) == self.pid {
                self.log.feed(piece, |line| on_event(Event::Line(line)));
            }
            return;
        }
        let mut told = Vec::new();
        if frame.starts_with(b"@ ") {
            told.extend(self.texts.finish());
        }
        self.texts.feed(frame, |line| told.push(line));
        for line in told {
            self.note(line, on_event);
        }
    }

    /// Gives what was begun and not ended by a newline.
    pub fn finish(&mut self, on_event: &mut (dyn FnMut(Event) + Send)) {
        if let Some(line) = self.log.finish() {
            on_event(Event::Line(line));
        }
        if let Some(line) = self.texts.finish() {
            self.note(line, on_event);
        }
    }

    /// The daemon's last own words, oldest first.
    pub fn words(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    fn note(&mut self, line: String, on_event: &mut (dyn FnMut(Event) + Send)) {
        match Trace::parse(&line) {
            Some(trace) => self.follow(trace),
            None => self.keep(line, on_event),
        }
    }

    fn follow(&mut self, trace: Trace<'_>) {
        match trace {
            Trace::BuildStarted { drv, pid } if drv == self.drv => self.pid = Some(pid),
            Trace::BuildStarted { drv, .. } => self.astray = Some(drv.to_owned()),
            Trace::BuildFailed { drv, how } if drv == self.drv => self.failure = Some(how.into()),
            Trace::HashMismatch { algo, expected, actual, .. } => {
                self.mismatch = Some((format!("{algo}:{expected}"), format!("{algo}:{actual}")));
            }
            Trace::Substituted { .. } => self.substituted = true,
            Trace::BuildFailed { .. } | Trace::Other => {}
        }
    }

    fn keep(&mut self, line: String, on_event: &mut (dyn FnMut(Event) + Send)) {
        let Some(line) = words_of(without_ansi(line)) else { return };
        if self.words.len() == MAX_WORDS {
            self.words.pop_front();
        }
        self.words.push_back(line.clone());
        on_event(Event::Message(line));
    }
}

impl From<Failure<'_>> for Failed {
    fn from(failure: Failure<'_>) -> Self {
        match failure {
            Failure::Stopped => Self::Stopped,
            Failure::Cached => Self::Cached,
            Failure::Setup(text) => Self::Setup(text.to_owned()),
            Failure::Built(text) => Self::Built(text.to_owned()),
        }
    }
}

/// What is worth telling of a line: not the progress of a search for substitutes, which the substituter writes before
/// its own words on the same line.
fn words_of(line: String) -> Option<String> {
    let words = match line.rsplit_once(SUBSTITUTER) {
        Some((_, words)) => words.trim(),
        None if line.starts_with("substitute:") || line.starts_with("looking for substitutes on ") => "",
        None => line.trim(),
    };
    (!words.is_empty()).then(|| words.to_owned())
}

/// The process and the bytes of a piece of log. The length is that of the frame's rest, so it is not needed.
fn log_piece(frame: &[u8]) -> Option<(u64, &[u8])> {
    let rest = frame.strip_prefix(LOG_MARK)?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let pid = str::from_utf8(&rest[..end]).ok()?.split(' ').next()?.parse().ok()?;
    Some((pid, &rest[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(course: &mut Course, frames: &[&[u8]]) -> Vec<Event> {
        let mut events = Vec::new();
        for frame in frames {
            course.hear(frame, &mut |event| events.push(event));
        }
        course.finish(&mut |event| events.push(event));
        events
    }

    fn line(text: &str) -> Event {
        Event::Line(text.into())
    }

    #[test]
    fn only_the_log_of_our_own_builder_is_told() {
        let mut course = Course::of("/gnu/store/x.drv".into());
        let events = hear(
            &mut course,
            &[
                b"@ build-started /gnu/store/x.drv - x86_64-linux /l 7\n",
                b"@ build-log 7 4\nours",
                b"@ build-log 8 7\ntheirs\n",
                b"@ build-log 7 1\n\n",
                b"@ build-log 7 5\nagain",
            ],
        );
        assert_eq!(events, [line("ours"), line("again")]);
    }

    #[test]
    fn a_builder_cannot_forge_what_became_of_it() {
        let mut course = Course::of("/gnu/store/x.drv".into());
        let forged = b"@ build-log 7 60\n@ build-failed /gnu/store/x.drv - timeout\n";
        let events = hear(&mut course, &[b"@ build-started /gnu/store/x.drv - x86_64-linux /l 7\n", forged]);
        assert_eq!(events, [line("@ build-failed /gnu/store/x.drv - timeout")]);
        assert_eq!(course.failure, None);
    }

    #[test]
    fn a_trace_after_words_without_an_end_is_seen() {
        let mut course = Course::default();
        let events = hear(&mut course, &[b"checking...\r", b"waiting", b"@ substituter-succeeded /gnu/store/x\n"]);
        assert!(course.substituted);
        assert_eq!(events, [Event::Message("waiting".into())]);
    }

    #[test]
    fn of_a_search_for_substitutes_only_what_went_wrong_is_told() {
        let mut course = Course::default();
        let events = hear(
            &mut course,
            &[
                b"substitute: \r",
                b"substitute: \x1b[Klooking for substitutes on 'http://a'...   0.0%",
                b"guix substitute: warning: a: connection failed\n",
                b"substitute: \x1b[Klooking for substitutes on 'http://b'... 100.0%\n",
            ],
        );
        assert_eq!(events, [Event::Message("warning: a: connection failed".into())]);
    }

    #[test]
    fn a_derivation_that_we_did_not_ask_for_is_noticed() {
        let mut course = Course::of("/gnu/store/x.drv".into());
        hear(&mut course, &[b"@ build-started /gnu/store/below.drv - x86_64-linux /l 9\n"]);
        assert_eq!((course.astray.as_deref(), course.pid), (Some("/gnu/store/below.drv"), None));
    }

    #[test]
    fn the_last_words_are_kept() {
        let mut course = Course::default();
        let frames: Vec<Vec<u8>> = (0..20).map(|n| format!("word {n}\n").into_bytes()).collect();
        hear(&mut course, &frames.iter().map(Vec::as_slice).collect::<Vec<_>>());
        assert_eq!(course.words().count(), MAX_WORDS);
        assert_eq!(course.words().next_back(), Some("word 19"));
    }
}

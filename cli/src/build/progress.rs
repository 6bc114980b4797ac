//! What the terminal shows while things move: bars on a terminal, calm lines elsewhere. It decides nothing.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use drover_messages::query::{StateName, SubmissionStatus};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::show::counts;

/// Fewer things than this are sent before a bar could be read.
const WORTH_A_BAR: usize = 20;
/// Without a terminal, how often a line tells how far it is.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How far an upload is.
pub(crate) struct Upload(ProgressBar);

impl Upload {
    /// Of so many things.
    pub(crate) fn new(things: usize) -> Self {
        let bar = if things >= WORTH_A_BAR { ProgressBar::new(things as u64) } else { ProgressBar::hidden() };
        bar.set_style(style("sending {bar:30} {pos}/{len}"));
        Self(bar)
    }

    /// So many more are sent.
    pub(crate) fn add(&self, things: usize) {
        self.0.inc(things as u64);
    }

    /// All are sent.
    pub(crate) fn done(self) {
        self.0.finish_and_clear();
    }
}

/// How far a submission is.
pub(crate) struct Builds {
    /// Only on a terminal.
    bar: Option<ProgressBar>,
    last: String,
    told_at: Option<Instant>,
}

impl Builds {
    /// Nothing is known yet.
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(8));
            bar.set_style(style("{spinner} [{elapsed}] {bar:30} {pos}/{len}  {msg}"));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar, last: String::new(), told_at: None }
    }

    /// A line that stays.
    pub(crate) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    /// What nobody needs to read later: shown on a terminal, and elsewhere as a line if it is news.
    pub(crate) fn note(&mut self, text: &str) {
        self.told(text.to_owned(), LINE_EVERY);
    }

    /// The state of the builds.
    pub(crate) fn status(&mut self, status: &SubmissionStatus) {
        if let Some(bar) = &self.bar {
            bar.set_length(status.counts.values().sum());
            let done = status.counts.get(&StateName::Succeeded).copied().unwrap_or_default();
            bar.set_position(done.saturating_sub(status.unpublished));
        }
        self.told(counts(status), LINE_EVERY);
    }

    fn told(&mut self, text: String, at_most_every: Duration) {
        if text == self.last {
            return;
        }
        match &self.bar {
            Some(bar) => bar.set_message(text.clone()),
            None if self.told_at.is_some_and(|told| told.elapsed() < at_most_every) => return,
            None => eprintln!("{text}"),
        }
        self.told_at = Some(Instant::now());
        self.last = text;
    }

    /// Takes the bar away.
    pub(crate) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file; one that were wrong would show the plain bar.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

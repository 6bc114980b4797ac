//! How schedulers follow each other, and reign beside each other.

use drover_messages::Generation;
use drover_scheduler_core::Input;

use super::reign::Reign;
use super::{Book, World};

/// So long a scheduler that is superseded may not know it, in ticks: then it sees the other's mark in the bucket.
const UNAWARE_TICKS: u64 = 10;

impl World {
    /// A scheduler is killed, and another begins on what is recorded.
    pub fn restart(&mut self) {
        let Some(dead) = self.reigns.pop() else { return };
        self.network.retain(|(to, _)| *to != Some(dead.generation));
        self.begin(dead.book);
    }

    /// A scheduler begins, and reads its streams whole.
    fn begin(&mut self, book: Book) {
        self.generation += 1;
        let generation = Generation(self.generation);
        self.reigns.push(Reign::begin(book, generation, self.limits.clone()));
        self.read_requests(generation);
        for input in self.results.clone() {
            self.bring(generation, input);
        }
        self.bring(generation, Input::CaughtUp);
        self.run(generation);
    }

    /// The newest goes on, on a copy of its database that somebody kept.
    pub fn restore(&mut self, book: Book) {
        self.reigns.pop();
        self.begin(book);
    }

    /// Another scheduler begins while the one that reigns goes on.
    pub fn add_rival(&mut self, book: Option<Book>) {
        let book = book.unwrap_or_else(|| self.newest().book.clone());
        self.begin(book);
    }

    /// Who is superseded gives up, sooner or later; the newest never does.
    pub(super) fn end_old_reigns(&mut self) {
        let newest = Generation(self.generation);
        for reign in &mut self.reigns {
            reign.over |= reign.generation < newest && self.dice.chance(100 / UNAWARE_TICKS);
        }
        self.reigns.retain(|reign| !reign.over);
        assert_eq!(self.reigns.last().map(|reign| reign.generation), Some(newest), "the newest gave up");
    }
}

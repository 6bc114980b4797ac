//! What goes wrong beside messages.

use drover_messages::Timestamp;
use drover_scheduler_core::Input;

use super::World;

/// The longest that anybody is cut off, in ticks: longer than a lease.
const CUT_OFF: usize = 60;
/// In milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1000;

impl World {
    /// Now and then, as its faults say.
    pub(super) fn break_something(&mut self) {
        let faults = self.faults;
        if self.dice.chance(2) {
            self.snapshot = Some(self.newest().book.clone());
        }
        self.break_machines();
        if self.dice.chance(faults.rot) {
            let before = self.pool.cache.clone();
            self.pool.rot(&self.graph.products(), &mut self.dice);
            self.rotten.extend(before.difference(&self.pool.cache).cloned());
        }
        if self.dice.chance(faults.cut_off) {
            self.cut_off = 1 + self.dice.below(CUT_OFF) as u64;
        }
        if self.dice.chance(faults.jump) {
            let days = DAY * self.dice.below(100) as u64;
            let (forward, back) = (self.wall.0 + days, self.wall.0.saturating_sub(days));
            self.wall = Timestamp(if self.dice.chance(50) { forward } else { back });
        }
        if self.dice.chance(faults.cut_streams) {
            self.cut_streams();
        }
        self.break_schedulers();
    }

    fn break_machines(&mut self) {
        let faults = self.faults;
        for machine in self.machines.values_mut() {
            if self.dice.chance(faults.kill_agent) {
                machine.restart();
            }
            if self.dice.chance(faults.wipe_agent) {
                machine.wipe();
            }
            if self.dice.chance(faults.cut_off_agent) {
                machine.cut_off(1 + self.dice.below(CUT_OFF) as u64);
            }
        }
    }

    fn break_schedulers(&mut self) {
        let faults = self.faults;
        if self.dice.chance(faults.crash) {
            self.restart();
        }
        let old = self.snapshot.clone();
        if self.dice.chance(faults.restore)
            && let Some(old) = old.clone()
        {
            self.restore(old);
        }
        if self.dice.chance(faults.rival) {
            let copy = old.filter(|_| self.dice.chance(50));
            self.add_rival(copy);
        }
    }

    /// The broker's disk is lost. The streams are made again, and what the databases owe is asked for again.
    fn cut_streams(&mut self) {
        self.requests.clear();
        self.results.clear();
        for generation in self.generations() {
            self.bring(generation, Input::QuestionsLost);
        }
    }
}

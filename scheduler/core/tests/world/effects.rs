//! What a scheduler wants done: offers, aborts, questions to the pool and to the bucket, and the answers that agents get.

use drover_messages::Generation;
use drover_scheduler_core::input::Answer;
use drover_scheduler_core::{Effect, Input};

use super::World;
use super::reign::Batch;

impl World {
    /// What the answers to hellos and beats say is done.
    pub(super) fn answer(&mut self, generation: Generation, batch: Batch) {
        for (agent, outcome) in batch.answers {
            if self.dice.chance(self.faults.lose) {
                continue;
            }
            let Some(machine) = self.machines.get_mut(&agent).filter(|machine| !machine.is_away()) else { continue };
            for report in machine.obey(generation, &outcome.verdicts, outcome.hello) {
                self.publish(Input::Report { agent, report: Box::new(report) });
            }
        }
    }

    /// Any of it may be lost on the way.
    pub(super) fn carry_out(&mut self, generation: Generation, effect: Effect) {
        match effect {
            Effect::Offer { agent, offer } => {
                let (build, attempt) = (offer.build, offer.attempt);
                let lost = self.dice.chance(self.faults.lose);
                let answer = match self.machines.get_mut(&agent).filter(|machine| !machine.is_away()) {
                    Some(_) if lost && self.dice.chance(50) => Answer::Silence,
                    Some(machine) => Answer::Said(machine.consider(*offer)),
                    None => Answer::NobodyThere,
                };
                let answer = if lost { Answer::Silence } else { answer };
                self.network.push((Some(generation), Input::Answered { agent, build, attempt, answer }));
            }
            Effect::Abort { agent, abort } => {
                let lost = self.dice.chance(self.faults.lose);
                if let Some(machine) = self.machines.get_mut(&agent).filter(|machine| !lost && !machine.is_away()) {
                    machine.abort(abort);
                }
            }
            Effect::Ask { publish, .. } if self.dice.chance(self.faults.lose) => {
                self.network.push((Some(generation), Input::NotAsked(publish.publication)));
            }
            Effect::Ask { publish, .. } => {
                if let Some(done) = self.pool.publish(*publish, &mut self.dice, self.faults) {
                    self.publish(Input::Published(done));
                }
            }
            Effect::Confirm { store_dir, paths, missed_by } => {
                let items = paths.into_iter().map(|path| (path.clone(), self.pool.cache.contains(&path))).collect();
                self.network.push((Some(generation), Input::Confirmed { store_dir, items, missed_by }));
            }
            Effect::Replan { build } => self.replan(generation, build),
            Effect::Abdicate(higher) => {
                assert!(higher > generation, "{generation} gives up for {higher}");
                self.reign(generation).into_iter().for_each(|reign| reign.over = true);
            }
            Effect::Discard { .. } => {}
        }
    }
}

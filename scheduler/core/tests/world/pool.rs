//! The pool `publish` and the cache that it fills.

use std::collections::BTreeSet;

use drover_messages::Generation;
use drover_messages::publish::{Done, Origin, Publish, PublishVerdict};
use drover_store::StorePath;

use super::{Dice, Faults};

#[derive(Default)]
pub struct Pool {
    /// What everybody can fetch.
    pub cache: BTreeSet<StorePath>,
    /// The highest that it has heard of.
    generation: Generation,
}

impl Pool {
    /// Does what is asked; nothing, for a scheduler that is superseded.
    pub fn publish(&mut self, publish: Publish, dice: &mut Dice, faults: Faults) -> Option<Done> {
        if publish.generation < self.generation {
            return None;
        }
        self.generation = publish.generation;
        let verdict = self.verdict(&publish, dice, faults);
        Some(Done { publication: publish.publication, verdict })
    }

    fn verdict(&mut self, publish: &Publish, dice: &mut Dice, faults: Faults) -> PublishVerdict {
        let missing = |path: &&StorePath| !self.cache.contains(*path) && !publish.elsewhere.contains(path);
        let missing: Vec<StorePath> = publish.references.iter().filter(missing).cloned().collect();
        // Nobody but its owner could bring a source again.
        let is_output = matches!(publish.origin, Origin::Output { .. });
        if self.cache.contains(&publish.path) {
            PublishVerdict::AlreadyThere
        } else if is_output && dice.chance(faults.lose_upload) {
            PublishVerdict::NarMissing
        } else if is_output && dice.chance(faults.refuse) {
            PublishVerdict::Refused { why: "other bytes".into() }
        } else if missing.is_empty() {
            self.cache.insert(publish.path.clone());
            PublishVerdict::Published
        } else {
            PublishVerdict::ReferencesMissing { missing }
        }
    }

    /// Loses something, if it has anything of these.
    pub fn rot(&mut self, made: &BTreeSet<StorePath>, dice: &mut Dice) {
        let all: Vec<StorePath> = self.cache.intersection(made).cloned().collect();
        if let Some(path) = all.get(dice.below(all.len())) {
            self.cache.remove(path);
        }
    }
}

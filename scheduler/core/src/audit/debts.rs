//! Publications that are owed, and what keeps each from being asked for.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use drover_messages::PublicationId;

use super::{Discrepancy, same};
use crate::state::State;

impl State {
    pub(super) fn audit_debts(&self) -> Result<(), Discrepancy> {
        let (mut askable, mut asked) = (BTreeSet::new(), BTreeSet::new());
        for (id, owed) in &self.owed {
            let others = owed.publication.references.iter().filter(|path| **path != owed.publication.path);
            let waits = |path: &&drover_store::StorePath| {
                self.items.get(path).is_some_and(|entry| entry.awaiting.contains(id) && !entry.item.state.can_be_fetched())
            };
            same(format!("what {id} lacks"), &owed.missing_references, &others.filter(waits).count())?;
            match owed.asked {
                Some(at) => drop(asked.insert((at, *id))),
                None if owed.missing_references > 0 => {}
                None if owed.publication.submission().is_some_and(|submission| !self.is_live(submission)) => {}
                None => drop(askable.insert((Reverse(owed.urgency), owed.seq, *id))),
            }
        }
        for entry in self.items.iter() {
            let path = &entry.path;
            for id in &entry.awaiting {
                let waits = self.owed.get(id).is_some_and(|owed| owed.publication.references.contains(path));
                same(format!("whether {id} waits for {path}"), &waits, &true)?;
            }
        }
        same("what may be asked for", &self.askable, &askable)?;
        let put_off = self.put_off.iter().all(|id| self.owed.get(id).is_some_and(|owed| owed.asked.is_some()));
        same("whether all that is put off was asked for", &put_off, &true)?;
        let is_large = |id: &&PublicationId| self.owed.get(id).is_some_and(|owed| owed.publication.is_large());
        let large_asked =
            asked.iter().map(|(_, id)| id).filter(|id| !self.put_off.contains(id)).filter(is_large).copied().collect();
        same("what is large of it", &self.large_asked, &large_asked)?;
        same("what was asked for", &self.asked, &asked)
    }
}

//! Publications that are owed, and what keeps each from being asked for.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use drover_messages::PublicationId;
use drover_store::StorePath;

use super::{Discrepancy, same};
use crate::state::State;

impl State {
    pub(super) fn audit_debts(&self) -> Result<(), Discrepancy> {
        let (mut askable, mut asked) = (BTreeSet::new(), BTreeSet::new());
        for (id, owed) in &self.owed {
            let others: BTreeSet<&StorePath> =
                owed.publication.references.iter().filter(|path| **path != owed.publication.path).collect();
            let known = others.into_iter().filter_map(|path| Some((self.items.number(path)?, self.items.get(path)?)));
            let waits: Vec<_> = known.filter(|(_, entry)| entry.awaiting.contains(id)).collect();
            let lacking = waits.iter().filter(|(_, entry)| !entry.item.state.can_be_fetched()).count();
            same(format!("what {id} lacks"), &owed.missing_references, &lacking)?;
            let (awaits, should): (BTreeSet<_>, BTreeSet<_>) =
                (owed.awaits.iter().collect(), waits.iter().map(|(no, _)| no).collect());
            same(format!("what {id} waits for"), &awaits, &should)?;
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

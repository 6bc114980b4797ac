//! Publications that are owed: which of them may be asked for now, most urgent first. Derived, as the graph is.

use std::collections::BTreeMap;
use std::sync::Arc;

use drover_messages::PublicationId;
use drover_store::StorePath;

use crate::limits::Limits;
use crate::links::ItemNo;
use crate::owed::Publication;
use crate::state::{Owed, State};
use crate::time::Heard;

impl State {
    /// Enters a publication that is owed.
    pub(crate) fn owe(&mut self, publication: Arc<Publication>) {
        let id = publication.id;
        if let Some(entry) = self.items.get_mut(&publication.path) {
            entry.item.nar_bytes = publication.nar.nar_size;
        }
        if self.owed.contains_key(&id) {
            return;
        }
        let mut awaits = Vec::new();
        for reference in publication.references.iter().filter(|reference| **reference != publication.path) {
            if let Some(item) = self.items.number(reference)
                && let Some(entry) = self.items.at_mut(item).filter(|entry| !entry.item.state.can_be_fetched())
                && entry.awaiting.insert(id)
            {
                awaits.push(item);
            }
        }
        let urgency = self.urgency_of_debt(&publication);
        let seq = self.owed.len() as u64 + self.next_seq;
        let owed = Owed { publication, seq, urgency, missing_references: awaits.len(), awaits, asked: None };
        self.owed.insert(id, Box::new(owed));
        self.queue_debt(id);
    }

    /// As urgent as its build, or the most urgent of those that need it.
    fn urgency_of_debt(&self, publication: &Publication) -> i32 {
        let dependents = self.items.get(&publication.path).into_iter().flat_map(|entry| entry.dependents.iter());
        let dependents = dependents.filter_map(|no| self.builds.at(no)).map(|node| node.weight.urgency);
        let own = publication.attempt().and_then(|(build, _)| self.urgency(build));
        dependents.chain(own).max().unwrap_or(0)
    }

    /// Finds out anew how urgent publications are: with what each refers to, which has to be published before it.
    pub(crate) fn weigh_debts(&mut self, now: Heard) {
        self.debts_weighed = now;
        let mut urgencies: BTreeMap<PublicationId, i32> =
            self.owed.iter().map(|(id, owed)| (*id, self.urgency_of_debt(&owed.publication))).collect();
        let mut of_path: BTreeMap<&StorePath, Vec<PublicationId>> = BTreeMap::new();
        for (id, owed) in &self.owed {
            of_path.entry(&owed.publication.path).or_default().push(*id);
        }
        let mut waiting: Vec<PublicationId> =
            self.owed.iter().filter(|(_, owed)| owed.missing_references > 0).map(|(id, _)| *id).collect();
        while let Some(id) = waiting.pop() {
            let (Some(owed), Some(urgency)) = (self.owed.get(&id), urgencies.get(&id).copied()) else { continue };
            let first = owed.publication.references.iter().filter_map(|path| of_path.get(path)).flatten();
            for before in first {
                if let Some(known) = urgencies.get_mut(before).filter(|known| **known < urgency) {
                    *known = urgency;
                    waiting.push(*before);
                }
            }
        }
        for (id, urgency) in urgencies {
            let Some(owed) = self.owed.get_mut(&id).filter(|owed| owed.urgency != urgency) else { continue };
            let before = owed.place();
            owed.urgency = urgency;
            if self.askable.remove(&before) {
                self.askable.insert(owed.place());
            }
        }
    }

    /// Makes a publication askable, if nothing speaks against it.
    pub(crate) fn queue_debt(&mut self, id: PublicationId) {
        let Some(owed) = self.owed.get(&id) else { return };
        let lives = owed.publication.submission().is_none_or(|submission| self.is_live(submission));
        if owed.missing_references == 0 && owed.asked.is_none() && lives {
            self.askable.insert(owed.place());
        }
    }

    /// A publication is owed no more.
    pub(crate) fn settle_debt(&mut self, id: PublicationId) {
        let Some(owed) = self.owed.remove(&id) else { return };
        match owed.asked {
            Some(at) => self.forget_question(id, at),
            None => drop(self.askable.remove(&owed.place())),
        }
        for item in owed.awaits {
            if let Some(entry) = self.items.at_mut(item) {
                entry.awaiting.remove(&id);
            }
        }
    }

    fn forget_question(&mut self, id: PublicationId, asked: Heard) {
        self.asked.remove(&(asked, id));
        self.put_off.remove(&id);
        self.large_asked.remove(&id);
    }

    /// Notes when a publication was asked for; askable again where it was not.
    pub(crate) fn set_asked(&mut self, id: PublicationId, at: Option<Heard>) {
        let Some(owed) = self.owed.get_mut(&id) else { return };
        let (place, is_large) = (owed.place(), owed.publication.is_large());
        match std::mem::replace(&mut owed.asked, at) {
            Some(before) => self.forget_question(id, before),
            None => drop(self.askable.remove(&place)),
        }
        match at {
            Some(at) => {
                self.asked.insert((at, id));
                if is_large {
                    self.large_asked.insert(id);
                }
            }
            None => self.queue_debt(id),
        }
    }

    /// The pool lacks what a publication that was asked for refers to.
    pub(crate) fn put_off(&mut self, id: PublicationId) {
        if self.owed.get(&id).is_some_and(|owed| owed.asked.is_some()) {
            self.put_off.insert(id);
            self.large_asked.remove(&id);
        }
    }

    /// The publications to be asked for next, the most urgent first. Of large ones there are few at once, so that what becomes
    /// urgent meanwhile does not wait for long. Those that are put off take no room: they are many where one item is lost that
    /// many refer to, and that one must not wait for them.
    pub(crate) fn next_debts(&self, limits: &Limits) -> impl Iterator<Item = &Owed> {
        let room = limits.asked_at_once.saturating_sub(self.asked.len() - self.put_off.len());
        let mut room_for_large = limits.large_asked_at_once.saturating_sub(self.large_asked.len());
        self.askable.iter().take(room).filter_map(|(.., id)| self.owed.get(id).map(Box::as_ref)).take_while(move |owed| {
            let fits = !owed.publication.is_large() || room_for_large > 0;
            room_for_large = room_for_large.saturating_sub(usize::from(owed.publication.is_large()));
            fits
        })
    }

    /// Counts again what keeps the publications that wait for an item.
    pub(crate) fn reference_changed(&mut self, item: ItemNo, available: bool) {
        let Some(entry) = self.items.at(item) else { return };
        let waiting: Vec<PublicationId> = entry.awaiting.iter().copied().collect();
        for id in waiting {
            let Some(owed) = self.owed.get_mut(&id) else { continue };
            if available {
                owed.missing_references = owed.missing_references.saturating_sub(1);
            } else {
                owed.missing_references += 1;
                self.askable.remove(&owed.place());
            }
            self.queue_debt(id);
        }
    }
}

//! The pool's word on what is owed, and what the bucket says of items that somebody misses.

use std::collections::BTreeSet;

use drover_messages::event::What;
use drover_messages::publish::{Done, PublishVerdict};
use drover_messages::report::Kept;
use drover_messages::request::Nar;
use drover_messages::{AgentId, Cause, Epoch, PublicationId};
use drover_store::{Sha256, StoreDir, StorePath};

use super::Step;
use crate::attempt::{Attempt, AttemptEvent, AttemptState};
use crate::build::{Build, BuildState};
use crate::change::Change;
use crate::item::{ItemEvent, ItemState};
use crate::outcome::Effect;
use crate::owed::Publication;
use crate::state::State;

impl<'a> Step<'a> {
    pub(super) fn published(&mut self, done: Done) {
        let state: &'a State = self.state;
        let Some(owed) = state.owed.get(&done.publication) else { return };
        let publication = &owed.publication;
        match done.verdict {
            PublishVerdict::Published | PublishVerdict::AlreadyThere => self.available(publication),
            PublishVerdict::Differs { there, kept } => self.differs(publication, there, kept),
            PublishVerdict::Refused { why } => self.refused(publication, why),
            PublishVerdict::NarMissing => self.nar_missing(publication),
            PublishVerdict::ReferencesMissing { missing } => {
                self.change(Change::PutOff { publication: publication.id });
                self.effect(Effect::Confirm { store_dir: publication.store_dir.clone(), paths: missing, missed_by: None });
            }
        }
    }

    fn available(&mut self, publication: &Publication) {
        self.change(Change::OwedDone(publication.id));
        self.publish_item(&publication.store_dir, &publication.path);
        let is_owed = |attempt: &Attempt, path: &StorePath| {
            *path != publication.path && self.state.owed.contains_key(&PublicationId::of_output(attempt.id, path))
        };
        if let Some((build, attempt)) = self.maker(publication)
            && matches!(attempt.state, AttemptState::Uploaded)
            && !build.products().any(|path| is_owed(attempt, path))
        {
            self.attempt_event(build.id, attempt.id, AttemptEvent::Publish);
            self.effect(Effect::Discard { agent: attempt.agent, attempt: attempt.id });
        }
    }

    /// Another build of the derivation was first, and made something else. Both are successes; what the cache has stays, the
    /// other is kept beside it.
    fn differs(&mut self, publication: &Publication, there: Sha256, nar: Nar) {
        if let Some((build, attempt)) = self.maker(publication) {
            let (id, path, here) = (build.id, publication.path.clone(), nar.nar_hash);
            let named = build.recipe.outputs.iter().find(|(_, product)| product.path == path);
            if let Some((name, _)) = named {
                let kept = Kept { name: name.clone(), path: path.clone(), nar };
                self.change(Change::Differs { build: id, attempt: attempt.id, kept });
            }
            self.event(What::BuildDiffers { build: id, attempt: attempt.id, path, there, here });
        }
        self.available(publication);
    }

    fn publish_item(&mut self, store_dir: &StoreDir, path: &StorePath) {
        let (store_dir, path) = (store_dir.clone(), path.clone());
        if self.state.item(&path).is_none_or(|state| !state.is_available()) {
            self.event(What::ItemAvailable { store_dir: store_dir.clone(), path: path.clone() });
        }
        self.change(Change::Item { store_dir, path, event: ItemEvent::Publish });
    }

    /// The bytes are no good. If nobody else has made the item available, it is lost, and its build tried again later.
    fn refused(&mut self, publication: &Publication, why: String) {
        self.change(Change::OwedDone(publication.id));
        let (store_dir, path) = (publication.store_dir.clone(), publication.path.clone());
        self.event(What::PublicationRefused { store_dir: store_dir.clone(), path: path.clone(), why: why.clone() });
        let available = self.state.item(&path).is_some_and(ItemState::is_available);
        if !available {
            self.change(Change::Item { store_dir, path, event: ItemEvent::Lose });
        }
        let Some((build, attempt)) = self.maker(publication) else { return };
        if attempt.state != AttemptState::Uploaded {
            return;
        }
        self.attempt_event(build.id, attempt.id, AttemptEvent::End(Cause::PublicationRefused, why));
        if !available && matches!(build.state, BuildState::Succeeded { .. }) {
            self.build_event(build.id, self.deferral(build, Cause::PublicationRefused));
        }
    }

    /// The uploaded bytes are gone. Its agent brings them again, if it is there; nobody can bring a source but its owner.
    fn nar_missing(&mut self, publication: &Publication) {
        self.change(Change::OwedDone(publication.id));
        let Some((build, attempt)) = self.maker(publication) else {
            let why = "its uploaded nar is gone; submit it again".into();
            return self.refused(publication, why);
        };
        if attempt.state != AttemptState::Uploaded {
            return;
        }
        if self.state.agents.contains_key(&attempt.agent) || self.state.unheard.contains_key(&attempt.agent) {
            self.attempt_event(build.id, attempt.id, AttemptEvent::Unload);
            self.item_event(build, &publication.path, ItemEvent::Unload);
        } else {
            self.lose_outputs(build, attempt, "its uploads are gone, and so is the agent");
        }
    }

    /// The build and the attempt that made what is published.
    fn maker(&self, publication: &Publication) -> Option<(&'a Build, &'a Attempt)> {
        let (build, attempt) = publication.attempt()?;
        let build = self.state.build(build)?;
        Some((build, build.attempt(attempt)?))
    }

    /// What the bucket says decides: a suspicion alone changes nothing. Whoever cannot fetch what is there is doubted.
    pub(super) fn confirmed(&mut self, store_dir: &StoreDir, items: Vec<(StorePath, bool)>, missed_by: Option<(AgentId, Epoch)>) {
        let is_there = |(path, there): &(StorePath, bool)| *there && self.state.item(path).is_some_and(ItemState::is_available);
        if let Some((agent, attempt)) = missed_by
            && let Some((path, _)) = items.first().filter(|_| items.iter().all(is_there))
        {
            self.fault(agent, attempt, format!("it could not fetch {path}, which the cache has"));
        }
        for (path, there) in items {
            let known = self.state.item(&path).is_some_and(ItemState::is_available);
            match (known, there) {
                (true, false) => self.lose_item(store_dir, &path),
                (false, true) => self.publish_item(store_dir, &path),
                _ => {}
            }
        }
    }

    /// An item that was available is gone: the build that makes it is wanted again.
    fn lose_item(&mut self, store_dir: &StoreDir, path: &StorePath) {
        self.event(What::ItemLost { store_dir: store_dir.clone(), path: path.clone() });
        let (dir, item) = (store_dir.clone(), path.clone());
        self.change(Change::Item { store_dir: dir, path: item, event: ItemEvent::Lose });
        let losses = self.state.items.get(path).map_or(0, |entry| entry.item.losses) + 1;
        if losses < self.limits.losses {
            self.make_again(path);
        } else {
            self.event(What::ItemGivenUp { store_dir: store_dir.clone(), path: path.clone(), losses });
        }
    }

    /// The build that makes an item is opened again; where none can, one is planned for whoever needs it.
    pub(super) fn make_again(&mut self, path: &StorePath) {
        let state: &'a State = self.state;
        let makers: Vec<&Build> = state.makers(path).collect();
        let done = |build: &&&Build| matches!(build.state, BuildState::Succeeded { .. });
        let under_way = |build: &&Build| !build.state.is_over() && build.state.is_hopeful();
        match makers.iter().rev().find(done) {
            _ if makers.iter().any(under_way) => {}
            Some(build) => self.reopen(build),
            // What is blocked, or given up, is tried again when somebody says so.
            None if makers.iter().any(|build| !build.state.is_over()) => {}
            None => self.replan(path),
        }
    }

    /// Whether an item is had by nobody, and made by nobody but builds that were cancelled.
    pub(super) fn is_orphaned(&self, path: &StorePath) -> bool {
        let Some(entry) = self.state.items.get(path) else { return false };
        let cancelled = |build: &Build| matches!(build.state, BuildState::Cancelled);
        matches!(entry.item.state, ItemState::Wanted | ItemState::Lost)
            && entry.item.losses < self.limits.losses
            && self.state.makers(path).all(cancelled)
    }

    /// Plans an item for one of the builds that need it.
    fn replan(&mut self, path: &StorePath) {
        let state = self.state;
        let plans = |build: &&Build| state.submission(build.submission).is_some_and(|submission| submission.input_builds);
        if let Some(build) = state.dependents(path).find(plans) {
            self.effect(Effect::Replan { build: build.id });
        }
    }

    /// Everything that was queued has been read. What was about to be planned when the process ended is planned again.
    pub(super) fn caught_up(&mut self) {
        self.change(Change::CaughtUp);
        self.note_absent();
        let state: &'a State = self.state;
        let needed = state.items.iter().filter(|entry| !entry.dependents.is_empty()).map(|entry| &entry.path);
        let orphaned: BTreeSet<&StorePath> = needed.filter(|path| self.is_orphaned(path)).collect();
        for path in orphaned {
            self.replan(path);
        }
    }

    pub(super) fn questions_lost(&mut self) {
        for (_, publication) in &self.state.asked {
            self.out.changes.push(Change::Asked { publication: *publication, heard: None });
        }
    }
}

//! What comes back into memory when something speaks of what is finished, and what goes out of it.

use std::sync::Arc;

use drover_messages::{BuildId, SubmissionId};
use drover_store::StorePath;

use crate::build::WholeBuild;
use crate::item::{Item, ItemState};
use crate::links::{self, ItemNo};
use crate::state::{State, Turn};
use crate::submission::SubmissionState;

impl State {
    /// Takes what is finished out of memory, once it is recorded: succeeded builds of which everything is available,
    /// failed ones behind which nothing waits, items that nothing open needs, and submissions without a build in memory.
    pub fn forget_finished(
        &mut self,
        submissions: impl IntoIterator<Item = SubmissionId>,
        builds: impl IntoIterator<Item = BuildId>,
        items: impl IntoIterator<Item = StorePath>,
    ) {
        for id in builds {
            if self.build(id).is_some_and(|build| self.is_finished(build)) {
                self.forget(id);
            }
        }
        for path in items {
            if let Some(item) = self.items.number(&path) {
                self.forget_idle(item);
            }
        }
        for id in submissions {
            self.forget_submission(id);
        }
    }

    /// Takes builds and items back from the database.
    pub(crate) fn recall(
        &mut self,
        builds: impl IntoIterator<Item = WholeBuild>,
        items: impl IntoIterator<Item = (StorePath, Item)>,
    ) -> Vec<Turn> {
        for (path, item) in items {
            self.recall_item(&path, item);
        }
        builds.into_iter().flat_map(|WholeBuild { build, inputs }| self.enter(build, &inputs)).collect()
    }

    /// Takes an item back, if it is not there.
    pub(crate) fn recall_item(&mut self, path: &StorePath, item: Item) -> ItemNo {
        if let Some(no) = self.items.number(path) {
            return no;
        }
        self.reach.move_item(path, &ItemState::Wanted, &item.state);
        let no = self.items.enter(path, || item);
        self.refresh_offers(no, &mut Vec::new());
        no
    }

    /// Takes a build out of memory, with the items that nothing else in memory cares for.
    pub(crate) fn forget(&mut self, id: BuildId) {
        let Some(no) = self.builds.number(&id) else { return };
        self.unlink(no);
        let Some(node) = links::remove(&mut self.builds, &mut self.items, no) else { return };
        for attempt in &node.build.attempts {
            self.forget_tried(attempt.agent, id);
        }
        if let Some(count) = self.of_client.get_mut(&node.client) {
            *count -= 1;
            if *count == 0 {
                self.of_client.remove(&node.client);
            }
        }
        // The set has one, and the build.
        if Arc::strong_count(&node.requirement) == 2 {
            self.requirements.remove(&node.requirement);
        }
        self.durations.forget_build(node.package, no);
        for item in &node.products {
            // Nothing open needs it now; what comes later must not find that this build stands in its way.
            self.refresh_offers(*item, &mut Vec::new());
        }
        for edge in &node.inputs {
            self.items.lose_user(edge.item);
            self.forget_idle(edge.item);
        }
        for item in &node.products {
            self.forget_idle(*item);
        }
        self.members.entry(node.build.submission).or_default().remove(&no);
        self.forget_submission(node.build.submission);
    }

    /// Takes a submission out of memory, if none of its builds is there.
    pub(crate) fn forget_submission(&mut self, id: SubmissionId) {
        let has_builds = self.members.get(&id).is_some_and(|members| !members.is_empty());
        let is_planned = self.submission(id).is_none_or(|submission| submission.state != SubmissionState::Planning);
        if !has_builds && is_planned {
            self.members.remove(&id);
            self.submissions.remove(&id);
        }
    }

    /// Takes an item out of memory, if nothing in memory cares for it.
    pub(crate) fn forget_idle(&mut self, item: ItemNo) {
        if let Some(entry) = self.items.remove_idle(item) {
            self.reach.move_item(&entry.path, &entry.item.state, &ItemState::Wanted);
        }
    }
}

//! What users ask for on the stream REQ, and how it is planned.

use std::collections::BTreeSet;

use drover_messages::wish::Wished;
use drover_messages::{BuildId, ClientId, Generation, SubmissionId, Timestamp, WishId};
use drover_scheduler_core::input::Wanted;
use drover_scheduler_core::plan::Planned;
use drover_scheduler_core::{Input, ItemState, Submission, SubmissionState};
use drover_store::{StoreDir, StorePath};

use super::graph::{SERVER, brought, external, submission};
use super::reign::Reign;
use super::{World, id};

/// Builds that are entered at once.
const ROWS: usize = 8;
/// Derivations that the second user names.
const ROOTS: usize = 3;

/// A message on the stream.
#[derive(Clone)]
pub enum Request {
    Submit(u64),
    Wish(Box<Wanted>),
}

impl World {
    /// A user submits: the first wants everything, others only the last few, and what these need.
    pub fn submit(&mut self, n: u64) {
        self.submitted.insert(n);
        self.ask(Request::Submit(n));
    }

    fn ask(&mut self, request: Request) {
        self.requests.push(request.clone());
        for generation in self.generations() {
            self.take_up(generation, request.clone());
        }
    }

    /// At a start. Whoever waits for a submission that nobody knows submits it again.
    pub(super) fn read_requests(&mut self, generation: Generation) {
        for request in self.requests.clone() {
            self.take_up(generation, request);
        }
        for n in self.submitted.clone() {
            let known = |reign: &mut Reign| reign.book.has_planned(submission(n));
            if self.reign(generation).is_some_and(|reign| !known(reign)) {
                self.ask(Request::Submit(n));
            }
        }
    }

    fn take_up(&mut self, generation: Generation, request: Request) {
        match request {
            Request::Submit(n) => self.plan(generation, n),
            Request::Wish(wanted) => self.bring(generation, Input::Wish(wanted)),
        }
        self.run(generation);
    }

    /// As the planner does it, bit by bit.
    fn plan(&mut self, generation: Generation, n: u64) {
        let graph = self.graph.clone();
        let Some(reign) = self.reign(generation).filter(|reign| !reign.book.has_planned(submission(n))) else { return };
        let builds = match n {
            1 => graph.everything(),
            n => graph.last(n, ROOTS, &|path| is_there(reign, path)),
        };
        let store_dir = StoreDir::nix();
        let found = vec![(external(), BTreeSet::from([SERVER.to_owned()]))];
        let id = submission(n);
        self.bring(generation, Input::Enter(entered(n)));
        self.bring(generation, Input::Found { store_dir, found });
        self.bring(generation, Input::AddSources { submission: id, sources: vec![brought()] });
        self.enter(generation, id, builds);
        self.bring(generation, Input::GoLive { submission: id });
    }

    fn enter(&mut self, generation: Generation, submission: SubmissionId, builds: Vec<Planned>) {
        for builds in builds.chunks(ROWS) {
            self.bring(generation, Input::AddBuilds { submission, builds: builds.to_vec() });
        }
    }

    /// Plans what a build lacks and nothing makes.
    pub(super) fn replan(&mut self, generation: Generation, id: BuildId) {
        let graph = self.graph.clone();
        let Some(reign) = self.reign(generation) else { return };
        reign.replanned.insert(id);
        let Some(build) = reign.core.state().build(id).cloned() else { return };
        let n = if build.submission == submission(1) { 1 } else { 2 };
        let inputs = reign.core.state().inputs(id).map(|(path, _)| path.clone()).collect();
        let builds = graph.below(n, &inputs, &|path| is_there(reign, path));
        self.enter(generation, build.submission, builds);
    }

    /// One build, or now and then a whole submission.
    pub(super) fn cancel_something(&mut self) {
        let builds: Vec<BuildId> = self.newest().book.builds.keys().copied().collect();
        let Some(build) = builds.get(self.dice.below(builds.len())) else { return };
        let which = 1 + self.dice.below(2) as u64;
        match self.dice.chance(20) {
            true => self.wish(Wished::Cancel, vec![submission(which)], Vec::new()),
            false => self.wish(Wished::Cancel, Vec::new(), vec![*build]),
        }
    }

    /// What users want after all.
    pub fn retry_all(&mut self) {
        let builds = self.newest().book.builds.keys().copied().collect();
        self.wish(Wished::Retry, self.submitted.iter().map(|n| submission(*n)).collect(), builds);
    }

    fn wish(&mut self, change: Wished, submissions: Vec<SubmissionId>, builds: Vec<BuildId>) {
        self.wishes += 1;
        let wish = WishId::from_uuid(id(5000 + self.wishes));
        let client = ClientId::from_uuid(id(2));
        self.ask(Request::Wish(Box::new(Wanted { wish, client, by_admin: true, change, submissions, builds })));
    }

    pub(super) fn has_taken_up_all(&self) -> bool {
        self.submitted.iter().all(|n| self.newest().book.has_planned(submission(*n)))
    }
}

fn is_there(reign: &Reign, path: &StorePath) -> bool {
    let recorded = || reign.book.item(path).map(|item| &item.state);
    reign.core.state().item(path).or_else(recorded).is_some_and(ItemState::can_be_fetched)
}

fn entered(n: u64) -> Submission {
    Submission {
        id: submission(n),
        client: ClientId::from_uuid(id(1 + n)),
        store_dir: StoreDir::nix(),
        roots: Vec::new(),
        priority: n as i32 - 1,
        tags: Default::default(),
        input_builds: true,
        terms: Default::default(),
        submitted_at: Timestamp(1),
        state: SubmissionState::Planning,
    }
}

//! What is brought to the thread that reigns, and how others reach it.

use std::collections::VecDeque;

use drover_scheduler_core::{Input, Outcome};
use tokio::sync::{mpsc, oneshot};

use crate::reign::Reign;

/// What may wait for the thread, in pieces of work. Whoever brings more waits.
pub(crate) const INBOX: usize = 4096;

/// Pieces of what is in no hurry that are brought before the first is committed: what two commits of an idle farm take.
const UNDER_WAY: usize = 4;

/// One piece of work.
pub(crate) enum Work {
    /// Decide about something.
    Decide(Box<Piece>),
    /// Decide about all of these, and commit that at once.
    DecideAll(Vec<Piece>),
    /// Decide about this when there is time: it may say so much that all else would wait until it is written.
    Enter(Box<Piece>),
    /// Answer a question from what is committed.
    Ask(Question),
}

/// Something to decide about; `then` runs when it is committed.
pub(crate) struct Piece {
    pub(crate) input: Input,
    pub(crate) then: Option<Then>,
}

impl Piece {
    fn then(input: Input, then: impl FnOnce(&Outcome) + Send + 'static) -> Box<Self> {
        Box::new(Self { input, then: Some(Box::new(then)) })
    }
}

/// Something to be read from what is committed.
pub(crate) type Question = Box<dyn FnOnce(&Reign) + Send>;

/// What is done about an outcome that is committed.
pub(crate) type Then = Box<dyn FnOnce(&Outcome) + Send>;

/// The way to the thread. When it is gone, the process ends; so nobody handles that.
#[derive(Clone)]
pub(crate) struct Desk {
    inbox: mpsc::Sender<Work>,
}

impl Desk {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Work>) {
        let (inbox, outbox) = mpsc::channel(INBOX);
        (Self { inbox }, outbox)
    }

    /// Brings something, to be done in its turn.
    pub(crate) async fn bring(&self, input: Input) {
        let _ = self.inbox.send(Work::Decide(Box::new(Piece { input, then: None }))).await;
    }

    /// Brings something, and does more when it is committed.
    pub(crate) async fn bring_then(&self, input: Input, then: impl FnOnce(&Outcome) + Send + 'static) {
        let _ = self.inbox.send(Work::Decide(Piece::then(input, then))).await;
    }

    /// Brings what came together: one commit for all of it costs little more than for one.
    pub(crate) async fn bring_all(&self, pieces: Vec<Piece>) {
        let _ = self.inbox.send(Work::DecideAll(pieces)).await;
    }

    /// Brings something, and waits until it is committed.
    pub(crate) async fn settle(&self, input: Input) {
        let (tell, committed) = wait();
        self.bring_then(input, tell).await;
        let _ = committed.await;
    }

    /// Brings what is in no hurry, one after the other with some on their way at once, and waits until all are committed: on an
    /// idle farm the next are decided about while those before them are written.
    pub(crate) async fn enter(&self, inputs: impl IntoIterator<Item = Input>) {
        let mut under_way: VecDeque<oneshot::Receiver<()>> = VecDeque::with_capacity(UNDER_WAY);
        for input in inputs {
            if under_way.len() == UNDER_WAY
                && let Some(first) = under_way.pop_front()
            {
                let _ = first.await;
            }
            let (tell, committed) = wait();
            let _ = self.inbox.send(Work::Enter(Piece::then(input, tell))).await;
            under_way.push_back(committed);
        }
        for committed in under_way {
            let _ = committed.await;
        }
    }

    /// Asks, and waits for the answer. `None` when the reign is over.
    pub(crate) async fn ask<A: Send + 'static>(&self, question: impl FnOnce(&Reign) -> A + Send + 'static) -> Option<A> {
        let (answer, wait) = oneshot::channel();
        let question = move |reign: &Reign| drop(answer.send(question(reign)));
        let _ = self.inbox.send(Work::Ask(Box::new(question))).await;
        wait.await.ok()
    }
}

/// What is done when something is committed, and what waits for that.
fn wait() -> (impl FnOnce(&Outcome) + Send + 'static, oneshot::Receiver<()>) {
    let (done, committed) = oneshot::channel();
    let tell = move |_: &Outcome| {
        let _ = done.send(());
    };
    (tell, committed)
}

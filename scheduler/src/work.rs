//! What is brought to the thread that reigns, and how others reach it.

use drover_scheduler_core::{Input, Outcome};
use tokio::sync::{mpsc, oneshot};

use crate::reign::Reign;

/// What may wait for the thread, in pieces of work. Whoever brings more waits.
pub(crate) const INBOX: usize = 4096;

/// One piece of work.
pub(crate) enum Work {
    /// Decide about something.
    Decide(Box<Piece>),
    /// Decide about all of these, and commit that at once.
    DecideAll(Vec<Piece>),
    /// Answer a question from what is committed.
    Ask(Question),
}

/// Something to decide about; `then` runs when it is committed.
pub(crate) struct Piece {
    pub(crate) input: Input,
    pub(crate) then: Option<Then>,
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
        let _ = self.inbox.send(Work::Decide(Box::new(Piece { input, then: Some(Box::new(then)) }))).await;
    }

    /// Brings what came together: one commit for all of it costs little more than for one.
    pub(crate) async fn bring_all(&self, pieces: Vec<Piece>) {
        let _ = self.inbox.send(Work::DecideAll(pieces)).await;
    }

    /// Brings something, and waits until it is committed.
    pub(crate) async fn settle(&self, input: Input) {
        self.settle_all([input]).await;
    }

    /// Brings one after the other, with two on their way at once, and waits until all are committed: one can be decided about
    /// while the one before it is written.
    pub(crate) async fn settle_all(&self, inputs: impl IntoIterator<Item = Input>) {
        let mut last: Option<oneshot::Receiver<()>> = None;
        for input in inputs {
            let (done, wait) = oneshot::channel();
            let tell = move |_: &Outcome| {
                let _ = done.send(());
            };
            self.bring_then(input, tell).await;
            if let Some(before) = last.replace(wait) {
                let _ = before.await;
            }
        }
        if let Some(last) = last {
            let _ = last.await;
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

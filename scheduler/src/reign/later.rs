//! What is in no hurry: what submissions bring. It says so much that all else would wait while it is written, so it goes by
//! itself, and what was decided meanwhile goes out before the next of it is looked at.

use std::collections::VecDeque;

use drover_scheduler_core::Input;

use super::{Batch, LONG, Reign};
use crate::book::BookError;
use crate::work::Piece;

/// So many long commits of all else go before a piece, and no more: on a busy farm each may be long.
const GO_BEFORE: usize = 2;

/// Where nothing is leased, so much more is decided about at once: longer commits are fewer, and nobody waits for them.
const TIMES_LONG: usize = 2;

/// Pieces that are in no hurry. While there are any, something is being written.
#[derive(Default)]
pub(super) struct Later {
    pieces: VecDeque<Box<Piece>>,
    /// So many long commits went before the first of them.
    passed_by: usize,
}

impl Later {
    pub(super) fn put(&mut self, piece: Box<Piece>) {
        self.pieces.push_back(piece);
    }

    /// A long batch is being written.
    pub(super) fn went_before(&mut self, batch: &Batch) {
        self.passed_by += usize::from(!batch.enters && !self.pieces.is_empty());
    }
}

impl Reign {
    /// Decides about the next pieces, if it is their time.
    pub(super) fn enter(&mut self, deciding: &mut Batch) -> Result<(), BookError> {
        while !self.later.pieces.is_empty() && self.may_enter(deciding) {
            self.enter_next(deciding)?;
            if self.writing.is_none() {
                self.put_down(deciding)?;
            }
        }
        Ok(())
    }

    /// Whether it is the time of a piece. While something is written it is so only where nothing is leased: whose slot comes free
    /// meanwhile would wait until both are written. What is asked is answered from what is committed.
    fn may_enter(&self, deciding: &Batch) -> bool {
        match &self.writing {
            Some(writing) => !deciding.enters && writing.questions.is_empty() && !self.core.state().has_leases(),
            None => deciding.works == 0,
        }
    }

    /// Whether pieces were passed by so often that the next goes along with what is put down now.
    pub(super) fn is_kept_waiting(&self, deciding: &Batch) -> bool {
        self.later.passed_by >= GO_BEFORE && deciding.works > 0 && !deciding.enters
    }

    /// Decides about the next piece; of short ones, about several.
    pub(super) fn enter_next(&mut self, deciding: &mut Batch) -> Result<(), BookError> {
        let more = if self.core.state().has_leases() { LONG } else { TIMES_LONG * LONG };
        let enough = deciding.changes.len() + more;
        while deciding.changes.len() < enough
            && let Some(piece) = self.later.pieces.pop_front()
        {
            self.decide(piece.input, piece.then, deciding)?;
            (deciding.works, deciding.enters) = (deciding.works.max(1), true);
        }
        self.later.passed_by = 0;
        self.decide(Input::Dispatch, None, deciding)
    }
}
